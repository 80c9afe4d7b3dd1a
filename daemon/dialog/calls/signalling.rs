//! SIP messages move calls on (RFC 3261 sections 9, 12 to 15; RFC 3264; RFC 3311).
//!
//! A listener sees what passes its mirror: the same message on two legs of a proxy, retransmissions, forks, perhaps one direction
//! alone. So every step may come again or not at all, and none does harm twice.

use std::net::IpAddr;

use sotto_private::{CallEvent, EndCause, Origin, Side, Wall};

use super::Calls;
use super::call::{Branch, BranchState, CallState, Transaction};
use crate::keys::code;
use crate::sdp::{self, Description};
use crate::sip::{Address, Message, Start, party};
use crate::{Fault, FaultKind};

/// Where and when a message was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Wall,
    /// Number in the capture of the packet that completed it.
    pub(crate) number: u64,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

/// A message of a known call, and who sent the request that it is or answers.
pub(super) struct Step<'a> {
    pub(super) message: &'a Message<'a>,
    pub(super) at: Wall,
    pub(super) slot: usize,
    pub(super) requester: Side,
    /// Hash of the called side's tag; `None` where the message has none yet.
    pub(super) called_tag: Option<u64>,
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
}

impl Calls {
    pub(super) fn sip(&mut self, message: &Message<'_>, arrival: Arrival) {
        let (from, to) = (Address::of(message.from), Address::of(message.to));
        let keys = [from, to].map(|party| self.hash([message.call_id, party.tag]));
        let slot = |key| self.keys.get(&key).copied();
        let found = slot(keys[0]).map(|slot| (slot, Side::Calling)).or_else(|| slot(keys[1]).map(|slot| (slot, Side::Called)));
        let description = self.description(message, arrival.number);
        let Some((slot, requester)) = found else {
            self.unknown(message, arrival, keys, description);
            return;
        };
        let Arrival { at, source, destination, .. } = arrival;
        let called = if requester == Side::Calling { to.tag } else { from.tag };
        let called_tag = (!called.is_empty()).then(|| self.hash([b"tag", called]));
        let Some(call) = self.state(slot) else { return };
        if call.answered.is_some() && called_tag.is_some() && call.called_tag.is_some() && called_tag != call.called_tag {
            // Another fork, answered too late or given up (RFC 3261 section 13.2.2.4); or somebody who guesses.
            self.counters.sip_strays += 1;
            return;
        }
        let step = Step { message, at, slot, requester, called_tag, source, destination };
        if message.method != b"BYE" {
            call.signalled = call.signalled.max(at);
            self.meet(&step);
            let is_peer = self.is_trusted(&step);
            self.consented(slot, at, message, is_peer);
        }
        match (message.start, message.method) {
            (Start::Request { .. }, b"INVITE") => self.invite(&step, description),
            (Start::Request { .. }, b"UPDATE") => self.offer(&step, true, description),
            (Start::Request { .. }, b"ACK") => self.ack(&step, description),
            (Start::Request { .. }, b"PRACK") => self.prack(&step, description),
            (Start::Request { .. }, b"CANCEL") => self.cancel(&step),
            (Start::Request { .. }, b"BYE") => self.bye(&step),
            (Start::Request { .. }, b"REFER") => self.refer(&step),
            (Start::Request { .. }, b"NOTIFY") => self.notify(message, self.counted_as(slot)),
            (Start::Request { .. }, b"INFO") => self.info(&step),
            (Start::Response { code }, b"INVITE") => self.invite_response(&step, code, description),
            (Start::Response { code }, b"UPDATE") => self.offer_response(&step, code, true, description),
            (Start::Response { code }, b"BYE") => self.bye_response(&step, code),
            (Start::Response { code }, b"REFER") => self.refer_response(message, code),
            _ => {}
        }
    }

