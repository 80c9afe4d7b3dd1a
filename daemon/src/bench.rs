//! `sotto bench`: how many calls at once this box can carry.
//!
//! First a few calls as fast as they go, to know where to begin; then so many calls in real time through the very same pipeline as the tap's, as
//! if they came from the wire, with real models and real speech, until it is clear at how many words still come in time.

mod traffic;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sotto_capture::{Captured, CaptureError, Counters, Next, PcapFile, Progress, Source, Wall};
use sotto_charter::{Charter, Names, Register, Site};
use sotto_spool::{Rights, Spool};

use crate::End;
use crate::config::Places;
use crate::load::{self, Models, Scratch, entropy, one_thread_a_model};
use crate::pipeline::{self, Came, Hearing, Pace, Vital, wall_clock};
use traffic::Traffic;

/// Flags of `sotto bench`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The model pack.
    #[arg(long, default_value = "en", value_name = "NAME")]
    pack: String,
    /// How long so many calls are heard at a time, seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(10..=600))]
    seconds: u32,
    /// Hear this many calls once, in the place of looking for the most.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    calls: Option<u32>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Everything on that this version measures, for everybody.
const CHARTER: &str = include_str!("bench/charter.toml");
/// 95 % of the turns must be counted within this, from the end of the speech.
const IN_TIME: Duration = Duration::from_secs(3);
/// Calls that are heard as fast as they go, and for how long.
const FEW: u32 = 8;
const FEW_SECONDS: u32 = 20;
/// Calls begin over this time, so that they do not all speak at once.
const RAMP_S: u32 = 5;
/// So many tries, at most.
const TRIES: usize = 7;
/// It is known well enough within this part.
const CLOSE_ENOUGH: f64 = 0.06;

/// What came of so many calls in real time.
struct Try {
    calls: u32,
    p50: Option<Duration>,
    p95: Option<Duration>,
    turns: u64,
    turns_shed: u64,
    level: usize,
    is_in_time: bool,
}

/// Runs it: exit 0 where a number was found, 1 where not even one call can be heard.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    one_thread_a_model()?;
    let bench = Bench { places, pack: &arguments.pack, charter: Arc::new(Charter::parse(CHARTER).map_err(End::no)?) };
    let bar = if arguments.json || !std::io::stderr().is_terminal() { ProgressBar::hidden() } else { ProgressBar::new(0) };
    if let Ok(style) = ProgressStyle::with_template("{msg:32} {bar:30.cyan} {pos:>4}/{len} s") {
        bar.set_style(style);
    }

    bar.set_message("as fast as it goes");
    let began = Instant::now();
    let fast = bench.hear(FEW, FEW_SECONDS, Pace::Replay, &ProgressBar::hidden())?;
    let took = began.elapsed().as_secs_f64();
    if fast.turns_done == 0 {
        return Err(End::no("no words came: is the pack whole? sotto check"));
    }
    let heard = f64::from(FEW) * f64::from(FEW_SECONDS);
    // Live, there is something to do beside: capture, the spool, and what waits in bunches.
    let guess = (heard / took * 0.8).max(1.0);

    let mut tries: Vec<Try> = Vec::new();
    let mut calls = arguments.calls.unwrap_or(guess as u32).max(1);
    loop {
        bar.set_message(format!("{calls} calls in real time"));
        let came = bench.hear(calls, arguments.seconds, Pace::Live, &bar)?;
        tries.push(Try::of(calls, &came));
        let next = if arguments.calls.is_some() { None } else { next_try(&tries) };
        match next {
            Some(next) if tries.len() < TRIES => calls = next,
            _ => break,
        }
    }
    bar.finish_and_clear();
    let most = tries.iter().filter(|one| one.is_in_time).map(|one| one.calls).max();
    let report = Report { heard, took, most, tries: &tries };
    if arguments.json { println!("{}", report.json()) } else { report.print() }
    if most.is_some() || arguments.calls.is_some() { Ok(()) } else { Err(End::no("not one call is heard in time")) }
}

