//! One call full of canaries, and everything that the product can be brought to say about it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use sotto_tests::broker::{Broker, Received};
use sotto_tests::make;
use sotto_tests::pcap::{Packet, to_bytes};
use sotto_tests::process::{PATIENCE, Running, run};
use sotto_tests::script::{Call, Outcome, Party, Script, Who};
use sotto_tests::site::{Places, Site};

use crate::keeper::Keeper;
use crate::search::Search;
use crate::tape::Tape;

/// Said in the call. The charter of the scene has a list for each, so that the score itself shows whether it was understood.
pub(crate) const WORDS: [&str; 6] = ["crocodile", "umbrella", "pineapple", "submarine", "cauliflower", "cathedral"];

/// A name of a word list: it stays in the charter.
const LIST: &str = "heronwatch";

const AGENT: &str = "19374628501";
const CUSTOMER: &str = "447700900123456";
const CALL_ID: &str = "quokka-8c1f0e7755aa@sip.wombat.example";
const HEADERS: [(&str, &str); 4] =
    [("display name", "Quetzalcoatl"), ("User-Agent", "Zanzibarphone"), ("Subject", "marzipan-harpsichord"), ("SDP", "periwinkle")];

pub(crate) struct Scene {
    packets: Vec<Packet>,
    pub(crate) search: Search,
}

/// What was to be had.
pub(crate) struct Evidence {
    /// Name and content: streams, files, outputs.
    pub(crate) places: Vec<(String, Vec<u8>)>,
    pub(crate) messages: Vec<Received>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let call = Call {
            ring_ms: 500,
            call_id: Some(CALL_ID.to_owned()),
            agent: party(AGENT, "pbx.example"),
            customer: party(CUSTOMER, "carrier.example"),
            ..Call::default()
        }
        .says_at(Who::Agent, 300, "A crocodile has no need of an umbrella.")
        .says(Who::Customer, 500, "My password is pineapple, and the second one is submarine.")
        .says(Who::Agent, 500, "The secret word is cauliflower.")
        .says(Who::Customer, 500, "He keeps a rhinoceros behind the cathedral.")
        .sounds(Who::Agent, 12_500, 2_000, 1_333.0);
        let unanswered = Call { start_ms: 30_000, outcome: Outcome::Unanswered, call_id: Some(format!("second-{CALL_ID}")), ..call.clone() };
        let unanswered = Call { say: Vec::new(), tone: Vec::new(), ..unanswered };
        // Now: a score that has expired is not sent.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let made = make(&Script { call: vec![call, unanswered], start_epoch_ms: now - 60_000, ..Script::default() }).unwrap();
        let packets: Vec<Packet> = made.packets.iter().map(|packet| if packet.is_signalling() { dressed(packet) } else { packet.clone() }).collect();

