//! Calls of real telephones, heard live: what the box says of each against what both ends know.
//!
//! SIPp plays packets that we made. Here nothing on the wire is ours: baresip negotiates, encrypts, encodes and sends by itself.

#[path = "live_sipp/hub.rs"]
mod hub;
#[path = "live/manager.rs"]
mod manager;
#[path = "live_baresip/phone.rs"]
mod phone;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sotto_charter::Names;
use sotto_spool::Spool;
use sotto_tests::process::{PATIENCE, Running, installed, run, skip, wait_for};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Script, Who};
use sotto_tests::site::{CHARTER, Site, config, has_pack};
use sotto_tests::truth::CallTruth;
use sotto_tests::{make, sound};
use sotto_uplink::{About, render};

use crate::hub::{Hub, Place, TAP};
use crate::manager::Manager;
use crate::phone::{Known, Phone, Settings};

/// What a telephone says once the other one's first packet is there.
const HEARD: &str = "incoming rtp for 'audio' established";

/// A call between two telephones.
struct Kind {
    name: &'static str,
    codec: &'static str,
    is_secured: bool,
    outcome: &'static str,
    end_cause: &'static str,
    /// As the score names the codec.
    told: &'static str,
}

const PLAIN: Kind = Kind { name: "plain", codec: "PCMU", is_secured: false, outcome: "scored", end_cause: "hung_up", told: "pcmu" };

/// The last one is the call that the transfer makes.
const KINDS: [Kind; 6] = [
    Kind { name: "srtp", is_secured: true, ..PLAIN },
    Kind { name: "opus", codec: "opus/48000/2", told: "opus", ..PLAIN },
    Kind { name: "g722", codec: "G722/16000/1", told: "g722", ..PLAIN },
    // In SRTP even the keys are encrypted.
    Kind { name: "keys", codec: "PCMA", told: "pcma", is_secured: true, outcome: "signalling_only", ..PLAIN },
    Kind { name: "transfer", end_cause: "transferred", ..PLAIN },
    Kind { name: "referred", ..PLAIN },
];

/// Where the transfer leads.
const COLLEAGUE: (&str, u16) = ("1099", 5_090);

/// A call that is over, as both ends know it: the one that hung up first.
struct Ended {
    kind: &'static Kind,
    caller_hung_up: bool,
    calling: Known,
    called: Known,
}

/// Two files: what the agent says, and what the customer says, and what is true of them. The customer's ends first; a telephone whose
/// file is at its end hangs up.
struct Sounds {
    agent: PathBuf,
    customer: PathBuf,
    /// Silence that no test waits for the end of.
    patient: PathBuf,
    truth: CallTruth,
}

impl Sounds {
    fn new(folder: &Path) -> Self {
        let call = Call { end_ms: Some(7_000), ..Call::default() };
        let call = call.says_at(Who::Agent, 300, "Good morning, how can I help you today?").says_at(Who::Customer, 3_600, "I would like to have a refund, please.");
        let mut made = make(&Script::of(call)).unwrap();
        let [agent, customer] = made.legs.remove(0);
        let write = |name: &str, samples: &[i16]| {
            let path = folder.join(name);
            sound::write_mono(&path, samples).unwrap();
            path
        };
        let second = sound::RATE as usize;
        Self {
            agent: write("agent.wav", &[agent, vec![0; 5 * second]].concat()),
            customer: write("customer.wav", &customer),
            patient: write("patient.wav", &vec![0; 100 * second]),
            truth: made.truth.calls.remove(0),
        }
    }
}

struct Scene {
    site: Site,
    hub: Hub,
    sounds: Sounds,
}

impl Scene {
    /// A telephone of the `number`th call.
    fn phone(&self, number: usize, place: Place, wav: &Path) -> Phone {
        let kind = &KINDS[number];
        let (side, user) = if place == Place::Calling { ("calling", format!("+4930123450{number}")) } else { ("called", format!("10{}1", number + 1)) };
        let folder = self.site.path(&format!("{}-{side}", kind.name));
        let (sip_port, rtp_port) = (5_060 + 2 * number as u16, 16_000 + 100 * number as u16);
        Phone::new(&self.hub, &folder, &Settings { place, user: &user, sip_port, rtp_port, codec: kind.codec, is_secured: kind.is_secured, wav })
    }

    /// Both telephones of a call, in which both are heard.
    fn call(&self, number: usize, wavs: [&Path; 2]) -> [Phone; 2] {
        let called = self.phone(number, Place::Called, wavs[1]);
        let mut calling = self.phone(number, Place::Calling, wavs[0]);
        calling.dial(&format!("10{}1", number + 1), Place::Called, 5_060 + 2 * number as u16);
        calling.wait(HEARD, 1);
        called.wait(HEARD, 1);
        [calling, called]
    }

