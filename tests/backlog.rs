//! After a week without a broker everything is delivered, in little memory, and what ends now does not wait for it.
//!
//! `SOTTO_BACKLOG=1000000` makes a week of it (`tests/backlog.sh`).

#[path = "kill/site.rs"]
#[expect(dead_code, reason = "the other tests of the site use the rest")]
mod site;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use sotto_report::CallId;
use sotto_tests::broker::Broker;
use sotto_tests::process::{PATIENCE, Running, skip, sotto_binary, wait_for};

use crate::site::Site;

/// Scores that wait in every run of the tests.
const BACKLOG: usize = 30_000;

/// The uplink may have so much memory at its peak, MiB, however much waits.
const MEMORY_MIB: u64 = 40;

/// Scores of calls that end while the backlog drains.
const LIVE: usize = 40;

#[test]
fn a_week_without_a_broker_is_delivered_and_delays_nothing() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let backlog = std::env::var("SOTTO_BACKLOG").ok().and_then(|text| text.parse().ok()).unwrap_or(BACKLOG);
    let mut site = Site::new();
    let began = Instant::now();
    for _ in 0..backlog / 1_000 {
        site.score_together(1_000);
    }
    let filled_s = began.elapsed().as_secs_f64();
    let backlog = site.backlog().waiting;
    let spool_mib = std::fs::metadata(site.spool_path()).unwrap().len() >> 20;

    let broker = Broker::start().unwrap();
    let mut reader = Command::new("mosquitto_sub");
    reader.args(["-V", "mqttv5", "-h", "127.0.0.1", "-q", "1", "-t", "sotto/v1/#", "-p"]).arg(broker.port().to_string());
    let _reader = Running::start(reader.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    wait_for("somebody to subscribe", PATIENCE, || broker.log().contains("Sending SUBACK").then_some(())).unwrap();
    let files = site.write_files(&broker.url()).unwrap();
    let mut command = Command::new(sotto_binary().unwrap());
    command.arg("--config").arg(&files[0]).arg("--charter").arg(&files[1]).arg("--spool").arg(site.spool_path()).arg("uplink");
    let began = Instant::now();
    let mut uplink = Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    wait_for("the first delivery", PATIENCE, || (site.backlog().acked > 0).then_some(())).unwrap();

    // One after the other: each is delivered while thousands that came before it still wait.
    let connection = Connection::open_with_flags(site.spool_path(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut waits = Vec::new();
    for _ in 0..LIVE {
        let call = site.score(1)[0];
        let ended = Instant::now();
        wait_for("a score of now", PATIENCE, || (!is_waiting(&connection, call)).then_some(())).unwrap();
        waits.push(ended.elapsed());
        if site.backlog().waiting == 0 {
            break;
        }
    }
    let left = site.backlog().waiting;
    wait_for("the backlog to drain", Duration::from_secs(7_200), || (site.backlog().waiting == 0).then_some(())).unwrap();
    let drained_s = began.elapsed().as_secs_f64();
    let memory_mib = peak_mib(uplink.id());
    waits.sort();
    eprintln!(
        "{backlog} scores waited ({spool_mib} MiB, written in {filled_s:.0} s): delivered in {drained_s:.0} s, {:.0} a second; the uplink's peak is {memory_mib} MiB; \
         {} scores that came meanwhile were delivered after {} ms in the median and {} ms at most, when {left} still waited",
        backlog as f64 / drained_s,
        waits.len(),
        waits[waits.len() / 2].as_millis(),
        waits[waits.len() - 1].as_millis(),
    );
    assert!(waits.len() >= LIVE / 2 && left > 0, "the backlog was gone before anything came: {} and {left}", waits.len());
    assert!(memory_mib < MEMORY_MIB, "{memory_mib} MiB");
    assert_eq!(site.backlog().acked, backlog + waits.len() as u64);
    site.assert_adds_up(usize::try_from(backlog).unwrap() + waits.len());
    assert!(uplink.terminate(PATIENCE).unwrap().success());
}

fn is_waiting(connection: &Connection, call: CallId) -> bool {
    connection.query_row("SELECT 1 FROM outbox WHERE call = ?1", [call.seq], |_| Ok(())).optional().unwrap().is_some()
}

/// The most memory that a process ever had, MiB.
fn peak_mib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}
