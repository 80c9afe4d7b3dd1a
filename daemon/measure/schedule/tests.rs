use sotto_private::{Private, Turn, Wall};

use super::*;
use crate::words::Job;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn job(call: u64, side: Side, number: u32, seconds: f32) -> Job {
    let samples = Private::new(vec![0i16; (seconds * 8_000.0) as usize]);
    let turn = Turn { call: Call(call), side, number, start: Wall::default(), ended: Wall::default(), samples };
    // The customer calls.
    Job { is_customer: side == Side::Calling, wanted: crate::read::Wanted::default(), edition: crate::terms::Edition::default(), turn }
}

const fn options(workers: usize) -> Options {
    Options { workers, turns: 512, seconds: 1_000.0, together: 8, is_live: true }
}

/// A site whose workers have a known speed, and calls in which the two take turns of four seconds.
struct Site {
    scheduler: Scheduler,
    /// Seconds that a worker needs for a second of sound.
    cost: f64,
    /// What each worker is at, and when it is done.
    workers: Vec<Option<(Ticket, Vec<Job>, Duration)>>,
    load: Load,
    now: Duration,
    calls: u64,
    submitted: u64,
    shed: u64,
    counted: u64,
    steps: Vec<(u64, Level)>,
    last: std::collections::HashMap<(Call, Side), u32>,
}

/// One step of the simulation.
const TICK: u64 = 10;
/// Each call gives one turn in so many milliseconds, of both sides in turn.
const TURN_EVERY: u64 = 4_000;

impl Site {
    fn new(workers: usize, cost: f64) -> Self {
        Self {
            scheduler: Scheduler::new(options(workers)),
            cost,
            workers: (0..workers).map(|_| None).collect(),
            load: Load::default(),
            now: Duration::ZERO,
            calls: 0,
            submitted: 0,
            shed: 0,
            counted: 0,
            steps: Vec::new(),
            last: std::collections::HashMap::new(),
        }
    }

    fn run(&mut self, seconds: u64, calls: u64) -> &mut Self {
        self.calls = calls;
        for _ in 0..seconds * 1_000 / TICK {
            self.tick();
        }
        self
    }

    fn tick(&mut self) {
        let before = self.now.as_millis() as u64;
        self.now += ms(TICK);
        for call in 0..self.calls {
            // Each call has its own place in the four seconds.
            let due = call * TURN_EVERY / self.calls;
            let passed = before / TURN_EVERY * TURN_EVERY + due;
            if (before..before + TICK).contains(&passed) {
                let number = (passed / TURN_EVERY) as u32;
                let side = if number % 2 == 0 { Side::Calling } else { Side::Called };
                self.submitted += 1;
                let left_out = self.scheduler.submit(job(call, side, number, 3.6), self.now);
                self.shed += u64::from(left_out.is_some());
            }
        }
        for at in 0..self.workers.len() {
            if self.workers[at].as_ref().is_some_and(|(_, _, done)| *done <= self.now)
                && let Some((ticket, jobs, _)) = self.workers[at].take()
            {
                for job in jobs {
                    let before = self.last.insert(job.leg(), job.turn.number);
                    assert!(before.is_none_or(|before| before < job.turn.number), "a leg's turns come back in order");
                    // The turn ended when its second half a second of silence was over; its age is from there.
                    self.scheduler.counted(self.now.saturating_sub(self.submitted_at(&job)), self.now);
                    self.counted += 1;
                }
                self.scheduler.finish(ticket, self.now);
            }
            if self.workers[at].is_none()
                && let Next::Batch(jobs, ticket) = self.scheduler.next_batch(self.now, &self.load)
            {
                let sound: f64 = jobs.iter().map(|job| f64::from(job.seconds())).sum();
                // Together each costs less.
                let cost = self.cost * (0.6 + 0.4 / jobs.len() as f64);
                self.workers[at] = Some((ticket, jobs, self.now + Duration::from_secs_f64(sound * cost)));
            }
        }
        if before.is_multiple_of(100)
            && let Some(step) = self.scheduler.look(self.now, &self.load)
        {
            self.shed += step.shed.len() as u64;
            self.steps.push((before, step.to));
        }
    }

    fn submitted_at(&self, job: &Job) -> Duration {
        ms(u64::from(job.turn.number) * TURN_EVERY + job.turn.call.0 * TURN_EVERY / self.calls)
    }

    /// Turns that are neither counted nor shed.
    fn out(&self) -> u64 {
        let working: usize = self.workers.iter().flatten().map(|(_, jobs, _)| jobs.len()).sum();
        self.scheduler.standing(self.now).waiting as u64 + working as u64
    }

    fn levels(&self) -> Vec<Level> {
        self.steps.iter().map(|(_, level)| *level).collect()
    }
}

