//! A telephone line, heard by a sound card: calls begin and end by who speaks.
//!
//! No card is needed: ALSA's `file` plugin reads a pipe in the place of one, as fast as `sotto tap` listens.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;
use sotto_charter::Names;
use sotto_spool::Spool;
use sotto_tests::make;
use sotto_tests::process::{PATIENCE, Running, installed, run, skip, wait_for};
use sotto_tests::schema::validate;
use sotto_tests::script::{Call, Script, Who};
use sotto_tests::site::{CHARTER, Site, config, has_pack};
use sotto_tests::truth::CallTruth;
use sotto_uplink::{About, render};

/// Samples a second.
const RATE: usize = 8_000;

/// What a recogniser is not needed for.
fn charter() -> String {
    let (agreed, _) = CHARTER.split_once("[[category]]").unwrap();
    let (before, keywords) = agreed.rsplit_once("[[purpose]]").unwrap();
    assert!(keywords.contains("keywords"));
    let before = before.replace(", \"keywords\"]", "]").replace("detail = [\"talk_balance\"]", "detail = []");
    before + "[controller]\nname = \"Harbor Telecom\"\ncontact = \"privacy@harbor.example\"\n"
}

/// A box with a sound card whose line is a pipe.
struct Recorder {
    site: Site,
    tap: Running,
    line: JoinHandle<()>,
}

