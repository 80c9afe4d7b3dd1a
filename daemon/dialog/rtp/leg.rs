//! One leg: the sound that one side sends. It listens to one source at a time.

use std::collections::VecDeque;

use sotto_private::{Audio, Call, Codec, Datagram, Encoding, Side, StreamFacts, Wall};

use super::packet::Header;
use super::source::{Held, Source};
use crate::limits::{Counters, Limits};
use crate::sdp::Coding;
use crate::Output;

/// Where a leg's sound and its counts go.
pub(crate) struct Sink<'a> {
    pub(crate) call: Call,
    pub(crate) side: Side,
    /// When the call was answered. What arrived before is early media: heard by the caller, part of no conversation, dropped.
    pub(crate) answered: Option<Wall>,
    pub(crate) out: &'a mut VecDeque<Output>,
    pub(crate) counters: &'a mut Counters,
    pub(crate) limits: &'a Limits,
}

impl Sink<'_> {
    pub(super) fn sound(&mut self, datagram: &Datagram, header: &Header, encoding: Encoding, start: Wall) {
        if self.answered.is_none_or(|answered| datagram.at < answered) {
            self.counters.rtp_early += 1;
            return;
        }
        self.counters.rtp_sound += 1;
        let payload = datagram.payload().get(header.payload.clone()).unwrap_or_default().to_vec();
        self.out.push_back(Output::Audio(Audio::new(self.call, self.side, datagram.number, start, encoding, payload)));
    }
}

/// The counts of a leg over all its sources.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) duplicated: u64,
    pub(super) undecodable: u64,
    pub(super) jitter_micros: u32,
    /// Packets by codec; there are ten.
    codecs: Vec<(Codec, u64)>,
}

impl Tally {
    pub(super) fn codec(&mut self, codec: Codec) {
        match self.codecs.iter_mut().find(|(known, _)| *known == codec) {
            Some((_, packets)) => *packets += 1,
            None => self.codecs.push((codec, 1)),
        }
    }
}

/// The sound of one side of a call.
#[derive(Debug, Default)]
pub(crate) struct Leg {
    active: Option<Source>,
    candidate: Option<Candidate>,
    tally: Tally,
    end: Wall,
    /// The session was negotiated anew, so that another source is expected.
    renegotiated: bool,
    last: Option<Wall>,
}

/// A source that is not yet, or not, listened to. Its packets are kept in case it will be.
#[derive(Debug)]
struct Candidate {
    ssrc: u32,
    held: VecDeque<Held>,
    last: Wall,
}

impl Leg {
    /// Takes in a packet that belongs to this leg.
    pub(crate) fn push(&mut self, datagram: Datagram, header: Header, coding: Coding, sink: &mut Sink<'_>) {
        let at = datagram.at;
        self.last = self.last.max(Some(at));
        let held = Held::new(datagram, header, coding);
        match &mut self.active {
            Some(active) if active.ssrc == held.header.ssrc => {
                active.push(held, &mut self.tally, sink);
                active.advance(at, &mut self.tally, sink);
            }
            _ => self.audition(held, sink),
        }
    }

    /// Lets go what has waited long enough.
    pub(crate) fn advance(&mut self, now: Wall, sink: &mut Sink<'_>) {
        if let Some(active) = &mut self.active {
            active.advance(now, &mut self.tally, sink);
        }
    }

    /// Lets go all that waits, before an event of the call.
    pub(crate) fn flush(&mut self, sink: &mut Sink<'_>) {
        if let Some(active) = &mut self.active {
            active.flush(&mut self.tally, sink);
        }
    }