    /// A message of a dialog that is not known, or not any more.
    fn unknown(&mut self, message: &Message<'_>, arrival: Arrival, keys: [u64; 2], description: Option<Description>) {
        let (from, to) = (Address::of(message.from), Address::of(message.to));
        match message.start {
            Start::Request { method: b"INVITE", uri } if to.tag.is_empty() => {
                let called = if to.uri.is_empty() { Address::of(uri) } else { to };
                self.offered(message, arrival, keys[0], &called, description);
                return;
            }
            // Somebody outside tells a party of a call to call somebody else.
            Start::Request { method: b"REFER", .. } if to.tag.is_empty() => return self.refer_outside(message, arrival),
            Start::Response { code } if message.method == b"REFER" => return self.refer_response(message, code),
            Start::Request { method: b"NOTIFY", .. } => {
                let story = self.referred_by(keys[1]);
                return self.notify(message, story);
            }
            // The tail of a call that is over: the answer to its BYE, the ACK to its refusal.
            _ if keys.iter().any(|key| self.ended.contains_key(key)) => return,
            Start::Request { method: b"INVITE" | b"UPDATE" | b"ACK", .. } | Start::Response { code: 200..300 }
                if matches!(message.method, b"INVITE" | b"UPDATE" | b"ACK") && !from.tag.is_empty() && !to.tag.is_empty() =>
            {
                if let Some(description) = description {
                    self.running(message, arrival, keys[0], description);
                    return;
                }
            }
            _ => {}
        }
        if matches!(message.method, b"INVITE" | b"ACK" | b"BYE" | b"CANCEL" | b"UPDATE" | b"PRACK") {
            self.counters.sip_strays += 1;
        }
    }

    /// A dialog that had begun before it was first seen. Who called whom is not known; who speaks first counts as calling.
    fn running(&mut self, message: &Message<'_>, arrival: Arrival, key: u64, description: Description) {
        let (from, to) = (Address::of(message.from), Address::of(message.to));
        let Arrival { at, source, destination, .. } = arrival;
        let is_request = matches!(message.start, Start::Request { .. });
        let (speaker, asserted) = if is_request { (Side::Calling, [message.asserted, None]) } else { (Side::Called, [None, message.asserted]) };
        let called_tag = self.hash([b"tag", to.tag]);
        let slot = self.open(key, |id| CallState::new(id, key, message.cseq, at));
        let Some(call) = self.state(slot) else { return };
        let id = call.id;
        call.called_tag = Some(called_tag);
        call.answered = Some(at);
        call.responded = true;
        let held = description.is_hold();
        call.describe(speaker, Transaction { requester: Side::Calling, cseq: message.cseq, update: message.method == b"UPDATE" }, description);
        if held {
            call.hold(speaker);
        }
        self.unheard.push_back((slot, id));
        let step = Step { message, at, slot, requester: Side::Calling, called_tag: Some(called_tag), source, destination };
        self.meet(&step);
        self.refresh(&step);
        self.claim(slot);
        self.claims.reconsider();
        let (calling, called) = (party(from.uri, asserted[0]), party(to.uri, asserted[1]));
        self.know(slot, Side::Calling, &calling);
        self.know(slot, Side::Called, &called);
        self.event(slot, CallEvent::Offered { call: id, at, calling, called, origin: Origin::MidDialog, continues: None });
        self.consented(slot, at, message, true);
        self.event(slot, CallEvent::Answered { call: id, at, called: None });
        if held {
            self.event(slot, CallEvent::Held { call: id, at });
        }
    }

    /// Learns where a dialog's signalling comes from and goes to. Once the call is answered, only who talks with a party that is
    /// known can become known.
    fn meet(&mut self, step: &Step<'_>) {
        let Some(call) = self.state(step.slot) else { return };
        if call.answered.is_some() && !call.knows(step.source) && !call.knows(step.destination) {
            return;
        }
        let is_answer = matches!(step.message.start, Start::Response { .. });
        if call.answered.is_none() || is_answer {
            call.meet(step.source);
            call.meet(step.destination);
            if let Some(ip) = step.message.contact.and_then(|contact| Address::first(contact).ip()) {
                call.meet(ip);
            }
        }
    }

    /// The session lives on until it must be refreshed again, if ever (RFC 4028 section 7.2).
    fn refresh(&mut self, step: &Step<'_>) {
        /// The least that may be asked for (RFC 4028 section 4), seconds.
        const LEAST: u32 = 90;
        let expires = step.message.session_expires.map(|seconds| step.at.plus(i64::from(seconds.max(LEAST)) * 1_000_000));
        if let Some(call) = self.state(step.slot) {
            call.expires = expires;
        }
    }

    pub(super) fn state(&mut self, slot: usize) -> Option<&mut CallState> {
        self.slots.get_mut(slot).and_then(Option::as_deref_mut)
    }

    /// The session description that a message carries, if it can be read.
    fn description(&mut self, message: &Message<'_>, packet: u64) -> Option<Description> {
        self.counters.bodies_cut += u64::from(message.body.is_none());
        match sdp::parse(message.sdp()?) {
            Ok(description) => {
                self.counters.sdp_media_left_out += description.media_left_out as u64;
                Some(description)
            }
            Err(error) => {
                self.counters.sdp_malformed += 1;
                self.fault = Some(Fault { packet, kind: FaultKind::Sdp(error) });
                None
            }
        }
    }

