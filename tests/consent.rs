//! Scripted calls, and what was published of each: consent gates decoding, and what narrows is final.

use serde_json::Value;
use sotto_tests::process::{installed, run, skip};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Party, Script, Who};
use sotto_tests::site::{Site, config, has_pack};
use sotto_tests::{Made, make};

/// Announcements on one trunk; a yes in the call on the numbers that begin with 498.
const CHARTER: &str = r#"version = "1"
profile = "eu"
kpis = ["silence"]
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[agreement]
name = "Works agreement 7"
parties = ["Harbor Telecom", "Works council"]
signed = "2026-10-01"
[[consent]]
match = "+498*"
customer = "given"
agent = "agreement"
[[consent]]
match = "*"
trunk = "sip:*@carrier.example"
customer = "notice"
notice = "N-1"
agent = "agreement"
[evidence]
sip_header = "X-Consent"
given = "yes"
refused = "no"
[keys]
objection = "*9"
pause = "*7"
resume = "*8"
consent = "*1"
private = "*0"
[exclude]
lines = ["council"]
agents = ["sip:1009@*"]
[retention]
scores_days = 7
[[purpose]]
metric = "silence"
why = "Find where our own systems make people wait"
basis = "legitimate interest"
review_by = "2099-01-01"
"#;

const LINES: &str = "[[lines]]\nmatch = \"sip:1099@*\"\nname = \"council\"\n";

/// Four seconds between the agent of this address and the customer of that.
fn call(agent: &str, customer: &str) -> Call {
    let party = |uri: &str| Party { uri: Some(uri.to_owned()), ..Party::default() };
    let call = Call { ring_ms: 400, end_ms: Some(4_000), agent: party(agent), customer: party(customer), ..Call::default() };
    call.sounds(Who::Agent, 200, 500, 440.0).sounds(Who::Customer, 1_000, 500, 550.0)
}

const AGENT: &str = "sip:1042@pbx.example";
const CUSTOMER: &str = "sip:+12025550142@carrier.example";

fn site() -> Site {
    Site::new(&(config(None, None) + LINES), CHARTER).unwrap()
}

fn made(call: Call) -> Made {
    make(&Script::of(call)).unwrap()
}

/// What `sotto replay` publishes of one call: its score, if there is one, and the ledger.
fn published(call: Call) -> (Option<Value>, Value) {
    let site = site();
    let pcap = site.write("call.pcap", made(call).pcap()).unwrap();
    let output = run(site.sotto().unwrap().arg("replay").arg(pcap)).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (mut score, mut ledger) = (None, Value::Null);
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let topic = message["topic"].as_str().unwrap();
        let payload = validate(topic, message["payload"].to_string().as_bytes()).unwrap();
        if topic.ends_with("call/score") {
            assert!(score.replace(payload).is_none(), "one score");
        } else if topic.ends_with("coverage") {
            ledger = payload;
        }
    }
    (score, ledger)
}

/// How many packets were decoded, of how many that came.
fn decoded(call: Call) -> (u64, u64) {
    let site = site();
    let pcap = site.write("call.pcap", made(call).pcap()).unwrap();
    let output = run(site.sotto().unwrap().args(["replay", "--until", "decode"]).arg(pcap)).unwrap();
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let count = |key: &str| counts[key].as_u64().unwrap();
    (count("frames_decoded"), count("frames_decoded") + count("frames_dropped"))
}

fn with_header(call: Call, header: &str) -> Call {
    Call { header: Some(header.to_owned()), ..call }
}

/// The calls of the table, with what becomes of each: outcome, why nothing is known of its silence, the parts decoded (of 100, between).
fn scenes() -> Vec<(&'static str, Call, &'static str, &'static str, [u64; 2])> {
    let plain = || call(AGENT, CUSTOMER);
    let asked = || call(AGENT, "sip:+4989555@carrier.example");
    vec![
        ("an announcement plays", plain(), "scored", "", [100, 100]),
        ("the customer objects in mid call", plain().presses(Who::Customer, 1_900, "*9"), "signalling_only", "consent", [45, 55]),
        ("the agent objects in mid call", plain().presses(Who::Agent, 1_900, "*9"), "signalling_only", "consent", [45, 55]),
        ("the PBX says no in its header", with_header(plain(), "X-Consent: no"), "signalling_only", "consent", [0, 0]),
        ("the agent pauses and goes on", plain().presses(Who::Agent, 900, "*7").presses(Who::Agent, 1_900, "*8"), "scored", "", [70, 80]),
        ("the agent pauses for good", plain().presses(Who::Agent, 900, "*7"), "scored", "paused", [20, 30]),
        ("a card number in a pause is no objection", plain().presses(Who::Agent, 900, "*7").presses(Who::Customer, 1_200, "*9").presses(Who::Agent, 1_900, "*8"), "scored", "", [70, 80]),
        ("an excluded line", call("sip:1099@pbx.example", CUSTOMER), "excluded", "", [0, 0]),
        ("an agent of the list", call("sip:1009@pbx.example", CUSTOMER), "excluded", "", [0, 0]),
        ("a private call", plain().presses(Who::Agent, 1_900, "*0"), "excluded", "", [45, 55]),
        ("an unknown trunk", call(AGENT, "sip:+12025550142@elsewhere.example"), "signalling_only", "consent", [0, 0]),
        ("a yes that was asked for and not given", asked(), "signalling_only", "consent", [0, 0]),
        ("a yes by the PBX's header", with_header(asked(), "X-Consent: yes"), "scored", "", [100, 100]),
        ("a yes by the customer's key", asked().presses(Who::Customer, 900, "*1"), "scored", "", [70, 80]),
        ("the agent presses the customer's key", asked().presses(Who::Agent, 900, "*1"), "signalling_only", "consent", [0, 0]),
        ("a yes that is taken back", with_header(asked(), "X-Consent: yes").presses(Who::Customer, 1_900, "*9"), "signalling_only", "consent", [45, 55]),
    ]
}

