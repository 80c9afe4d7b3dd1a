//! A call is the same call whatever carries it, and what the site does not trust carries none.

use serde_json::Value;
use sotto_tests::carrier::Carrier;
use sotto_tests::pcap::{self, Packet};
use sotto_tests::process::run;
use sotto_tests::script::{Call, Codec, Script, Who};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, Site, config};
use sotto_tests::{make, schema::validate};

/// A call with a hold, in each codec.
fn calls() -> Vec<Packet> {
    let call = |number: u64, codec| {
        let call = Call { start_ms: 700 * number, ring_ms: 800, codec, end_ms: Some(9_000), call_id: Some(format!("call-{number}")), ..Call::default() };
        call.holds(3_000, 2_000).sounds(Who::Agent, 0, 2_500, 440.0).sounds(Who::Customer, 500, 2_000, 660.0)
    };
    let calls = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus].into_iter().zip(0..).map(|(codec, number)| call(number, codec));
    make(&Script { call: calls.collect(), ..Script::default() }).unwrap().packets
}

/// The scores, without what names this run; the streams, without which call they are of; and all counts.
fn heard(site: &Site, packets: &[Packet]) -> (Vec<Value>, Vec<Value>, Value) {
    let pcap = site.write("calls.pcap", pcap::to_bytes(packets)).unwrap();
    let output = run(site.sotto().unwrap().arg("replay").arg(&pcap)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let messages = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let scores = messages.filter(|message| message["topic"].as_str().unwrap().ends_with("call/score")).map(|message| {
        let mut score = validate(message["topic"].as_str().unwrap(), message["payload"].to_string().as_bytes()).unwrap();
        let fields = score.as_object_mut().unwrap();
        ["call", "seq", "outbox", "expires_ms"].iter().for_each(|field| drop(fields.remove(*field)));
        score
    });
    let mut scores: Vec<Value> = scores.collect();
    scores.sort_by_key(ToString::to_string);
    let output = run(site.sotto().unwrap().args(["replay", "--until", "dialog", "--streams"]).arg(&pcap)).unwrap();
    let mut counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let Value::Array(mut streams) = counts["streams"].take() else { panic!("{counts}") };
    streams.iter_mut().for_each(|stream| drop(stream.as_object_mut().unwrap().remove("call")));
    streams.sort_by_key(ToString::to_string);
    (scores, streams, counts)
}

#[test]
fn a_call_is_the_same_whatever_carries_it() {
    let site = Site::new(&config(None, None), CHARTER_WITHOUT_SOUND).unwrap();
    let calls = calls();
    let (scores, streams, plain) = heard(&site, &calls);
    assert_eq!((scores.len(), streams.len(), &plain["calls"]), (4, 8, &4.into()));
    for score in &scores {
        assert_eq!((&score["outcome"], &score["hold_ms"], &score["hold_count"]), (&"signalling_only".into(), &2_000.into(), &1.into()), "{score}");
    }
    for carrier in Carrier::ALL {
        let (carried_scores, carried_streams, counts) = heard(&site, &carrier.carry(&calls));
        assert_eq!((&carried_scores, &carried_streams), (&scores, &streams), "{carrier:?}: {counts}");
        let is_as_said = match carrier {
            Carrier::SipOverTcp => counts["tcp"].as_u64().unwrap() > 3 * plain["sip_messages"].as_u64().unwrap(),
            Carrier::Hep | Carrier::HepOverTcp => counts["hep"] == plain["datagrams"],
            _ => counts["tunnelled"] == plain["datagrams"],
        };
        assert!(is_as_said, "{carrier:?}: {counts}");
    }
}

#[test]
fn what_the_site_does_not_trust_carries_no_call() {
    let calls = calls();
    let capture = |line: &str| format!("{}[capture]\nsource = \"mirror\"\ninterface = \"eth9\"\n{line}\n", config(None, None));
    let strangers = Site::new(&capture("tunnel_peers = [\"192.0.2.0/24\"]"), CHARTER_WITHOUT_SOUND).unwrap();
    let none = Site::new(&capture("tunnels = []"), CHARTER_WITHOUT_SOUND).unwrap();
    let peers = Site::new(&capture("tunnels = [\"gre\", \"hep\"]\ntunnel_peers = [\"10.9.0.1\"]"), CHARTER_WITHOUT_SOUND).unwrap();
    for carrier in Carrier::ALL.into_iter().filter(|carrier| *carrier != Carrier::SipOverTcp) {
        let carried = carrier.carry(&calls);
        for (site, is_trusted) in [(&strangers, false), (&none, false), (&peers, matches!(carrier, Carrier::Gre | Carrier::Erspan | Carrier::Hep | Carrier::HepOverTcp))] {
            let (scores, _, counts) = heard(site, &carried);
            assert_eq!((scores.len(), counts["untrusted"] == 0), if is_trusted { (4, true) } else { (0, false) }, "{carrier:?}: {counts}");
        }
    }
}
