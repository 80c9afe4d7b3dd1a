//! Everybody is killed, and the broker even loses what it had acknowledged: with a collector whose word counts, no score is lost.
//!
//! `SOTTO_KILLS=2000` makes a campaign of it (`tests/kills.sh`).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use sotto_collect::store::Store;
use sotto_report::{CallId, Outcome};
use sotto_tests::broker::Broker;
use sotto_tests::process::{Running, collect_binary, skip, sotto_binary, wait_for};
use sotto_tests::random::Random;

use crate::site::Site;
use crate::tap::Heard;

/// Kills of tap, uplink, broker and collector in every run of the tests.
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
    // Where none can hear there are the calls of this process alone.
    let mut heard = Heard::start(&spool);
    let who = if heard.is_some() { 5 } else { 4 };
    let mut random = Random::new(7, "kill whoever it is");
    let mut calls: Vec<CallId> = Vec::new();
    let began = Instant::now();
    let mut killed = [0_u64; 5];
    for _ in 0..kills {
        calls.extend(site.score_together(CALLS_A_KILL));
        sleep(Duration::from_secs_f64(random.unit() * 0.4));
        let whose = (random.bits() % who) as usize;
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
            3 => {
                broker.wipe().unwrap();
                broker.restart().unwrap();
            }
            _ => heard.as_mut().unwrap().kill(),
        }
        // What is gone from the box is on the collector's disk, and was before.
        let gone = site.backlog().acked;
        let kept = Store::open(&collected).unwrap().scores().unwrap();
        assert!(gone <= kept, "{gone} rows are gone, {kept} are collected");
    }
    let has_heard = heard.is_some();
    if let Some(heard) = heard {
        heard.stop(|| site.coverage().total_counts[Outcome::SignallingOnly.index()]);
    }
    wait_for("every score to be collected", AT_LAST, || (site.backlog().waiting == 0).then_some(())).unwrap();
    let kept = Store::open(&collected).unwrap().scores().unwrap();
    let [uplinks, collectors, brokers, wiped, taps] = killed;
    let counts = site.coverage().total_counts;
    let [scored, signalling, interrupted] = [Outcome::Scored, Outcome::SignallingOnly, Outcome::Interrupted].map(|outcome| counts[outcome.index()]);
    let collected = Connection::open_with_flags(&collected, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let interrupted_kept: u64 = collected.query_row("SELECT count(*) FROM score WHERE outcome = 'interrupted'", [], |row| row.get(0)).unwrap();
    eprintln!(
        "{kills} kills in {:.0} s: uplink {uplinks}, collector {collectors}, mosquitto {brokers}, mosquitto with all that it kept {wiped}, tap {taps}; {} calls of this process and \
         {} that the tap heard, {interrupted} of them cut off by its end; {kept} scores collected once each",
        began.elapsed().as_secs_f64(),
        calls.len(),
        site.coverage().total_seen() - calls.len() as u64,
    );
    assert_eq!(scored, calls.len() as u64);
    for call in &calls {
        let is_kept: bool = collected.query_row("SELECT count(*) FROM score WHERE call = ?1", [call.to_string()], |row| row.get(0)).unwrap();
        assert!(is_kept, "{call} is lost");
    }
    // A call that a kill cut off has no score; each other one that was seen has exactly one.
    assert_eq!(kept, scored + signalling + interrupted_kept, "0 lost, 0 doubled");
    assert_eq!(site.coverage().total_seen(), scored + signalling + interrupted, "0 unaccounted");
    assert_eq!(site.backlog().expired_unacked, 0);
    assert_eq!(site.backlog().acked, kept);
    assert!(killed[..4].iter().all(|times| *times > 0), "{killed:?}");
    assert!(!has_heard || (taps > 0 && signalling > 0), "{killed:?}, {signalling} heard to their end");
    assert!(!has_heard || kills < 10 * KILLS || interrupted > interrupted_kept, "no kill hit a call");
    drop((uplink, collector));
}

fn write_collector(database: &Path, broker: &str) -> PathBuf {
    let path = database.with_file_name("collect.toml");
    std::fs::write(&path, format!("broker = \"{broker}\"\ndatabase = \"{}\"\n", database.display())).unwrap();
    path
}
