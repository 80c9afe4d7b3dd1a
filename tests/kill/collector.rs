//! Everybody is killed, and the broker even loses what it had acknowledged: with a collector whose word counts, no score is lost.
//!
//! `SOTTO_KILLS=2000` makes a campaign of it (`tests/kills.sh`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sotto_collect::store::Store;
use sotto_report::CallId;
use sotto_tests::broker::Broker;
use sotto_tests::process::{Running, collect_binary, skip, sotto_binary, wait_for};
use sotto_tests::random::Random;

use crate::site::Site;

/// Kills of uplink, broker and collector in every run of the tests.
const KILLS: u64 = 60;

const CALLS_A_KILL: usize = 8;

/// A score that the broker lost is sent once more after a minute, and after more than that where it was lost again.
const AT_LAST: Duration = Duration::from_secs(900);

#[test]
fn with_a_collector_not_even_a_broker_that_forgets_loses_a_score() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let kills = std::env::var("SOTTO_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut broker = Broker::start().unwrap();
    let mut site = Site::new();
    let collected = site.spool_path().with_file_name("collect.db");
    let files = site.write_files_with(&broker.url(), "ack = \"collector\"\n").unwrap();
    let collector_file = write_collector(&collected, &broker.url());
    let spool = site.spool_path();
    let start_uplink = || {
        let mut command = Command::new(sotto_binary().unwrap());
        command.arg("--config").arg(&files[0]).arg("--charter").arg(&files[1]).arg("--spool").arg(&spool).arg("uplink");
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
    };
    let start_collector = || {
        let mut command = Command::new(collect_binary().unwrap());
        command.arg("--config").arg(&collector_file);
        Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
    };
    let (mut uplink, mut collector) = (start_uplink(), start_collector());
    let mut random = Random::new(7, "kill whoever it is");
    let mut calls: Vec<CallId> = Vec::new();
    let began = Instant::now();
    let mut killed = [0_u64; 4];
    for _ in 0..kills {
        calls.extend(site.score_together(CALLS_A_KILL));
        sleep(Duration::from_secs_f64(random.unit() * 0.4));
        let whose = (random.bits() % 4) as usize;
        killed[whose] += 1;
        match whose {
            0 => {
                uplink.kill().unwrap();
                uplink = start_uplink();
            }
            1 => {
                collector.kill().unwrap();
                collector = start_collector();
            }
            2 => broker.restart().unwrap(),
            _ => {
                broker.wipe().unwrap();
                broker.restart().unwrap();
            }
        }
        // What is gone from the box is on the collector's disk, and was before.
        let waiting = usize::try_from(site.backlog().waiting).unwrap();
        let kept = usize::try_from(Store::open(&collected).unwrap().scores().unwrap()).unwrap();
        assert!(calls.len() - waiting <= kept, "{} rows are gone, {kept} are collected", calls.len() - waiting);
    }
    wait_for("every score to be collected", AT_LAST, || (site.backlog().waiting == 0).then_some(())).unwrap();
    let kept = Store::open(&collected).unwrap().scores().unwrap();
    let [uplinks, collectors, brokers, wiped] = killed;
    eprintln!(
        "{kills} kills in {:.0} s: uplink {uplinks}, collector {collectors}, mosquitto {brokers}, mosquitto with all that it kept {wiped}; {} scores, {kept} collected once each",
        began.elapsed().as_secs_f64(),
        calls.len()
    );
    assert_eq!(kept, calls.len() as u64, "0 lost, 0 doubled");
    site.assert_adds_up(calls.len());
    assert_eq!((site.backlog().acked, site.backlog().expired_unacked), (calls.len() as u64, 0));
    assert!(killed.iter().all(|times| *times > 0), "{killed:?}");
    drop((uplink, collector));
}

fn write_collector(database: &Path, broker: &str) -> PathBuf {
    let path = database.with_file_name("collect.toml");
    std::fs::write(&path, format!("broker = \"{broker}\"\ndatabase = \"{}\"\n", database.display())).unwrap();
    path
}
