//! The latest sound of a leg, in a ring that its packets are written to and never moved in.
//!
//! The detector takes it out frame by frame, some time after it came: it looks at the frames of many legs together. What was taken out stays for a
//! while: for what stands in the place of a lost packet, and for the sound before a turn, which is noticed when it has begun.

use std::hint::black_box;

use sotto_private::Private;

use crate::conceal::HISTORY;
use crate::leg::MARGIN;
use crate::turns::FRAME;

/// Frames that may wait for the detector: 128 ms, more than comes of a leg between two looks while a call goes on.
const WAITING: usize = 4;
/// Frames kept where turns are wanted: those that wait, and before them the farthest that the segmenter looks back and the margin.
const FOR_TURNS: usize = (MARGIN + 300 * 8).div_ceil(FRAME) + WAITING;
/// Frames kept where not: those that wait are enough to conceal from. Few of them: the sound of thousands of legs, each of which gets a packet in
/// turn, should lie in the processor's cache.
const FOR_CONCEALMENT: usize = WAITING;
const _: () = assert!(FOR_CONCEALMENT * FRAME >= HISTORY);
/// What most packets hold, samples.
const PACKET: usize = 160;
/// Samples in a line of the processor's cache.
const LINE: usize = 32;

/// Sound at 8 kHz, from where its leg's timeline last jumped.
#[derive(Default)]
pub(crate) struct Sound {
    /// Whole frames; no memory before the first sample.
    ring: Private<Vec<i16>>,
    /// Samples written.
    end: usize,
    /// Samples taken out, in whole frames.
    taken: usize,
}

impl Sound {
    /// Nothing yet.
    pub(crate) fn new(for_turns: bool) -> Self {
        let frames = if for_turns { FOR_TURNS } else { FOR_CONCEALMENT };
        Self { ring: Private::new(vec![0; frames * FRAME]), end: 0, taken: 0 }
    }

    /// Samples that were written and not taken out.
    pub(crate) const fn waiting(&self) -> usize {
        self.end - self.taken
    }

    /// Whether so many frames wait that the next must be taken out before anything more is written.
    pub(crate) const fn is_full(&self) -> bool {
        self.waiting() >= WAITING * FRAME
    }

    /// Whether the next packet may find no room.
    pub(crate) const fn is_nearly_full(&self) -> bool {
        self.waiting() >= (WAITING - 1) * FRAME
    }

    /// Writes to the end of a frame at most; what is left. Of what is full nothing is written.
    pub(crate) fn write<'a>(&mut self, samples: &'a [i16]) -> &'a [i16] {
        let room = if self.is_full() { 0 } else { FRAME - self.end % FRAME };
        let (now, left) = samples.split_at(samples.len().min(room));
        if !now.is_empty() {
            let place = self.end % self.ring.expose().len();
            // Frames do not straddle the ring's end.
            self.ring.expose_mut()[place..place + now.len()].copy_from_slice(now);
            self.end += now.len();
        }
        left
    }

    /// The next frame to be taken out, if it is whole.
    pub(crate) fn frame(&self) -> Option<&[i16]> {
        if self.waiting() < FRAME {
            return None;
        }
        let place = self.taken % self.ring.expose().len();
        Some(&self.ring.expose()[place..place + FRAME])
    }

    /// Takes it out.
    pub(crate) fn take_frame(&mut self) {
        if self.waiting() >= FRAME {
            self.taken += FRAME;
        }
    }

    /// The latest `most` samples, or what is kept of them.
    pub(crate) fn latest(&self, most: usize) -> Private<Vec<i16>> {
        self.before(self.end, most)
    }

    /// `most` samples up to the last one taken out, or what is kept of them.
    pub(crate) fn before_waiting(&self, most: usize) -> Private<Vec<i16>> {
        self.before(self.taken, most)
    }

    /// Reads the place where the next packet will be written.
    pub(crate) fn expect(&self) {
        let ring = self.ring.expose();
        if !ring.is_empty() {
            for ahead in (0..=PACKET).step_by(LINE) {
                black_box(ring[(self.end + ahead) % ring.len()]);
            }
        }
    }

    fn before(&self, end: usize, most: usize) -> Private<Vec<i16>> {
        let ring = self.ring.expose();
        // What was written since has overwritten the oldest.
        let count = most.min(end).min(ring.len() - (self.end - end));
        if count == 0 {
            return Private::default();
        }
        let (from, to) = ((end - count) % ring.len(), end % ring.len());
        Private::new(if from < to { ring[from..to].to_vec() } else { [&ring[from..], &ring[..to]].concat() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written in packets of this many samples and taken out whenever so many frames wait, all of it comes out in order, and whatever is asked for is
    /// what was written.
    fn written(packet: usize, waiting: usize, for_turns: bool) {
        let all: Vec<i16> = (0..20_000).map(|at| at as i16).collect();
        let mut sound = Sound::new(for_turns);
        let kept = sound.ring.expose().len();
        let (mut end, mut out) = (0, Vec::new());
        for samples in all.chunks(packet) {
            let mut left = samples;
            while !left.is_empty() {
                let before = left.len();
                left = sound.write(left);
                end += before - left.len();
                while sound.waiting() >= waiting * FRAME {
                    out.extend_from_slice(sound.frame().unwrap());
                    sound.take_frame();
                }
            }
            assert_eq!(out.len() + sound.waiting(), end);
            assert_eq!(sound.latest(HISTORY).expose()[..], all[end - end.min(HISTORY)..end]);
            for most in [0, 1, FRAME + 7, usize::MAX] {
                let there = most.min(out.len()).min(kept - sound.waiting());
                assert_eq!(sound.before_waiting(most).expose()[..], all[out.len() - there..out.len()], "{most} before {end}");
            }
            sound.expect();
        }
        assert_eq!(out[..], all[..out.len()]);
    }

    #[test]
    fn what_was_written_comes_out_in_order_wherever_the_ring_stands() {
        for packet in [1, 80, 160, 161, FRAME, 480, 2_000] {
            for waiting in 1..=WAITING {
                written(packet, waiting, true);
                written(packet, waiting, false);
            }
        }
    }

    #[test]
    fn what_waits_is_not_overwritten() {
        let mut sound = Sound::new(false);
        for frame in 0..WAITING {
            assert!(!sound.is_full());
            assert!(sound.write(&[frame as i16; FRAME]).is_empty());
        }
        assert!(sound.is_full());
        assert_eq!(sound.write(&[9; 10]), [9; 10]);
        assert_eq!(sound.frame(), Some(&[0; FRAME][..]));
        sound.take_frame();
        assert!(sound.write(&[9; 10]).is_empty());
        assert_eq!(sound.frame(), Some(&[1; FRAME][..]));
    }

    #[test]
    fn a_turn_finds_all_that_is_before_it() {
        let mut sound = Sound::new(true);
        for _ in 0..100 {
            sound.write(&[1; FRAME]);
            sound.take_frame();
        }
        for _ in 0..WAITING {
            sound.write(&[2; FRAME]);
        }
        assert!(sound.is_full());
        assert!(sound.before_waiting(usize::MAX).expose().len() >= MARGIN + 300 * 8);
    }

    #[test]
    fn nothing_written_is_nothing_kept() {
        let sound = Sound::default();
        sound.expect();
        assert!(sound.latest(10).expose().is_empty());
        assert!(sound.before_waiting(10).expose().is_empty());
        assert_eq!(sound.frame(), None);
    }
}
