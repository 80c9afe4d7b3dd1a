//! The end of a call, where it is said (RFC 3261 section 15).
//!
//! A BYE is not signed, and anybody who saw the dialog's name can write one. So it is held against three things. Its two tags must be
//! the dialog's. It must come from an address that the dialog knows. And the sound must agree: whoever hangs up falls silent at once.
//! As long as that is open, up to [`GRACE`], what is heard is kept back: if every leg that sounded goes on, the BYE was not true, and
//! not one packet is missing; else the call ended with the BYE, and what came after it is dropped.

use std::collections::VecDeque;

use sotto_private::{Call, EndCause, Side, Wall};

use super::Calls;
use super::call::CallState;
use super::signalling::Step;
use crate::Output;

/// How long a BYE waits for the sound to stop, microseconds. Senders need milliseconds; a BYE that was lost is sent again after 0.5 s.
const GRACE: i64 = 2_000_000;
/// A leg that was heard this long before the BYE was sounding, and one that was not heard for half of it fell silent, microseconds.
const SOUNDING: i64 = 1_000_000;

/// A BYE that waits to be believed.
#[derive(Debug)]
pub(super) struct Hangup {
    pub(super) at: Wall,
    /// The other side agreed to it.
    confirmed: bool,
    /// Which legs sounded when it came.
    sounding: [bool; 2],
    /// What came out since.
    pub(super) kept: VecDeque<Output>,
}

enum Verdict {
    Over,
    GoesOn,
    Open,
}

impl Hangup {
    fn verdict(&self, call: &CallState, now: Wall) -> Verdict {
        let fell_silent = Side::BOTH.into_iter().any(|side| {
            let last = call.legs[side.index()].as_ref().and_then(|leg| leg.last());
            self.sounding[side.index()] && last.is_none_or(|last| now.since(last) >= SOUNDING / 2)
        });
        let late = now.since(self.at) >= GRACE;
        match (fell_silent, late) {
            (true, _) if self.confirmed || late => Verdict::Over,
            (false, true) => Verdict::GoesOn,
            _ => Verdict::Open,
        }
    }
}

impl Calls {
    pub(super) fn bye(&mut self, step: &Step<'_>) {
        let Some(call) = self.state(step.slot) else { return };
        if call.called_tag.is_some() && step.called_tag != call.called_tag || !call.knows(step.source) {
            self.counters.byes_foreign += 1;
            return;
        }
        if call.answered.is_none() {
            // One of several forks that ring: the others ring on.
            let known = call.early.len();
            call.early.retain(|(tag, _)| Some(*tag) != step.called_tag);
            if known > 1 && call.early.len() < known {
                return;
            }
        }
        self.hang_up(step.slot, step.at, false);
    }

    /// The answer to a BYE.
    pub(super) fn bye_response(&mut self, step: &Step<'_>, code: u16) {
        let Some(call) = self.state(step.slot) else { return };
        if !call.knows(step.source) {
            return;
        }
        match code {
            ..200 => {}
            // 481 and 408 end the dialog as well (RFC 3261 section 15.1.2).
            200..300 | 408 | 481 => self.hang_up(step.slot, step.at, true),
            // It will come again with credentials, or not.
            _ => self.goes_on(step.slot),
        }
    }

    /// The dialog is said to be over.
    pub(super) fn hang_up(&mut self, slot: usize, at: Wall, confirmed: bool) {
        let Some(call) = self.state(slot) else { return };
        if let Some(hangup) = &mut call.hangup {
            hangup.confirmed |= confirmed;
            return;
        }
        let is_sounding = |leg: &crate::rtp::Leg| leg.last().is_some_and(|last| at.since(last) < SOUNDING);
        let sounding = call.legs.each_ref().map(|leg| leg.as_deref().is_some_and(is_sounding));
        if call.answered.is_none() || sounding == [false; 2] {
            self.end(slot, at, EndCause::HungUp);
            return;
        }
        call.hangup = Some(Box::new(Hangup { at, confirmed, sounding, kept: VecDeque::new() }));
        let id = call.id;
        self.hanging.push((slot, id));
    }

    /// Time passes for those that are said to be over.
    pub(super) fn advance_hangups(&mut self, now: Wall) {
        for (slot, id) in std::mem::take(&mut self.hanging) {
            let Some(call) = self.call(slot).filter(|call| call.id == id) else { continue };
            let Some(hangup) = &call.hangup else { continue };
            let at = hangup.at;
            match hangup.verdict(call, now) {
                Verdict::Over => self.end(slot, at, EndCause::HungUp),
                Verdict::GoesOn => {
                    self.counters.byes_untrue += 1;
                    self.goes_on(slot);
                }
                Verdict::Open => self.hanging.push((slot, id)),
            }
        }
    }

    fn goes_on(&mut self, slot: usize) {
        if let Some(hangup) = self.state(slot).and_then(|call| call.hangup.take()) {
            self.out.extend(hangup.kept);
        }
    }

    /// Lets go what was kept of a call that did end: the sound from before its end.
    pub(super) fn release(&mut self, end: Wall, kept: VecDeque<Output>) {
        for output in kept {
            match output {
                Output::Audio(audio) if audio.start < end => self.out.push_back(Output::Audio(audio)),
                Output::Audio(_) => {
                    self.counters.rtp_sound = self.counters.rtp_sound.saturating_sub(1);
                    self.counters.rtp_after_end += 1;
                }
                Output::Event(_) => {}
            }
        }
    }

    /// The call of a number, where it is open.
    pub(super) fn is_open(&self, slot: usize, id: Call) -> bool {
        self.call(slot).is_some_and(|call| call.id == id)
    }
}