/// With this cost two workers are busy all the time at some 110 calls.
const COST: f64 = 0.03;

#[test]
fn at_half_load_nothing_is_shed_and_words_come_soon() {
    let mut site = Site::new(2, COST);
    site.run(300, 55);
    assert_eq!((site.levels(), site.shed), (vec![], 0));
    let standing = site.scheduler.standing(site.now);
    assert!(standing.wait_p95.unwrap() < ms(1_000), "{standing:?}");
    assert_eq!(site.submitted, site.counted + site.out());
}

#[test]
fn a_quiet_box_keeps_nobody_waiting_for_company() {
    let mut site = Site::new(2, COST);
    site.run(300, 4);
    // 3.6 s of sound at this cost is 108 ms.
    assert!(site.scheduler.standing(site.now).wait_p95.unwrap() <= ms(150));
}

#[test]
fn at_twice_the_load_agents_words_go_first_and_the_rest_keeps_up() {
    let mut site = Site::new(2, COST);
    site.run(600, 220);
    assert_eq!(site.levels()[0], Level::NoAgentWords);
    assert!((2_000..20_000).contains(&site.steps[0].0), "{:?}", site.steps);
    assert!(site.scheduler.level() <= Level::SampledCalls, "{:?}", site.steps);
    // It found its level, and stays.
    assert!(site.steps.len() <= 4, "{:?}", site.steps);
    assert!(site.scheduler.standing(site.now).wait_p95.unwrap() < ms(2_000), "{:?}", site.scheduler.standing(site.now));
    assert_eq!(site.submitted, site.counted + site.shed + site.out(), "each turn is counted or shed");
    assert!(site.shed > 0 && site.counted > 0);
}

#[test]
fn a_little_too_much_costs_the_agents_words_of_some_calls_and_not_of_all() {
    let mut site = Site::new(2, COST);
    site.run(300, 125);
    assert_eq!(site.levels(), [Level::NoAgentWords]);
    assert!((1..SAMPLED).contains(&site.scheduler.spared), "{}", site.scheduler.spared);
    let (shed, submitted) = (site.shed, site.submitted);
    site.run(100, 125);
    let share = (site.shed - shed) as f64 / (site.submitted - submitted) as f64;
    // Half of all turns are agents'.
    assert!(share < 0.4, "{share}");
    assert!(site.scheduler.standing(site.now).wait_p95.unwrap() < ms(2_000), "{:?}", site.scheduler.standing(site.now));
    // It becomes more: the agents' words that were spared go before any customer's.
    site.run(100, 190);
    assert_eq!((site.levels(), site.scheduler.spared), (vec![Level::NoAgentWords], 0));
}

#[test]
fn a_recogniser_that_stands_still_costs_words_and_no_more() {
    let mut site = Site::new(2, 1_000.0);
    site.run(120, 220);
    assert_eq!(site.levels(), [Level::NoAgentWords, Level::SampledCalls, Level::VoiceActivity]);
    let apart: Vec<u64> = site.steps.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(apart.iter().all(|apart| *apart >= 2_000), "two seconds of strain before each: {:?}", site.steps);
    assert_eq!(site.submitted, site.counted + site.shed + site.out());
}

#[test]
fn hearing_that_is_late_steps_down_to_signalling_and_back_up_again() {
    let mut site = Site::new(2, 0.001);
    site.run(10, 20);
    site.load = Load { backlog: 0.9, ..Load::default() };
    site.run(30, 20);
    assert_eq!(site.levels(), Level::ALL[1..]);
    assert_eq!(site.scheduler.standing(site.now).entered, [0, 1, 1, 1, 1, 1]);
    site.load = Load::default();
    let since = site.now;
    site.run(160, 20);
    let up: Vec<Level> = Level::ALL[..5].iter().rev().copied().collect();
    assert_eq!(site.levels()[5..], up);
    let mut last = since.as_millis() as u64;
    for (at, _) in &site.steps[5..] {
        assert!(at - last >= 29_900, "half a minute of calm before each: {:?}", site.steps);
        last = *at;
    }
    assert_eq!(site.submitted, site.counted + site.shed + site.out());
}

#[test]
fn strain_that_comes_and_goes_within_two_seconds_is_none() {
    let mut site = Site::new(2, 0.001);
    for _ in 0..20 {
        site.load = Load { behind: ms(3_000), ..Load::default() };
        site.run(1, 20);
        site.load = Load::default();
        site.run(1, 20);
    }
    assert_eq!(site.levels(), []);
    for load in [Load { is_dropping: true, ..Load::default() }, Load { memory_percent: 20.0, ..Load::default() }, Load { behind: ms(2_500), ..Load::default() }] {
        let mut site = Site::new(2, 0.001);
        site.load = load;
        site.run(3, 20);
        assert_eq!(site.levels(), [Level::NoAgentWords], "{load:?}");
    }
}

