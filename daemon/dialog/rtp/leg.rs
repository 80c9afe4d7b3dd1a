//! One leg: the sound that one side sends. It listens to one source at a time.
//!
//! Anybody who can reach a port can send to it. So a source is known by its SSRC *and* its two addresses, and three things decide
//! who is listened to:
//!
//! - *Proof.* Two packets that follow one another (RFC 3550 appendix A.1). Until then a packet waits, and noise goes by.
//! - *Trust.* A source that sends from where its side said it would, or to which the other side sends (RFC 4961), goes before one
//!   that does not, at once, whoever came first. A stranger to an empty leg is heard when nobody better came for a second.
//! - *Silence.* While the source that is listened to goes on, nobody of equal trust takes its place. Who begins when it has ended is
//!   its successor, after 300 ms. Who talked beside it, or repeats its old numbers, waits for half a minute of silence.
//!
//! What is not listened to is counted as foreign. It is never mixed with the leg's sound, and does not keep a call alive.

use std::collections::VecDeque;
use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;

use sotto_private::{Audio, Call, Codec, Datagram, Encoding, FarEnd, Side, StreamFacts, Wall};

use super::packet::Header;
use super::rtcp::Report;
use super::source::{Held, Source};
use crate::Output;
use crate::limits::{Counters, Limits};
use crate::sdp::Coding;

/// Sources beside the one that is listened to whose packets are kept, in case one of them will be.
const CANDIDATES: usize = 3;
/// Sources that talked beside the own one and are remembered as such.
const RIVALS: usize = 16;
/// Two sources may overlap by this much when one takes over from the other, microseconds.
const OVERLAP: i64 = 100_000;

/// What speaks for a source's being its side's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Trust {
    /// Nothing: it sends to an address that was named, as anybody can.
    #[default]
    Stranger,
    /// Its host was named, and another port of it.
    Neighbour,
    /// Its very address was named, or the other side sends there.
    Named,
    /// Its side's own key opened it.
    Authentic,
}

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

/// A packet of a telephone event (RFC 4733 section 2.3). All packets of one event bear the same time stamp.
pub(crate) struct TelephoneEvent {
    pub(crate) at: Wall,
    pub(crate) ssrc: u32,
    pub(crate) timestamp: u32,
    pub(crate) event: u8,
}

impl Sink<'_> {
    pub(super) fn sound(&mut self, held: Held, encoding: Encoding, start: Wall) {
        let Held { datagram, header, missing, .. } = held;
        if self.is_early(datagram.at) {
            self.counters.rtp_early += 1;
            return;
        }
        self.counters.rtp_sound += 1;
        let number = datagram.number;
        let mut audio = Audio::new(self.call, self.side, number, start, encoding, datagram.into_part(header.payload));
        audio.missing = missing;
        self.out.push_back(Output::Audio(audio));
    }

    pub(super) fn is_early(&self, at: Wall) -> bool {
        self.answered.is_none_or(|answered| at < answered)
    }
}

/// The counts of a leg over all its sources.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) packets: u64,
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) duplicated: u64,
    pub(super) undecodable: u64,
    pub(super) encrypted: u64,
    pub(super) foreign: u64,
    pub(super) jitter_micros: u32,
    pub(super) far_end: Option<FarEnd>,
    /// Packets of the first codec that was heard, and of the others; there are ten. Most legs have one.
    codec: Option<(Codec, u64)>,
    others: Vec<(Codec, u64)>,
    /// Telephone events that nobody has taken yet.
    pub(super) events: Vec<TelephoneEvent>,
}

impl Tally {
    pub(super) fn codec(&mut self, codec: Codec) {
        let (first, packets) = self.codec.get_or_insert((codec, 0));
        if *first == codec {
            *packets += 1;
            return;
        }
        match self.others.iter_mut().find(|(known, _)| *known == codec) {
            Some((_, packets)) => *packets += 1,
            None => self.others.push((codec, 1)),
        }
    }

    /// That of most packets.
    fn usual_codec(&self) -> Codec {
        let most = self.codec.iter().chain(&self.others).max_by_key(|(_, packets)| *packets);
        most.map_or(Codec::Other, |(codec, _)| *codec)
    }
}

/// The addresses that a packet came from and goes to.
pub(crate) type Flow = (SocketAddr, SocketAddr);

