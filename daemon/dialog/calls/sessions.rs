//! Calls whose signalling is a recording session (RFC 7866): the server tells what happens, the sound comes as for any call.

use sotto_private::{Call, CallEvent, EndCause, Origin, Party, Wall};

use super::Calls;
use super::call::CallState;
use crate::FaultKind;
use crate::sdp::Endpoint;
use crate::sip::Message;

impl Calls {
    /// Opens the call of a session, named by the keyed hash of its dialog.
    pub(crate) fn open_session(&mut self, key: u64, at: Wall, parties: [Party; 2]) -> Call {
        let slot = self.open(key, |id| CallState::new(id, key, 0, at));
        let [calling, called] = parties;
        let Some(call) = self.slots.get(slot).and_then(Option::as_deref).map(|state| state.id) else { return Call(0) };
        self.event(slot, CallEvent::Offered { call, at, calling, called, origin: Origin::RecordingSession, continues: None });
        call
    }

    /// Whether a session's call is still open: it may have been given up, or silent for too long.
    pub(crate) fn is_session(&self, key: u64, call: Call) -> bool {
        self.keys.get(&key).and_then(|slot| self.slots.get(*slot)).and_then(Option::as_deref).is_some_and(|state| state.id == call)
    }

    /// A sign of life.
    pub(crate) fn touch_session(&mut self, key: u64, at: Wall) {
        if let Some(state) = self.session(key) {
            state.signalled = state.signalled.max(at);
        }
    }

    /// What each side hears at and is heard from.
    pub(crate) fn describe_session(&mut self, key: u64, media: [Vec<Endpoint>; 2]) {
        let Some(state) = self.session(key) else { return };
        for (side, media) in state.sides.iter_mut().zip(media) {
            side.media = media;
        }
        for leg in state.legs.iter_mut().flatten() {
            leg.renegotiate();
        }
        if let Some(slot) = self.keys.get(&key).copied() {
            self.claim(slot);
        }
    }

    /// Sound is to flow.
    pub(crate) fn answer_session(&mut self, key: u64, at: Wall) {
        let Some(call) = self.session(key).map(|state| state.id) else { return };
        self.claims.reconsider();
        self.session_event(key, CallEvent::Answered { call, at, called: None });
        if let Some(state) = self.session(key) {
            state.answered = Some(at);
        }
    }

    /// Sound flows no more, or again.
    pub(crate) fn hold_session(&mut self, key: u64, is_held: bool, at: Wall) {
        let Some(state) = self.session(key) else { return };
        state.held = is_held;
        let call = state.id;
        self.session_event(key, if is_held { CallEvent::Held { call, at } } else { CallEvent::Resumed { call, at } });
    }

    /// What a session's request says of the customer's consent.
    pub(crate) fn consented_session(&mut self, key: u64, at: Wall, message: &Message<'_>) {
        if let Some(slot) = self.keys.get(&key).copied() {
            self.consented(slot, at, message, true);
        }
    }

    /// Anything else that happened to a session's call.
    pub(crate) fn session_event(&mut self, key: u64, event: CallEvent) {
        if let Some(slot) = self.keys.get(&key).copied() {
            self.event(slot, event);
        }
    }

    /// Ends the call of a session, if it is still open.
    pub(crate) fn end_session(&mut self, key: u64, call: Call, at: Wall, cause: EndCause) {
        if self.is_session(key, call)
            && let Some(slot) = self.keys.get(&key).copied()
        {
            // Set up, and given up before any sound was to flow.
            let is_answered = self.session(key).is_some_and(|state| state.answered.is_some());
            let cause = if is_answered || cause != EndCause::HungUp { cause } else { EndCause::Cancelled };
            self.end(slot, at, cause);
        }
    }

    /// Keeps where something could not be read.
    pub(crate) fn note(&mut self, packet: u64, kind: FaultKind) {
        self.fault = Some(crate::Fault { packet, kind });
    }

    fn session(&mut self, key: u64) -> Option<&mut CallState> {
        let slot = *self.keys.get(&key)?;
        self.slots.get_mut(slot).and_then(Option::as_deref_mut)
    }
}
