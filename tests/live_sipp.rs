//! SIPp's own calls in a network, all at once, heard live: what the box says of each against what SIPp knows.

#[path = "live_sipp/hub.rs"]
mod hub;
#[path = "live/manager.rs"]
mod manager;

use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sotto_charter::Names;
use sotto_spool::Spool;
use sotto_tests::process::{PATIENCE, Running, installed, repository, run, skip, wait_for};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Codec, Script, Who};
use sotto_tests::site::{CHARTER, Site, config, has_pack};
use sotto_tests::{make, pcap};
use sotto_uplink::{About, render};

use crate::hub::{Hub, Place, TAP};
use crate::manager::Manager;

/// A call between two SIPps.
struct Kind {
    name: &'static str,
    scenario: &'static str,
    transport: &'static str,
    is_ipv6: bool,
    outcome: &'static str,
    end_cause: &'static str,
    codec: &'static str,
    holds: usize,
}

const PLAIN: Kind = Kind {
    name: "plain",
    scenario: "plain",
    transport: "u1",
    is_ipv6: false,
    outcome: "scored",
    end_cause: "hung_up",
    codec: "pcmu",
    holds: 0,
};

const KINDS: [Kind; 9] = [
    PLAIN,
    Kind { name: "hold", scenario: "hold", holds: 2, ..PLAIN },
    Kind { name: "codec", scenario: "codec", codec: "pcma", ..PLAIN },
    Kind { name: "early", scenario: "early", ..PLAIN },
    Kind { name: "refer", scenario: "refer", end_cause: "transferred", ..PLAIN },
    Kind { name: "tcp", transport: "t1", ..PLAIN },
    Kind { name: "ipv6", is_ipv6: true, ..PLAIN },
    Kind { name: "keys", scenario: "keys", outcome: "signalling_only", ..PLAIN },
    // Where the REFER sends the caller; it begins once that call is over.
    Kind { name: "referred", ..PLAIN },
];

struct Scene {
    site: Site,
    hub: Hub,
}

impl Scene {
    fn sipp(&self, number: usize, place: Place) -> Running {
        let kind = &KINDS[number];
        let (side, peer) = if place == Place::Calling { ("calling", Place::Called) } else { ("called", Place::Calling) };
        let name = format!("{}-{side}", kind.name);
        let scenario = repository().join(format!("tests/fixtures/sipp/{}-{side}.xml", kind.scenario));
        let to = if kind.name == "referred" { "1002".to_owned() } else { format!("10{}1", number + 1) };
        // Whom the REFER sends on is the same customer.
        let from = if kind.name == "referred" { 4 } else { number };
        let port = (5060 + 2 * number).to_string();
        let media = (16_000 + 100 * number).to_string();
        let mut sipp = Command::new("sipp");
        sipp.arg("-sf").arg(scenario).args(["-m", "1", "-nostdin", "-timeout", "60", "-timeout_error", "-trace_msg", "-trace_err"]);
        sipp.args(["-message_file", &format!("{name}.messages"), "-error_file", &format!("{name}.errors"), "-cp", &(8_800 + number).to_string()]);
        let (own, other) = (place.address(kind.is_ipv6), peer.address(kind.is_ipv6));
        let bare = own.trim_matches(['[', ']']);
        sipp.args(["-t", kind.transport, "-i", bare, "-mi", bare, "-p", &port, "-mp", &media]);
        sipp.args(["-key", "to", &to, "-key", "from", &format!("+4930123450{from}")]);
        if place == Place::Calling {
            sipp.arg(format!("{other}:{port}"));
        }
        sipp.current_dir(self.site.folder()).env("TERM", "dumb");
        let log = File::create(self.site.path(&format!("{name}.out"))).unwrap();
        let mut sipp = self.hub.at(place, &sipp);
        Running::start(sipp.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log)).unwrap()
    }

    /// Makes these calls at once, to their ends.
    fn calls(&self, numbers: std::ops::Range<usize>) {
        let called: Vec<Running> = numbers.clone().map(|number| self.sipp(number, Place::Called)).collect();
        for number in numbers.clone() {
            let port = format!(":{} ", 5060 + 2 * number);
            let mut look = Command::new("ss");
            look.arg(if KINDS[number].transport == "t1" { "-Hlnt" } else { "-Hlnu" });
            wait_for("SIPp to listen", PATIENCE, || String::from_utf8_lossy(&run(&mut self.hub.at(Place::Called, &look)).unwrap().stdout).contains(&port).then_some(()))
                .unwrap_or_else(|error| panic!("{}: {error}\n{}", KINDS[number].name, self.text(&format!("{}-called.errors", KINDS[number].name))));
        }
        let calling: Vec<Running> = numbers.clone().map(|number| self.sipp(number, Place::Calling)).collect();
        for (side, all) in [("calling", calling), ("called", called)] {
            for (number, mut sipp) in numbers.clone().zip(all) {
                let name = format!("{}-{side}", KINDS[number].name);
                let status = sipp.wait(Duration::from_secs(60));
                assert!(status.is_ok_and(|status| status.success()), "{name}: {}", self.text(&format!("{name}.errors")));
            }
        }
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.site.path(name)).unwrap_or_default()).into_owned()
    }

    /// What the caller's SIPp wrote down: milliseconds from the answer to the BYE, and on hold.
    fn known(&self, kind: &Kind) -> (i64, i64) {
        let text = self.text(&format!("{}-calling.messages", kind.name));
        let (mut answered, mut ended, mut held_at, mut held) = (None, None, None, 0);
        for message in text.split("-----------------------------------------------").skip(1) {
            let at = stamp(message);
            let cseq = message.lines().find_map(|line| line.trim().strip_prefix("CSeq: ")).unwrap_or_default();
            if message.contains("\nSIP/2.0 200") && cseq.ends_with("INVITE") {
                answered.get_or_insert(at);
                match cseq {
                    "2 INVITE" | "4 INVITE" => held_at = Some(at),
                    _ => held += held_at.take().map_or(0, |since| at - since),
                }
            }
            if message.contains("\nBYE ") {
                ended.get_or_insert(at);
            }
        }
        (ended.unwrap() - answered.unwrap(), held)
    }

    fn ledger(&self) -> Value {
        let output = run(self.site.sotto().unwrap().args(["status", "--json"])).unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["ledger"].clone()
    }
}

