//! Whatever happens between a box and its broker, no score is lost.
//!
//! `SOTTO_FAULTS=10000` makes a campaign of it (`tests/faults.sh`).

#[path = "kill/resident.rs"]
#[expect(dead_code, reason = "the other tests of the resident use the rest")]
mod resident;
#[path = "kill/site.rs"]
#[expect(dead_code, reason = "the other tests of the site use the rest")]
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use sotto_report::CallId;
use sotto_spool::{DeadLetter, View};
use sotto_tests::broker::Broker;
use sotto_tests::process::{skip, wait_for};
use sotto_tests::proxy::{Fault, Proxy};
use sotto_tests::schema::validate;
use sotto_uplink::{About, Config, Event};

use crate::resident::Resident;
use crate::site::{Site, now_ms};

/// Faults in every run of the tests.
const FAULTS: usize = 72;

/// From so many faults on there are those that last for as long as a box is patient, and all kinds must have been met.
const MANY: usize = 2_000;

/// Kinds of faults.
const KINDS: usize = 22;

/// Boxes side by side: most of the time a box waits for its next attempt.
const BOXES: usize = 24;

/// Scores that a box keeps waiting, so that each connection has something to lose.
const WAITING: u64 = 40;

#[test]
fn no_fault_between_box_and_broker_loses_a_score() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let faults = std::env::var("SOTTO_FAULTS").ok().and_then(|text| text.parse::<usize>().ok()).unwrap_or(FAULTS);
    let broker = Broker::start().unwrap();
    let subscriber = broker.subscribe_for_good(&["sotto/v1/#"], "collector").unwrap();
    let began = Instant::now();
    let boxes: Vec<_> = (0..BOXES)
        .map(|ordinal| {
            let port = broker.port();
            std::thread::spawn(move || one_box(ordinal, port, faults.div_ceil(BOXES), faults >= MANY))
        })
        .collect();
    let boxes: Vec<Life> = boxes.into_iter().map(|life| life.join().unwrap()).collect();
    let took_s = began.elapsed().as_secs_f64();
    // The broker has acknowledged all of them: it owes them to the subscriber.
    let mut received: BTreeMap<(String, CallId), u32> = BTreeMap::new();
    for message in subscriber.drain(&broker).unwrap() {
        let payload: Value = validate(&message.topic, &message.payload).unwrap();
        if message.topic.ends_with("/call/score") {
            let call = (payload["node"].as_str().unwrap().to_owned(), payload["call"].as_str().unwrap().parse().unwrap());
            *received.entry(call).or_default() += 1;
        }
    }
    let sent: BTreeSet<(String, CallId)> = boxes.iter().flat_map(|life| life.calls.iter().map(move |call| (life.node.clone(), *call))).collect();
    let missing: Vec<_> = sent.iter().filter(|call| !received.contains_key(call)).collect();
    let mut kinds: BTreeMap<Fault, usize> = BTreeMap::new();
    boxes.iter().flat_map(|life| &life.struck).for_each(|fault| *kinds.entry(*fault).or_default() += 1);
    let struck: usize = kinds.values().sum();
    eprintln!(
        "{struck} faults over {} connections of {BOXES} boxes in {took_s:.0} s: {} scores, {} missing, {} came more than once and have the same id, {} were too large for a \
         broker for a while; {kinds:?}",
        boxes.iter().map(|life| life.connections).sum::<u64>(),
        sent.len(),
        missing.len(),
        received.values().filter(|times| **times > 1).count(),
        boxes.iter().map(|life| life.kept_back).sum::<usize>(),
    );
    assert!(missing.is_empty(), "{} of {}, the first is {:?}", missing.len(), sent.len(), missing[0]);
    assert_eq!(received.len(), sent.len(), "a score that no box sent");
    assert!(struck >= faults, "{struck}");
    assert!(kinds.len() == KINDS || faults < MANY, "{kinds:?}");
}

/// What became of a box.
struct Life {
    node: String,
    calls: Vec<CallId>,
    struck: Vec<Fault>,
    connections: u64,
    kept_back: usize,
}

fn one_box(ordinal: usize, broker_port: u16, faults: usize, has_long_faults: bool) -> Life {
    let proxy = Proxy::start(broker_port, ordinal as u64, has_long_faults).unwrap();
    let mut site = Site::new();
    let node = format!("rec-{ordinal}");
    let config = Config { about: About::new("harbor", &node).unwrap(), seed: ordinal as u64, ..site.config(&proxy.url()) };
    let mut calls = site.score_together(WAITING as usize);
    let view = View::open(&site.spool_path()).unwrap();
    let waiting = || view.backlog(now_ms()).unwrap().waiting;
    let uplink = Resident::start(&site, config);
    wait_for("the faults to strike", Duration::from_secs(7_200), || {
        if waiting() < WAITING {
            calls.extend(site.score_together(20));
        }
        (proxy.struck().len() >= faults).then_some(())
    })
    .unwrap();
    proxy.heal();
    // The broker may have refused it just now, again and again, and then it rests for a while; on a machine that is busy with much else that may be long.
    let is_done = || view.backlog(now_ms()).is_ok_and(|backlog| backlog.waiting + backlog.dead_letters == 0);
    let done = wait_for("every row to be acknowledged", Duration::from_secs(3_600), || is_done().then_some(()));
    if let Err(error) = done {
        let said = uplink.events();
        panic!("{node}: {error}; {:?}; last it said {:?}", view.backlog(now_ms()), &said[said.len().saturating_sub(12)..]);
    }
    let events = uplink.stop();
    let kept_back = |event: &&Event| matches!(event, Event::KeptBack { .. });
    assert!(events.iter().filter(kept_back).all(|event| *event == Event::KeptBack { why: DeadLetter::TooLarge }), "{node}: nothing else was wrong with any");
    // A row was deleted because of its acknowledgement, and for no other reason.
    let backlog = site.backlog();
    assert_eq!((backlog.acked, backlog.waiting, backlog.expired_unacked), (calls.len() as u64, 0, 0), "{node}");
    site.assert_adds_up(calls.len());
    Life { node, calls, struck: proxy.struck(), connections: proxy.connections(), kept_back: events.iter().filter(kept_back).count() }
}
