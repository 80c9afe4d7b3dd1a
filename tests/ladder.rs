//! A box that cannot keep up leaves out its work in an order that never changes, says so in each score, and loses no call. In simulated time.

use std::sync::Arc;
use std::time::Duration;

use sotto_charter::{Charter, Names, Site, day_of};
use sotto_measure::schedule::{Load, Options, Scheduler, Step};
use sotto_measure::{Depth, Level, Measure, Output};
use sotto_private::{Audio, Call, CallEvent, Codec, Encoding, EndCause, Origin, Party, Side, StreamFacts, Wall};
use sotto_redact::{Terms, gate, opening};
use sotto_report::{CallId, Field, Outcome};
use sotto_spool::Spool;
use sotto_tests::site::CHARTER;

/// A call begins every second and lasts for ten.
const CALLS: u64 = 150;
const LASTS: i64 = 10_000;
/// From here to there what is heard is three seconds old.
const HEAVY: std::ops::Range<i64> = 30_000..50_000;
/// One step of the simulation, and of the sound.
const TICK: i64 = 20;

fn at(ms: i64) -> Wall {
    Wall::from_micros(1_790_000_000_000_000 + ms * 1_000)
}

/// A box without a clock, as the pipeline wires it.
struct Recorder {
    charter: Arc<Charter>,
    names: i64,
    scheduler: Scheduler,
    measure: Measure,
    spool: Spool,
    ids: Vec<(Call, CallId)>,
    /// When each level was entered.
    steps: Vec<(i64, Level)>,
    ended: u64,
}

impl Recorder {
    fn new(folder: &std::path::Path) -> Self {
        let charter = Arc::new(Charter::parse(CHARTER).unwrap());
        let site = Arc::new(Site::new(&[("sip:1???@*".into(), "billing".into())], &[]).unwrap());
        Self {
            names: Names::of(&site).fingerprint(),
            scheduler: Scheduler::new(Options { workers: 2, turns: 512, seconds: 1_000.0, together: 8, is_live: true }),
            measure: Measure::new(Arc::clone(&charter), site, None, Depth::Full),
            charter,
            spool: Spool::open(&folder.join("spool.db"), 7).unwrap(),
            ids: Vec::new(),
            steps: Vec::new(),
            ended: 0,
        }
    }

    fn event(&mut self, event: CallEvent, now: i64) {
        self.measure.event(event, day_of(at(now).micros));
        self.keep(now);
    }

    fn keep(&mut self, now: i64) {
        while let Some(output) = self.measure.poll() {
            match output {
                Output::Opened(call, began) => self.ids.push((call, self.spool.begin(&opening(began)).unwrap().expect("there is room"))),
                Output::Findings(findings) => {
                    let id = self.ids.iter().find(|(call, _)| *call == findings.call).unwrap().1;
                    let terms = Terms { charter: &self.charter, models: None, continues: None, now: at(now), made: at(now) };
                    self.spool.close(&gate(&findings, id, terms), self.names, at(now).millis()).unwrap();
                    self.ended += 1;
                }
                Output::Decided(..) => {}
                Output::Turn(_) => unreachable!("there is no detector"),
            }
        }
    }

    /// One call's next 20 ms.
    fn tick_call(&mut self, call: Call, age: i64, now: i64) {
        match age {
            0 => {
                let party = |user: &str| Party::new(&format!("sip:{user}@pbx.example"), None, user);
                let (calling, called) = (party("5550101"), party("1001"));
                self.event(CallEvent::Offered { call, at: at(now), calling, called, origin: Origin::Invite, continues: None }, now);
                self.event(CallEvent::Answered { call, at: at(now), called: None }, now);
            }
            LASTS => {
                let packets = (LASTS / TICK) as u64;
                let stream = StreamFacts { codec: Codec::Pcmu, packets, lost: 0, reordered: 0, duplicated: 0, jitter_micros: 0, undecodable: 0, encrypted: 0, foreign: 0, far_end: None };
                let ended = CallEvent::Ended { call, at: at(now), cause: EndCause::HungUp, streams: [Some(stream); 2] };
                return self.event(ended, now);
            }
            _ => {}
        }
        for side in Side::BOTH {
            self.measure.audio(&Audio::new(call, side, 1, at(now), Encoding::Pcmu, vec![0xff; 160]));
        }
    }
}

#[test]
fn each_step_is_said_and_no_call_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(folder.path());
    let last = CALLS as i64 * 1_000 + 200_000;
    for now in (0..last).step_by(TICK as usize) {
        let load = if HEAVY.contains(&now) { Load { behind: Duration::from_secs(3), ..Load::default() } } else { Load::default() };
        if now % 100 == 0
            && let Some(Step { to, shed, .. }) = recorder.scheduler.look(Duration::from_millis(now as u64), &load)
        {
            assert!(shed.is_empty());
            recorder.measure.shed_to(to, at(now));
            recorder.steps.push((now, to));
        }
        for number in 0..CALLS {
            let age = now - number as i64 * 1_000;
            if (0..=LASTS).contains(&age) {
                recorder.tick_call(Call(number + 1), age, now);
            }
        }
    }

    let levels: Vec<Level> = recorder.steps.iter().map(|(_, level)| *level).collect();
    let down_and_up: Vec<Level> = Level::ALL[1..].iter().chain(Level::ALL[..5].iter().rev()).copied().collect();
    assert_eq!(levels, down_and_up, "{:?}", recorder.steps);

    // The ledger: each call once, and those shed of which nothing was heard.
    assert_eq!((recorder.ended, recorder.measure.open()), (CALLS, 0));
    let coverage = recorder.spool.coverage(at(last).millis()).unwrap();
    let count = |outcome: Outcome| coverage.total_counts[outcome.index()];
    assert_eq!(coverage.total_seen(), CALLS);
    assert_eq!(count(Outcome::Scored) + count(Outcome::Shed), CALLS, "{coverage:?}");
    let deaf = deaf(&recorder.steps);
    let is_within = |number: &u64| deaf.contains(&(*number as i64 * 1_000)) && deaf.contains(&(*number as i64 * 1_000 + LASTS));
    assert_eq!(count(Outcome::Shed), (0..CALLS).filter(is_within).count() as u64);
    assert!(count(Outcome::Shed) > 10);

    // Each score says the most that was left out while its call ran.
    let (mut after, mut seen) = (0, 0);
    loop {
        let entries = recorder.spool.pending(after, 100).unwrap();
        let Some(row) = entries.last().map(|entry| entry.row) else { break };
        for entry in &entries {
            let (call, _) = *recorder.ids.iter().find(|(_, id)| *id == entry.score.call).unwrap();
            let began = (call.0 as i64 - 1) * 1_000;
            assert_eq!(entry.score.value(Field::ShedLevel), Some(lowest(&recorder.steps, began, began + LASTS).index() as f64), "the call of {began} ms");
            seen += 1;
        }
        after = row;
    }
    assert_eq!(seen, CALLS);
}

/// The time in which no sound was decoded.
fn deaf(steps: &[(i64, Level)]) -> std::ops::Range<i64> {
    let from = steps.iter().find(|(_, level)| *level == Level::RtpStatistics).unwrap().0;
    let to = steps.iter().rfind(|(_, level)| *level == Level::VoiceActivity).unwrap().0;
    from..to
}

/// The lowest level between two moments.
fn lowest(steps: &[(i64, Level)], from: i64, to: i64) -> Level {
    let before = steps.iter().rfind(|(at, _)| *at <= from).map_or(Level::All, |(_, level)| *level);
    steps.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, level)| *level).fold(before, Level::max)
}
