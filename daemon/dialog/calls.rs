//! The table of open calls: datagrams find their call here, and time passes here.

mod call;
mod hangup;
mod sessions;
mod signalling;
mod sound;
mod transfer;
mod twins;
mod unsignalled;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;

use sotto_private::{Call, CallEvent, Datagram, EndCause, Origin, Party, Said, Segment, Side, StreamFacts, Wall};

use crate::limits::{Counters, Limits};
use crate::media::{Claim, Claims};
use crate::rtp::{Kind, Sink, kind};
use crate::consent::ConsentHeader;
use crate::keys::{Keys, Pressed};
use crate::stream::Streams;
use crate::{Fault, FaultKind, IsAgent, Output, sip};
use call::CallState;
use signalling::Arrival;
use transfer::Referral;
use twins::Twins;
use unsignalled::Prospects;

/// How often the time-outs are looked at, microseconds.
const SCAN: i64 = 1_000_000;

pub(crate) struct Calls {
    limits: Limits,
    counters: Counters,
    out: VecDeque<Output>,
    slots: Vec<Option<Box<CallState>>>,
    free: Vec<usize>,
    /// From the hash of Call-ID and the caller's tag, which are a dialog's name before it has two tags (RFC 3261 section 12), to its slot.
    keys: HashMap<u64, usize>,
    /// Keyed with random numbers of this run: a Call-ID cannot be made to collide, and is kept nowhere.
    hasher: RandomState,
    claims: Claims,
    /// Sources that no call named, and how many calls came of such.
    prospects: Prospects,
    sound_alone: usize,
    twins: Twins,
    streams: Streams,
    /// Calls of which there is one message and no more, the oldest first; some have got further since.
    unheard: VecDeque<(usize, Call)>,
    /// The same of calls that ring.
    ringing: VecDeque<(usize, Call)>,
    /// The same of calls that were answered, and of which no sound was heard.
    answered: VecDeque<(usize, Call)>,
    /// Calls of which packets wait for time to pass.
    waiting: Vec<usize>,
    /// Calls that are said to be over.
    hanging: Vec<(usize, Call)>,
    /// Transfers under way, the oldest first.
    referrals: VecDeque<Referral>,
    /// The charter's keys, for each call to begin with.
    listened: Option<Keys>,
    /// Who is an agent, by the site's rules.
    is_agent: Option<IsAgent>,
    /// Where the PBX says what the customer said.
    looked_for: Option<ConsentHeader>,
    /// Calls that ended lately, with the CSeq of their INVITE: a late copy of it opens no second call.
    ended: HashMap<u64, Ended>,
    ended_order: VecDeque<(Wall, u64)>,
    /// Packets of sound are not looked at.
    is_deaf: bool,
    /// Until then they were not: no silence counts from before.
    deaf_until: Option<Wall>,
    next_call: u64,
    next_scan: Option<Wall>,
    fault: Option<Fault>,
}

/// What is remembered of a call that is over.
#[derive(Clone, Copy)]
struct Ended {
    at: Wall,
    cseq: u32,
    /// It, or the one that its conversation was counted as.
    call: Call,
}

