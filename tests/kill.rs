//! No score is lost, doubled in the ledger or silently missing, whoever is killed.

#[path = "kill/collector.rs"]
mod collector;
#[path = "live/network.rs"]
#[expect(dead_code, reason = "the live test uses the rest")]
mod network;
#[path = "kill/resident.rs"]
mod resident;
#[path = "kill/site.rs"]
mod site;
#[path = "kill/tap.rs"]
mod tap;
#[path = "kill/trouble.rs"]
mod trouble;
#[path = "kill/witness.rs"]
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use sotto_report::CallId;
use sotto_tests::broker::{Broker, Subscriber};
use sotto_tests::process::{PATIENCE, Running, skip, sotto_binary, wait_for};
use sotto_tests::random::Random;
use sotto_tests::schema::validate;

use crate::resident::{Resident, wait_until_delivered};
use crate::site::Site;
use crate::witness::Witness;

const KILLS: usize = 50;
const CALLS_A_KILL: usize = 10;
const CALLS: usize = KILLS * CALLS_A_KILL;

/// A subscriber whose session the broker keeps, so that nothing is missed on its side.
const COLLECTOR: &str = "collector";

#[test]
fn the_uplink_is_killed_and_nothing_is_missing() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let broker = Broker::start().unwrap();
    let witness = Witness::start(broker.port());
    let subscriber = broker.subscribe_for_good(&["sotto/v1/#"], COLLECTOR).unwrap();
    let mut site = Site::new();
    let files = site.write_files(&witness.url()).unwrap();
    let spool = site.spool_path();
    let uplink = || {
        let mut command = Command::new(sotto_binary().unwrap());
        command.arg("--config").arg(&files[0]).arg("--charter").arg(&files[1]).arg("--spool").arg(&spool).arg("uplink");
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
    };
    let mut random = Random::new(7, "kill the uplink");
    let mut calls = Vec::new();
    let began = Instant::now();
    let mut killed_in_flight = 0;
    for _ in 0..KILLS {
        calls.extend(site.score(CALLS_A_KILL));
        let mut process = uplink();
        // The moment is the test: from before it connects until after the last acknowledgement.
        sleep(Duration::from_secs_f64(random.unit() * 0.4));
        process.kill().unwrap();
        let seen = witness.seen();
        killed_in_flight += usize::from(seen.published.keys().any(|call| !seen.acknowledged.contains(call)));
    }
    let connections = witness.seen().connections;
    let mut process = uplink();
    // The killed ones may have delivered everything: a program that has not even begun dies of SIGTERM like any other.
    wait_for("the last uplink to connect", PATIENCE, || (witness.seen().connections > connections).then_some(())).unwrap();
    wait_until_delivered(&site);
    let acknowledged = witness.seen();
    assert!(process.terminate(PATIENCE).unwrap().success());

    let received = drain(&broker, &subscriber);
    let missing: Vec<&CallId> = calls.iter().filter(|call| !received.contains_key(call)).collect();
    let published: u32 = acknowledged.published.values().sum();
    eprintln!(
        "uplink killed {KILLS} times in {:.1} s, {killed_in_flight} times with scores in flight: {CALLS} scores, published {published} times over {} connections; {} missing",
        began.elapsed().as_secs_f64(),
        acknowledged.connections,
        missing.len()
    );
    assert_eq!(missing, Vec::<&CallId>::new());
    assert_eq!(received.len(), CALLS);
    assert_eq!(acknowledged.acknowledged, calls.iter().copied().collect());
    assert!(killed_in_flight > 0, "no kill hit a delivery: the test would prove nothing");
    site.assert_adds_up(CALLS);
    assert_eq!((site.backlog().acked, site.backlog().waiting), (CALLS as u64, 0));
}

#[test]
fn the_broker_is_killed_and_nothing_is_lost_before_its_acknowledgement() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let mut broker = Broker::start().unwrap();
    let witness = Witness::start(broker.port());
    let subscriber = broker.subscribe_for_good(&["sotto/v1/#"], COLLECTOR).unwrap();
    let mut site = Site::new();
    let uplink = Resident::start(&site, site.config(&witness.url()));
    let mut random = Random::new(7, "kill the broker");
    let mut calls = Vec::new();
    let began = Instant::now();
    for _ in 0..KILLS {
        calls.extend(site.score(CALLS_A_KILL));
        // It takes the uplink up to a second to come back.
        sleep(Duration::from_secs_f64(random.unit() * 0.8));
        broker.kill().unwrap();
        let seen = witness.seen();
        // A row is deleted when its acknowledgement came, and never before.
        let waiting = usize::try_from(site.backlog().waiting).unwrap();
        assert!(calls.len() - waiting <= seen.acknowledged.len(), "{} rows are gone, {} were acknowledged", calls.len() - waiting, seen.acknowledged.len());
        broker.restart().unwrap();
    }
    wait_until_delivered(&site);
    uplink.stop();

    let received = drain(&broker, &subscriber);
    let seen = witness.seen();
    let forgotten: BTreeSet<&CallId> = calls.iter().filter(|call| !received.contains_key(call)).collect();
    let published: u32 = seen.published.values().sum();
    eprintln!(
        "mosquitto killed {KILLS} times in {:.1} s: {CALLS} scores, published {published} times over {} connections; none lost before its PUBACK; \
         forgotten by the broker after its PUBACK: {}",
        began.elapsed().as_secs_f64(),
        seen.connections,
        forgotten.len()
    );
    assert_eq!(seen.acknowledged, calls.iter().copied().collect(), "a row was deleted without its acknowledgement");
    site.assert_adds_up(CALLS);
    assert_eq!((site.backlog().acked, site.backlog().waiting), (CALLS as u64, 0));
}

/// How often each score came to a subscriber that has all by now; every message has kept to its schema.
fn drain(broker: &Broker, subscriber: &Subscriber) -> BTreeMap<CallId, u32> {
    let mut received = BTreeMap::new();
    for message in subscriber.drain(broker).unwrap() {
        let payload: Value = validate(&message.topic, &message.payload).unwrap();
        if message.topic.ends_with("/call/score") {
            *received.entry(payload["call"].as_str().unwrap().parse().unwrap()).or_default() += 1;
        }
    }
    received
}
