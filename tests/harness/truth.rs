//! What a scripted call is known to hold, and the arithmetic of it.
//!
//! The rules are those that the product publishes; each has its named constant here, so that a difference between the two
//! is a difference between two numbers.

use serde::{Deserialize, Serialize};

use crate::script::{Codec, Direction, Outcome, Who};

/// Length of an energy frame, milliseconds.
pub const FRAME_MS: u32 = 10;

/// A frame is talk where its energy is within this many decibels of the loudest frame of its utterance.
pub const TALK_BELOW_PEAK_DB: f64 = 45.0;

/// Pauses shorter than this are talk, milliseconds.
pub const BRIDGE_MS: u32 = 500;

/// An interruption starts when the other party has been talking for at least this long, milliseconds.
pub const INTERRUPTED_FOR_MS: u32 = 500;

/// An interruption starts when the other party goes on talking for at least this long, milliseconds.
pub const GOES_ON_FOR_MS: u32 = 300;

/// Talk over the other that lasts less than this is a backchannel ("mhm"), not an interruption, milliseconds.
pub const BACKCHANNEL_UNDER_MS: u32 = 1_000;

/// A gap in which neither talks counts as non-talk when it lasts longer than this, milliseconds.
pub const NON_TALK_OVER_MS: u32 = 3_000;

/// A stretch of talk or of anything else, milliseconds from the answer; the end is not part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Segment {
    /// First millisecond.
    pub start_ms: u32,
    /// First millisecond after it.
    pub end_ms: u32,
}

impl Segment {
    /// From start to end.
    #[must_use]
    pub const fn new(start_ms: u32, end_ms: u32) -> Self {
        Self { start_ms, end_ms }
    }

    /// Its length, milliseconds.
    #[must_use]
    pub const fn length_ms(self) -> u32 {
        self.end_ms.saturating_sub(self.start_ms)
    }
}

/// The truth of a capture.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Truth {
    /// One for each call of the script, in its order.
    pub calls: Vec<CallTruth>,
}

/// The truth of a call. Field names follow the published ones.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct CallTruth {
    /// SIP Call-ID.
    pub call_id: String,
    /// Who called whom.
    pub direction: Direction,
    /// What became of the INVITE.
    pub outcome: Outcome,
    /// Who sent the BYE, where one was sent.
    pub ended_by: Option<Who>,
    /// Codec of both legs.
    pub codec: Codec,
    /// Milliseconds of sound in a packet.
    pub ptime_ms: u32,
    /// The INVITE, milliseconds since 1970.
    pub invite_epoch_ms: i64,
    /// The 200 to the INVITE.
    pub answer_epoch_ms: Option<i64>,
    /// The BYE; without one, the last media; unanswered, the CANCEL or the rejection.
    pub end_epoch_ms: Option<i64>,
    /// From the first 180 to the 200 (or the CANCEL, or the rejection). An INVITE nobody answers: none.
    pub ring_ms: Option<u32>,
    /// From the INVITE to the same point.
    pub invite_to_answer_ms: Option<u32>,
    /// From the answer to the BYE (without one: to the end of the media).
    pub call_duration_ms: Option<u32>,
    /// Time on hold.
    pub hold_ms: u32,
    /// How often.
    pub hold_count: u32,
    /// Time both talk.
    pub overlap_ms: u32,
    /// Sum of the gaps over 3 s in which neither talks, from the answer to the end, holds cut out.
    pub non_talk_time_total_ms: u32,
    /// How many such gaps.
    pub silence_count: u32,
    /// The agent's leg.
    pub agent: LegTruth,
    /// The customer's leg.
    pub customer: LegTruth,
}

impl CallTruth {
    /// The leg of that party.
    #[must_use]
    pub const fn leg(&self, who: Who) -> &LegTruth {
        match who {
            Who::Agent => &self.agent,
            Who::Customer => &self.customer,
        }
    }
}