    /// All the calls, at once, to their ends.
    fn calls(&self) -> Vec<Ended> {
        let spoken = [self.sounds.customer.as_path(), self.sounds.agent.as_path()];
        let patient = [self.sounds.patient.as_path(); 2];
        let until_the_file_ends: Vec<[Phone; 2]> = (0..3).map(|number| self.call(number, spoken)).collect();

        let [mut calling, called] = self.call(3, patient);
        calling.types("*9");
        for key in ["'*' (end=1)", "'9' (end=1)"] {
            called.wait(&format!("received event: {key}"), 1);
        }
        calling.hang_up();
        let objecting = [calling, called];

        let colleague = Settings {
            place: Place::Called,
            user: COLLEAGUE.0,
            sip_port: COLLEAGUE.1,
            rtp_port: 17_000,
            codec: "PCMU",
            is_secured: false,
            wav: &self.sounds.agent,
        };
        let colleague = Phone::new(&self.hub, &self.site.path("colleague"), &colleague);
        // The customer says it again to whom the call goes on.
        let [mut calling, mut called] = self.call(4, [&self.sounds.customer, &self.sounds.patient]);
        // A key that means nothing takes a fifth of a second: so long at least they talk.
        calling.types("1");
        called.wait("received event: '1' (end=1)", 1);
        called.transfer(COLLEAGUE.0, Place::Called, COLLEAGUE.1);
        calling.wait(HEARD, 2);
        colleague.wait(HEARD, 1);

        let mut ended = Vec::new();
        for (number, [calling, called]) in until_the_file_ends.iter().chain([&objecting]).enumerate() {
            ended.push(Ended { kind: &KINDS[number], caller_hung_up: true, calling: calling.calls(1)[0], called: called.calls(1)[0] });
        }
        let of_customer = calling.calls(2);
        ended.push(Ended { kind: &KINDS[4], caller_hung_up: false, calling: of_customer[0], called: called.calls(1)[0] });
        ended.push(Ended { kind: &KINDS[5], caller_hung_up: true, calling: of_customer[1], called: colleague.calls(1)[0] });
        ended
    }