/// The sound of one side of a call.
#[derive(Default)]
pub(crate) struct Leg {
    active: Option<Source>,
    /// Sources that are proven and not listened to.
    candidates: Vec<Candidate>,
    /// Packets of sources that are not proven.
    unproven: VecDeque<Held>,
    /// Sources that talked beside the own one and were let go since: they are no successors, should they be seen again.
    rivals: VecDeque<(u32, Flow)>,
    tally: Tally,
    end: Wall,
    /// The session was negotiated anew, so that another source is expected.
    renegotiated: bool,
    /// The source before the active one, and whether that one was a rival: then the earlier one may come back at once.
    before: Option<(u32, Flow, bool)>,
    last: Option<Wall>,
}

/// A source that is not, or not yet, listened to. Its latest packets are kept in case it will be.
#[derive(Debug)]
struct Candidate {
    ssrc: u32,
    flow: Flow,
    trust: Trust,
    held: VecDeque<Held>,
    since: Wall,
    /// It was a rival when it was last let go.
    was_rival: bool,
}

impl Leg {
    /// Takes in a packet that belongs to this leg.
    pub(crate) fn push(&mut self, datagram: Datagram, header: Header, coding: Coding, trust: Trust, sink: &mut Sink<'_>) {
        let at = datagram.at;
        let held = Held::new(datagram, header, coding, trust);
        let Some(active) = self.active.as_mut().filter(|active| active.ssrc == held.header.ssrc) else {
            self.audition(held, sink);
            return;
        };
        if active.flow != held.flow() {
            if active.is_copy(&held) {
                sink.counters.rtp_duplicated += 1;
            } else {
                self.audition(held, sink);
            }
            return;
        }
        active.trust = active.trust.max(trust);
        match active.push(held, &mut self.tally, sink) {
            None => {
                active.advance(at, &mut self.tally, sink);
                self.last = self.last.max(Some(active.last));
            }
            Some(far_off) => self.audition(far_off, sink),
        }
    }

    /// Reads what the next packet will need.
    pub(crate) fn expect(&self) {
        black_box((self.last, self.tally.codec, self.tally.events.len()));
        if let Some(active) = &self.active {
            active.expect();
        }
    }

    /// A packet that claims to be this side's and is not: its authentication failed.
    pub(crate) const fn forged(&mut self) {
        self.tally.foreign += 1;
    }

    /// What the other side reports of this side's sound.
    pub(crate) fn reported(&mut self, report: &Report) -> bool {
        self.active.as_mut().is_some_and(|active| active.ssrc == report.about && active.reported(report))
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
        if self.active.is_none()
            && let Some(best) = self.best(None)
        {
            self.adopt(best, sink);
        }
        let unproven = std::mem::take(&mut self.unproven);
        if self.active.is_some() {
            let beside = std::mem::take(&mut self.candidates).into_iter().flat_map(|candidate| candidate.held);
            for held in unproven.into_iter().chain(beside) {
                self.turn_away(&held, sink);
            }
        } else {
            sink.counters.rtp_probation += unproven.len() as u64;
        }
        self.active.take()?.retire(&mut self.tally, sink);
        Some(StreamFacts {
            codec: self.tally.usual_codec(),
            packets: self.tally.packets,
            lost: self.tally.lost,
            reordered: self.tally.reordered,
            duplicated: self.tally.duplicated,
            jitter_micros: self.tally.jitter_micros,
            undecodable: self.tally.undecodable,
            encrypted: self.tally.encrypted,
            foreign: self.tally.foreign,
            far_end: self.tally.far_end,
        })
    }

    /// Its side said anew where it sends from: what is trusted so far must show again that it is meant, and a source that begins
    /// where the current one has ended need not wait.
    pub(crate) fn renegotiate(&mut self) {
        self.renegotiated = true;
        if let Some(active) = &mut self.active {
            active.trust = Trust::Stranger;
        }
    }

    /// When the last packet of a source that was listened to came.
    pub(crate) const fn last(&self) -> Option<Wall> {
        self.last
    }

    /// Telephone events of the source that is listened to, in its order.
    pub(crate) fn events(&mut self) -> Vec<TelephoneEvent> {
        std::mem::take(&mut self.tally.events)
    }

    /// Whether a source was heard past its probation.
    pub(crate) const fn is_heard(&self) -> bool {
        self.active.is_some()
    }

    /// Whether this is the source that is listened to.
    pub(crate) fn listens_to(&self, ssrc: u32, flow: Flow) -> bool {
        self.active.as_ref().is_some_and(|active| active.ssrc == ssrc && active.flow == flow)
    }

