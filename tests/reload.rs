//! SIGHUP: what changed is read anew and holds for calls that begin from then on; those that run keep to what they began under, and none is lost.

#[allow(dead_code)]
#[path = "live/manager.rs"]
mod manager;
#[allow(dead_code)]
#[path = "live/network.rs"]
mod network;

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use sotto_charter::{Charter, Names};
use sotto_report::Fingerprint;
use sotto_spool::Spool;
use sotto_tests::broker::Broker;
use sotto_tests::make;
use sotto_tests::process::{PATIENCE, Running, installed, run, skip, wait_for};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Script, Who};
use sotto_tests::site::{CHARTER, CHARTER_WITHOUT_SOUND, Site, config, has_pack};
use sotto_uplink::{About, render};

use crate::manager::Manager;
use crate::network::{Network, TAP};

struct Box {
    network: Network,
    site: Site,
    manager: Manager,
    tap: Running,
}

impl Box {
    /// A tap that hears; `None` where there can be none, which is said.
    fn new(charter: &str) -> Option<Self> {
        for (program, package) in [("tcpreplay", "tcpreplay"), ("ip", "iproute2"), ("flite", "flite")] {
            if !installed(program) {
                skip(&format!("{package} is not installed"));
                return None;
            }
        }
        let Some(network) = Network::new() else {
            skip("no network namespace can be made: that takes root");
            return None;
        };
        let site = Site::new(&config(Some(TAP), None), charter).unwrap();
        let manager = Manager::start(site.folder());
        let mut tap = site.sotto().unwrap();
        tap.arg("tap").env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1").env("MALLOC_ARENA_MAX", "1");
        manager.manage(&mut tap);
        let log = File::create(site.path("tap.log")).unwrap();
        let tap = Running::start(network.inside(&tap).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap();
        manager.wait("READY=1", 1);
        Some(Self { network, site, manager, tap })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.site.path("tap.log")).unwrap()
    }

    fn said(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    fn hang_up(&self) {
        hang_up(&self.tap);
    }

    /// Reads everything anew, and waits until it says what came of it.
    fn reload(&self, what: &str) {
        let before = (self.said(what), self.manager.count("READY=1"));
        self.hang_up();
        wait_for(what, PATIENCE, || (self.said(what) > before.0).then_some(())).unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        self.manager.wait("READY=1", before.1 + 1);
    }

    fn pcap(&self, name: &str, calls: Vec<Call>) -> PathBuf {
        let path = self.site.path(name);
        let call = calls.into_iter().enumerate().map(|(number, call)| Call { call_id: Some(format!("{name}-{number}@pbx.example")), ..call }).collect();
        // Telephones choose another SSRC for each call.
        let seed = name.bytes().fold(7, |seed: u64, byte| seed * 31 % 1_000_003 + u64::from(byte));
        make(&Script { seed, call, ..Script::default() }).unwrap().write_pcap(&path).unwrap();
        path
    }

    fn begin(&self, pcap: &std::path::Path) -> Running {
        Running::start(self.network.play(pcap).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
    }

    fn play(&self, pcap: &std::path::Path) {
        assert!(run(&mut self.network.play(pcap)).unwrap().status.success());
    }

    fn ledger(&self) -> Value {
        let output = run(self.site.sotto().unwrap().args(["status", "--json"])).unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))["ledger"].clone()
    }

    fn wait_for_outcome(&self, name: &str, count: u64) {
        wait_for(name, PATIENCE, || (self.ledger()[name] == count).then_some(())).unwrap_or_else(|error| panic!("{error}\n{}\n{}", self.ledger(), self.log()));
    }

    /// The scores that wait in the spool, in the order in which they came to be.
    fn scores(&self) -> Vec<Value> {
        let about = About::new("harbor", "rec-1").unwrap();
        let names = Names { teams: vec!["billing".into()], lines: Vec::new() };
        let mut spool = Spool::open(&self.site.spool(), 0).unwrap();
        let entries = spool.pending(0, 10_000).unwrap();
        let messages = entries.iter().map(|entry| render(&entry.score, &names, &about));
        messages.map(|(topic, payload)| validate(&topic, payload.as_bytes()).unwrap()).collect()
    }
}

fn hang_up(process: &Running) {
    process.signal("HUP").unwrap();
}

/// How messages name a charter.
fn name_of(charter: &str) -> String {
    Fingerprint(Charter::parse(charter).unwrap().fingerprint()).to_string()
}

fn call_of(duration_ms: u32) -> Call {
    let call = Call { ring_ms: 100, end_ms: Some(duration_ms), ..Call::default() };
    call.sounds(Who::Agent, 0, duration_ms, 440.0).sounds(Who::Customer, 0, duration_ms, 660.0)
}

/// Other words, the same agreement but for how long scores are kept.
fn other(charter: &str, days: usize) -> String {
    charter.replace("scores_days = 7", &format!("scores_days = {days}"))
}

