//! One story in two calls: REFER (RFC 3515), blind or attended, and Replaces (RFC 3891).
//!
//! A party is told to call somebody else, and does so in a call of its own, with another Call-ID. That one continues the story where
//! it takes over the dialog that Replaces names, or where it goes to whom the REFER named, from where the REFER was sent to. A relay
//! rewrites hosts, so the user part decides. The old call ends as transferred once the REFER was accepted, or the new call that
//! replaces it was answered, unless the transfer is said to have failed.

use std::net::IpAddr;

use sotto_private::{Call, Side, Wall};

use super::Calls;
use super::call::CallState;
use super::signalling::Step;
use crate::sip::{Address, Message, parameter, status};

/// Referrals that are waited for at once; the oldest goes.
const REFERRALS: usize = 1_024;

/// A REFER that was seen.
#[derive(Debug)]
pub(super) struct Referral {
    slot: usize,
    call: Call,
    requester: Side,
    cseq: u32,
    at: Wall,
    /// Hash of whom to call.
    target: u64,
    /// Hash of who was told to.
    referee: u64,
    /// Where it was told to.
    receiver: IpAddr,
    /// The dialog that the new call will take over.
    replaces: Option<u64>,
}

/// Which calls a new one has to do with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Story {
    /// It continues this one.
    pub(super) continues: Option<(usize, Call)>,
    /// It takes this one over once it is answered.
    pub(super) replaces: Option<(usize, Call)>,
}

impl Calls {
    pub(super) fn refer(&mut self, step: &Step<'_>) {
        let Some(value) = step.message.refer_to else { return };
        let to = Address::of(value);
        // It may ask for another request than INVITE (RFC 3515 section 2.1).
        let is_invite = to.parameter(b"method").is_none_or(|method| method.eq_ignore_ascii_case(b"INVITE"));
        let is_known = |known: &Referral| (known.slot, known.requester, known.cseq) == (step.slot, step.requester, step.message.cseq);
        if to.uri.is_empty() || !is_invite || self.referrals.iter().any(is_known) {
            return;
        }
        let Some(call) = self.state(step.slot).map(|call| call.id) else { return };
        let replaces = to.header(b"Replaces").and_then(|replaces| self.dialog_name(&replaces));
        let referral = Referral {
            slot: step.slot,
            call,
            requester: step.requester,
            cseq: step.message.cseq,
            at: step.at,
            target: self.user_hash(&to),
            referee: self.user_hash(&Address::of(step.message.to)),
            receiver: step.destination,
            replaces,
        };
        if self.referrals.len() == REFERRALS {
            self.referrals.pop_front();
        }
        self.referrals.push_back(referral);
    }

    pub(super) fn refer_response(&mut self, step: &Step<'_>, code: u16) {
        let is_this = |known: &Referral| (known.slot, known.requester, known.cseq) == (step.slot, step.requester, step.message.cseq);
        let Some(referral) = self.referrals.iter().position(is_this) else { return };
        let id = self.referrals.get(referral).map(|referral| referral.call);
        let Some(call) = self.state(step.slot).filter(|call| Some(call.id) == id) else { return };
        match code {
            ..200 => {}
            200..300 => call.transferred = true,
            _ => drop(self.referrals.remove(referral)),
        }
    }

    /// How the transfer goes on, as the party that was referred tells (RFC 3515 section 2.4.5).
    pub(super) fn notify(&mut self, step: &Step<'_>) {
        let Some(code) = step.message.body_of(b"message/sipfrag").and_then(status) else { return };
        let Some(call) = self.state(step.slot) else { return };
        match code {
            ..200 => {}
            200..300 => call.transferred = true,
            _ => {
                call.transferred = false;
                let id = call.id;
                self.referrals.retain(|referral| referral.call != id);
            }
        }
    }