impl Calls {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            counters: Counters::default(),
            out: VecDeque::new(),
            slots: Vec::new(),
            free: Vec::new(),
            keys: HashMap::new(),
            hasher: RandomState::new(),
            claims: Claims::default(),
            prospects: Prospects::default(),
            sound_alone: 0,
            twins: Twins::default(),
            streams: Streams::default(),
            unheard: VecDeque::new(),
            ringing: VecDeque::new(),
            answered: VecDeque::new(),
            waiting: Vec::new(),
            hanging: Vec::new(),
            referrals: VecDeque::new(),
            listened: None,
            is_agent: None,
            looked_for: None,
            ended: HashMap::new(),
            ended_order: VecDeque::new(),
            is_deaf: false,
            deaf_until: None,
            next_call: 1,
            next_scan: None,
            fault: None,
        }
    }

    pub(crate) const fn output(&mut self) -> (&mut VecDeque<Output>, &mut Counters) {
        (&mut self.out, &mut self.counters)
    }

    pub(crate) const fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) const fn last_fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether nothing is kept of any call.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.claims.is_empty() && self.waiting.is_empty() && self.slots.iter().all(Option::is_none)
    }

    pub(crate) fn datagram(&mut self, datagram: Datagram) {
        match kind(datagram.payload()) {
            Kind::Rtp(_) | Kind::Rtcp if self.is_deaf => self.counters.media_shed += 1,
            Kind::Rtp(header) => self.rtp(datagram, header),
            Kind::Rtcp => self.rtcp(datagram),
            Kind::Neither if sip::looks_like_sip(datagram.payload()) => {
                let message = sip::parse(datagram.payload());
                self.message(message, datagram.at, datagram.number, datagram.source, datagram.destination);
            }
            Kind::Neither => self.counters.not_media += 1,
        }
    }

    pub(crate) fn segment(&mut self, segment: Segment) {
        let (limits, mut streams) = (self.limits, std::mem::take(&mut self.streams));
        streams.push(&segment, &limits, |whole, message| self.message(message, whole.at, whole.number, whole.path.0, whole.path.1));
        self.streams = streams;
        self.counters.tcp = self.streams.counters();
    }

    fn message(&mut self, message: Result<sip::Message<'_>, sip::SipError>, at: Wall, number: u64, source: SocketAddr, destination: SocketAddr) {
        match message {
            Ok(message) => {
                self.counters.sip_messages += 1;
                let [source, destination] = [source, destination].map(|address| address.ip().to_canonical());
                self.sip(&message, Arrival { at, number, source, destination });
            }
            Err(error) => {
                self.counters.sip_malformed += 1;
                self.fault = Some(Fault { packet: number, kind: FaultKind::Sip(error) });
            }
        }
    }

    /// Whether packets of sound are not looked at.
    pub(crate) const fn be_deaf(&mut self, is_deaf: bool) {
        self.is_deaf = is_deaf;
    }

    /// Calls that run go on with the keys that they began with.
    pub(crate) fn listen_for(&mut self, keys: Keys) {
        let before = self.listened.take().unwrap_or_else(|| Keys::new("", "", ""));
        for call in self.slots.iter_mut().filter_map(Option::as_deref_mut) {
            call.keys.get_or_insert_with(|| Box::new(before.clone()));
        }
        self.listened = Some(keys).filter(|keys| !keys.is_empty());
    }

    pub(crate) fn tell_agents_by(&mut self, is_agent: IsAgent) {
        self.is_agent = Some(is_agent);
    }

    /// A party of a call came to be known.
    fn know(&mut self, slot: usize, side: Side, party: &Party) {
        let is_agent = self.is_agent.as_ref().is_some_and(|is_agent| is_agent(party));
        if let Some(call) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) {
            call.agents[side.index()] = is_agent;
        }
    }

    /// A key of a call was pressed, or a packet of it came; what it completes becomes an event.
    fn pressed(&mut self, slot: usize, at: Wall, side: Side, press: impl FnOnce(&mut Keys) -> Option<Pressed>) {
        let Some(state) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        let call = state.id;
        if state.keys.is_none() {
            let Some(listened) = &self.listened else { return };
            state.keys = Some(Box::new(listened.clone()));
        }
        let Some(pressed) = state.keys.as_deref_mut().and_then(press) else { return };
        self.event(slot, match pressed {
            Pressed::Objection => CallEvent::Objected { call, at, said: Said::Key },
            Pressed::Pause => CallEvent::Paused { call, at, said: Said::Key },
            Pressed::Resume => CallEvent::Continued { call, at, said: Said::Key },
            Pressed::Consent => CallEvent::Consented { call, at, side: Some(side), said: Said::Key },
            Pressed::Private => CallEvent::TakenOut { call, at },
        });
    }

    pub(crate) fn look_for(&mut self, header: ConsentHeader) {
        self.looked_for = Some(header).filter(|header| !header.is_empty());
    }

    /// What a message of a call says of the customer's consent, where it says another thing than before. A yes counts from a peer
    /// alone, a no from anybody.
    pub(crate) fn consented(&mut self, slot: usize, at: Wall, message: &sip::Message<'_>, is_peer: bool) {
        let Some(said) = self.looked_for.as_ref().and_then(|header| header.of(message)) else { return };
        let Some(state) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        let call = state.id;
        if (said && !is_peer) || state.said.replace(said) == Some(said) {
            return;
        }
        self.event(slot, match said {
            true => CallEvent::Consented { call, at, side: None, said: Said::Header },
            false => CallEvent::Objected { call, at, said: Said::Header },
        });
    }

    /// A recording's call: offered and answered at once, but for a line where dialling was heard.
    pub(crate) fn open_recording(&mut self, offered: Wall, answered: Wall) -> (Call, Wall) {
        let call = self.number();
        self.counters.calls_open += 1;
        let nobody = || Party::new("", None, "");
        self.out.push_back(Output::Event(CallEvent::Offered {
            call,
            at: offered,
            calling: nobody(),
            called: nobody(),
            origin: Origin::Recording,
            continues: None,
        }));
        self.out.push_back(Output::Event(CallEvent::Answered { call, at: answered, called: None }));
        (call, answered)
    }

    pub(crate) fn advance(&mut self, now: Wall) {
        if !self.waiting.is_empty() {
            for slot in std::mem::take(&mut self.waiting) {
                self.advance_legs(slot, now);
            }
        }
        if !self.hanging.is_empty() {
            self.advance_hangups(now);
        }
        if self.next_scan.is_some_and(|next| now < next) {
            return;
        }
        self.next_scan = Some(now.plus(SCAN));
        if self.is_deaf {
            self.deaf_until = Some(now);
        }
        for slot in 0..self.slots.len() {
            let over = self.slots.get(slot).and_then(Option::as_deref).and_then(|call| call.overdue(now, self.deaf_until, &self.limits));
            if let Some((at, cause)) = over {
                self.end(slot, at, cause);
            }
        }
        self.forget(now);
        let (limits, mut streams) = (self.limits, std::mem::take(&mut self.streams));
        streams.advance(now, &limits, |whole, message| self.message(message, whole.at, whole.number, whole.path.0, whole.path.1));
        self.streams = streams;
        self.counters.tcp = self.streams.counters();
    }

    pub(crate) fn finish(&mut self, at: Wall, cause: EndCause) {
        let mut open: Vec<(Call, usize)> =
            self.slots.iter().enumerate().filter_map(|(slot, call)| call.as_deref().map(|call| (call.id, slot))).collect();
        open.sort_unstable();
        for (_, slot) in open {
            let (at, cause) = self.call(slot).and_then(CallState::foregone).unwrap_or((at, cause));
            self.end(slot, at, cause);
        }
        for queue in [&mut self.unheard, &mut self.ringing, &mut self.answered] {
            queue.clear();
        }
        self.prospects.clear();
        self.waiting.clear();
        self.hanging.clear();
        self.referrals.clear();
        self.streams = Streams::default();
        self.ended.clear();
        self.ended_order.clear();
        self.next_scan = None;
    }

    fn advance_legs(&mut self, slot: usize, now: Wall) {
        let Some(call) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        if !call.waiting {
            return;
        }
        let mut waiting = false;
        for side in Side::BOTH {
            if let Some(leg) = &mut call.legs[side.index()] {
                let mut sink = Sink {
                    call: call.id,
                    side,
                    answered: call.answered,
                    out: call.hangup.as_deref_mut().map_or(&mut self.out, |hangup| &mut hangup.kept),
                    counters: &mut self.counters,
                    limits: &self.limits,
                };
                leg.advance(now, &mut sink);
                waiting |= leg.is_waiting();
            }
        }
        call.waiting = waiting;
        if waiting {
            self.waiting.push(slot);
        }
    }

    fn call(&self, slot: usize) -> Option<&CallState> {
        self.slots.get(slot).and_then(Option::as_deref)
    }

    fn number(&mut self) -> Call {
        let call = Call(self.next_call);
        self.next_call += 1;
        self.counters.calls += 1;
        call
    }

    /// Takes a call into the table; where it is full, another one goes.
    fn open(&mut self, key: u64, call: impl FnOnce(Call) -> CallState) -> usize {
        if self.keys.len() >= self.limits.calls.max(1) {
            self.evict();
        }
        let id = self.number();
        let call = Box::new(call(id));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = Some(call);
                slot
            }
            None => {
                self.slots.push(Some(call));
                self.slots.len() - 1
            }
        };
        self.keys.insert(key, slot);
        self.counters.calls_open += 1;
        slot
    }

    /// Makes room. What one message alone speaks of goes first, then who rings, then who was answered and never heard: a flood of INVITEs,
    /// even of answers to them, takes no place from a call that is heard.
    fn evict(&mut self) {
        let slots = &self.slots;
        let oldest = |queue: &mut VecDeque<(usize, Call)>, is_there: fn(&CallState) -> bool| {
            let found = std::iter::from_fn(|| queue.pop_front()).find(|(slot, id)| {
                slots.get(*slot).and_then(Option::as_deref).is_some_and(|call| call.id == *id && is_there(call))
            });
            found.map(|(slot, _)| slot)
        };
        let victim = oldest(&mut self.unheard, |call| call.is_hearsay())
            .or_else(|| oldest(&mut self.ringing, |call| call.answered.is_none()))
            .or_else(|| oldest(&mut self.answered, |call| call.legs_heard() == 0))
            .or_else(|| {
                let open = slots.iter().enumerate().filter_map(|(slot, call)| call.as_deref().map(|call| (slot, call)));
                open.min_by_key(|(_, call)| (call.legs_heard(), call.last())).map(|(slot, _)| slot)
            });
        if let Some((slot, at)) = victim.and_then(|slot| self.call(slot).map(|call| (slot, call.last()))) {
            self.counters.calls_evicted += 1;
            self.end(slot, at, EndCause::Evicted);
        }
    }

    /// Ends a call: its last sound goes out, then the event, then nothing more.
    fn end(&mut self, slot: usize, at: Wall, cause: EndCause) {
        let Some(mut call) = self.slots.get_mut(slot).and_then(Option::take) else { return };
        self.free.push(slot);
        self.keys.remove(&call.key);
        for (side, address) in std::mem::take(&mut call.claimed) {
            self.claims.remove(address, Claim { slot, side });
            self.claims.retire(address, at, self.limits.calls);
        }
        self.transfer_failed(&call);
        // Once it was said to be over, that is when it was, and what came out since waits for it.
        let hangup = call.hangup.take();
        let (at, cause, was_said) = hangup.as_ref().map_or((at, cause, false), |hangup| (hangup.at, EndCause::HungUp, true));
        let cause = match cause {
            EndCause::HungUp | EndCause::Cancelled | EndCause::Rejected | EndCause::SilenceTimeout if call.transferred => EndCause::Transferred,
            cause => cause,
        };
        let mut kept = hangup.map(|hangup| hangup.kept).unwrap_or_default();
        let out = if was_said { &mut kept } else { &mut self.out };
        let streams = finish_legs(&mut call, out, &mut self.counters, &self.limits);
        self.release(at, kept);
        let at = at.max(call.answered.unwrap_or(call.offered));
        self.twins.forget(call.id);
        self.sound_alone = self.sound_alone.saturating_sub(usize::from(call.is_sound_alone));
        if call.twin.is_none() {
            self.out.push_back(Output::Event(CallEvent::Ended { call: call.id, at, cause, streams }));
            self.counters.calls_open = self.counters.calls_open.saturating_sub(1);
        }
        let call_of_story = call.twin.map_or(call.id, |(_, twin)| twin);
        self.ended.insert(call.key, Ended { at, cseq: call.cseq, call: call_of_story });
        self.ended_order.push_back((at, call.key));
        if self.ended_order.len() > self.limits.calls {
            self.forget_oldest();
        }
    }

    fn forget(&mut self, now: Wall) {
        while self.ended_order.front().is_some_and(|(at, _)| now.since(*at) > self.limits.transaction_micros) {
            self.forget_oldest();
        }
        self.claims.forget(now, self.limits.transaction_micros);
        // What has got further or ended since it was put here is dead weight.
        let slots = &self.slots;
        for queue in [&mut self.unheard, &mut self.ringing, &mut self.answered] {
            if queue.len() > 2 * slots.len() + 64 {
                queue.retain(|(slot, id)| slots.get(*slot).and_then(Option::as_deref).is_some_and(|call| call.id == *id));
            }
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((at, key)) = self.ended_order.pop_front()
            && self.ended.get(&key).is_some_and(|ended| ended.at == at)
        {
            self.ended.remove(&key);
        }
    }

    /// Brings the addresses by which packets find a call in line with what its sides have said. It stands after every change.
    fn claim(&mut self, slot: usize) {
        let Some(call) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        call.known = [None; 2];
        call.rekey();
        let (wanted, left_out) = call.addresses(self.limits.addresses);
        self.counters.addresses_left_out += left_out as u64;
        let old = std::mem::take(&mut call.claimed);
        for (side, address) in old.iter().filter(|claim| !wanted.contains(claim)) {
            self.claims.remove(*address, Claim { slot, side: *side });
        }
        call.claimed.clone_from(&wanted);
        let slots = &self.slots;
        let is_answered = |slot: usize| slots.get(slot).and_then(Option::as_deref).is_some_and(|call| call.answered.is_some());
        for (side, address) in wanted.iter().filter(|claim| !old.contains(claim)) {
            self.claims.add(*address, Claim { slot, side: *side }, is_answered);
        }
    }

    /// An event of a call that goes on: what its legs hold back goes out first.
    fn event(&mut self, slot: usize, event: CallEvent) {
        if let Some(call) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) {
            for side in Side::BOTH {
                if let Some(leg) = &mut call.legs[side.index()] {
                    leg.flush(&mut Sink {
                        call: call.id,
                        side,
                        answered: call.answered,
                        out: call.hangup.as_deref_mut().map_or(&mut self.out, |hangup| &mut hangup.kept),
                        counters: &mut self.counters,
                        limits: &self.limits,
                    });
                }
            }
            if let Some(hangup) = &mut call.hangup {
                hangup.kept.push_back(Output::Event(event));
                return;
            }
            if call.twin.is_some() {
                return;
            }
        }
        self.out.push_back(Output::Event(event));
    }

    fn hash(&self, parts: [&[u8]; 2]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }
}

/// The legs' last sound goes out; what their streams came to.
fn finish_legs(call: &mut CallState, out: &mut VecDeque<Output>, counters: &mut Counters, limits: &Limits) -> [Option<StreamFacts>; 2] {
    let (id, answered) = (call.id, call.answered);
    let mut finish = |side: Side| {
        let leg = call.legs[side.index()].take()?;
        leg.finish(&mut Sink { call: id, side, answered, out: &mut *out, counters: &mut *counters, limits })
    };
    Side::BOTH.map(&mut finish)
}