#[test]
fn a_running_call_keeps_the_charter_that_it_began_under() {
    let Some(live) = Box::new(CHARTER_WITHOUT_SOUND) else { return };
    let (long, short) = (live.pcap("long.pcap", vec![call_of(6_000)]), live.pcap("short.pcap", vec![call_of(400)]));
    let mut playing = live.begin(&long);
    live.wait_for_outcome("open", 1);
    let renewed = other(CHARTER_WITHOUT_SOUND, 6);
    live.site.write("charter.toml", &renewed).unwrap();
    live.reload("reloaded: charter");
    assert_eq!(live.manager.count("RELOADING=1"), 1);
    live.play(&short);
    live.wait_for_outcome("signalling_only", 1);
    // What does not hold together changes nothing, and says where.
    live.site.write("charter.toml", renewed.replace("[retention]", "[retention]\nno_such_key = 1")).unwrap();
    live.reload("not reloaded, everything goes on as before");
    assert!(live.log().contains("no_such_key"), "{}", live.log());
    playing.wait(PATIENCE).unwrap();
    live.wait_for_outcome("signalling_only", 2);
    live.play(&live.pcap("third.pcap", vec![call_of(400)]));
    live.wait_for_outcome("signalling_only", 3);
    let charters: Vec<Value> = live.scores().iter().map(|score| score["charter"].clone()).collect();
    let (before, after) = (name_of(CHARTER_WITHOUT_SOUND), name_of(&renewed));
    assert_eq!(charters, [after.clone(), before, after], "the short call, the long one that began before it, the third");
}

#[test]
fn words_that_are_agreed_on_while_the_box_runs_are_heard() {
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    let Some(live) = Box::new(CHARTER_WITHOUT_SOUND) else { return };
    live.site.write("charter.toml", CHARTER).unwrap();
    live.reload("reloaded: charter");
    let call = || {
        let call = Call { ring_ms: 400, tail_ms: 300, ..Call::default() };
        vec![call.says_at(Who::Agent, 300, "Good morning.").says(Who::Customer, 300, "I would like to have a refund, please.")]
    };
    live.play(&live.pcap("refund.pcap", call()));
    live.wait_for_outcome("scored", 1);
    // Another list of words, with the models that are there.
    live.site.write("charter.toml", CHARTER.replace("phrases = [\"refund\", \"money back\"]", "phrases = [\"good morning\"]\nheard = \"customer\"")).unwrap();
    live.reload("reloaded: charter");
    live.play(&live.pcap("again.pcap", call()));
    live.wait_for_outcome("scored", 2);
    let heard: Vec<Value> = live.scores().iter().map(|score| score["category_01"].clone()).collect();
    assert_eq!(heard, [true, false], "{}", live.log());
}

/// How often everything is read anew while calls run; `SOTTO_RELOADS=200` is the campaign.
fn reloads() -> usize {
    std::env::var("SOTTO_RELOADS").map_or(10, |text| text.parse().unwrap())
}

#[test]
fn no_call_is_lost_by_reloads_under_load() {
    let Some(mut live) = Box::new(CHARTER_WITHOUT_SOUND) else { return };
    let (reloads, mut calls) = (reloads(), 0);
    let mut names = vec![name_of(CHARTER_WITHOUT_SOUND)];
    let mut playing: Vec<Running> = Vec::new();
    for number in 0..reloads {
        // Calls of up to a second, begun so that each reload finds some that ring, some that run and some that end.
        let batch: Vec<Call> = (0..20).map(|number| Call { start_ms: number * 25, ..call_of(200 + 40 * number as u32) }).collect();
        calls += batch.len() as u64;
        playing.push(live.begin(&live.pcap(&format!("load-{number}.pcap"), batch)));
        let charter = other(CHARTER_WITHOUT_SOUND, 1 + number % 7);
        names.push(name_of(&charter));
        live.site.write("charter.toml", charter).unwrap();
        live.reload("reloaded: charter");
        if number % 2 == 1 {
            for mut player in playing.drain(..) {
                player.wait(PATIENCE).unwrap();
            }
        }
    }
    for mut player in playing {
        player.wait(PATIENCE).unwrap();
    }
    live.wait_for_outcome("signalling_only", calls);
    let ledger = live.ledger();
    let seen: u64 = ledger.as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!((seen, &ledger["open"]), (calls, &0.into()), "{ledger}");
    let scores = live.scores();
    assert_eq!(scores.len() as u64, calls);
    assert!(scores.iter().all(|score| names.iter().any(|name| score["charter"] == **name)));
    println!("{reloads} reloads, {calls} calls, each scored once; {} charters in force in turn", names.iter().collect::<std::collections::HashSet<_>>().len());
    assert_eq!(live.said("reloaded: charter"), reloads);
    assert!(live.tap.terminate(PATIENCE).unwrap().success());
}

#[test]
fn the_uplink_speaks_by_what_was_read_anew() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let broker = Broker::start().unwrap();
    let site = Site::new(&config(None, Some(&broker.url())), CHARTER_WITHOUT_SOUND).unwrap();
    let births = broker.subscribe(&["sotto/v1/harbor/rec-1/birth"]).unwrap();
    let mut uplink = Running::start(site.sotto().unwrap().arg("uplink").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let charter = |count: usize| {
        let came = births.wait("births", PATIENCE, |came| came.len() >= count).unwrap();
        validate(&came[count - 1].topic, &came[count - 1].payload).unwrap()["charter"].clone()
    };
    assert_eq!(charter(1), name_of(CHARTER_WITHOUT_SOUND));
    // What is broken is not taken in; what holds is.
    site.write("charter.toml", "profile = 7").unwrap();
    hang_up(&uplink);
    let renewed = other(CHARTER_WITHOUT_SOUND, 5);
    site.write("charter.toml", &renewed).unwrap();
    hang_up(&uplink);
    assert_eq!(charter(2), name_of(&renewed));
    assert!(uplink.terminate(PATIENCE).unwrap().success());
}
