//! The first stages alone, on one thread, counted: for benchmarks and for trouble.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sotto_capture::{Next, Source, Wall};
use sotto_charter::{Charter, Site, day_of};
use sotto_dialog::{Dialogs, EndCause};
use sotto_measure::{Depth, Measure};

use super::{AHEAD, Came, Stream, dialogs, expect, pass_on};

/// How far `replay --until` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Until {
    /// Read the packets.
    Capture,
    /// Follow calls and streams.
    Dialog,
    /// Decode the sound.
    Decode,
}

/// Runs sources through the first stages only, on one thread, and counts.
pub(crate) fn count(sources: Vec<Box<dyn Source>>, until: Until, charter: &Arc<Charter>, site: &Arc<Site>) -> (Came, Duration) {
    let began = Instant::now();
    let mut came = Came::default();
    let mut streams = Vec::new();
    let mut dialogs = dialogs(charter, site, None);
    let mut measure = Measure::new(Arc::clone(charter), Arc::clone(site), None, Depth::Decode);
    let mut drain = |dialogs: &mut Dialogs, measure: &mut Measure, latest: Wall| {
        while let Some(output) = dialogs.poll() {
            if let sotto_dialog::Output::Event(event) = &output {
                for (side, facts) in event.streams().unwrap_or_default().into_iter().enumerate() {
                    streams.extend(facts.map(|facts| Stream {
                        call: event.call().0,
                        side,
                        codec: format!("{:?}", facts.codec).to_lowercase(),
                        packets: facts.packets,
                        lost: facts.lost,
                        duplicated: facts.duplicated,
                        jitter_micros: facts.jitter_micros,
                    }));
                }
            }
            match output {
                _ if until != Until::Decode => {}
                sotto_dialog::Output::Event(event) => measure.event(event, day_of(latest.micros)),
                sotto_dialog::Output::Audio(audio) => measure.audio(&audio),
            }
        }
        while measure.poll().is_some() {}
    };
    for mut source in sources {
        let mut latest = Wall::default();
        let mut ahead = Vec::with_capacity(AHEAD);
        let mut is_end = false;
        while !is_end {
            match source.next() {
                Ok(Next::Item(item)) => ahead.push(item),
                Ok(Next::End) => is_end = true,
                Ok(_) => {}
                Err(error) => {
                    came.damaged.push(error);
                    is_end = true;
                }
            }
            if !is_end && ahead.len() < AHEAD {
                continue;
            }
            if until == Until::Capture {
                ahead.clear();
                continue;
            }
            expect(&ahead, &dialogs, &measure);
            for item in ahead.drain(..) {
                latest = latest.max(pass_on(item, &mut dialogs));
                dialogs.advance(latest);
                drain(&mut dialogs, &mut measure, latest);
            }
        }
        dialogs.finish(latest, EndCause::CaptureEnded);
        drain(&mut dialogs, &mut measure, latest);
        came.capture = source.counters();
    }
    came.dialog = dialogs.counters();
    came.measure = measure.counters();
    came.streams = streams;
    (came, began.elapsed())
}