/// Milliseconds of the day, in the line above a message.
fn stamp(message: &str) -> i64 {
    let clock = message.split_whitespace().find(|word| word.matches(':').count() == 2).unwrap();
    let parts: Vec<f64> = clock.split(':').map(|part| part.parse().unwrap()).collect();
    ((parts[0] * 3_600.0 + parts[1] * 60.0 + parts[2]) * 1_000.0).round() as i64
}

/// Writes what each side says: in a first part, in a second one, before the answer, and in the other codec.
fn sounds(site: &Site) {
    for (codec, seed, parts) in [(Codec::Pcmu, 1, ["", "-later"]), (Codec::Pcma, 2, ["-pcma", "-pcma-later"])] {
        let call = Call { ring_ms: 100, codec, end_ms: Some(3_600), ..Call::default() };
        let call = call.says_at(Who::Agent, 100, "Good morning, sir.").says_at(Who::Customer, 1_000, "I want a refund.");
        let call = call.says_at(Who::Agent, 2_200, "Yes, of course.");
        let made = make(&Script { seed, ..Script::of(call) }).unwrap();
        let media: Vec<_> = made.packets.iter().filter(|packet| !packet.is_signalling()).cloned().collect();
        let began = media[0].at_us;
        let customer = media.iter().find(|packet| packet.payload()[8..12] == media[0].payload()[8..12]).unwrap().path().source;
        for (who, is_first) in [("customer", true), ("agent", false)] {
            let leg: Vec<_> = media.iter().filter(|packet| (packet.path().source == customer) == is_first).cloned().collect();
            let at = leg.iter().position(|packet| packet.at_us - began >= 2_000_000).unwrap();
            for (part, packets) in parts.into_iter().zip([&leg[..at], &leg[at..]]) {
                site.write(&format!("{who}{part}.pcap"), pcap::to_bytes(packets)).unwrap();
            }
        }
    }
    let early = Call { ring_ms: 100, end_ms: Some(1_000), ..Call::default() }.sounds(Who::Agent, 0, 1_000, 425.0);
    let made = make(&Script { seed: 3, ..Script::of(early) }).unwrap();
    let media: Vec<_> = made.packets.iter().filter(|packet| !packet.is_signalling()).cloned().collect();
    let one: Vec<_> = media.iter().filter(|packet| packet.path().source == media[0].path().source).cloned().collect();
    site.write("early.pcap", pcap::to_bytes(&one)).unwrap();
}

