//! One story in two calls: REFER (RFC 3515), blind or attended, and Replaces (RFC 3891).
//!
//! A party is told to call somebody else, and does so in a call of its own, with another Call-ID. That one continues the story where
//! it takes over the dialog that Replaces names, or where it goes to whom the REFER named, from where the REFER was sent to. A relay
//! rewrites hosts, so the user part decides. The old call ends as transferred once the REFER was accepted, or the new call that
//! replaces it was answered, unless the transfer is said to have failed.
//!
//! A REFER may come from outside the call, by somebody who controls it (RFC 5359 section 2.19, RFC 4538): then Target-Dialog says which call is
//! meant. One that names none begins a call and ends no other.

use std::net::IpAddr;

use sotto_private::{Call, Wall};

use super::Calls;
use super::call::CallState;
use super::signalling::{Arrival, Step};
use crate::sip::{Address, Message, parameter, status};

/// Referrals that are waited for at once; the oldest goes.
const REFERRALS: usize = 1_024;

/// A REFER that was seen.
#[derive(Debug)]
pub(super) struct Referral {
    /// The REFER itself: hash of Call-ID and its sender's tag, and its number.
    request: (u64, u32),
    /// The call that it transfers.
    story: (usize, Call),
    at: Wall,
    /// The call that it asks for has begun.
    is_followed: bool,
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
        let Some(story) = self.counted_as(step.slot) else { return };
        self.referred(step.message, step.at, step.destination, story);
    }

    /// A REFER that is of no call, and names one.
    pub(super) fn refer_outside(&mut self, message: &Message<'_>, arrival: Arrival) {
        let named = message.target_dialog.and_then(|value| self.dialog(value, [b"local-tag", b"remote-tag"], false));
        if let Some(story) = named.filter(|(slot, id)| self.is_open(*slot, *id)) {
            self.referred(message, arrival.at, arrival.destination, story);
        }
    }

    fn referred(&mut self, message: &Message<'_>, at: Wall, receiver: IpAddr, story: (usize, Call)) {
        let Some(value) = message.refer_to else { return };
        let to = Address::of(value);
        // It may ask for another request than INVITE (RFC 3515 section 2.1).
        let is_invite = to.parameter(b"method").is_none_or(|method| method.eq_ignore_ascii_case(b"INVITE"));
        let request = self.request(message);
        if to.uri.is_empty() || !is_invite || self.referrals.iter().any(|known| known.request == request) {
            return;
        }
        let referral = Referral {
            request,
            story,
            at,
            is_followed: false,
            target: self.user_hash(&to),
            referee: self.user_hash(&Address::of(message.to)),
            receiver,
            replaces: to.header(b"Replaces").and_then(|replaces| self.dialog_name(&replaces)),
        };
        if self.referrals.len() == REFERRALS {
            self.referrals.pop_front();
        }
        self.referrals.push_back(referral);
    }

    pub(super) fn refer_response(&mut self, message: &Message<'_>, code: u16) {
        let request = self.request(message);
        let Some(place) = self.referrals.iter().position(|known| known.request == request) else { return };
        let story = self.referrals.get(place).map(|referral| referral.story);
        match code {
            ..200 => {}
            200..300 => self.transferred(story, true),
            _ => drop(self.referrals.remove(place)),
        }
    }

    /// How the transfer goes on, as the party that was referred tells (RFC 3515 section 2.4.5).
    pub(super) fn notify(&mut self, message: &Message<'_>, story: Option<(usize, Call)>) {
        let (Some(code), Some(_)) = (message.body_of(b"message/sipfrag").and_then(status), story) else { return };
        match code {
            ..200 => {}
            200..300 => self.transferred(story, true),
            _ => {
                self.transferred(story, false);
                self.referrals.retain(|referral| Some(referral.story) != story);
            }
        }
    }

    /// The call that a REFER from outside is about, by the hash of its Call-ID and its sender's tag.
    pub(super) fn referred_by(&self, key: u64) -> Option<(usize, Call)> {
        self.referrals.iter().find(|referral| referral.request.0 == key).map(|referral| referral.story)
    }

    /// The call of a dialog; where its conversation is counted as another one's, that one.
    pub(super) fn counted_as(&self, slot: usize) -> Option<(usize, Call)> {
        let call = self.call(slot)?;
        Some(call.twin.unwrap_or((slot, call.id)))
    }

    fn transferred(&mut self, story: Option<(usize, Call)>, is_it: bool) {
        let Some((slot, id)) = story else { return };
        if let Some(call) = self.state(slot).filter(|call| call.id == id) {
            call.transferred = is_it;
        }
    }

    fn request(&self, message: &Message<'_>) -> (u64, u32) {
        (self.hash([message.call_id, Address::of(message.from).tag]), message.cseq)
    }

    /// What a new call has to do with others.
    pub(super) fn story(&mut self, message: &Message<'_>, called: &Address<'_>, source: IpAddr, at: Wall) -> Story {
        let name = message.replaces.and_then(|value| self.dialog_name(value));
        let replaces = message.replaces.and_then(|value| self.dialog(value, [b"to-tag", b"from-tag"], parameter(value, b"early-only").is_some()));
        if self.referrals.is_empty() {
            return Story { continues: replaces, replaces: replaces.filter(|(slot, id)| self.is_open(*slot, *id)) };
        }
        while self.referrals.front().is_some_and(|referral| at.since(referral.at) > self.limits.transaction_micros) {
            self.referrals.pop_front();
        }
        let (target, caller) = (self.user_hash(called), self.user_hash(&Address::of(message.from)));
        let is_meant = |referral: &Referral| match (name, referral.replaces) {
            _ if referral.is_followed => false,
            (Some(name), Some(wanted)) => name == wanted,
            (None, None) => referral.target == target && (referral.receiver == source || referral.referee == caller),
            _ => false,
        };
        let referral = self.referrals.iter().rposition(is_meant).and_then(|index| self.referrals.get_mut(index));
        let referred = referral.map(|referral| {
            referral.is_followed = true;
            referral.story
        });
        self.transferred(referred, true);
        Story { continues: referred.or(replaces), replaces: replaces.filter(|(slot, id)| self.is_open(*slot, *id)) }
    }

    /// The new call was answered: what it replaces is over as soon as somebody hangs it up.
    pub(super) fn taken_over(&mut self, slot: usize) {
        let Some((old, id)) = self.state(slot).and_then(|call| call.replaces.take()) else { return };
        self.transferred(Some((old, id)), true);
    }

    /// The new call was never answered: the old one goes on.
    pub(super) fn transfer_failed(&mut self, call: &CallState) {
        let Some((old, id)) = call.continues.filter(|_| call.answered.is_none()) else { return };
        self.transferred(Some((old, id)), false);
    }

    /// The call of the dialog that a header names by its Call-ID and two tags, open or over since lately; with `early_only` not once it is answered.
    fn dialog(&self, value: &[u8], tags: [&[u8]; 2], early_only: bool) -> Option<(usize, Call)> {
        let (call_id, tags) = dialog_of(value, tags)?;
        tags.into_iter().zip([tags[1], tags[0]]).find_map(|(own, other)| {
            let key = self.hash([call_id, own]);
            if let Some(ended) = self.ended.get(&key) {
                return Some((usize::MAX, ended.call));
            }
            let slot = *self.keys.get(&key)?;
            let call = self.call(slot)?;
            let other = self.hash([b"tag", other]);
            let is_known = call.called_tag.map_or_else(|| call.early.is_empty() || call.early.iter().any(|(tag, _)| *tag == other), |tag| tag == other);
            (is_known && !(early_only && call.answered.is_some())).then(|| self.counted_as(slot)).flatten()
        })
    }

    /// A dialog's name, whichever side says it.
    fn dialog_name(&self, value: &[u8]) -> Option<u64> {
        let (call_id, tags) = dialog_of(value, [b"to-tag", b"from-tag"])?;
        Some(tags.iter().fold(self.hash([b"dialog", call_id]), |name, tag| name ^ self.hash([b"tag", tag])))
    }

    /// Whom an address means, hosts left aside where there is a user.
    fn user_hash(&self, address: &Address<'_>) -> u64 {
        let user = address.user();
        if user.is_empty() { self.hash([b"host", address.uri]) } else { self.hash([b"user", user.as_bytes()]) }
    }
}

/// Call-ID and the two tags that go by these names (RFC 3891 section 6.1, RFC 4538 section 4).
fn dialog_of<'a>(value: &'a [u8], tags: [&[u8]; 2]) -> Option<(&'a [u8], [&'a [u8]; 2])> {
    let call_id = value.split(|byte| *byte == b';').next()?.trim_ascii();
    let tags = [parameter(value, tags[0])?, parameter(value, tags[1])?];
    (!call_id.is_empty()).then_some((call_id, tags))
}
