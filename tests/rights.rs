//! Rights, end to end: what an agent wishes narrows what is measured; a contested score goes everywhere; who is erased is gone.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use sotto_tests::broker::{Broker, Subscriber};
use sotto_tests::make;
use sotto_tests::process::{PATIENCE, Running, run, skip};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Party, Script, Who};
use sotto_tests::site::{Site, config, has_pack};

const CHARTER: &str = r#"version = "1"
profile = "uk"
kpis = ["silence"]
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
reviewer = "the head of quality"
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "acknowledged"
[retention]
scores_days = 7
[[purpose]]
metric = "silence"
why = "Find where our own systems make people wait"
basis = "legitimate interest"
review_by = "2099-01-01"
"#;

const AGENT: &str = "sip:1042@pbx.example";
const OTHER: &str = "sip:1043@pbx.example";

/// Calls of two seconds of this agent, begun now.
fn calls(agent: &str, count: u64) -> Vec<u8> {
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64 - 600_000;
    let call = |number: u64| {
        let agent = Party { uri: Some(agent.to_owned()), ..Party::default() };
        let call = Call { start_ms: number * 5_000, ring_ms: 200, end_ms: Some(2_000), agent, ..Call::default() };
        call.sounds(Who::Agent, 200, 500, 440.0).sounds(Who::Customer, 1_000, 500, 550.0)
    };
    make(&Script { start_epoch_ms: start, ..Script::of(call(0)).with((1..count).map(call)) }).unwrap().pcap()
}

trait With {
    fn with(self, calls: impl Iterator<Item = Call>) -> Self;
}

impl With for Script {
    fn with(mut self, calls: impl Iterator<Item = Call>) -> Self {
        self.call.extend(calls);
        self
    }
}

fn sotto(site: &Site, arguments: &[&str]) -> Output {
    run(site.sotto().unwrap().args(arguments)).unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The first score that replay prints.
fn replayed(site: &Site, pcap: &Path) -> Option<Value> {
    let text = done(&sotto(site, &["replay", pcap.to_str().unwrap()]));
    let messages = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    messages.into_iter().find(|message| message["topic"].as_str().unwrap().ends_with("call/score")).map(|message| message["payload"].clone())
}

#[test]
fn what_an_agent_wishes_narrows_what_is_measured() {
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    let site = Site::new(&config(None, None), CHARTER).unwrap();
    let pcap = site.write("call.pcap", calls(AGENT, 1)).unwrap();
    let outcome = || replayed(&site, &pcap).map_or_else(String::new, |score| score["outcome"].as_str().unwrap().to_owned());
    assert_eq!(outcome(), "signalling_only", "the agent has not read the notice");
    done(&sotto(&site, &["subject", "acknowledge", OTHER]));
    assert_eq!(outcome(), "signalling_only", "another one has");
    done(&sotto(&site, &["subject", "acknowledge", AGENT]));
    assert_eq!(outcome(), "scored");
    done(&sotto(&site, &["pause", AGENT]));
    let score = replayed(&site, &pcap).unwrap();
    assert!(score["unavailable"].as_str().unwrap().contains("non_talk_time_total_ms:paused"), "{score}");
    done(&sotto(&site, &["pause", AGENT, "--resume"]));
    done(&sotto(&site, &["subject", "object", AGENT]));
    assert_eq!(outcome(), "", "nothing is published of who objected");
    done(&sotto(&site, &["subject", "object", AGENT, "--withdraw"]));
    assert_eq!(outcome(), "scored");
    // Another version of the charter wants another reading.
    site.write("charter.toml", CHARTER.replace("scores_days = 7", "scores_days = 6")).unwrap();
    assert_eq!(outcome(), "signalling_only");
    // All of it is on record, and nobody's name.
    let shown = done(&sotto(&site, &["audit", "show", "--json"]));
    let acts: Vec<String> = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["act"].as_str().unwrap().to_owned()).collect();
    assert_eq!(acts, ["acknowledged", "acknowledged", "paused", "resumed", "objected", "objection_withdrawn"]);
    assert!(!shown.contains("pbx.example"));
    done(&sotto(&site, &["audit", "verify"]));
}

/// A site whose uplink runs, with somebody who reads what supervisors read.
struct Scene {
    site: Site,
    heard: Subscriber,
    _uplink: Running,
    _broker: Broker,
}

fn scene() -> Option<Scene> {
    if !has_pack() || !Broker::is_installed() {
        skip("the model pack has not been built, or mosquitto is not installed");
        return None;
    }
    let broker = Broker::start().unwrap();
    let heard = broker.subscribe(&["sotto/v1/+/+/call/+"]).unwrap();
    let site = Site::new(&config(None, Some(&broker.url())), CHARTER).unwrap();
    for agent in [AGENT, OTHER] {
        done(&sotto(&site, &["subject", "acknowledge", agent]));
    }
    let uplink = Running::start(site.sotto().unwrap().arg("uplink")).unwrap();
    Some(Scene { site, heard, _uplink: uplink, _broker: broker })
}