    /// An INVITE that opens a dialog.
    fn offered(&mut self, message: &Message<'_>, arrival: Arrival, key: u64, called: &Address<'_>, description: Option<Description>) {
        let Arrival { at, source, destination, .. } = arrival;
        if let Some(ended) = self.ended.get(&key)
            && at.since(ended.at) <= self.limits.transaction_micros
            && message.cseq <= ended.cseq
        {
            self.counters.sip_strays += 1;
            return;
        }
        let Start::Request { uri, .. } = message.start else { return };
        // Where it is to go says more than whom it was meant for first.
        let story = self.story(message, &Address::of(uri), source, at);
        let slot = self.open(key, |id| CallState::new(id, key, message.cseq, at));
        let branch = self.hash([b"branch", message.branch]);
        let Some(call) = self.state(slot) else { return };
        let id = call.id;
        (call.continues, call.replaces) = (story.continues, story.replaces);
        call.branches.push(Branch { hash: branch, state: BranchState::Open });
        if let Some(description) = description {
            call.describe(Side::Calling, Transaction { requester: Side::Calling, cseq: message.cseq, update: false }, description);
        }
        self.unheard.push_back((slot, id));
        self.meet(&Step { message, at, slot, requester: Side::Calling, called_tag: None, source, destination });
        self.claim(slot);
        let (calling, called) = (party(Address::of(message.from).uri, message.asserted), party(called.uri, None));
        self.know(slot, Side::Calling, &calling);
        self.know(slot, Side::Called, &called);
        let continues = story.continues.map(|(_, call)| call);
        self.event(slot, CallEvent::Offered { call: id, at, calling, called, origin: Origin::Invite, continues });
        self.consented(slot, at, message, true);
    }

    /// An INVITE of a call that is known: a copy, a retry, a fork, or a new offer in its middle.
    fn invite(&mut self, step: &Step<'_>, description: Option<Description>) {
        let branch = self.hash([b"branch", step.message.branch]);
        let most = self.limits.branches;
        let Some(call) = self.state(step.slot) else { return };
        let cseq = step.message.cseq;
        if call.answered.is_some() || step.requester == Side::Called {
            if step.requester == Side::Called || cseq > call.cseq {
                self.offer(step, false, description);
            }
            return;
        }
        if cseq < call.cseq {
            return;
        }
        if cseq > call.cseq {
            // With credentials (RFC 3261 section 22.2), to another target, or with what was missing: the same call goes on.
            call.cseq = cseq;
            call.branches.clear();
            call.ending = None;
        }
        if !call.branches.iter().any(|known| known.hash == branch) && call.branches.len() < most {
            call.branches.push(Branch { hash: branch, state: BranchState::Open });
            call.ending = None;
        }
        if let Some(description) = description {
            call.describe(Side::Calling, Transaction { requester: Side::Calling, cseq, update: false }, description);
            self.claim(step.slot);
        }
    }

    fn invite_response(&mut self, step: &Step<'_>, code: u16, description: Option<Description>) {
        let Some(call) = self.state(step.slot) else { return };
        if step.requester == Side::Called || (call.answered.is_some() && step.message.cseq > call.cseq) {
            self.offer_response(step, code, false, description);
            return;
        }
        if step.message.cseq < call.cseq {
            return;
        }
        let origin = Transaction { requester: Side::Calling, cseq: step.message.cseq, update: false };
        if call.answered.is_some() {
            // The 200 again, perhaps with another address on another leg.
            if let Some(description) = description.filter(|_| (200..300).contains(&code)) {
                call.describe(Side::Called, origin, description);
                self.claim(step.slot);
            }
            if (200..300).contains(&code) {
                self.refresh(step);
            }
            return;
        }
        if !std::mem::replace(&mut call.responded, true) {
            let id = call.id;
            self.ringing.push_back((step.slot, id));
        }
        let Some(call) = self.state(step.slot) else { return };
        match code {
            ..200 => {
                if code > 100 && call.branches.iter().any(|branch| branch.state == BranchState::Open) {
                    call.ending = None;
                }
                let rings = matches!(code, 180 | 183) && !std::mem::replace(&mut call.ringing, true);
                let id = call.id;
                if let Some(description) = description {
                    call.describe_early(step.called_tag, &description);
                    call.describe(Side::Called, origin, description);
                    self.claim(step.slot);
                }
                if rings {
                    self.event(step.slot, CallEvent::Ringing { call: id, at: step.at });
                }
            }
            200..300 => self.answered(step, description),
            _ => self.failed(step, code),
        }
    }