#[test]
fn what_is_published_of_each_call_is_what_was_agreed() {
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    for (what, call, outcome, reason, _) in scenes() {
        let (score, ledger) = published(call);
        let score_text = score.as_ref().map_or_else(String::new, Value::to_string);
        eprintln!("{what}: {outcome}; {}", if score_text.is_empty() { "nothing is published of it" } else { &score_text });
        assert_eq!((&ledger["calls_seen"], &ledger[outcome]), (&1.into(), &1.into()), "{what}: {ledger}");
        let Some(score) = score else {
            assert_eq!(outcome, "excluded", "{what}");
            continue;
        };
        assert_ne!(outcome, "excluded", "{what}: {score}");
        assert_eq!(score["outcome"], outcome, "{what}: {score}");
        assert!(score["call_duration_ms"].as_i64().is_some_and(|duration| (3_900..=4_100).contains(&duration)), "signalling stays: {what}: {score}");
        let silence = score.get("non_talk_time_total_ms").is_some();
        if reason.is_empty() {
            assert!(silence, "{what}: {score}");
        } else {
            assert!(!silence && score["unavailable"].as_str().unwrap().contains(&format!("non_talk_time_total_ms:{reason}")), "{what}: {score}");
        }
        // Who refused, or was never asked, cannot be told from others by team or line.
        assert_eq!(score.get("team").is_none(), outcome == "signalling_only", "{what}: {score}");
    }
}

#[test]
fn nothing_is_decoded_before_a_yes_nor_after_a_no() {
    for (what, call, _, _, [least, most]) in scenes() {
        let (decoded, all) = decoded(call);
        eprintln!("{what}: {decoded} of {all} packets decoded");
        assert!(all >= 390, "{what}: {all}");
        assert!((least * all / 100..=most * all / 100).contains(&decoded), "{what}: {decoded} of {all}");
    }
}

/// A charter that is not signed as the site demands measures nothing; the box goes on.
#[test]
fn an_unsigned_or_changed_charter_stops_measuring_and_not_the_box() {
    if !installed("minisign") {
        return skip("minisign is not installed");
    }
    if !has_pack() {
        return skip("the model pack has not been built");
    }
    let site = site();
    let key = |name: &str| {
        let (public, secret) = (site.path(&format!("{name}.pub")), site.path(&format!("{name}.key")));
        let made = run(std::process::Command::new("minisign").args(["-G", "-f", "-W", "-p"]).arg(&public).arg("-s").arg(secret)).unwrap();
        assert!(made.status.success());
        std::fs::read_to_string(public).unwrap().lines().nth(1).unwrap().to_owned()
    };
    let keys = format!("[charter]\napproval = \"required\"\nemployer = \"{}\"\nrepresentatives = \"{}\"\n", key("employer"), key("representatives"));
    site.write("sotto.toml", config(None, None) + LINES + &keys).unwrap();
    let sign = |name: &str, suffix: &str| {
        let mut minisign = std::process::Command::new("minisign");
        minisign.args(["-S", "-W", "-s"]).arg(site.path(&format!("{name}.key"))).arg("-m").arg(site.path("charter.toml")).arg("-x").arg(site.path(&format!("charter.toml.{suffix}")));
        assert!(run(&mut minisign).unwrap().status.success());
    };
    let pcap = site.write("call.pcap", made(call(AGENT, CUSTOMER)).pcap()).unwrap();
    let outcome = || {
        let output = run(site.sotto().unwrap().arg("replay").arg(&pcap)).unwrap();
        assert!(output.status.success(), "the box goes on: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let score: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        score["payload"]["outcome"].as_str().unwrap().to_owned()
    };
    let check = |arguments: &[&str]| run(site.sotto().unwrap().arg("check").args(arguments)).unwrap();
    let refused = |why: &str| {
        assert_eq!(outcome(), "signalling_only", "{why}");
        let output = check(&[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(78) && said.contains("charter.toml: ") && said.contains(why) && said.contains("BetrVG 87"), "{why}: {said}");
        assert_eq!(check(&["--starting"]).status.code(), Some(0), "{why}");
    };
    refused("the employer did not sign");
    sign("employer", "minisig");
    refused("the representatives did not sign");
    sign("employer", "representatives.minisig");
    refused("the representatives signed another text");
    sign("representatives", "representatives.minisig");
    assert_eq!((outcome().as_str(), check(&[]).status.code()), ("scored", Some(0)));
    site.write("charter.toml", CHARTER.replace("scores_days = 7", "scores_days = 6")).unwrap();
    refused("the employer signed another text");
    // An agreement that has ended.
    site.write("charter.toml", CHARTER.replace("signed = \"2026-10-01\"", "signed = \"2020-01-01\"\nuntil = \"2021-01-01\"")).unwrap();
    sign("employer", "minisig");
    sign("representatives", "representatives.minisig");
    let output = check(&[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(78) && said.contains("charter.toml:11: the agreement ended on 2021-01-01"), "{said}");
    assert_eq!(check(&["--starting"]).status.code(), Some(0));
}