impl Recorder {
    /// Hears `calls` one after the other, each followed by half a minute of a quiet line, which goes on for ever after the last.
    fn hear(channels: &str, calls: Vec<[Vec<i16>; 2]>) -> Self {
        let folder = Site::new("", "").unwrap();
        let pipe = folder.path("line");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let device = format!("plug:{{SLAVE={{type file slave.pcm null file /dev/null infile {} format raw}}}}", pipe.display());
        let capture = format!("[capture]\nsource = \"alsa\"\ndevice = \"{device}\"\nchannels = \"{channels}\"\nrate = {RATE}\n");
        folder.write("sotto.toml", config(None, None) + &capture).unwrap();
        folder.write("charter.toml", charter()).unwrap();
        let is_mixed = channels == "mixed";
        let line = std::thread::spawn(move || play(&pipe, is_mixed, &calls));
        let mut tap = folder.sotto().unwrap();
        tap.arg("tap").env("CANDLE_NUM_THREADS", "1").env("RAYON_NUM_THREADS", "1");
        let log = File::create(folder.path("tap.log")).unwrap();
        let tap = Running::start(tap.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap();
        Self { site: folder, tap, line }
    }

    /// Waits for so many scores, and stops.
    fn scores(mut self, count: u64) -> Vec<Value> {
        let seen = || {
            let output = run(self.site.sotto().unwrap().args(["status", "--json"])).unwrap();
            let status: Option<Value> = serde_json::from_slice(&output.stdout).ok();
            (status?["ledger"]["scored"].as_u64()? == count).then_some(())
        };
        wait_for("the scores", PATIENCE, seen).unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        assert!(self.tap.terminate(PATIENCE).unwrap().success(), "{}", self.log());
        self.line.join().unwrap();
        let about = About::new("harbor", "rec-1").unwrap();
        let names = Names { teams: vec!["billing".into()], lines: Vec::new() };
        let mut spool = Spool::open(&self.site.spool(), 0).unwrap();
        let entries = spool.pending(0, 100).unwrap();
        let messages = entries.iter().map(|entry| render(&entry.score, &names, &about));
        messages.map(|(topic, payload)| validate(&topic, payload.as_bytes()).unwrap()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.site.path("tap.log")).unwrap_or_default()
    }
}

/// Plays until nobody listens any more.
fn play(pipe: &Path, is_mixed: bool, calls: &[[Vec<i16>; 2]]) {
    let quiet = [vec![0; 30 * RATE], vec![0; 30 * RATE]];
    let mut pipe = File::options().write(true).open(pipe).unwrap();
    let line = calls.iter().flat_map(|call| [&quiet, call]).chain(std::iter::repeat(&quiet));
    for [agent, customer] in line {
        let instants = agent.iter().zip(customer);
        let samples: Vec<i16> = if is_mixed {
            instants.map(|(a, b)| a.saturating_add(*b)).collect()
        } else {
            instants.flat_map(|(a, b)| [*a, *b]).collect()
        };
        let bytes: Vec<u8> = samples.into_iter().flat_map(i16::to_ne_bytes).collect();
        if pipe.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// A call of a few sentences: its two legs, of one length, and what is true of it.
fn call() -> ([Vec<i16>; 2], CallTruth) {
    let call = Call { ring_ms: 0, tail_ms: 300, ..Call::default() };
    let call = call
        .says_at(Who::Agent, 300, "Good morning, you are speaking with the service desk. How can I help you today?")
        .says(Who::Customer, 600, "Good morning. My internet has not been working since yesterday evening, and I work from home.")
        .says(Who::Agent, 500, "I am sorry to hear that. Let me have a look at your line.")
        .says(Who::Customer, 5_000, "Thank you very much.");
    let mut made = make(&Script::of(call)).unwrap();
    let mut legs = made.legs.remove(0);
    let longest = legs.iter().map(Vec::len).max().unwrap_or(0);
    legs.iter_mut().for_each(|leg| leg.resize(longest, 0));
    (legs, made.truth.calls.remove(0))
}

/// How long a line takes the call to be: from half a second before the first voice to the last one. A word that fades is over a little earlier there
/// than by its samples: where it no longer stands out of the line's noise.
fn duration_ms(truth: &CallTruth) -> u32 {
    let talks = || truth.agent.segments.iter().chain(&truth.customer.segments);
    let first = talks().map(|talk| talk.start_ms).min().unwrap();
    500 + talks().map(|talk| talk.end_ms).max().unwrap() - first
}

fn can_run() -> bool {
    for (program, package) in [("flite", "flite"), ("mkfifo", "coreutils")] {
        if !installed(program) {
            skip(&format!("{package} is not installed"));
            return false;
        }
    }
    if !has_pack() {
        skip("the model pack is not built");
        return false;
    }
    true
}

fn near(score: &Value, field: &str, truth: u32, off: f64) {
    let value = score[field].as_f64().unwrap_or_else(|| panic!("{field} is absent: {score}"));
    assert!((value - f64::from(truth)).abs() <= off, "{field}: {value}, truly {truth}: {score}");
}

#[test]
fn two_calls_on_one_line_are_two_scores() {
    if !can_run() {
        return;
    }
    let (legs, truth) = call();
    let scores = Recorder::hear("agent-customer", vec![legs.clone(), legs]).scores(2);
    assert_eq!(scores.len(), 2);
    for score in &scores {
        for (field, truth) in [("talk_time_agent_ms", truth.agent.talk_time_ms), ("talk_time_customer_ms", truth.customer.talk_time_ms)] {
            near(score, field, truth, f64::from(truth) * 0.05 + 100.0);
        }
        near(score, "non_talk_time_total_ms", truth.non_talk_time_total_ms, 300.0);
        near(score, "call_duration_ms", duration_ms(&truth), 300.0);
        assert_eq!(score["end_cause"], "hung_up");
    }
}

#[test]
fn of_a_line_with_both_parties_in_one_channel_no_number_is_one_partys() {
    if !can_run() {
        return;
    }
    let (legs, truth) = call();
    let scores = Recorder::hear("mixed", vec![legs]).scores(1);
    let unavailable = scores[0]["unavailable"].as_str().unwrap();
    for field in ["talk_time_agent_ms", "talk_time_customer_ms", "interruptions_agent_count"] {
        assert!(scores[0][field].is_null(), "{}", scores[0]);
        assert!(unavailable.split(',').any(|said| said == format!("{field}:mixed")), "{unavailable}");
    }
    near(&scores[0], "non_talk_time_total_ms", truth.non_talk_time_total_ms, 300.0);
    near(&scores[0], "call_duration_ms", duration_ms(&truth), 300.0);
}

#[test]
fn what_is_configured_is_checked() {
    let checked = |capture: &str| {
        let site = Site::new(&(config(None, None) + "[capture]\n" + capture), sotto_tests::site::CHARTER_WITHOUT_SOUND).unwrap();
        let output = run(site.sotto().unwrap().arg("check")).unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    };
    let (code, text) = checked("source = \"alsa\"\ndevice = \"hw:1,0\"\nchannels = \"agent-customer\"\n");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("hears the line at the sound card hw:1,0 (the agent left, the customer right; 8000 Hz)"), "{text}");
    for (capture, said) in [
        ("source = \"alsa\"\n", "[capture] device is absent"),
        ("source = \"alsa\"\ndevice = \"hw:1\"\n", "[capture] channels is absent"),
        ("source = \"alsa\"\ndevice = \"hw:1\"\nchannels = \"both\"\n", "unknown variant `both`"),
        ("source = \"alsa\"\ndevice = \"hw:1\"\nchannels = \"mixed\"\nrate = 4000\n", "[capture] rate"),
        ("source = \"mirror\"\ninterface = \"eth1\"\ndevice = \"hw:1\"\n", "for source = \"alsa\" alone"),
    ] {
        let (code, text) = checked(capture);
        assert_eq!(code, Some(78), "{capture}: {text}");
        assert!(text.contains(said), "{capture}: {text}");
    }
}