    /// Where the source that is listened to sends, and how far it is trusted.
    pub(crate) fn sends_to(&self) -> Option<(SocketAddr, Trust)> {
        self.active.as_ref().map(|active| (active.flow.1, active.trust))
    }

    /// Where the source that is listened to sends from.
    pub(crate) fn sends_from(&self) -> Option<SocketAddr> {
        self.active.as_ref().map(|active| active.flow.0)
    }

    /// Whether something waits for time to pass.
    pub(crate) fn is_waiting(&self) -> bool {
        self.active.as_ref().is_some_and(Source::is_waiting)
    }

    /// A packet that does not go on where the active source is.
    fn audition(&mut self, held: Held, sink: &mut Sink<'_>) {
        if self.active.is_none() {
            self.last = self.last.max(Some(held.datagram.at));
        }
        let most = sink.limits.held_packets.max(2);
        let at = held.datagram.at;
        if let Some(candidate) = self.candidates.iter_mut().find(|candidate| candidate.is_sender_of(&held)) {
            candidate.trust = candidate.trust.max(held.trust);
            candidate.held.push_back(held);
            let oldest = if candidate.held.len() > most { candidate.held.pop_front() } else { None };
            if let Some(oldest) = oldest {
                self.turn_away(&oldest, sink);
            }
        } else {
            let is_proof = self.unproven.iter().any(|other| other.is_beside(&held));
            let (ssrc, flow) = (held.header.ssrc, held.flow());
            self.unproven.push_back(held);
            if is_proof {
                self.prove(ssrc, flow, sink);
            } else if self.unproven.len() > most {
                // Strangers go before those who send from where they should.
                let least = self.unproven.iter().enumerate().min_by_key(|(order, held)| (held.trust, *order)).map(|(order, _)| order);
                if let Some(gone) = least.and_then(|order| self.unproven.remove(order)) {
                    self.turn_away(&gone, sink);
                }
            }
        }
        if let Some(best) = self.best(Some((at, sink.limits))) {
            self.adopt(best, sink);
        }
    }

    /// A source has shown two packets that follow one another.
    fn prove(&mut self, ssrc: u32, flow: Flow, sink: &mut Sink<'_>) {
        let (mine, others) = std::mem::take(&mut self.unproven).into_iter().partition(|held| held.is_of(ssrc, flow));
        self.unproven = others;
        let mine: VecDeque<Held> = mine;
        let Some(since) = mine.iter().map(|held| held.datagram.at).min() else { return };
        let trust = mine.iter().map(|held| held.trust).max().unwrap_or_default();
        if self.candidates.len() >= CANDIDATES {
            let active = self.active.as_ref();
            let least = self.candidates.iter().enumerate().min_by_key(|(_, candidate)| (candidate.trust, !candidate.is_rival(active), candidate.last()));
            if let Some(order) = least.map(|(order, _)| order) {
                let gone = self.candidates.swap_remove(order);
                let is_beside = self.active.as_ref().is_some_and(|active| active.last > gone.since);
                if is_beside && !self.rivals.contains(&(gone.ssrc, gone.flow)) {
                    self.rivals.truncate(RIVALS - 1);
                    self.rivals.push_front((gone.ssrc, gone.flow));
                }
                for held in gone.held {
                    self.turn_away(&held, sink);
                }
            }
        }
        let was_rival = self.rivals.contains(&(ssrc, flow));
        self.candidates.push(Candidate { ssrc, flow, trust, held: mine, since, was_rival });
    }

    /// The candidate that is to be listened to from now on, if there is one. At the end of a leg that was never heard, any.
    fn best(&self, now: Option<(Wall, &Limits)>) -> Option<usize> {
        let active = self.active.as_ref();
        let is_due = |candidate: &&Candidate| now.is_none_or(|(at, limits)| self.is_due(candidate, at, limits));
        let due = self.candidates.iter().filter(is_due);
        let best = due.max_by_key(|candidate| (candidate.trust, !candidate.is_rival(active), std::cmp::Reverse(candidate.since)))?;
        self.candidates.iter().position(|candidate| std::ptr::eq(candidate, best))
    }