/// How many calls to try next; `None` where it is clear.
fn next_try(tries: &[Try]) -> Option<u32> {
    let good = tries.iter().filter(|one| one.is_in_time).map(|one| one.calls).max();
    let bad = tries.iter().filter(|one| !one.is_in_time).map(|one| one.calls).min();
    match (good, bad) {
        (None, None) => None,
        // The further from the guess, the longer the stride.
        (Some(good), None) => Some(good + ((good / 4).max(1) << (tries.len() - 1).min(3))),
        (None, Some(bad)) => (bad > 1).then_some(bad * 2 / 3).map(|calls| calls.max(1)),
        (Some(good), Some(bad)) => {
            let apart = bad.saturating_sub(good);
            (f64::from(apart) > (f64::from(good) * CLOSE_ENOUGH).max(1.0)).then_some(good + apart / 2)
        }
    }
}

impl Try {
    fn of(calls: u32, came: &Came) -> Self {
        let Some(words) = came.words else {
            return Self { calls, p50: None, p95: None, turns: 0, turns_shed: 0, level: 0, is_in_time: false };
        };
        let steps: u64 = words.entered.iter().sum();
        let is_in_time = steps == 0 && came.measure.turns_shed == 0 && words.wait_p95.is_some_and(|p95| p95 <= IN_TIME);
        Self {
            calls,
            p50: words.wait_p50,
            p95: words.wait_p95,
            turns: came.turns_done,
            turns_shed: came.measure.turns_shed,
            level: words.entered.iter().rposition(|times| *times > 0).unwrap_or(0),
            is_in_time,
        }
    }
}

/// What all tries have in common.
struct Bench<'a> {
    places: &'a Places,
    pack: &'a str,
    charter: Arc<Charter>,
}

impl Bench<'_> {
    fn hear(&self, calls: u32, seconds: u32, pace: Pace, bar: &ProgressBar) -> Result<Came, End> {
        let models = Models::open(&self.places.pack(self.pack), true, Some(&self.charter))?;
        let site = Arc::new(Site::new(&[("sip:1???@*".to_owned(), "bench".to_owned())], &[]).map_err(End::no)?);
        let folder = Scratch::new().map_err(End::no)?;
        let path = folder.path().join("spool.db");
        let spool = Spool::open(&path, entropy()?).map_err(End::no)?;
        let (ramp, began) = (if pace == Pace::Live { RAMP_S } else { 0 }, wall_clock());
        let traffic = Traffic::new(calls, ramp, seconds, began.micros);
        let file = PcapFile::from_reader(Path::new("bench"), traffic, None).map_err(End::no)?;
        bar.set_length(u64::from(ramp + seconds));
        bar.set_position(0);
        let source: Box<dyn Source> = match pace {
            Pace::Replay => Box::new(file),
            Pace::Live => Box::new(RealTime { file, next: None, began }),
        };
        let hearing = Hearing {
            charter: Arc::clone(&self.charter),
            site: Arc::clone(&site),
            vad: models.vad,
            recogniser: models.recogniser,
            models: models.fingerprint,
            recording: None,
            pace,
            vital: Arc::new(Vital::default()),
            seed: load::seed()?,
            rights: Rights::open(&Rights::beside(&path)).map_err(End::no)?,
            people: None,
            register: Register::default(),
        };
        let (came, _) = pipeline::run(vec![source], hearing, spool, Names::of(&site).fingerprint(), |at| bar.set_position(at.position)).map_err(End::no)?;
        Ok(came)
    }
}

/// A capture whose packets come when their stamps say.
struct RealTime {
    file: PcapFile<Traffic>,
    next: Option<Captured>,
    began: Wall,
}

/// How long a source may keep its reader waiting.
const PATIENCE: Duration = Duration::from_millis(10);

impl Source for RealTime {
    fn next(&mut self) -> Result<Next, CaptureError> {
        let item = match self.next.take() {
            Some(item) => item,
            None => match self.file.next()? {
                Next::Item(item) => item,
                other => return Ok(other),
            },
        };
        let early = stamp(&item).since(wall_clock());
        if early <= 0 {
            return Ok(Next::Item(item));
        }
        self.next = Some(item);
        std::thread::sleep(Duration::from_micros(early.unsigned_abs()).min(PATIENCE));
        Ok(Next::Quiet)
    }