/// The truth of a leg.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct LegTruth {
    /// Time talking, pauses under 500 ms included.
    pub talk_time_ms: u32,
    /// Words said; none where a wav file came without its transcript.
    pub words: Option<u32>,
    /// Words a minute of talk time.
    pub talk_speed_wpm: Option<f64>,
    /// How often this party interrupted the other.
    pub interruptions_count: u32,
    /// How often this party talked over the other for less than an interruption takes: backchannels.
    pub backchannels_count: u32,
    /// The longest segment.
    pub longest_monologue_ms: u32,
    /// Packets that the sender sent.
    pub packets_sent: u32,
    /// Those of them that never arrive.
    pub packets_lost: u32,
    /// Packets that arrive after one with a higher sequence number.
    pub packets_reordered: u32,
    /// Packets that arrive twice.
    pub packets_duplicated: u32,
    /// When this party talks.
    pub segments: Vec<Segment>,
}

/// The frames that are talk in `samples` (8 kHz): indices of 10 ms frames, from 0.
#[must_use]
pub fn active_frames(samples: &[f64]) -> Vec<usize> {
    let energies: Vec<f64> = samples
        .chunks_exact(FRAME_MS as usize * crate::sound::PER_MS)
        .map(|frame| frame.iter().map(|x| x * x).sum())
        .collect();
    let peak = energies.iter().copied().fold(0.0, f64::max);
    if peak <= 0.0 {
        return Vec::new();
    }
    let least = peak * 10_f64.powf(-TALK_BELOW_PEAK_DB / 10.0);
    (0..energies.len())
        .filter(|&frame| energies[frame] > least)
        .collect()
}

/// Joins segments that touch, overlap, or lie less than [`BRIDGE_MS`] apart. The result is in order of time.
#[must_use]
pub fn bridge(mut segments: Vec<Segment>) -> Vec<Segment> {
    segments.sort_unstable();
    let mut bridged: Vec<Segment> = Vec::with_capacity(segments.len());
    for segment in segments {
        match bridged.last_mut() {
            Some(last) if segment.start_ms < last.end_ms.saturating_add(BRIDGE_MS) => {
                last.end_ms = last.end_ms.max(segment.end_ms);
            }
            _ => bridged.push(segment),
        }
    }
    bridged
}

/// The sum of the lengths.
#[must_use]
pub fn total_ms(segments: &[Segment]) -> u32 {
    segments.iter().map(|segment| segment.length_ms()).sum()
}

/// What lies in both lists; each list is bridged.
#[must_use]
pub fn overlap_ms(a: &[Segment], b: &[Segment]) -> u32 {
    let common = |x: &Segment, y: &Segment| {
        x.end_ms
            .min(y.end_ms)
            .saturating_sub(x.start_ms.max(y.start_ms))
    };
    a.iter()
        .flat_map(|x| b.iter().map(move |y| common(x, y)))
        .sum()
}

/// How often the party of `by` starts to talk over the party of `over`: (interruptions, backchannels).
#[must_use]
pub fn interruptions(by: &[Segment], over: &[Segment]) -> (u32, u32) {
    let cuts_in = |x: &Segment| {
        over.iter().any(|y| {
            y.start_ms + INTERRUPTED_FOR_MS <= x.start_ms
                && y.end_ms >= x.start_ms.saturating_add(GOES_ON_FOR_MS)
        })
    };
    let (long, short): (Vec<Segment>, Vec<Segment>) = by
        .iter()
        .copied()
        .filter(cuts_in)
        .partition(|x| x.length_ms() >= BACKCHANNEL_UNDER_MS);
    (long.len() as u32, short.len() as u32)
}

/// The gaps over 3 s in which neither party talks, between answer and end, with the holds cut out: a gap that a hold
/// splits counts as what is left of it on each side.
#[must_use]
pub fn non_talk(a: &[Segment], b: &[Segment], holds: &[Segment], duration_ms: u32) -> Vec<Segment> {
    let mut busy: Vec<Segment> = [a, b, holds].concat();
    busy.sort_unstable();
    busy.push(Segment::new(duration_ms, duration_ms));
    let mut gaps = Vec::new();
    let mut free_from = 0;
    for segment in busy {
        let gap = Segment::new(free_from, segment.start_ms.min(duration_ms));
        if gap.length_ms() > NON_TALK_OVER_MS {
            gaps.push(gap);
        }
        free_from = free_from.max(segment.end_ms);
    }
    gaps
}

#[cfg(test)]
mod tests;
