//! Bad input is a clear, located error or a counted drop: never a panic, never a lost row.

#[path = "bad_input/broker.rs"]
mod broker;
#[path = "bad_input/capture.rs"]
mod capture;
#[path = "bad_input/configuration.rs"]
mod configuration;
#[path = "bad_input/signalling.rs"]
mod signalling;
#[path = "bad_input/spool.rs"]
mod spool;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sotto_tests::process::run;
use sotto_tests::script::{Call, Script, Who};
use sotto_tests::site::{CHARTER_WITHOUT_SOUND, Site, config};
use sotto_tests::{Made, make};

/// What a command came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs a command to its end, which is an exit code and no panic.
fn ran(command: &mut Command) -> Ran {
    let output = run(command).unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(!err.contains("panicked") && !out.contains("panicked"), "{err}");
    let code = output.status.code().unwrap_or_else(|| panic!("ended by a signal: {:?}\n{err}", output.status));
    Ran { code, out, err }
}

/// Runs a command that is refused with this exit code, and returns its one line of why.
fn refused(code: i32, command: &mut Command) -> String {
    let ran = ran(command);
    assert_eq!(ran.code, code, "{command:?}\n{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.starts_with("sotto: "), "{}", ran.err);
    ran.err
}

/// A site whose charter needs no sound, so that nothing but the input takes time.
fn quick_site() -> Site {
    Site::new(&config(None, None), CHARTER_WITHOUT_SOUND).unwrap()
}

fn replay(site: &Site, file: &Path) -> Command {
    let mut command = site.sotto().unwrap();
    command.arg("replay").arg(file);
    command
}

/// The ledger that a replay printed last. It adds up.
fn ledger(out: &str) -> Value {
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert!(last["topic"].as_str().unwrap().ends_with("/coverage"), "{last}");
    adds_up(&last["payload"]);
    last["payload"].clone()
}

fn adds_up(ledger: &Value) {
    let outcomes = ["scored", "signalling_only", "unanswered", "not_sampled", "excluded", "interrupted", "shed", "refused", "open"];
    let sum: u64 = outcomes.iter().map(|outcome| ledger[outcome].as_u64().unwrap()).sum();
    assert_eq!(ledger["calls_seen"].as_u64().unwrap(), sum, "{ledger}");
}

/// The scores among what a replay printed.
fn scores(out: &str) -> Vec<Value> {
    let messages = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    messages.filter(|message| message["topic"].as_str().unwrap().ends_with("/call/score")).map(|message| message["payload"].clone()).collect()
}

/// A call of two tones, which takes no time to make.
fn call(duration_ms: u32) -> Call {
    let call = Call { ring_ms: 100, end_ms: Some(duration_ms), ..Call::default() };
    call.sounds(Who::Agent, 0, duration_ms / 2, 440.0).sounds(Who::Customer, duration_ms / 2, duration_ms / 2, 660.0)
}

/// Calls, one after the other.
fn calls(times: u64, duration_ms: u32) -> Made {
    make(&Script::repeated(&call(duration_ms), times, u64::from(duration_ms) + 200)).unwrap()
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let site = quick_site();
    let arguments: [&[&str]; 8] = [
        &[],
        &["rewind"],
        &["replay"],
        &["replay", "--louder", "x.pcap"],
        &["replay", "--until", "words", "x.pcap"],
        &["replay", "--until", "dialog", "--publish", "x.pcap"],
        &["check", "twice"],
        &["tap", "--quietly"],
    ];
    for arguments in arguments {
        let ran = ran(site.sotto().unwrap().args(arguments));
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("try '--help'"), "{arguments:?}: {}", ran.err);
    }
}
