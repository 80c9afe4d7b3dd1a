//! Sound from a source without signalling: a wav file, or what a line tap takes for a call.

use std::collections::VecDeque;

use sotto_private::{Audio, Call, CallEvent, Codec, Encoding, EndCause, Pcm, Side, StreamFacts, Wall};

use crate::Output;
use crate::limits::Counters;

#[derive(Debug)]
pub(crate) struct Recording {
    call: Call,
    end: Wall,
    blocks: [u64; 2],
}

impl Recording {
    pub(crate) const fn new((call, start): (Call, Wall)) -> Self {
        Self { call, end: start, blocks: [0; 2] }
    }

    pub(crate) fn pcm(&mut self, pcm: &Pcm, out: &mut VecDeque<Output>, counters: &mut Counters) {
        let side = match pcm.channel {
            0 | Pcm::BOTH => Side::Calling,
            1 => Side::Called,
            _ => {
                counters.not_media += 1;
                return;
            }
        };
        let payload = pcm.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let audio = Audio::new(self.call, side, pcm.number, pcm.at, Encoding::Linear { rate: pcm.rate }, payload);
        self.end = self.end.max(audio.end());
        self.blocks[side.index()] += 1;
        out.push_back(Output::Audio(audio));
    }

    /// Ends with its last sample. A recording that was read to its end is a whole call.
    pub(crate) fn finish(self, cause: EndCause, out: &mut VecDeque<Output>, counters: &mut Counters) {
        let cause = if cause == EndCause::CaptureEnded { EndCause::HungUp } else { cause };
        let end = self.end;
        self.finish_at(end, cause, out, counters);
    }

    /// Ends before its last sample.
    pub(crate) fn finish_at(self, end: Wall, cause: EndCause, out: &mut VecDeque<Output>, counters: &mut Counters) {
        let streams = self.blocks.map(|packets| {
            (packets > 0).then_some(StreamFacts {
                codec: Codec::Linear,
                packets,
                lost: 0,
                reordered: 0,
                duplicated: 0,
                jitter_micros: 0,
                undecodable: 0,
                encrypted: 0,
                foreign: 0,
                far_end: None,
            })
        });
        counters.calls_open = counters.calls_open.saturating_sub(1);
        out.push_back(Output::Event(CallEvent::Ended { call: self.call, at: end, cause, streams }));
    }
}
