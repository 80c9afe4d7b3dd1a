//! Packets find their leg: RTP becomes sound, and RTCP tells what became of it elsewhere.

use std::hint::black_box;
use std::net::SocketAddr;

use sotto_private::{Call, CallEvent, Datagram, EndCause, Side, Wall};

use super::call::CallState;
use super::{Calls, finish_legs};
use crate::Output;
use crate::media::{Bound, Claim};
use crate::rtp::{Header, Leg, Opened, Sink, Trust, fingerprint, reports};
use crate::sdp::Coding;

impl Calls {
    pub(super) fn rtp(&mut self, datagram: Datagram, header: Header) {
        match self.bound(datagram.source, datagram.destination) {
            Some(bound) => self.sound(bound, datagram, header),
            None => self.unclaimed(datagram, header),
        }
    }

    /// Reads what packets will need: [`Dialogs::expect`](crate::Dialogs::expect). Step by step for all of them: within a step nothing waits for
    /// anything else.
    pub(crate) fn expect<const SOON: usize>(&self, soon: [Option<&Datagram>; SOON]) -> [Option<(Call, Side)>; SOON] {
        let claims = soon.map(|datagram| datagram.and_then(|datagram| self.claims.known(datagram.source, datagram.destination)));
        let calls = claims.map(|bound| {
            let Claim { slot, side } = bound?.claim;
            Some((self.slots.get(slot)?.as_deref()?, side))
        });
        let legs = calls.map(|call| {
            let (call, side) = call?;
            black_box((call.known[side.index()], call.waiting, call.answered));
            call.legs[side.index()].as_deref()
        });
        legs.into_iter().flatten().for_each(Leg::expect);
        calls.map(|call| call.map(|(call, side)| (call.id, side)))
    }

    /// Whose a packet between two addresses is.
    fn bound(&mut self, source: SocketAddr, destination: SocketAddr) -> Option<Bound> {
        let slots = &self.slots;
        let is_answered = |slot: usize| slots.get(slot).and_then(Option::as_deref).is_some_and(|call| call.answered.is_some());
        self.claims.sound(source, destination, self.limits.flows, is_answered)
    }

    pub(super) fn sound(&mut self, bound: Bound, mut datagram: Datagram, mut header: Header) {
        let Claim { slot, side } = bound.claim;
        self.counters.rtp_packets += 1;
        let Some(call) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else {
            self.counters.rtp_other_source += 1;
            return;
        };
        let at = datagram.at;
        if call.twin.is_some() {
            call.signalled = call.signalled.max(at);
            self.counters.rtp_same_call += 1;
            return;
        }
        let mut trust = call.trust(bound, &datagram);
        let Some((mut coding, is_secured)) = call.coding(side, header.payload_type) else {
            self.counters.rtp_unknown_type += 1;
            return;
        };
        if is_secured {
            let session = &mut call.secrets[side.index()];
            match session.as_deref_mut().map_or(Opened::NoKey, |session| session.open(datagram.payload_mut(), &header)) {
                Opened::Plain(payload) => {
                    header.payload = payload;
                    trust = Trust::Authentic;
                }
                Opened::NoKey => coding = coding.encrypted(),
                Opened::Forged => {
                    self.counters.rtp_forged += 1;
                    if let Some(leg) = &mut call.legs[side.index()] {
                        leg.forged();
                    }
                    return;
                }
            }
        }
        // The length of padding is in its last byte, which is encrypted where nobody knows the key.
        let is_clear = !matches!(coding, Coding::Encrypted(..));
        let Some(header) = (if is_clear { header.trim(datagram.payload()) } else { Some(header) }) else {
            self.counters.rtp_odd_size += 1;
            return;
        };
        let leg = call.legs[side.index()].get_or_insert_default();
        let is_own = matches!(coding, Coding::Sound(..)) && call.answered.is_some() && leg.listens_to(header.ssrc, (datagram.source, datagram.destination));
        let print = is_own.then(|| fingerprint(datagram.payload().get(header.payload.clone()).unwrap_or_default())).flatten();
        let mut sink = Sink {
            call: call.id,
            side,
            answered: call.answered,
            out: call.hangup.as_deref_mut().map_or(&mut self.out, |hangup| &mut hangup.kept),
            counters: &mut self.counters,
            limits: &self.limits,
        };
        leg.push(datagram, header, coding, trust, &mut sink);
        let (events, is_waiting, id) = (leg.events(), leg.is_waiting(), call.id);
        if is_waiting && !std::mem::replace(&mut call.waiting, true) {
            self.waiting.push(slot);
        }
        for event in events {
            self.pressed(slot, event.at, side, |keys| keys.telephone_event(side, event.ssrc, event.timestamp, event.event));
        }
        if let Some((earlier, later)) = print.and_then(|print| self.twins.heard(print, at, id, side)) {
            self.same_call(earlier, later, at);
        }
    }