    fn answered(&mut self, step: &Step<'_>, description: Option<Description>) {
        self.refresh(step);
        let Some(call) = self.state(step.slot) else { return };
        // Of all forks that rang, the one that answered counts; what it said of its media in a reliable 183 it need not say again.
        let early = std::mem::take(&mut call.early);
        let forked = early.len() > 1;
        let said = early.into_iter().find(|(tag, _)| forked && Some(*tag) == step.called_tag).map(|(_, description)| description);
        if let Some(description) = description.or(said) {
            let origin = Transaction { requester: Side::Calling, cseq: step.message.cseq, update: false };
            call.sides[Side::Called.index()].origin = None;
            call.describe(Side::Called, origin, description);
        }
        call.called_tag = step.called_tag;
        call.ending = None;
        let id = call.id;
        self.answered.push_back((step.slot, id));
        self.taken_over(step.slot);
        let called = step.message.asserted.map(|asserted| party(Address::of(step.message.to).uri, Some(asserted)));
        if let Some(called) = &called {
            self.know(step.slot, Side::Called, called);
        }
        self.claim(step.slot);
        self.claims.reconsider();
        // What waits in the legs came before the answer, and goes out, uncounted as sound, before it.
        self.event(step.slot, CallEvent::Answered { call: id, at: step.at, called });
        if let Some(call) = self.state(step.slot) {
            call.answered = Some(step.at);
        }
    }

    /// A final answer other than 200. The call is over when all its branches are, unless the caller will try again.
    fn failed(&mut self, step: &Step<'_>, code: u16) {
        let hash = self.hash([b"branch", step.message.branch]);
        let Some(call) = self.state(step.slot) else { return };
        for branch in call.branches.iter_mut().filter(|branch| branch.hash == hash) {
            branch.state = BranchState::Failed;
        }
        let cause = if code == 487 { EndCause::Cancelled } else { EndCause::Rejected };
        // A redirection, a challenge, a timer too short and their kin are answered with another INVITE (RFC 3261 section 8.1.3).
        let retried = matches!(code, 300..=399 | 401 | 407 | 413 | 415 | 416 | 420 | 422 | 494);
        if call.branches.iter().all(|branch| branch.state == BranchState::Failed) && !retried {
            self.end(step.slot, step.at, cause);
        } else if call.ending.is_none() || retried {
            call.ending = Some((cause, step.at));
        }
    }

    fn cancel(&mut self, step: &Step<'_>) {
        let hash = self.hash([b"branch", step.message.branch]);
        let Some(call) = self.state(step.slot) else { return };
        if call.answered.is_some() || step.requester == Side::Called || step.message.cseq != call.cseq {
            return;
        }
        for branch in call.branches.iter_mut().filter(|branch| branch.hash == hash && branch.state == BranchState::Open) {
            branch.state = BranchState::Cancelled;
        }
        if call.branches.iter().all(|branch| branch.state != BranchState::Open) {
            call.ending.get_or_insert((EndCause::Cancelled, step.at));
        }
    }

    fn ack(&mut self, step: &Step<'_>, description: Option<Description>) {
        let hash = self.hash([b"branch", step.message.branch]);
        let Some(call) = self.state(step.slot) else { return };
        let cseq = step.message.cseq;
        if step.requester == Side::Calling && cseq == call.cseq {
            // The ACK to a 200 has a branch of its own (RFC 3261 section 17.1.1.3): so the answer was given, where it was not seen.
            let unseen = !step.message.branch.is_empty() && !call.branches.iter().any(|branch| branch.hash == hash);
            if call.answered.is_none() && step.called_tag.is_some() && unseen && !call.branches.is_empty() {
                self.answered(step, None);
            }
            // The answer to an offer in the 200 (RFC 3264 section 4).
            if let (Some(call), Some(description)) = (self.state(step.slot), description) {
                call.describe(Side::Calling, Transaction { requester: Side::Calling, cseq, update: false }, description);
                self.claim(step.slot);
            }
            return;
        }
        let transaction = Transaction { requester: step.requester, cseq, update: false };
        let offerer = step.requester.other();
        let Some(answer) = description else { return };
        let offer = call.sides[offerer.index()].offer.take_if(|(offered, _)| *offered == transaction);
        if let Some((_, offer)) = offer {
            call.sides[step.requester.index()].settled = Some(cseq);
            let change = call.accept(offerer, transaction, offer, Some(answer));
            self.changed(step, change);
        }
    }