    /// What a new call has to do with others.
    pub(super) fn story(&mut self, message: &Message<'_>, called: &Address<'_>, source: IpAddr, at: Wall) -> Story {
        let name = message.replaces.and_then(|value| self.dialog_name(value));
        let replaces = message.replaces.and_then(|value| self.replaced(value));
        if self.referrals.is_empty() {
            return Story { continues: replaces, replaces: replaces.filter(|(slot, id)| self.is_open(*slot, *id)) };
        }
        while self.referrals.front().is_some_and(|referral| at.since(referral.at) > self.limits.transaction_micros) {
            self.referrals.pop_front();
        }
        let (target, caller) = (self.user_hash(called), self.user_hash(&Address::of(message.from)));
        let is_meant = |referral: &Referral| match (name, referral.replaces) {
            (Some(name), Some(wanted)) => name == wanted,
            (None, None) => referral.target == target && (referral.receiver == source || referral.referee == caller),
            _ => false,
        };
        let referral = self.referrals.iter().rposition(is_meant).and_then(|index| self.referrals.remove(index));
        let referred = referral.map(|referral| (referral.slot, referral.call));
        if let Some(call) = referred.and_then(|(slot, id)| self.state(slot).filter(|call| call.id == id)) {
            call.transferred = true;
        }
        Story { continues: referred.or(replaces), replaces: replaces.filter(|(slot, id)| self.is_open(*slot, *id)) }
    }

    /// The new call was answered: what it replaces is over as soon as somebody hangs it up.
    pub(super) fn taken_over(&mut self, slot: usize) {
        let Some((old, id)) = self.state(slot).and_then(|call| call.replaces.take()) else { return };
        if let Some(call) = self.state(old).filter(|call| call.id == id) {
            call.transferred = true;
        }
    }

    /// The new call was never answered: the old one goes on.
    pub(super) fn transfer_failed(&mut self, call: &CallState) {
        let Some((old, id)) = call.continues.filter(|_| call.answered.is_none()) else { return };
        if let Some(call) = self.state(old).filter(|call| call.id == id) {
            call.transferred = false;
        }
    }

    /// The call that a Replaces header names, open or over since lately.
    fn replaced(&self, value: &[u8]) -> Option<(usize, Call)> {
        let (call_id, tags) = dialog_of(value)?;
        let early_only = parameter(value, b"early-only").is_some();
        tags.into_iter().zip([tags[1], tags[0]]).find_map(|(own, other)| {
            let key = self.hash([call_id, own]);
            if let Some(ended) = self.ended.get(&key) {
                return Some((usize::MAX, ended.call));
            }
            let slot = *self.keys.get(&key)?;
            let call = self.call(slot)?;
            let other = self.hash([b"tag", other]);
            let is_known = call.called_tag.map_or_else(|| call.early.is_empty() || call.early.iter().any(|(tag, _)| *tag == other), |tag| tag == other);
            (is_known && !(early_only && call.answered.is_some())).then_some((slot, call.id))
        })
    }

    /// A dialog's name, whichever side says it.
    fn dialog_name(&self, value: &[u8]) -> Option<u64> {
        let (call_id, tags) = dialog_of(value)?;
        Some(tags.iter().fold(self.hash([b"dialog", call_id]), |name, tag| name ^ self.hash([b"tag", tag])))
    }

    /// Whom an address means, hosts left aside where there is a user.
    fn user_hash(&self, address: &Address<'_>) -> u64 {
        let user = address.user();
        if user.is_empty() { self.hash([b"host", address.uri]) } else { self.hash([b"user", user.as_bytes()]) }
    }
}

/// Call-ID, to-tag and from-tag (RFC 3891 section 6.1).
fn dialog_of(value: &[u8]) -> Option<(&[u8], [&[u8]; 2])> {
    let call_id = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let tags = [parameter(value, b"to-tag")?, parameter(value, b"from-tag")?];
    (!call_id.is_empty()).then_some((call_id, tags))
}