    fn counters(&self) -> Counters {
        self.file.counters()
    }

    /// In seconds.
    fn progress(&self) -> Option<Progress> {
        let position = u64::try_from(wall_clock().since(self.began) / 1_000_000).unwrap_or(0);
        Some(Progress { position, length: 0 })
    }
}

const fn stamp(item: &Captured) -> Wall {
    match item {
        Captured::Datagram(datagram) => datagram.at,
        Captured::Segment(segment) => segment.at,
        Captured::Pcm(pcm) | Captured::Line(pcm) => pcm.at,
    }
}

struct Report<'a> {
    /// Seconds of calls that were heard as fast as they go, and how long that took.
    heard: f64,
    took: f64,
    most: Option<u32>,
    tries: &'a [Try],
}

impl Report<'_> {
    fn json(&self) -> serde_json::Value {
        let millis = |wait: Option<Duration>| wait.map(|wait| wait.as_millis() as u64);
        let tries = self.tries.iter().map(|one| {
            json!({
                "calls": one.calls,
                "in_time": one.is_in_time,
                "words_p50_ms": millis(one.p50),
                "words_p95_ms": millis(one.p95),
                "turns": one.turns,
                "turns_shed": one.turns_shed,
                "shed_level": one.level,
            })
        });
        json!({
            "calls": self.most,
            "in_time_ms": IN_TIME.as_millis() as u64,
            "real_time_factor": self.took / self.heard,
            "cores": pipeline::cores(),
            "peak_memory_mib": peak_memory_mib(),
            "tries": tries.collect::<Vec<_>>(),
        })
    }

    fn print(&self) {
        println!("{:>8}{:>14}{:>16}{:>10}{:>10}  ", "calls", "words after", "95 % within", "turns", "shed");
        let seconds = |wait: Option<Duration>| wait.map_or_else(|| "-".to_owned(), |wait| format!("{:.2} s", wait.as_secs_f64()));
        let mut tries: Vec<&Try> = self.tries.iter().collect();
        tries.sort_by_key(|one| one.calls);
        for one in tries {
            let verdict = if one.is_in_time { "in time" } else { "too many" };
            println!("{:>8}{:>14}{:>16}{:>10}{:>10}  {verdict}", one.calls, seconds(one.p50), seconds(one.p95), one.turns, one.turns_shed);
        }
        println!();
        match self.most {
            Some(most) => println!("{most} two-party calls at once on {} cores, 95 % of the turns counted within {} s", pipeline::cores(), IN_TIME.as_secs()),
            None => println!("not in time"),
        }
        println!("a second of a call takes {:.1} ms as fast as it goes; peak memory {} MiB, the making of the calls included", self.took / self.heard * 1_000.0, peak_memory_mib());
    }
}

/// proc_pid_status(5), VmHWM.
fn peak_memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    peak.unwrap_or(0) / 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(tries: &[(u32, bool)]) -> Vec<Try> {
        let one = |&(calls, is_in_time): &(u32, bool)| Try { calls, p50: None, p95: None, turns: 1, turns_shed: 0, level: 0, is_in_time };
        tries.iter().map(one).collect()
    }

    #[test]
    fn the_most_calls_are_closed_in_on() {
        for most in [1, 2, 17, 40, 150, 151, 1_000] {
            for first in [1, 60, 400] {
                let mut made = vec![(first, first <= most)];
                while let Some(next) = next_try(&tries(&made)) {
                    assert!(made.len() < 20, "{most} from {first}: {made:?}");
                    made.push((next, next <= most));
                }
                let found = made.iter().filter(|(_, good)| *good).map(|(calls, _)| *calls).max().unwrap();
                assert!(found <= most && f64::from(most - found) <= (f64::from(most) * 0.07).max(1.0), "{most} from {first}: {made:?}");
            }
        }
        assert!(next_try(&tries(&[(1, false)])).is_none());
    }
}