    /// The end of the leg: all that waits goes out. `None` where no source got past probation.
    pub(crate) fn finish(mut self, sink: &mut Sink<'_>) -> Option<StreamFacts> {
        let heard = self.active.is_some();
        if let Some(candidate) = self.candidate.take() {
            let count = candidate.held.len() as u64;
            *if heard { &mut sink.counters.rtp_other_source } else { &mut sink.counters.rtp_probation } += count;
        }
        self.active.take()?.retire(&mut self.tally, sink);
        let codec = self.tally.codecs.iter().max_by_key(|(_, packets)| *packets).map_or(Codec::Other, |(codec, _)| *codec);
        Some(StreamFacts {
            codec,
            packets: self.tally.packets,
            lost: self.tally.lost,
            reordered: self.tally.reordered,
            duplicated: self.tally.duplicated,
            jitter_micros: self.tally.jitter_micros,
            undecodable: self.tally.undecodable,
            encrypted: 0,
            foreign: 0,
            far_end: None,
        })
    }

    /// The next source need not wait for the current one to fall silent.
    pub(crate) const fn renegotiate(&mut self) {
        self.renegotiated = true;
    }

    /// When its last packet came, of whatever source.
    pub(crate) const fn last(&self) -> Option<Wall> {
        self.last
    }

    /// Whether a source was heard past its probation.
    pub(crate) const fn is_heard(&self) -> bool {
        self.active.is_some()
    }

    /// Whether something waits for time to pass.
    pub(crate) fn is_waiting(&self) -> bool {
        self.active.as_ref().is_some_and(Source::is_waiting)
    }

    /// A packet of another source than the current one.
    fn audition(&mut self, held: Held, sink: &mut Sink<'_>) {
        let at = held.datagram.at;
        let candidate = match &mut self.candidate {
            Some(candidate) if candidate.ssrc == held.header.ssrc => candidate,
            // A third source waits until the second one has been silent.
            Some(candidate) if at.since(candidate.last) < sink.limits.source_micros => {
                sink.counters.rtp_other_source += 1;
                return;
            }
            slot => {
                if let Some(gone) = slot.take() {
                    sink.counters.rtp_other_source += gone.held.len() as u64;
                }
                slot.insert(Candidate { ssrc: held.header.ssrc, held: VecDeque::new(), last: at })
            }
        };
        candidate.last = at;
        if candidate.held.len() >= sink.limits.held_packets {
            candidate.held.pop_front();
            sink.counters.rtp_other_source += 1;
        }
        candidate.held.push_back(held);
        let free = match &self.active {
            None => true,
            Some(active) => self.renegotiated || at.since(active.last) >= sink.limits.source_micros,
        };
        if free && candidate.is_proven() {
            self.adopt(sink);
        }
    }

    /// The candidate becomes the source listened to, with all its packets that came after the old one's last.
    fn adopt(&mut self, sink: &mut Sink<'_>) {
        let Some(candidate) = self.candidate.take() else { return };
        let mut held: Vec<Held> = candidate.held.into();
        if let Some(before) = self.active.take() {
            let kept = held.len();
            held.retain(|held| held.datagram.at >= before.last);
            sink.counters.rtp_other_source += (kept - held.len()) as u64;
            let mut before = before;
            before.flush(&mut self.tally, sink);
            self.end = before.end();
            before.retire(&mut self.tally, sink);
        }
        self.renegotiated = false;
        // By sequence number, counted from the first one that came; what wraps around comes after.
        let Some(first) = held.first().map(|held| held.header.sequence) else { return };
        held.sort_by_key(|held| held.header.sequence.wrapping_sub(first) as i16);
        let Some(lowest) = held.first() else { return };
        let mut source = Source::new(lowest, self.end);
        for held in held {
            source.push(held, &mut self.tally, sink);
        }
        self.active = Some(source);
    }
}

impl Candidate {
    /// RFC 3550 appendix A.1, MIN_SEQUENTIAL: two packets follow one another, in whatever order they came.
    fn is_proven(&self) -> bool {
        let Some(newest) = self.held.back() else { return false };
        let newest = newest.header.sequence;
        self.held.iter().any(|held| held.header.sequence.wrapping_add(1) == newest || newest.wrapping_add(1) == held.header.sequence)
    }
}


#[cfg(test)]
mod tests;
