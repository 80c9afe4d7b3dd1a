//! A box that hears: calls on a wire, in real time, through `sotto tap`.

#[path = "live/manager.rs"]
mod manager;
#[path = "live/network.rs"]
mod network;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use sotto_charter::Names;
use sotto_spool::{Spool, View};
use sotto_tests::make;
use sotto_tests::process::{PATIENCE, Running, installed, run, skip, wait_for};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Script, Who};
use sotto_tests::site::{CHARTER, CHARTER_WITHOUT_SOUND, Site, config, has_pack};
use sotto_uplink::{About, render};

use crate::manager::{Manager, WATCHDOG_MICROS};
use crate::network::{Network, TAP};

/// A recorder box on its network.
struct Recorder {
    network: Network,
    site: Site,
    manager: Manager,
}

impl Recorder {
    /// `None` where there can be none, which is said.
    fn new(charter: &str) -> Option<Self> {
        for (program, package) in [("tcpreplay", "tcpreplay"), ("dumpcap", "tshark"), ("ip", "iproute2"), ("flite", "flite")] {
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
        Some(Self { network, site, manager })
    }

    /// Starts the tap, and waits until it says that it is ready.
    fn tap(&self) -> Running {
        let before = self.manager.count("READY=1");
        let mut tap = self.site.sotto().unwrap();
        tap.arg("tap").env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1");
        self.manager.manage(&mut tap);
        let log = File::options().create(true).append(true).open(self.site.path("tap.log")).unwrap();
        let tap = Running::start(self.network.inside(&tap).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap();
        self.manager.wait("READY=1", before + 1);
        tap
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.site.path("tap.log")).unwrap()
    }

    fn wait_for_log(&self, text: &str) {
        wait_for(text, PATIENCE, || self.log().contains(text).then_some(())).unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// Makes a call. Each has a Call-ID of its own: a box that hears the same one again takes it for a copy.
    fn pcap(&self, name: &str, call: Call) -> PathBuf {
        let path = self.site.path(name);
        let call = Call { call_id: Some(format!("{name}@pbx.example")), ..call };
        make(&Script::of(call)).unwrap().write_pcap(&path).unwrap();
        path
    }

    /// Plays a capture to its end.
    fn play(&self, pcap: &std::path::Path) {
        let output = run(&mut self.network.play(pcap)).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts to play a capture.
    fn begin(&self, pcap: &std::path::Path) -> Running {
        Running::start(self.network.play(pcap).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap()
    }

    /// How many calls have this outcome, of all that were seen.
    fn outcome(&self, name: &str) -> u64 {
        let output = run(self.site.sotto().unwrap().args(["status", "--json"])).unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        status["ledger"][name].as_u64().unwrap()
    }

    fn wait_for_outcome(&self, name: &str, count: u64) {
        wait_for(name, PATIENCE, || (self.outcome(name) == count).then_some(())).unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
    }

    /// The scores that wait in the spool, as the uplink would publish them.
    fn scores(&self) -> Vec<Value> {
        let about = About::new("harbor", "rec-1").unwrap();
        let names = Names { teams: vec!["billing".into()], lines: Vec::new() };
        let mut spool = Spool::open(&self.site.spool(), 0).unwrap();
        let entries = spool.pending(0, 100).unwrap();
        let messages = entries.iter().map(|entry| render(&entry.score, &names, &about));
        messages.map(|(topic, payload)| validate(&topic, payload.as_bytes()).unwrap()).collect()
    }

    /// Another program writes down what comes on the wire; it has begun.
    fn record(&self, name: &str) -> (Running, PathBuf) {
        let path = self.site.folder().join(name);
        let mut command = self.network.record(&path);
        let recorder = Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
        // The file's header is written once the interface is open.
        wait_for("dumpcap", PATIENCE, || std::fs::metadata(&path).is_ok_and(|file| file.len() > 0).then_some(())).unwrap();
        (recorder, path)
    }

    /// What the same capture comes to from the file.
    fn replayed(&self, pcap: &std::path::Path) -> Value {
        let output = run(self.site.sotto().unwrap().arg("replay").arg(pcap)).unwrap();
        let first = output.stdout.split(|&byte| byte == b'\n').next().unwrap();
        serde_json::from_slice::<Value>(first).unwrap()["payload"].clone()
    }
}

fn spoken_call() -> Call {
    let call = Call { ring_ms: 400, tail_ms: 300, ..Call::default() };
    call.says_at(Who::Agent, 300, "Good morning.").says(Who::Customer, 300, "I would like to have a refund, please.")
}

/// A call of tones.
fn call_of(duration_ms: u32) -> Call {
    let call = Call { ring_ms: 100, end_ms: Some(duration_ms), ..Call::default() };
    call.sounds(Who::Agent, 0, duration_ms, 440.0).sounds(Who::Customer, 0, duration_ms, 660.0)
}

fn short_call() -> Call {
    call_of(500)
}

/// Longer than any test lets it be.
fn long_call() -> Call {
    call_of(20_000)
}

#[test]
fn a_call_on_the_wire_is_scored_as_from_a_file() {
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    let Some(live) = Recorder::new(CHARTER) else { return };
    let pcap = live.pcap("call.pcap", spoken_call());
    let mut tap = live.tap();
    // A busy machine plays late. What the box is held to is the wire, not the file that was played.
    let (mut recorder, wire) = live.record("wire.pcap");
    live.play(&pcap);
    live.wait_for_outcome("scored", 1);
    recorder.terminate(PATIENCE).unwrap();
    live.manager.wait("WATCHDOG=1", 3);
    let status = run(live.site.sotto().unwrap().args(["status"])).unwrap();
    assert!(status.status.success(), "a tap that hears is said to hear");

    let (heard, replayed) = (live.scores().remove(0), live.replayed(&wire));
    for field in ["outcome", "end_cause", "codec", "direction", "team", "category_01", "scored_fraction", "charter", "models"] {
        assert_eq!(heard[field], replayed[field], "{field}");
    }
    assert_eq!(heard["category_01"], true, "the refund was not understood: {heard}");
    for field in ["call_duration_ms", "ring_ms", "talk_time_agent_ms", "talk_time_customer_ms"] {
        let apart = heard[field].as_i64().unwrap() - replayed[field].as_i64().unwrap();
        assert!(apart.abs() <= 100, "{field}: {} live, {} replayed", heard[field], replayed[field]);
    }

    // Nothing is open: a stop is a matter of a moment.
    let began = Instant::now();
    assert!(tap.terminate(PATIENCE).unwrap().success(), "{}", live.log());
    eprintln!("stopped within {} ms", began.elapsed().as_millis());
    assert_eq!((live.manager.count("READY=1"), live.manager.count("STOPPING=1")), (1, 1));
    assert!(live.log().contains("stopped: 1 calls heard"), "{}", live.log());
    assert_eq!(live.outcome("open"), 0);
}

#[test]
fn a_stop_ends_the_running_call_as_interrupted_and_keeps_its_score() {
    let Some(live) = Recorder::new(CHARTER_WITHOUT_SOUND) else { return };
    let pcap = live.pcap("long.pcap", long_call());
    let mut tap = live.tap();
    let playing_since = Instant::now();
    let _playing = live.begin(&pcap);
    live.wait_for_outcome("open", 1);
    sleep(Duration::from_secs(2));
    let alive = live.manager.count("WATCHDOG=1");
    // Half of the watchdog's time, for two seconds and more.
    assert!(alive as u64 >= 1_500_000 / (WATCHDOG_MICROS / 2), "{alive}");
    let began = Instant::now();
    assert!(tap.terminate(PATIENCE).unwrap().success(), "{}", live.log());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    live.manager.wait("STOPPING=1", 1);
    assert_eq!((live.outcome("interrupted"), live.outcome("open")), (1, 0));
    let scores = live.scores();
    assert_eq!(scores.len(), 1);
    assert_eq!((&scores[0]["outcome"], &scores[0]["end_cause"]), (&"interrupted".into(), &"stopped".into()), "{}", scores[0]);
    let duration = scores[0]["call_duration_ms"].as_i64().unwrap();
    let most = i64::try_from(playing_since.elapsed().as_millis()).unwrap();
    assert!((1_800..=most).contains(&duration), "{duration} ms of a call of which 2 s and more were heard, of at most {most}");
}

#[test]
fn an_interface_that_goes_and_comes_is_heard_again() {
    let Some(live) = Recorder::new(CHARTER_WITHOUT_SOUND) else { return };
    let [before, between, after] = ["before", "between", "after"].map(|name| live.pcap(name, short_call()));
    let mut tap = live.tap();
    live.play(&before);
    live.wait_for_outcome("signalling_only", 1);
    live.network.down();
    live.wait_for_log("the mirror interface is down");
    // It is alive all the same.
    live.manager.wait("WATCHDOG=1", live.manager.count("WATCHDOG=1") + 2);
    live.network.up();
    live.wait_for_log("the mirror interface is back");
    live.play(&between);
    live.wait_for_outcome("signalling_only", 2);

    // A cable that was drawn, with another interface under the old name.
    live.network.replace();
    let times = |text: &str| live.log().matches(text).count();
    wait_for("the interface to be back again", PATIENCE, || (times("the mirror interface is back") == 2).then_some(())).unwrap();
    live.play(&after);
    live.wait_for_outcome("signalling_only", 3);
    assert_eq!(times("the mirror interface is down"), 2, "{}", live.log());
    assert!(tap.terminate(PATIENCE).unwrap().success());
}

#[test]
fn a_kill_leaves_the_running_call_interrupted_in_the_ledger() {
    let Some(live) = Recorder::new(CHARTER_WITHOUT_SOUND) else { return };
    let (short, long, next) = (live.pcap("short", short_call()), live.pcap("long", long_call()), live.pcap("next", short_call()));
    let mut tap = live.tap();
    live.play(&short);
    live.wait_for_outcome("signalling_only", 1);
    let mut playing = live.begin(&long);
    live.wait_for_outcome("open", 1);
    tap.kill().unwrap();
    assert_eq!((live.outcome("open"), live.outcome("interrupted")), (1, 0));
    playing.kill().unwrap();

    let mut tap = live.tap();
    live.wait_for_log("1 calls were cut off");
    assert_eq!((live.outcome("open"), live.outcome("interrupted"), live.outcome("signalling_only")), (0, 1, 1));
    live.play(&next);
    live.wait_for_outcome("signalling_only", 2);
    assert!(tap.terminate(PATIENCE).unwrap().success());
    assert_eq!(live.scores().len(), 2, "what was committed before the kill is still there");
}

#[test]
fn an_interface_that_does_not_exist_is_refused_and_named() {
    let site = Site::new(&config(Some("nowhere0"), None), CHARTER_WITHOUT_SOUND).unwrap();
    let output = run(site.sotto().unwrap().arg("tap")).unwrap();
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{why}");
    assert!(why.contains("interface nowhere0: there is no such interface"), "{why}");
}

#[test]
fn the_uplink_speaks_to_its_manager() {
    let site = Site::new(&config(None, Some("mqtt://127.0.0.1:9")), CHARTER_WITHOUT_SOUND).unwrap();
    let manager = Manager::start(site.folder());
    let mut uplink: Command = site.sotto().unwrap();
    manager.manage(uplink.arg("uplink"));
    let mut uplink = Running::start(uplink.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    manager.wait("READY=1", 1);
    // Also while it waits for a broker that is not there.
    manager.wait("WATCHDOG=1", 8);
    assert_eq!(manager.count("STOPPING=1"), 0);
    assert!(uplink.terminate(PATIENCE).unwrap().success());
    manager.wait("STOPPING=1", 1);
    assert!(View::open(&site.spool()).is_ok());
}
