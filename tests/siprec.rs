//! A recording server hears what SBCs send: SIPp as the client, real sockets, and the score out of a real broker.

#[path = "live/manager.rs"]
mod manager;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sotto_tests::broker::Broker;
use sotto_tests::process::{PATIENCE, Running, installed, repository, run, shared_data, skip, wait_for};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Script, Who};
use sotto_tests::site::{CHARTER, CHARTER_WITHOUT_SOUND, Site, config, has_pack};
use sotto_tests::{g711, make};

use crate::manager::Manager;

/// A recorder that SBCs send to, its uplink, and a broker with somebody who listens.
struct Recorder {
    site: Site,
    signalling: SocketAddr,
    /// Of the first stream; the second one is two above.
    sound: u16,
    manager: Manager,
    _siprec: Running,
    _uplink: Running,
    scores: sotto_tests::broker::Subscriber,
    _broker: Broker,
}

impl Recorder {
    /// `None` where there can be none, which is said. `allow` is whom it hears.
    fn new(charter: &str, allow: &str) -> Option<Self> {
        for (program, package) in [("sipp", "sip-tester"), ("mosquitto", "mosquitto"), ("mosquitto_sub", "mosquitto-clients")] {
            if !installed(program) {
                skip(&format!("{package} is not installed"));
                return None;
            }
        }
        let broker = Broker::start().unwrap();
        let scores = broker.subscribe(&["sotto/v1/+/+/call/score"]).unwrap();
        let signalling = free_port();
        let sound = free_ports();
        let siprec = format!(
            "[capture]\nsource = \"siprec\"\n[siprec]\nlisten = [\"udp:127.0.0.1:{signalling}\", \"tcp:127.0.0.1:{signalling}\"]\n\
             rtp_ports = \"{sound}-{}\"\nallow = [\"{allow}\"]\n",
            sound + 7
        );
        let site = Site::new(&(config(None, Some(&broker.url())) + &siprec), charter).unwrap();
        let manager = Manager::start(site.folder());
        let log = File::create(site.path("log")).unwrap();
        let start = |command: &str, manager: Option<&Manager>| {
            let mut sotto: Command = site.sotto().unwrap();
            sotto.arg(command).env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1");
            if let Some(manager) = manager {
                manager.manage(&mut sotto);
            }
            Running::start(sotto.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone().unwrap())).unwrap()
        };
        let process = start("siprec", Some(&manager));
        wait_for("READY", PATIENCE, || (manager.count("READY=1") > 0).then_some(()))
            .unwrap_or_else(|error| panic!("{error}\n{}", std::fs::read_to_string(site.path("log")).unwrap()));
        let uplink = start("uplink", None);
        let signalling = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), signalling);
        Some(Self { signalling, sound, manager, _siprec: process, _uplink: uplink, scores, _broker: broker, site })
    }

    /// Starts SIPp with a scenario.
    fn sipp(&self, scenario: &Path, arguments: &[&str]) -> Running {
        let mut sipp = Command::new("sipp");
        sipp.arg("-sf").arg(scenario).args(["-m", "1", "-nostdin", "-timeout", "40", "-timeout_error", "-trace_err"]);
        sipp.args(["-error_file"]).arg(self.site.path("sipp.log")).args(arguments).arg(self.signalling.to_string());
        let log = File::create(self.site.path("sipp.out")).unwrap();
        sipp.current_dir(self.site.folder()).env("TERM", "dumb");
        Running::start(sipp.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log)).unwrap()
    }

    fn finish(&self, sipp: &mut Running) {
        let status = sipp.wait(Duration::from_secs(60)).unwrap();
        assert!(status.success(), "{}{}", self.text("sipp.log"), self.text("log"));
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.site.path(name)).unwrap_or_default()
    }

    fn status(&self) -> Value {
        let output = run(self.site.sotto().unwrap().args(["status", "--json"])).unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn wait_for_open(&self) {
        wait_for("the call to be open", PATIENCE, || (self.status()["ledger"]["open"] == 1).then_some(())).unwrap_or_else(|error| panic!("{error}\n{}", self.text("log")));
    }

    /// The scores that the broker passed on, as soon as there are so many.
    fn scores(&self, count: usize) -> Vec<Value> {
        let came = self.scores.wait("scores", PATIENCE, |came| came.len() >= count).unwrap_or_else(|error| panic!("{error}\n{}", self.text("log")));
        came.iter().map(|message| validate(&message.topic, &message.payload).unwrap()).collect()
    }

    /// Sends both legs of the `ordinal`-th session as an SBC does, in real time: the customer's to its first port, the agent's to its
    /// second. A port that was given back rests, so each session has ports of its own.
    fn speak(&self, ordinal: u16, legs: &[Vec<i16>; 2]) {
        let first = self.sound + 4 * ordinal;
        let sockets = [0, 1].map(|_| UdpSocket::bind("127.0.0.1:0").unwrap());
        let began = Instant::now();
        let packets = legs[0].len().max(legs[1].len()) / 160;
        for number in 0..packets {
            for (leg_number, leg) in [&legs[1], &legs[0]].into_iter().enumerate() {
                let Some(samples) = leg.get(number * 160..(number + 1) * 160) else { continue };
                let mut bytes = vec![0x80, 8];
                bytes.extend((number as u16).to_be_bytes());
                bytes.extend((number as u32 * 160).to_be_bytes());
                bytes.extend((0xabc0 + leg_number as u32).to_be_bytes());
                bytes.extend(samples.iter().map(|sample| g711::a_law(*sample)));
                let port = first + 2 * leg_number as u16;
                // Nobody listens before the answer and after the end.
                drop(sockets[leg_number].send_to(&bytes, (Ipv4Addr::LOCALHOST, port)));
            }
            let next = Duration::from_millis(20 * (number as u64 + 1));
            std::thread::sleep(next.saturating_sub(began.elapsed()));
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    repository().join("tests/fixtures/siprec").join(name)
}

/// A port that is free over UDP and TCP.
fn free_port() -> u16 {
    for _ in 0..100 {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = udp.local_addr().unwrap().port();
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free")
}

/// The first of eight free ports in a row; it is even.
fn free_ports() -> u16 {
    for _ in 0..100 {
        let first = free_port() & !1;
        if first < 65_000 && (first..first + 8).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
    panic!("no eight ports in a row are free")
}

#[test]
fn a_call_that_an_sbc_sends_is_scored() {
    if !has_pack() || !installed("flite") {
        return skip("the model pack has not been built, or flite is not installed");
    }
    let Some(recorder) = Recorder::new(CHARTER, "127.0.0.1") else { return };
    let call = Call { ring_ms: 400, tail_ms: 300, ..Call::default() };
    let call = call.says_at(Who::Agent, 300, "Good morning.").says(Who::Customer, 300, "I would like to have a refund, please.");
    let made = make(&Script::of(call)).unwrap();
    let duration = made.legs[0][0].len() / 8;
    for (transport, count) in [("u1", 1_usize), ("t1", 2)] {
        let pause = (duration + 200).to_string();
        let mut sipp = recorder.sipp(&fixture("two-streams.xml"), &["-t", transport, "-d", &pause, "-i", "127.0.0.1"]);
        recorder.wait_for_open();
        recorder.speak(count as u16 - 1, &made.legs[0]);
        recorder.finish(&mut sipp);
        let score = recorder.scores(count).pop().unwrap();
        assert_eq!((&score["outcome"], &score["end_cause"], &score["codec"]), (&"scored".into(), &"hung_up".into(), &"pcma".into()), "{score}");
        assert_eq!((&score["team"], &score["category_01"]), (&"billing".into(), &true.into()), "{score}");
        let truth = &made.truth.calls[0];
        for (field, leg) in [("talk_time_agent_ms", &truth.agent), ("talk_time_customer_ms", &truth.customer)] {
            let (heard, said) = (score[field].as_f64().unwrap(), f64::from(leg.talk_time_ms));
            eprintln!("{transport} {field}: {heard} heard, {said} said");
            assert!((heard - said).abs() <= 400.0, "{field}: {heard} heard, {said} said");
        }
    }
    assert!(recorder.manager.count("WATCHDOG=1") > 3);
    assert_eq!(recorder.status()["ledger"]["open"], 0);
}

#[test]
fn what_changes_in_a_session_is_followed() {
    let Some(recorder) = Recorder::new(CHARTER_WITHOUT_SOUND, "127.0.0.0/8") else { return };
    for (transport, count) in [("u1", 1), ("t1", 2)] {
        let mut sipp = recorder.sipp(&fixture("changes.xml"), &["-t", transport, "-i", "127.0.0.1"]);
        recorder.finish(&mut sipp);
        let score = recorder.scores(count).pop().unwrap();
        assert_eq!((&score["outcome"], &score["end_cause"], &score["hold_count"]), (&"signalling_only".into(), &"hung_up".into(), &1.into()), "{score}");
        let (hold, whole) = (score["hold_ms"].as_i64().unwrap(), score["call_duration_ms"].as_i64().unwrap());
        assert!((900..=1_500).contains(&hold) && (2_100..=4_000).contains(&whole), "{score}");
    }
}

#[test]
fn who_is_not_on_the_list_is_not_answered() {
    let Some(recorder) = Recorder::new(CHARTER_WITHOUT_SOUND, "192.0.2.1") else { return };
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let options = "OPTIONS sip:r SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK1;rport\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:r>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    client.send_to(options.as_bytes(), recorder.signalling).unwrap();
    assert!(client.recv(&mut [0; 2_000]).is_err(), "it was answered");
    drop(recorder);
    // The same, from one who is: so that the silence was no other's.
    let Some(recorder) = Recorder::new(CHARTER_WITHOUT_SOUND, "127.0.0.1") else { return };
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(options.as_bytes(), recorder.signalling).unwrap();
    let mut answer = [0; 2_000];
    let length = client.recv(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"SIP/2.0 200 OK\r\n"), "{}", String::from_utf8_lossy(&answer[..length]));
}

#[test]
fn scenarios_that_others_wrote_are_answered() {
    let Some(folder) = shared_data().map(|data| data.join("siprec/scenarios")).filter(|folder| folder.is_dir()) else {
        return skip("the scenarios are not here");
    };
    let Some(recorder) = Recorder::new(CHARTER_WITHOUT_SOUND, "127.0.0.1") else { return };
    // Any sound will do.
    let call = Call { ring_ms: 100, end_ms: Some(1_000), codec: sotto_tests::script::Codec::Pcma, ..Call::default() };
    let made = make(&Script::of(call.sounds(Who::Customer, 0, 1_000, 440.0))).unwrap();
    let sound = recorder.site.path("sound.pcap");
    let media: Vec<_> = made.packets.iter().filter(|packet| !packet.is_signalling()).cloned().collect();
    std::fs::write(&sound, sotto_tests::pcap::to_bytes(&media)).unwrap();
    for (count, name) in ["uac_siprec_pcap.xml", "uac_siprec_pcap2.xml"].into_iter().enumerate() {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let sounding: Vec<&str> = text.split("play_pcap_audio=\"").collect();
        let text = sounding.iter().enumerate().map(|(part, text)| match text.split_once('"') {
            Some((_, rest)) if part > 0 => format!("play_pcap_audio=\"{}\"{rest}", sound.display()),
            _ => (*text).to_owned(),
        });
        // SIPp does not know its own call again by a changed Call-ID.
        let scenario = recorder.site.write(name, text.collect::<String>().replace("[call_id]-XX", "[call_id]")).unwrap();
        let mut sipp = recorder.sipp(&scenario, &["-t", "u1", "-i", "127.0.0.1"]);
        recorder.finish(&mut sipp);
        let score = recorder.scores(count + 1).pop().unwrap();
        eprintln!("{name}: {} {} hold_count {}", score["outcome"], score["end_cause"], score["hold_count"]);
        assert_eq!((&score["outcome"], &score["end_cause"]), (&"signalling_only".into(), &"hung_up".into()), "{score}");
    }
}

#[test]
fn a_wrong_configuration_is_refused_and_named() {
    let refused = |siprec: &str, command: &str| {
        let site = Site::new(&(config(None, None) + siprec), CHARTER_WITHOUT_SOUND).unwrap();
        let output = run(site.sotto().unwrap().arg(command)).unwrap();
        assert_eq!(output.status.code(), Some(78), "{siprec}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let source = "[capture]\nsource = \"siprec\"\n";
    for (siprec, why) in [
        ("", "[siprec] with allow is absent"),
        ("[siprec]\nallow = []\n", "nobody would be heard"),
        ("[siprec]\nallow = [\"sbc.example\"]\n", "allow: sbc.example is neither"),
        ("[siprec]\nallow = [\"127.0.0.1\"]\nlisten = \"udp:5060\"\n", "listen: must be"),
        ("[siprec]\nallow = [\"127.0.0.1\"]\nrtp_ports = \"9-5\"\n", "rtp_ports: must be"),
        ("[siprec]\nallow = [\"127.0.0.1\"]\nport = 1\n", "unknown field `port`"),
    ] {
        let said = refused(&format!("{source}{siprec}"), "siprec");
        assert!(said.contains(why), "{said}");
    }
    let right = "[siprec]\nallow = [\"127.0.0.1\"]\n";
    assert!(refused(&format!("{source}{right}"), "tap").contains("`sotto siprec` hears it"));
    assert!(refused(right, "siprec").contains("`sotto tap` hears the others"));
}