    /// RTCP between the addresses of a call, on the port of its RTP or on one of its own. Its sender reports of what it receives: the
    /// other side's sound. It is believed where it comes from the side's host, and names the very source that is listened to.
    pub(super) fn rtcp(&mut self, mut datagram: Datagram) {
        self.counters.rtcp += 1;
        let (source, destination) = (datagram.source, datagram.destination);
        let below = |address: SocketAddr| Some(SocketAddr::new(address.ip(), address.port().checked_sub(1)?));
        let bound = self.bound(source, destination).or_else(|| self.bound(below(source)?, below(destination)?));
        let Some(Bound { claim: Claim { slot, side }, .. }) = bound else { return };
        let Some(call) = self.slots.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        let own = call.legs[side.index()].as_ref().and_then(|leg| leg.sends_from());
        let is_theirs = call.claimed.iter().any(|(of, address)| *of == side && address.ip() == source.ip());
        if !is_theirs && own.is_none_or(|own| own.ip() != source.ip()) {
            return;
        }
        let mut compound = 0..datagram.payload().len();
        if call.is_secured(side) {
            let opened = call.secrets[side.index()].as_deref().and_then(|session| session.open_rtcp(datagram.payload_mut()));
            let Some(plain) = opened else { return };
            compound = plain;
        }
        let Some(leg) = &mut call.legs[side.other().index()] else { return };
        for report in reports(datagram.payload().get(compound).unwrap_or_default()) {
            self.counters.rtcp_reports += u64::from(leg.reported(&report));
        }
    }

    /// RTP that no call named. Where it goes on for long enough to be somebody talking, it is a call of which the signalling was missed.
    fn unclaimed(&mut self, datagram: Datagram, header: Header) {
        self.counters.unbound += 1;
        let is_tail = self.claims.is_tail(datagram.source, datagram.destination, datagram.at, self.limits.transaction_micros);
        if is_tail || self.sound_alone >= self.limits.sound_alone {
            return;
        }
        let Some(proven) = self.prospects.push(datagram, header, &self.limits) else { return };
        let mut packets = proven.packets;
        let back = (proven.flow.1, proven.flow.0);
        let answer = self.prospects.take(back);
        let first = |packets: &[(Datagram, Header)]| packets.first().map(|(datagram, _)| datagram.at);
        let (Some(began), answered) = (first(&packets), first(&answer)) else { return };
        // Nobody knows who called: the side that was heard first counts as the calling one.
        let is_first = answered.is_none_or(|answered| began <= answered);
        let (calling, called) = if is_first { proven.flow } else { back };
        packets.extend(answer);
        packets.sort_by_key(|(datagram, _)| (datagram.at, datagram.number));
        let at = answered.map_or(began, |answered| began.min(answered));
        let slot = self.open_sound_alone(at, calling, called);
        self.claim(slot);
        for (datagram, header) in packets {
            if let Some(bound) = self.bound(datagram.source, datagram.destination) {
                self.counters.unbound = self.counters.unbound.saturating_sub(1);
                self.sound(bound, datagram, header);
            }
        }
    }

    /// Two calls have one conversation. The one that tells who is the agent counts, else the earlier one: the leg to a queue often names nobody,
    /// and the leg to the telephone comes later. The other one stays in the table in silence, so that what still comes of it is known.
    fn same_call(&mut self, earlier: Call, later: Call, at: Wall) {
        let found = |wanted: Call| self.slots.iter().position(|slot| slot.as_deref().is_some_and(|call| call.id == wanted));
        let (Some(first), Some(second)) = (found(earlier), found(later)) else { return };
        let is_labelled = |slot| self.call(slot).is_some_and(CallState::is_labelled);
        let (kept, gone) = if is_labelled(second) && !is_labelled(first) { ((second, later), (first, earlier)) } else { ((first, earlier), (second, later)) };
        let is_over = |call: &CallState| call.twin.is_some() || call.hangup.is_some();
        if self.call(kept.0).is_none_or(is_over) {
            return;
        }
        let Some(call) = self.slots.get_mut(gone.0).and_then(Option::as_deref_mut).filter(|call| !is_over(call)) else { return };
        call.twin = Some(kept);
        let streams = finish_legs(call, &mut self.out, &mut self.counters, &self.limits);
        self.out.push_back(Output::Event(CallEvent::Ended { call: gone.1, at, cause: EndCause::SameCall, streams }));
        self.counters.calls_open = self.counters.calls_open.saturating_sub(1);
        self.counters.calls_same += 1;
    }
}

impl CallState {
    /// What speaks for a packet's being its side's own.
    fn trust(&self, bound: Bound, datagram: &Datagram) -> Trust {
        if bound.is_named {
            return Trust::Named;
        }
        let side = bound.claim.side;
        let back = self.legs[side.other().index()].as_ref().and_then(|leg| leg.sends_to());
        if back.is_some_and(|(to, trust)| to == datagram.source && trust >= Trust::Named) {
            return Trust::Named;
        }
        let is_neighbour = self.claimed.iter().any(|(of, address)| *of == side && address.ip() == datagram.source.ip());
        if is_neighbour { Trust::Neighbour } else { Trust::Stranger }
    }

    /// What its sides say their keys are comes into force.
    pub(super) fn rekey(&mut self) {
        for side in Side::BOTH {
            let state = &self.sides[side.index()];
            let offered = state.offer.iter().flat_map(|(_, description)| &description.audio);
            let mut keys = state.media.iter().chain(offered).flat_map(|endpoint| &endpoint.keys).peekable();
            if keys.peek().is_some() {
                self.secrets[side.index()].get_or_insert_default().rekey(keys);
            }
        }
    }
}