impl Scene {
    fn publish(&self, name: &str, pcap: Vec<u8>) {
        let pcap = self.site.write(name, pcap).unwrap();
        done(&sotto(&self.site, &["replay", "--publish", pcap.to_str().unwrap()]));
    }

    /// The messages of a kind, as soon as there are so many.
    fn wait(&self, kind: &str, count: usize) -> Vec<Value> {
        let of_kind = |came: &[sotto_tests::broker::Received]| came.iter().filter(|message| message.topic.ends_with(kind)).count();
        let came = self.heard.wait(kind, PATIENCE, |came| of_kind(came) >= count).unwrap();
        came.iter().filter(|message| message.topic.ends_with(kind)).map(|message| validate(&message.topic, &message.payload).unwrap()).collect()
    }
}

#[test]
fn a_contested_score_is_withdrawn_downstream_reviewed_and_decided() {
    let Some(scene) = scene() else { return };
    scene.publish("calls.pcap", calls(AGENT, 2));
    let scores = scene.wait("call/score", 2);
    let call = scores[0]["call"].as_str().unwrap();
    let said = done(&sotto(&scene.site, &["contest", call, "--reason", "outage", "--metric", "silence"]));
    assert!(said.contains("the head of quality"), "{said}");
    let tombstone = scene.wait("call/withdrawn", 1).remove(0);
    assert_eq!(tombstone["call"], call);
    let keys: Vec<&String> = tombstone.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["call", "node", "site", "v"], "the call's id alone");
    done(&sotto(&scene.site, &["contest", call, "--resolve", "corrected"]));
    let refused = |arguments: &[&str], why: &str| {
        let output = sotto(&scene.site, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(why), "{arguments:?}: {said}");
    };
    refused(&["contest", call], "contested before");
    refused(&["contest", "00000001-1"], "never saw such a call");
    refused(&["contest", &format!("{}-999", &call[..8])], "never saw such a call");
    refused(&["contest", scores[1]["call"].as_str().unwrap(), "--resolve", "upheld"], "no open contest");
    let listed: Value = serde_json::from_str(&done(&sotto(&scene.site, &["contest", "--json"]))).unwrap();
    assert_eq!((&listed["call"], &listed["metric"], &listed["reason"], &listed["outcome"]), (&call.into(), &"silence".into(), &"outage".into(), &"corrected".into()));
    let shown = done(&sotto(&scene.site, &["audit", "show", "--json"]));
    for act in ["contested", "withdrawn", "resolved", "contest_refused", "decided"] {
        assert!(shown.contains(&format!("\"act\":\"{act}\"")), "{act}: {shown}");
    }
    done(&sotto(&scene.site, &["audit", "verify"]));
}

#[test]
fn who_is_erased_is_gone_and_downstream_hears_of_each_call() {
    let Some(scene) = scene() else { return };
    scene.publish("agent.pcap", calls(AGENT, 3));
    scene.publish("other.pcap", calls(OTHER, 1));
    let scores = scene.wait("call/score", 4);
    let export = |agent: &str| serde_json::from_str::<Value>(&done(&sotto(&scene.site, &["subject", "export", agent, "--json"]))).unwrap();
    let known = export(AGENT);
    let calls: Vec<String> = known["calls"].as_array().unwrap().iter().map(|call| call["call"].as_str().unwrap().to_owned()).collect();
    assert_eq!(calls.len(), 3, "{known}");
    let reference = known["reference"].as_str().unwrap().to_owned();
    done(&sotto(&scene.site, &["subject", "erase", AGENT]));
    let mut withdrawn: Vec<String> = scene.wait("call/withdrawn", 3).iter().map(|tombstone| tombstone["call"].as_str().unwrap().to_owned()).collect();
    withdrawn.sort();
    assert_eq!(withdrawn, calls);
    assert_eq!((export(AGENT)["known"].clone(), export(OTHER)["calls"].as_array().unwrap().len()), (false.into(), 1));
    // In no byte of the tap's file or its log; of the agent's name in no file at all.
    let bytes: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&reference[2 * at..2 * at + 2], 16).unwrap()).collect();
    let mut searched = 0;
    for entry in std::fs::read_dir(scene.site.folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = std::fs::read(&path).unwrap_or_default();
        let holds = |needle: &[u8]| content.windows(needle.len()).any(|window| window == needle);
        if name.contains(".db") {
            searched += 1;
            assert!(!holds(b"1042@pbx") && !holds(b"pbx.example"), "{name} holds the agent's name");
        }
        if name.contains("tap.db") {
            assert!(!holds(&bytes), "{name} still knows whose reference it was");
            assert!(calls.iter().all(|call| !holds(call.as_bytes())), "{name} still knows whose calls they were");
        }
    }
    assert!(searched >= 3, "{searched} files searched");
    // A customer, by one call.
    let other = scores.iter().map(|score| score["call"].as_str().unwrap()).find(|call| !calls.iter().any(|erased| erased == call)).unwrap();
    done(&sotto(&scene.site, &["subject", "erase", "--call", other]));
    assert_eq!(scene.wait("call/withdrawn", 4).last().unwrap()["call"], other);
    done(&sotto(&scene.site, &["audit", "verify"]));
}