#[test]
fn a_step_up_that_does_not_hold_is_tried_less_often() {
    let mut site = Site::new(2, 0.001);
    // Heavy whenever words of agents are recognised.
    let mut ups = Vec::new();
    for _ in 0..6_000 {
        site.load = Load { backlog: if site.scheduler.level() == Level::All { 0.9 } else { 0.0 }, ..Load::default() };
        let before = site.steps.len();
        for _ in 0..10 {
            site.calls = 20;
            site.tick();
        }
        if site.steps.len() > before && site.scheduler.level() == Level::All {
            ups.push(site.now.as_secs());
        }
    }
    let apart: Vec<u64> = ups.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(apart.windows(2).all(|pair| pair[1] > pair[0]) && apart.len() >= 3, "{apart:?}");
}

#[test]
fn the_oldest_go_first_together_and_a_leg_to_one_worker_at_a_time() {
    let mut scheduler = Scheduler::new(Options { is_live: false, ..options(1) });
    for number in 0..3 {
        for call in 0..4 {
            assert!(scheduler.submit(job(call, Side::Calling, number, 1.0), ms(0)).is_none());
        }
    }
    let Next::Batch(first, ticket) = scheduler.next_batch(ms(1), &Load::default()) else { panic!() };
    let order: Vec<(u64, u32)> = first.iter().map(|job| (job.turn.call.0, job.turn.number)).collect();
    assert_eq!(order, [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1)]);
    assert!(matches!(scheduler.next_batch(ms(2), &Load::default()), Next::Nothing), "their legs are out");
    assert!(scheduler.submit(job(9, Side::Calling, 0, 1.0), ms(3)).is_none());
    let Next::Batch(second, _) = scheduler.next_batch(ms(3), &Load::default()) else { panic!() };
    assert_eq!(second.len(), 1);
    scheduler.finish(ticket, ms(4));
    let Next::Batch(third, _) = scheduler.next_batch(ms(4), &Load::default()) else { panic!() };
    assert_eq!(third.len(), 4);
}

#[test]
fn workers_that_are_idle_share_what_waits() {
    let mut scheduler = Scheduler::new(Options { is_live: false, ..options(2) });
    for call in 0..4 {
        assert!(scheduler.submit(job(call, Side::Calling, 0, 1.0), ms(0)).is_none());
    }
    let sizes = [(); 2].map(|()| match scheduler.next_batch(ms(1), &Load::default()) {
        Next::Batch(jobs, _) => jobs.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(sizes, [2, 2]);
}

#[test]
fn a_full_queue_lets_an_agents_turn_go_before_a_customers() {
    let mut scheduler = Scheduler::new(Options { turns: 3, ..options(1) });
    assert!(scheduler.submit(job(1, Side::Calling, 0, 1.0), ms(0)).is_none());
    assert!(scheduler.submit(job(2, Side::Called, 0, 1.0), ms(0)).is_none());
    assert!(scheduler.submit(job(3, Side::Calling, 0, 1.0), ms(0)).is_none());
    assert!(!scheduler.has_room());
    let left_out = scheduler.submit(job(4, Side::Calling, 0, 1.0), ms(1)).unwrap();
    assert_eq!((left_out.call, left_out.side), (Call(2), Side::Called));
    assert_eq!(scheduler.submit(job(5, Side::Called, 0, 1.0), ms(1)).unwrap().call, Call(5));
    assert_eq!(scheduler.submit(job(6, Side::Calling, 0, 1.0), ms(1)).unwrap().call, Call(6));
}

#[test]
fn while_hearing_is_late_one_worker_alone_goes_on() {
    let mut scheduler = Scheduler::new(options(2));
    for call in 0..16 {
        assert!(scheduler.submit(job(call, Side::Calling, 0, 1.0), ms(0)).is_none());
    }
    let heavy = Load { backlog: 0.6, ..Load::default() };
    assert!(matches!(scheduler.next_batch(ms(500), &heavy), Next::Batch(..)));
    assert!(matches!(scheduler.next_batch(ms(500), &heavy), Next::Later(_)));
    assert!(matches!(scheduler.next_batch(ms(500), &Load::default()), Next::Batch(..)));
}

#[test]
fn files_are_never_shed() {
    let mut scheduler = Scheduler::new(Options { is_live: false, ..options(1) });
    let heavy = Load { backlog: 1.0, behind: ms(60_000), is_dropping: true, memory_percent: 100.0 };
    for at in 0..100 {
        assert!(scheduler.look(ms(at * 1_000), &heavy).is_none());
    }
    assert!(scheduler.submit(job(1, Side::Called, 0, 1.0), ms(100_000)).is_none());
    assert!(matches!(scheduler.next_batch(ms(100_000), &heavy), Next::Batch(..)), "and none waits for company");
}