        let mut search = Search::default();
        for canary in WORDS.into_iter().chain([LIST, AGENT, CUSTOMER, CALL_ID, "198.51.100.10"]).chain(HEADERS.map(|header| header.1)) {
            search.text(canary);
        }
        for (name, sound) in sounds(&packets) {
            search.sound(&name, &sound);
        }
        Self { packets, search }
    }

    /// Runs every command on the call, well and badly.
    pub(crate) fn play(&self, sotto: &Path) -> Evidence {
        let broker = Broker::start().unwrap();
        let tape = Tape::start(broker.port());
        let subscriber = broker.subscribe(&["#"]).unwrap();
        let site = Site::new(&config(&tape.url()), &charter()).unwrap();
        // What is watched holds only what the product itself writes.
        for folder in ["watched", "kept"] {
            fs::create_dir(site.path(folder)).unwrap();
        }
        let keeper = Keeper::start(&site.path("watched"), &site.path("kept"));
        let mut places = Vec::new();
        let own = Places { spool: site.path("watched/spool.db"), ..site.places().unwrap() };
        let command_at = |places: &Places, arguments: &[&str]| {
            let mut command = places.command(sotto);
            command.args(arguments).current_dir(site.path("watched")).env("TMPDIR", site.path("watched"));
            // Whoever thinks of logging more asks like this.
            command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
            command
        };
        let command = |arguments: &[&str]| command_at(&own, arguments);
        let mut say = |name: &str, expected: i32, command: &mut Command| {
            let output = run(command).unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(expected), "{name}: {text}");
            places.push((format!("{name}: standard output"), output.stdout));
            places.push((format!("{name}: standard error"), output.stderr));
        };
        let write = |name: &str, bytes: &[u8]| site.write(name, bytes).unwrap();
        let replay = |file: &Path| command(&["replay", file.to_str().unwrap()]);
        let whole = to_bytes(&self.packets);
        let pcap = write("call.pcap", &whole);

        say("check", 0, &mut command(&["check"]));
        say("check --json", 0, &mut command(&["check", "--json"]));
        let log = fs::File::create(site.path("uplink.log")).unwrap();
        let mut uplink = command(&["uplink"]);
        let mut uplink = Running::start(uplink.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log)).unwrap();
        say("replay --publish", 0, replay(&pcap).arg("--publish"));
        let is_score = |message: &Received| message.topic.ends_with("/call/score");
        subscriber.wait("the score", PATIENCE, |messages| messages.iter().any(is_score)).unwrap();
        say("status", 0, &mut command(&["status"]));
        say("status --json", 0, &mut command(&["status", "--json"]));
        assert!(uplink.terminate(PATIENCE).unwrap().success());
        subscriber.wait("the farewell", PATIENCE, |messages| messages.iter().any(|message| message.payload.windows(7).any(|at| at == b"offline"))).unwrap();

        say("replay", 0, &mut replay(&pcap));
        say("replay --until decode", 0, replay(&pcap).args(["--until", "decode"]));
        // Cut in the first message, and in the middle of the sound.
        for (name, length) in [("cut-invite.pcap", 24 + 16 + 300), ("cut-sound.pcap", whole.len() / 2)] {
            let cut = write(name, &whole[..length]);
            say(name, 1, &mut replay(&cut));
        }
        let garbled = write("garbled.pcap", &to_bytes(&self.garbled()));
        say("garbled.pcap", 0, &mut replay(&garbled));
        let broken = write("broken.toml", charter().replace("version =", "versions =").as_bytes());
        say("a broken charter", 78, &mut command_at(&Places { charter: broken, ..own.clone() }, &["check"]));
        say("a call for a configuration", 78, &mut command_at(&Places { config: pcap.clone(), ..own.clone() }, &["check"]));
        say("a call for a spool", 1, &mut command_at(&Places { spool: pcap.clone(), ..own.clone() }, &["status"]));
        say("a call for a model pack", 78, &mut command_at(&Places { models: pcap, ..own.clone() }, &["check"]));

        places.push(("the uplink's log".to_owned(), fs::read(site.path("uplink.log")).unwrap()));
        let [up, down] = tape.bytes();
        places.extend([("MQTT, up".to_owned(), up), ("MQTT, down".to_owned(), down)]);
        let messages = subscriber.messages();
        places.extend(messages.iter().map(|message| (format!("a message on {}", message.topic), message.payload.clone())));
        places.extend(keeper.finish());
        Evidence { places, messages }
    }

    /// Every message and every packet of sound cut somewhere.
    fn garbled(&self) -> Vec<Packet> {
        let cut = |(place, packet): (usize, &Packet)| {
            let payload = packet.payload();
            let kept = payload.len() * (1 + place % 7) / 8;
            packet.with_payload(&payload[..kept])
        };
        self.packets.iter().enumerate().map(cut).collect()
    }
}

fn party(user: &str, host: &str) -> Party {
    Party {
        uri: Some(format!("sip:{user}@{host}")),
        asserted: Some(format!("sip:{user}@{host}")),
        // The clearest of flite's voices on a telephone.
        voice: Some("rms".to_owned()),
        ..Party::default()
    }
}

/// The message with a display name, a user agent, a subject and a session name.
fn dressed(packet: &Packet) -> Packet {
    let text = std::str::from_utf8(packet.payload()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let [(_, name), (_, agent), (_, subject), (_, session)] = HEADERS;
    let body = body.replace("s=-\r\n", &format!("s={session}\r\n")).replace("o=- ", &format!("o={session} "));
    let (head, _) = head.split_once("Content-Length:").unwrap();
    let head = head.replace("From: <", &format!("From: \"{name}\" <"));
    packet.with_payload(format!("{head}User-Agent: {agent}/7.7\r\nSubject: {subject}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

/// The sound of each stream as it was sent.
fn sounds(packets: &[Packet]) -> HashMap<String, Vec<u8>> {
    let mut sounds: HashMap<String, Vec<u8>> = HashMap::new();
    for payload in packets.iter().filter(|packet| !packet.is_signalling()).map(Packet::payload) {
        sounds.entry(format!("sound of {}", String::from_utf8_lossy(&crate::search::hexadecimal(&payload[8..12])))).or_default().extend(&payload[12..]);
    }
    sounds
}

fn config(broker: &str) -> String {
    sotto_tests::site::config(None, Some(broker)).replace("sip:1???@*", "sip:19374*@*")
}

fn charter() -> String {
    let (rules, _) = sotto_tests::site::CHARTER.split_once("[[category]]").unwrap();
    let lists = WORDS.map(|word| format!("[[category]]\nname = \"{LIST} {word}\"\nphrases = [\"{word}\"]\n"));
    rules.to_owned() + &lists.concat()
}