    fn is_due(&self, candidate: &Candidate, at: Wall, limits: &Limits) -> bool {
        let Some(active) = &self.active else {
            return candidate.trust > Trust::Stranger || at.since(candidate.since) >= limits.stranger_micros;
        };
        if candidate.last() < at {
            return false;
        }
        if candidate.trust > active.trust {
            return true;
        }
        if self.before == Some((candidate.ssrc, candidate.flow, true)) {
            return true;
        }
        let silent = at.since(active.last);
        let is_rival = candidate.is_rival(Some(active));
        if !is_rival && candidate.held.front().is_some_and(|first| active.goes_on_with(first)) {
            // The same source from elsewhere: NAT has given it another port.
            return silent >= limits.source_micros;
        }
        if is_rival || candidate.trust < active.trust || candidate.is_repeating(active) {
            return silent >= limits.rival_micros;
        }
        silent >= limits.source_micros || (self.renegotiated && candidate.since >= active.last)
    }

    /// A candidate becomes the source listened to, with all its packets that came after the old one's last.
    fn adopt(&mut self, order: usize, sink: &mut Sink<'_>) {
        if order >= self.candidates.len() {
            return;
        }
        let candidate = self.candidates.swap_remove(order);
        let is_rival = candidate.is_rival(self.active.as_ref());
        let mut held: Vec<Held> = candidate.held.into();
        self.renegotiated = false;
        if let Some(before) = &mut self.active {
            let (kept, beside): (Vec<Held>, Vec<Held>) = held.into_iter().partition(|held| held.datagram.at >= before.last);
            held = kept;
            let goes_on = held.first().is_some_and(|first| before.goes_on_with(first));
            let from = (before.ssrc, before.flow, is_rival);
            if goes_on {
                // Numbers and clock are the same: so is all that is known by them.
                (before.flow, before.trust) = (candidate.flow, candidate.trust);
            }
            self.before = Some(from);
            for gone in beside {
                self.turn_away(&gone, sink);
            }
            if goes_on {
                for held in held {
                    self.again(held, sink);
                }
                return;
            }
        }
        // By sequence number, counted from the first one that came; what wraps around comes after.
        let Some(first) = held.first().map(|held| held.header.sequence) else { return };
        held.sort_by_key(|held| held.header.sequence.wrapping_sub(first) as i16);
        let Some(lowest) = held.first() else { return };
        let source = match self.active.take() {
            None => Source::new(lowest, self.end),
            Some(mut before) => {
                before.flush(&mut self.tally, sink);
                let source = before.succeeded_by(lowest);
                before.retire(&mut self.tally, sink);
                source
            }
        };
        self.active = Some(source);
        for held in held {
            self.again(held, sink);
        }
        // What waited beside it may be a copy of it, on the way through a relay.
        let Some(active) = &mut self.active else { return };
        let waited = self.unproven.len();
        self.unproven.retain(|held| !active.is_copy(held));
        sink.counters.rtp_duplicated += (waited - self.unproven.len()) as u64;
    }

    /// A packet that was held goes its way.
    fn again(&mut self, held: Held, sink: &mut Sink<'_>) {
        let Some(active) = &mut self.active else { return };
        match active.push(held, &mut self.tally, sink) {
            None => {
                self.end = active.end();
                self.last = self.last.max(Some(active.last));
            }
            Some(far_off) => self.turn_away(&far_off, sink),
        }
    }

    /// A packet that will not be heard.
    fn turn_away(&mut self, held: &Held, sink: &mut Sink<'_>) {
        let is_copy = self.active.as_mut().is_some_and(|active| active.ssrc == held.header.ssrc && active.is_copy(held));
        if is_copy {
            sink.counters.rtp_duplicated += 1;
        } else if self.before.is_some_and(|(ssrc, flow, _)| held.is_of(ssrc, flow)) {
            // The tail of the source before.
            sink.counters.rtp_late += 1;
        } else {
            sink.counters.rtp_other_source += 1;
            self.tally.foreign += 1;
        }
    }
}

impl fmt::Debug for Leg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Leg").field("active", &self.active).finish_non_exhaustive()
    }
}

impl Candidate {
    fn is_sender_of(&self, held: &Held) -> bool {
        held.is_of(self.ssrc, self.flow)
    }

    fn last(&self) -> Wall {
        self.held.back().map_or(self.since, |held| held.datagram.at)
    }

    /// It talked while the active source did.
    fn is_rival(&self, active: Option<&Source>) -> bool {
        active.is_some_and(|active| self.was_rival || active.last.since(self.since) > OVERLAP)
    }

    /// It sends what was sent before: numbers and time stamps that lie behind.
    fn is_repeating(&self, active: &Source) -> bool {
        self.held.back().is_some_and(|held| active.is_behind(held))
    }
}

#[cfg(test)]
mod tests;
