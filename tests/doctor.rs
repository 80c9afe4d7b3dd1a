//! Doctor tells a box that works from one that does not, says what to do, and sees what a service could do that it must not.

#[allow(dead_code)]
#[path = "live/network.rs"]
mod network;

use std::process::{Command, Stdio};

use serde_json::Value;
use sotto_tests::broker::Broker;
use sotto_tests::make;
use sotto_tests::process::{Running, installed, run, skip, sotto_binary};
use sotto_tests::script::{Call, Script, Who};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, Site, config};

use crate::network::{Network, TAP};

/// Of one thing: its verdict, what was seen, and what is to be done.
fn found<'a>(report: &'a Value, about: &str) -> (&'a str, &'a str, &'a str) {
    let finding = report["findings"].as_array().unwrap().iter().find(|finding| finding["about"] == about).unwrap_or_else(|| panic!("nothing on {about}: {report}"));
    (finding["verdict"].as_str().unwrap(), finding["says"].as_str().unwrap(), finding["next"].as_str().unwrap())
}

fn doctor(mut command: Command) -> (Value, Option<i32>) {
    let output = run(&mut command).unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (report, output.status.code())
}

fn examine(site: &Site, listen: &str) -> Command {
    let mut command = site.sotto().unwrap();
    command.args(["doctor", "--json", "--listen", listen]);
    command
}

#[test]
fn a_configuration_that_does_not_hold_is_told_with_its_place() {
    let site = Site::new("[site]\nid = \"harbor\"\nnode = \"rec-1\"\nnoed = 1\n", CHARTER_WITHOUT_SOUND).unwrap();
    let (report, code) = doctor(examine(&site, "1"));
    assert_eq!(code, Some(78));
    let (verdict, says, next) = found(&report, "configuration");
    assert!(verdict == "fail" && says.contains("sotto.toml:4") && next.contains("sotto setup"), "{report}");
}

#[test]
fn a_broker_that_is_away_and_an_interface_that_is_not_there_are_told_with_what_to_do() {
    let site = Site::new(&config(Some("sotto-none"), Some("mqtt://127.0.0.1:9")), CHARTER_WITHOUT_SOUND).unwrap();
    let (report, code) = doctor(examine(&site, "1"));
    assert_eq!(code, Some(1));
    assert_eq!(found(&report, "interface").0, "fail");
    let (verdict, _, next) = found(&report, "broker");
    assert!(verdict == "fail" && next.contains("running"), "{report}");
    assert!(report["findings"].as_array().unwrap().iter().any(|finding| finding["must"] == "not_work"), "what must not work is at least said to be untried");
}

#[test]
fn both_directions_of_a_call_are_heard() {
    if !installed("tcpreplay") || !installed("ip") {
        return skip("tcpreplay or iproute2 is not installed");
    }
    let Some(network) = Network::new() else { return skip("no network namespace can be made: that takes root") };
    let site = Site::new(&config(Some(TAP), None), CHARTER_WITHOUT_SOUND).unwrap();
    // One after the other for longer than doctor listens: whenever it begins, a call is on.
    let call = Call { ring_ms: 100, end_ms: Some(3_000), ..Call::default() };
    let call = call.sounds(Who::Agent, 0, 3_000, 440.0).sounds(Who::Customer, 0, 3_000, 660.0);
    let pcap = site.path("calls.pcap");
    make(&Script::repeated(&call, 40, 1_000)).unwrap().write_pcap(&pcap).unwrap();
    let _playing = Running::start(network.play(&pcap).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let (report, _) = doctor(network.inside(&examine(&site, "20")));
    assert_eq!(found(&report, "interface").0, "ok", "{report}");
    assert_eq!(found(&report, "SIP").0, "ok", "{report}");
    let (verdict, says, _) = found(&report, "RTP");
    assert!(verdict == "ok" && says.contains("both directions"), "{report}");
}

#[test]
fn the_broker_takes_us() {
    if !Broker::is_installed() {
        return skip("mosquitto is not installed");
    }
    let broker = Broker::start().unwrap();
    let site = Site::new(&config(None, Some(&broker.url())), CHARTER_WITHOUT_SOUND).unwrap();
    let (report, _) = doctor(examine(&site, "1"));
    let (verdict, says, _) = found(&report, "broker");
    assert!(verdict == "ok" && says.contains("0x00"), "{report}");
}

/// What the kernel answers where nothing forbids a frame, where nftables does, and where the right is missing.
#[test]
fn a_frame_leaves_where_nothing_forbids_it_and_not_where_something_does() {
    let Some(network) = Network::new() else { return skip("no network namespace can be made: that takes root") };
    if !installed("nft") {
        return skip("nftables is not installed");
    }
    let attempts = |wrapped: &[&str]| {
        let binary = sotto_binary().unwrap();
        let mut command = Command::new(wrapped.first().map_or(binary.as_os_str(), |program| program.as_ref()));
        command.args(wrapped.iter().skip(1));
        if !wrapped.is_empty() {
            command.arg(&binary);
        }
        let output = run(&mut network.inside(command.args(["attempt", "tap"]))).unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let answer = |what: &str, on: &str| {
            let attempts = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let mut of_kind = attempts.filter(|attempt| attempt["what"] == what && attempt["on"] == on);
            of_kind.next().unwrap_or_else(|| panic!("{what} on {on} was not tried: {lines}"))["refused"].as_i64()
        };
        (answer("raw_frame", TAP), answer("write", "/etc/sotto"))
    };
    assert_eq!(attempts(&[]).0, None, "nothing forbids it here");
    let rules = format!("table netdev sotto {{\n chain out {{\n type filter hook egress device \"{TAP}\" priority 0; policy drop;\n }}\n}}\n");
    let mut nft = Command::new("nft");
    nft.arg(rules);
    if !run(&mut network.inside(&nft)).unwrap().status.success() {
        return skip("this kernel has no egress hook of nftables (Linux 5.16)");
    }
    assert_eq!(attempts(&[]).0, Some(105), "ENOBUFS");
    if !installed("setpriv") {
        return skip("setpriv is not installed");
    }
    let (frame, write) = attempts(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs"]);
    assert_eq!(frame, Some(1), "EPERM");
    assert!(matches!(write, Some(2 | 13 | 30)), "ENOENT, EACCES or EROFS: {write:?}");
}