    fn ledger(&self) -> Value {
        let output = run(self.site.sotto().unwrap().args(["status", "--json"])).unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["ledger"].clone()
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.site.path("tap.log")).unwrap_or_default()).into_owned()
    }

    /// Starts a program in the box's place, with its output out of the way.
    fn start(&self, command: &Command, log: &str) -> Running {
        let log = File::create(self.site.path(log)).unwrap();
        Running::start(self.hub.at(Place::Recorder, command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap()
    }

    /// The streams of sound that passed the wire, by dumpcap's record of it.
    fn streams(&self, wire: &Path) -> Vec<Value> {
        let output = run(self.site.sotto().unwrap().args(["replay", "--until", "dialog", "--streams"]).arg(wire)).unwrap();
        let counts: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        counts["streams"].as_array().unwrap().clone()
    }
}

#[test]
fn what_telephones_do_is_heard() {
    for (program, package) in [("baresip", "baresip-core"), ("dumpcap", "tshark"), ("ip", "iproute2"), ("flite", "flite")] {
        if !installed(program) {
            return skip(&format!("{package} is not installed"));
        }
    }
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    let Some(hub) = Hub::new() else { return skip("no network namespace can be made: that takes root") };
    let site = Site::new(&config(Some(TAP), None), &format!("{CHARTER}[keys]\nobjection = \"*9\"\n")).unwrap();
    let sounds = Sounds::new(site.folder());
    let scene = Scene { site, hub, sounds };
    let manager = Manager::start(scene.site.folder());
    let mut tap = scene.site.sotto().unwrap();
    tap.arg("tap").env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1");
    manager.manage(&mut tap);
    let mut tap = scene.start(&tap, "tap.log");
    manager.wait("READY=1", 1);
    let wire = scene.site.path("wire.pcap");
    let mut dumpcap = Command::new("dumpcap");
    dumpcap.args(["-q", "-P", "-i", TAP, "-w"]).arg(&wire);
    let mut dumpcap = scene.start(&dumpcap, "dumpcap.log");
    // The file's header is written once the interface is open.
    wait_for("dumpcap", PATIENCE, || std::fs::metadata(&wire).is_ok_and(|file| file.len() > 0).then_some(())).unwrap();

    let ended = scene.calls();
    let count = |ledger: &Value, name: &str| ledger[name].as_u64().unwrap();
    let done = || (count(&scene.ledger(), "scored") + count(&scene.ledger(), "signalling_only") == KINDS.len() as u64).then_some(());
    wait_for("the scores", PATIENCE, done).unwrap_or_else(|error| panic!("{error}\n{}\n{}", scene.ledger(), scene.log()));
    assert!(tap.terminate(PATIENCE).unwrap().success(), "{}", scene.log());
    dumpcap.terminate(PATIENCE).unwrap();
    let ledger = scene.ledger();
    assert_eq!((count(&ledger, "scored"), count(&ledger, "signalling_only"), count(&ledger, "open")), (5, 1, 0), "{ledger}");

    let (about, names) = (About::new("harbor", "rec-1").unwrap(), Names { teams: vec!["billing".into()], lines: Vec::new() });
    let mut spool = Spool::open(&scene.site.spool(), 0).unwrap();
    let entries = spool.pending(0, 100).unwrap();
    let scores: Vec<Value> = entries.iter().map(|entry| render(&entry.score, &names, &about)).map(|(topic, payload)| validate(&topic, payload.as_bytes()).unwrap()).collect();
    assert_eq!(scores.len(), KINDS.len());
    compare(&scene, &ended, scores, &scene.streams(&wire));
}

/// Each call to its own score and its own streams: by what the telephones know of it, all of it. Writes the table.
fn compare(scene: &Scene, ended: &[Ended], mut scores: Vec<Value>, streams: &[Value]) {
    eprintln!("call     | telephones: s, packets each way | on the wire | sotto: call ms | outcome         | end cause   | codec | MOS agent, customer | talk agent, customer ms | refund");
    let mut referrer = Value::Null;
    for call in ended {
        let Ended { kind, caller_hung_up, calling, called } = call;
        let milliseconds = 1_000 * calling.seconds;
        let is_its = |score: &Value| {
            let alike = [("outcome", kind.outcome), ("end_cause", kind.end_cause), ("codec", kind.told)].iter().all(|(field, value)| score[field] == *value);
            let duration = score["call_duration_ms"].as_i64().unwrap();
            alike && (duration - milliseconds).abs() < 1_000 + 300 && score["continues"].is_null() != (kind.name == "referred")
        };
        let place = scores.iter().position(is_its).unwrap_or_else(|| panic!("{}: {calling:?}, {called:?} is none of {scores:#?}", kind.name));
        let score = scores.remove(place);

        // Until the BYE, of which the one that hung up knows both ways; after it the other sent on for a moment.
        let (first, second) = if *caller_hung_up { (("calling", calling), called) } else { (("called", called), calling) };
        let is_its = |legs: &[Value]| {
            let of = |side: &str| legs.iter().find(|leg| leg["side"] == side).map_or(0, |leg| leg["packets"].as_u64().unwrap());
            let other = if first.0 == "calling" { "called" } else { "calling" };
            legs.iter().all(|leg| leg["codec"] == kind.told && leg["lost"] == 0) && of(first.0) == first.1.sent && (first.1.received..=second.sent).contains(&of(other))
        };
        let legs = streams.chunk_by(|one, next| one["call"] == next["call"]).find(|legs| is_its(legs));
        let legs = legs.unwrap_or_else(|| panic!("{}: {calling:?}, {called:?} is none of {streams:#?}", kind.name));

        eprintln!(
            "{:8} | {} {} {} | {} {} | {} | {:15} | {:11} | {} | {} {} | {} {} | {}",
            kind.name, calling.seconds, calling.sent, called.sent, legs[0]["packets"], legs[1]["packets"], score["call_duration_ms"], kind.outcome, kind.end_cause,
            kind.told, score["quality_mos_agent"], score["quality_mos_customer"], score["talk_time_agent_ms"], score["talk_time_customer_ms"], score["category_01"]
        );
        // Who objects is not counted for a team either.
        let team = if kind.name == "keys" { Value::Null } else { "billing".into() };
        assert_eq!((&score["team"], &score["direction"]), (&team, &"inbound".into()), "{score}");
        // What the other end reports by RTCP, every five seconds, agrees where it was heard.
        assert!(score["tap_loss_ppm"].is_null() || score["tap_loss_ppm"] == 0, "{score}");
        match kind.name {
            "transfer" => referrer = score["call"].clone(),
            "keys" => {
                assert!(score["unavailable"].as_str().unwrap().contains(":consent") && score["talk_time_customer_ms"].is_null(), "{score}");
            }
            _ => {
                assert_eq!(score["continues"], if kind.name == "referred" { referrer.clone() } else { Value::Null });
                assert_eq!(score["category_01"], true, "the refund was not understood: {score}");
                assert_eq!(score["scored_fraction"], 1.0, "{score}");
                for (who, truth) in [("agent", &scene.sounds.truth.agent), ("customer", &scene.sounds.truth.customer)] {
                    let talk = score[format!("talk_time_{who}_ms")].as_i64().unwrap();
                    assert!((talk - i64::from(truth.talk_time_ms)).abs() <= 300, "{who}: {} ms of {} ms were heard: {score}", talk, truth.talk_time_ms);
                }
            }
        }
    }
}