#[test]
fn what_sipp_does_is_heard() {
    for (program, package) in [("sipp", "sip-tester"), ("ip", "iproute2"), ("ss", "iproute2"), ("flite", "flite")] {
        if !installed(program) {
            return skip(&format!("{package} is not installed"));
        }
    }
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    let Some(hub) = Hub::new() else { return skip("no network namespace can be made: that takes root") };
    let site = Site::new(&config(Some(TAP), None), &format!("{CHARTER}[keys]\nobjection = \"*9\"\n")).unwrap();
    sounds(&site);
    let scene = Scene { site, hub };
    let manager = Manager::start(scene.site.folder());
    let mut tap = scene.site.sotto().unwrap();
    tap.arg("tap").env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1");
    manager.manage(&mut tap);
    let log = File::create(scene.site.path("tap.log")).unwrap();
    let mut tap = Running::start(scene.hub.at(Place::Recorder, &tap).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap();
    manager.wait("READY=1", 1);

    scene.calls(0..8);
    scene.calls(8..9);
    let count = |ledger: &Value, name: &str| ledger[name].as_u64().unwrap();
    let done = || (count(&scene.ledger(), "scored") + count(&scene.ledger(), "signalling_only") == KINDS.len() as u64).then_some(());
    wait_for("the scores", PATIENCE, done).unwrap_or_else(|error| panic!("{error}\n{}\n{}", scene.ledger(), scene.text("tap.log")));
    assert!(tap.terminate(PATIENCE).unwrap().success(), "{}", scene.text("tap.log"));
    let ledger = scene.ledger();
    assert_eq!((count(&ledger, "scored"), count(&ledger, "signalling_only"), count(&ledger, "open")), (8, 1, 0), "{ledger}");

    let (about, names) = (About::new("harbor", "rec-1").unwrap(), Names { teams: vec!["billing".into()], lines: Vec::new() });
    let mut spool = Spool::open(&scene.site.spool(), 0).unwrap();
    let entries = spool.pending(0, 100).unwrap();
    let scores: Vec<Value> = entries.iter().map(|entry| render(&entry.score, &names, &about)).map(|(topic, payload)| validate(&topic, payload.as_bytes()).unwrap()).collect();
    assert_eq!(scores.len(), KINDS.len());
    compare(&scene, scores);
}

/// Each call to its own score: by what SIPp knows of it, all of it. Writes the table.
fn compare(scene: &Scene, mut scores: Vec<Value>) {
    let number = |score: &Value, field: &str| score[field].as_i64().unwrap_or_default();
    eprintln!("call      | SIPp: talked, held ms | sotto: call, ring, hold ms, holds | outcome         | end cause   | codec | MOS agent, customer | talk agent, customer ms | continues");
    let mut referrer = Value::Null;
    for kind in &KINDS {
        let (talked, held) = scene.known(kind);
        let is_its = |score: &Value| {
            let alike = [("outcome", kind.outcome), ("end_cause", kind.end_cause), ("codec", kind.codec)].iter().all(|(field, value)| score[field] == *value);
            let in_time = (number(score, "call_duration_ms") - talked).abs() <= 300 && (number(score, "hold_ms") - held).abs() <= 200;
            alike && in_time && number(score, "hold_count") == kind.holds as i64 && score["continues"].is_null() != (kind.name == "referred")
        };
        let place = scores.iter().position(is_its).unwrap_or_else(|| panic!("{}: {talked} ms, {held} ms on hold, is none of {scores:#?}", kind.name));
        let score = scores.remove(place);
        eprintln!(
            "{:9} | {talked:5} {held:5} | {:5} {:5} {:5} {} | {:15} | {:11} | {} | {} {} | {} {} | {}",
            kind.name, number(&score, "call_duration_ms"), number(&score, "ring_ms"), number(&score, "hold_ms"), number(&score, "hold_count"),
            kind.outcome, kind.end_cause, kind.codec, score["quality_mos_agent"], score["quality_mos_customer"],
            score["talk_time_agent_ms"], score["talk_time_customer_ms"], score["continues"]
        );
        // Who objects is not counted for a team either.
        let team = if kind.name == "keys" { Value::Null } else { "billing".into() };
        assert_eq!((&score["team"], &score["direction"]), (&team, &"inbound".into()), "{score}");
        match kind.name {
            "refer" => referrer = score["call"].clone(),
            "referred" => assert_eq!(score["continues"], referrer),
            "keys" => {
                assert!(score["unavailable"].as_str().unwrap().contains(":consent") && score["talk_time_customer_ms"].is_null(), "{score}");
                assert!(!score.to_string().contains("4173"), "a digit left the box");
                assert!(!scene.text("tap.log").contains("4173"), "a digit is in the log");
            }
            _ => {
                for who in ["agent", "customer"] {
                    assert!(number(&score, &format!("talk_time_{who}_ms")) > 200, "{who} was not heard: {score}");
                    assert!(score[format!("quality_mos_{who}")].as_f64().unwrap() >= 3.0, "{score}");
                }
            }
        }
    }
}
