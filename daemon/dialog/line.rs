//! A line tap: sound without signalling that goes on for ever, and in it calls that begin and end.
//!
//! A call begins where a voice was heard for 300 ms within a second, and takes half a second before it along. It is over at the last
//! voice, once 20 s passed without one on either channel ([`Limits`](crate::Limits) has both times). What a voice is, is decided by
//! [`ear`]. Digits dialled on the line within two minutes before the first voice mark where the call was offered; which digits they
//! were is not looked at.

mod ear;

use std::collections::VecDeque;

use sotto_private::{CallEvent, EndCause, Pcm, Wall};

use crate::Output;
use crate::calls::Calls;
use crate::limits::Limits;
use crate::recording::Recording;
use ear::{Ear, Heard};

/// Voice is gathered over so much sound, microseconds.
const WINDOW: i64 = 1_000_000;
/// So much before the first voice belongs to the call, microseconds: soft beginnings of words.
const LEAD: i64 = 500_000;
/// Digits that so long ago were the last to be dialled have led to nothing, microseconds.
const DIALLED: i64 = 120_000_000;
/// Blocks kept while nobody speaks, whatever their times say.
const BLOCKS: usize = 512;

/// One line: two channels, or one that holds both parties.
#[derive(Debug, Default)]
pub(crate) struct Line {
    ears: [Ear; 3],
    /// The latest sound while there is no call, oldest first, and how much voice each block holds, microseconds.
    waiting: VecDeque<(Pcm, i64)>,
    /// When the first of the latest digits was heard, and the last.
    dialled: Option<(Wall, Wall)>,
    /// The latest stamp.
    now: Wall,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    recording: Recording,
    /// The end of the last block with a voice in it.
    voice: Wall,
}

impl Line {
    pub(crate) fn pcm(&mut self, pcm: Pcm, limits: &Limits, calls: &mut Calls) {
        let Some(ear) = self.ears.get_mut(usize::from(pcm.channel)) else {
            calls.output().1.not_media += 1;
            return;
        };
        let heard = ear.hear(pcm.samples(), pcm.rate);
        let end = end(&pcm);
        self.now = self.now.max(end);
        if let Some(open) = &mut self.open {
            if heard == Heard::Voice {
                open.voice = open.voice.max(end);
            }
            let (out, counters) = calls.output();
            open.recording.pcm(&pcm, out, counters);
            self.end_if_silent(self.now, limits, calls);
            return;
        }
        if heard == Heard::Digit {
            let first = self.dialled.filter(|(_, last)| pcm.at.since(*last) < DIALLED).map_or(pcm.at, |(first, _)| first);
            self.dialled = Some((first, end));
        }
        let voice = if heard == Heard::Voice { end.since(pcm.at) } else { 0 };
        self.waiting.push_back((pcm, voice));
        while self.waiting.len() > BLOCKS || self.waiting.front().is_some_and(|(block, _)| self.now.since(block.at) > WINDOW + LEAD) {
            self.waiting.pop_front();
        }
        self.begin_if_spoken(limits, calls);
    }

    /// Lets time pass: a line that went dead ends its call.
    pub(crate) fn advance(&mut self, now: Wall, limits: &Limits, calls: &mut Calls) {
        self.end_if_silent(now, limits, calls);
    }

    pub(crate) fn finish(&mut self, cause: EndCause, calls: &mut Calls) {
        self.end(cause, calls);
    }

    fn begin_if_spoken(&mut self, limits: &Limits, calls: &mut Calls) {
        let recent = || self.waiting.iter().filter(|(block, _)| self.now.since(block.at) <= WINDOW);
        // The channels are summed: two who speak at once begin a call no later than one.
        let voice: i64 = recent().map(|(_, voice)| voice).sum();
        let Some(first) = recent().find(|(_, voice)| *voice > 0).map(|(block, _)| block.at) else { return };
        if voice < limits.line_voice_micros {
            return;
        }
        let answered = first.plus(-LEAD).max(self.waiting.front().map_or(first, |(block, _)| block.at));
        let offered = self.dialled.take().filter(|(_, last)| answered.since(*last) < DIALLED).map_or(answered, |(first, _)| first.min(answered));
        let (call, answered) = calls.open_recording(offered, answered);
        let mut recording = Recording::new((call, answered));
        let (out, counters) = calls.output();
        if self.waiting.iter().any(|(block, _)| block.channel == Pcm::BOTH) {
            out.push_back(Output::Event(CallEvent::Mixed { call, at: answered }));
        }
        for (block, _) in self.waiting.drain(..).filter(|(block, _)| block.at >= answered) {
            recording.pcm(&block, out, counters);
        }
        self.open = Some(Open { recording, voice: self.now });
    }

    fn end_if_silent(&mut self, now: Wall, limits: &Limits, calls: &mut Calls) {
        if self.open.as_ref().is_some_and(|open| now.since(open.voice) > limits.line_silence_micros) {
            self.end(EndCause::HungUp, calls);
        }
    }

    fn end(&mut self, cause: EndCause, calls: &mut Calls) {
        let Some(Open { recording, voice }) = self.open.take() else { return };
        let (out, counters) = calls.output();
        recording.finish_at(voice, cause, out, counters);
    }
}

fn end(pcm: &Pcm) -> Wall {
    pcm.at.plus(i64::try_from(pcm.samples().len()).unwrap_or(i64::MAX).saturating_mul(1_000_000) / i64::from(pcm.rate.max(1)))
}

#[cfg(test)]
mod tests;
