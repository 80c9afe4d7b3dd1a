//! Whatever happens between a box and its broker, no score is lost.
//!
//! A campaign (`tests/faults.sh`, `SOTTO_FAULTS=10000`): boxes wait out their times of rest, which takes minutes.

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
use sotto_tests::broker::Broker;
use sotto_tests::process::{PATIENCE, skip, wait_for};
use sotto_tests::proxy::{Fault, Proxy};
use sotto_tests::schema::validate;
use sotto_uplink::{About, Config, Event};

use crate::resident::Resident;
use crate::site::Site;

/// From so many faults on, most kinds must have been met.
const MANY: usize = 24;

/// Boxes side by side: most of the time a box waits for its next attempt.
const BOXES: usize = 12;

/// Scores that a box keeps waiting, so that each connection has something to lose.
const WAITING: u64 = 40;

#[test]
fn no_fault_between_box_and_broker_loses_a_score() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let Some(faults) = std::env::var("SOTTO_FAULTS").ok().and_then(|text| text.parse::<usize>().ok()) else {
        return skip("a box that was refused waits for minutes: tests/faults.sh runs it");
    };
    let broker = Broker::start().unwrap();
    let subscriber = broker.subscribe_for_good(&["sotto/v1/#"], "collector").unwrap();
    let began = Instant::now();
    let boxes: Vec<_> = (0..BOXES)
        .map(|ordinal| {
            let port = broker.port();
            std::thread::spawn(move || one_box(ordinal, port, faults.div_ceil(BOXES)))
        })
        .collect();
    let boxes: Vec<Life> = boxes.into_iter().map(|life| life.join().unwrap()).collect();
    let sent: BTreeSet<(String, CallId)> = boxes.iter().flat_map(|life| life.calls.iter().map(move |call| (life.node.clone(), *call))).collect();
    let received = || {
        let mut received: BTreeMap<(String, CallId), u32> = BTreeMap::new();
        for message in subscriber.messages().iter().filter(|message| message.topic.ends_with("/call/score")) {
            let payload: Value = validate(&message.topic, &message.payload).unwrap();
            let call = (payload["node"].as_str().unwrap().to_owned(), payload["call"].as_str().unwrap().parse().unwrap());
            *received.entry(call).or_default() += 1;
        }
        received
    };
    // The broker has acknowledged all of them: it owes them to the subscriber.
    drop(wait_for("the subscriber to have them all", PATIENCE, || (received().len() >= sent.len()).then_some(())));
    let received = received();
    let missing: Vec<_> = sent.iter().filter(|call| !received.contains_key(call)).collect();
    let mut kinds: BTreeMap<Fault, usize> = BTreeMap::new();
    boxes.iter().flat_map(|life| &life.struck).for_each(|fault| *kinds.entry(*fault).or_default() += 1);
    let struck: usize = kinds.values().sum();
    eprintln!(
        "{struck} faults over {} connections of {BOXES} boxes in {:.0} s: {} scores, {} missing, {} came more than once and have the same id; {kinds:?}",
        boxes.iter().map(|life| life.connections).sum::<u64>(),
        began.elapsed().as_secs_f64(),
        sent.len(),
        missing.len(),
        received.values().filter(|times| **times > 1).count(),
    );
    assert!(missing.is_empty(), "{} of {}, the first is {:?}", missing.len(), sent.len(), missing[0]);
    assert_eq!(received.len(), sent.len(), "a score that no box sent");
    assert!(struck >= faults, "{struck}");
    assert!(kinds.len() > 8 || faults <= MANY, "{kinds:?}");
}

/// What became of a box.
struct Life {
    node: String,
    calls: Vec<CallId>,
    struck: Vec<Fault>,
    connections: u64,
}

fn one_box(ordinal: usize, broker_port: u16, faults: usize) -> Life {
    let proxy = Proxy::start(broker_port, ordinal as u64).unwrap();
    let mut site = Site::new();
    let node = format!("rec-{ordinal}");
    let config = Config { about: About::new("harbor", &node).unwrap(), seed: ordinal as u64, ..site.config(&proxy.url()) };
    let mut calls = site.score(WAITING as usize);
    let uplink = Resident::start(&site, config);
    // In a campaign a box may rest for minutes on end: after some answers it waits for longer and longer.
    wait_for("the faults to strike", Duration::from_secs(7_200), || {
        if site.backlog().waiting < WAITING {
            calls.extend(site.score(10));
        }
        (proxy.struck().len() >= faults).then_some(())
    })
    .unwrap();
    proxy.heal();
    // It may have been told to wait just now, and the longest wait is two minutes.
    wait_for("every row to be acknowledged", Duration::from_secs(300), || (site.backlog().waiting == 0).then_some(())).unwrap();
    let events = uplink.stop();
    assert!(!events.iter().any(|event| matches!(event, Event::KeptBack { .. })), "{node}: nothing that was sent is a dead letter");
    // A row was deleted because of its acknowledgement, and for no other reason.
    let backlog = site.backlog();
    assert_eq!((backlog.acked, backlog.waiting, backlog.expired_unacked), (calls.len() as u64, 0, 0), "{node}");
    site.assert_adds_up(calls.len());
    Life { node, calls, struck: proxy.struck(), connections: proxy.connections() }
}