    /// The answer to an offer in a reliable 18x (RFC 3262 section 5).
    fn prack(&mut self, step: &Step<'_>, description: Option<Description>) {
        let Some(call) = self.state(step.slot) else { return };
        let is_first = call.sides[step.requester.index()].media.is_empty();
        if let Some(description) = description.filter(|_| is_first) {
            let cseq = call.cseq;
            call.describe(step.requester, Transaction { requester: Side::Calling, cseq, update: false }, description);
            self.claim(step.slot);
        }
    }

    /// A re-INVITE or an UPDATE: its description is offered until the answer comes.
    fn offer(&mut self, step: &Step<'_>, update: bool, description: Option<Description>) {
        let Some(call) = self.state(step.slot) else { return };
        let transaction = Transaction { requester: step.requester, cseq: step.message.cseq, update };
        let settled = call.sides[step.requester.index()].settled;
        if let Some(description) = description.filter(|_| settled < Some(transaction.cseq)) {
            call.offer(step.requester, transaction, description);
            self.claim(step.slot);
        }
    }

    fn offer_response(&mut self, step: &Step<'_>, code: u16, update: bool, description: Option<Description>) {
        let Some(call) = self.state(step.slot) else { return };
        let transaction = Transaction { requester: step.requester, cseq: step.message.cseq, update };
        let call_is_answered = call.answered.is_some();
        let state = &mut call.sides[step.requester.index()];
        if code < 200 || state.settled >= Some(transaction.cseq) {
            return;
        }
        if code < 300 {
            self.refresh(step);
        } else if matches!(code, 408 | 481) && call_is_answered && self.is_trusted(step) {
            // The other side knows nothing of the dialog any more (RFC 3261 section 12.2.1.2).
            self.hang_up(step.slot, step.at, true);
            return;
        }
        let Some(call) = self.state(step.slot) else { return };
        let state = &mut call.sides[step.requester.index()];
        let offer = state.offer.take_if(|(offered, _)| *offered == transaction);
        if offer.is_some() {
            state.settled = Some(transaction.cseq);
        }
        match (offer, description) {
            (Some((_, offer)), answer) if code < 300 => {
                let change = call.accept(step.requester, transaction, offer, answer);
                self.changed(step, change);
            }
            // The request carried no offer: the 200 does, and the ACK will answer it.
            (None, Some(offer)) if code < 300 && !update => {
                call.offer(step.requester.other(), transaction, offer);
                self.claim(step.slot);
            }
            // Refused: the session stays as it was.
            (Some(_), _) => self.claim(step.slot),
            (None, _) => {}
        }
    }

    /// A key of the charter, perhaps, in the body of an INFO (RFC 6086): `Signal=5` or the key alone.
    fn info(&mut self, step: &Step<'_>) {
        let Some(call) = self.state(step.slot) else { return };
        let seen = call.info[step.requester.index()].replace(step.message.cseq);
        if seen >= Some(step.message.cseq) {
            call.info[step.requester.index()] = seen;
            return;
        }
        let message = step.message;
        let Some(event) = message.body_of(b"application/dtmf-relay").or_else(|| message.body_of(b"application/dtmf")).and_then(key_of) else { return };
        self.pressed(step.slot, step.at, step.requester, |keys| keys.info(step.requester, event));
    }

    fn is_trusted(&self, step: &Step<'_>) -> bool {
        self.call(step.slot).is_some_and(|call| call.knows(step.source))
    }

    fn changed(&mut self, step: &Step<'_>, change: Option<bool>) {
        self.claim(step.slot);
        let Some(call) = self.state(step.slot).map(|call| call.id) else { return };
        match change {
            Some(true) => self.event(step.slot, CallEvent::Held { call, at: step.at }),
            Some(false) => self.event(step.slot, CallEvent::Resumed { call, at: step.at }),
            None => {}
        }
    }
}

/// The key in an INFO's body, numbered as RFC 4733 section 3.2 does.
fn key_of(body: &[u8]) -> Option<u8> {
    let text = body.trim_ascii();
    let signal = text.split(|byte| matches!(byte, b'\r' | b'\n')).find_map(|line| {
        let equals = line.iter().position(|byte| *byte == b'=')?;
        let (name, value) = line.split_at(equals);
        name.trim_ascii().eq_ignore_ascii_case(b"Signal").then(|| value.get(1..).unwrap_or_default().trim_ascii())
    });
    match signal.unwrap_or(text) {
        [key] => code(*key),
        // Some number `*`, `#` and the letters as RFC 4733 does.
        [b'1', digit @ b'0'..=b'5'] => Some(10 + (digit - b'0')),
        _ => None,
    }
}
