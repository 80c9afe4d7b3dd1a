//! The numbers are right, and as right as they say.
//!
//! Ten scripted calls, clean and with pink noise at 20 dB and 3 % of packets lost, go through `sotto replay`; every published
//! number is held against what is true by construction; three of them again in G.722 and in Opus. The table is printed: `cargo test … --test accuracy -- --nocapture`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;
use sotto_tests::process::{repository, run, skip};
use sotto_tests::schema::validate;
use sotto_tests::script::{Codec, Noise, NoiseKind, Overrides};
use sotto_tests::site::{CHARTER, Site, config, has_pack};
use sotto_tests::truth::CallTruth;
use sotto_tests::{make_file, process};

/// A list of the charter: its phrases, and whose words count.
type List = (&'static [&'static str], &'static str);

const LISTS: [List; 5] = [
    (&["refund", "full amount"], "either"),
    (&["cancel", "cancelled", "cancellation"], "either"),
    (&["thank you", "thanks"], "customer"),
    (&["router"], "either"),
    (&["submarine", "nuclear reactor"], "either"),
];

/// Every number that there is, and the lists above.
fn charter() -> String {
    let (agreed, _) = CHARTER.split_once("[[category]]").unwrap();
    let mut charter = agreed.replace("detail = [\"talk_balance\"]", "detail = [\"talk_balance\", \"interruptions\", \"silence\"]");
    assert_ne!(charter, agreed);
    for (ordinal, (phrases, heard)) in LISTS.iter().enumerate() {
        let _ = writeln!(charter, "[[category]]\nname = \"list {}\"\nphrases = {phrases:?}\nheard = \"{heard}\"", ordinal + 1);
    }
    charter
}

/// Rounding to 100 ms costs half of it.
const ROUNDING_MS: f64 = 50.0;

struct Heard {
    name: String,
    is_noisy: bool,
    truth: CallTruth,
    lists: [bool; 5],
    score: Value,
}

#[test]
fn ten_calls_clean_and_noisy() {
    if !process::installed("flite") || !has_pack() {
        return skip("flite is not installed, or the model pack is not built");
    }
    let heard = hear(None, usize::MAX);
    assert_eq!(heard.len(), 20);
    println!("{}", table(&heard));
    let mut faults = Vec::new();
    for call in &heard {
        check(call, &mut faults);
    }
    check_confidence(&heard, &mut faults);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn three_calls_in_g722_and_in_opus() {
    if !process::installed("flite") || !has_pack() {
        return skip("flite is not installed, or the model pack is not built");
    }
    for (codec, name) in [(Codec::G722, "g722"), (Codec::Opus, "opus")] {
        let heard = hear(Some(codec), 3);
        assert_eq!(heard.len(), 6);
        println!("{name}{}", table(&heard));
        let mut faults = Vec::new();
        for call in &heard {
            assert_eq!(call.score["codec"], name, "{}", call.name);
            check(call, &mut faults);
        }
        assert!(faults.is_empty(), "{name}\n{}", faults.join("\n"));
    }
}

/// Makes captures of so many calls, clean and noisy, in their own codec or another, and replays them in one run; scores come in the order of the
/// files.
fn hear(codec: Option<Codec>, most: usize) -> Vec<Heard> {
    let site = Site::new(&config(None, None), &charter()).unwrap();
    let mut scripts: Vec<PathBuf> = std::fs::read_dir(repository().join("tests/calls")).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    scripts.truncate(most);
    let mut command = site.sotto().unwrap();
    command.arg("replay");
    let mut heard = Vec::new();
    for is_noisy in [false, true] {
        let noise = Noise { kind: NoiseKind::Pink, level_dbfs: None, snr_db: Some(20.0) };
        let plain = Overrides { codec, ..Overrides::default() };
        let overrides = if is_noisy { Overrides { noise: Some(noise), loss_percent: Some(3.0), ..plain } } else { plain };
        for script in &scripts {
            let mut made = make_file(script, &overrides).unwrap();
            let name = script.file_stem().unwrap().to_string_lossy().into_owned();
            let pcap = site.path(&format!("{name}-{is_noisy}.pcap"));
            made.write_pcap(&pcap).unwrap();
            command.arg(&pcap);
            let lists = lists(&std::fs::read_to_string(script).unwrap());
            heard.push(Heard { name, is_noisy, truth: made.truth.calls.remove(0), lists, score: Value::Null });
        }
    }
    let output = run(&mut command).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let messages = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let messages = messages.map(|line| (line["topic"].as_str().unwrap().to_owned(), line["payload"].to_string()));
    let messages = messages.map(|(topic, payload)| (validate(&topic, payload.as_bytes()).unwrap(), topic));
    let scores: Vec<Value> = messages.filter(|(_, topic)| topic.ends_with("call/score")).map(|(payload, _)| payload).collect();
    assert_eq!(scores.len(), heard.len(), "one score for each call; standard error: {}", String::from_utf8_lossy(&output.stderr));
    for (call, score) in heard.iter_mut().zip(scores) {
        call.score = score;
    }
    heard
}

/// Whether a script's text says a list's phrase, read plainly: `who` and `text` lines come in pairs.
fn lists(script: &str) -> [bool; 5] {
    let mut said = Vec::new();
    let mut who = "";
    for line in script.lines() {
        if let Some(value) = line.strip_prefix("who = ") {
            who = if value.contains("agent") { "agent" } else { "customer" };
        } else if let Some(text) = line.strip_prefix("text = ") {
            let words: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
            said.push((who, format!(" {} ", words.split_whitespace().collect::<Vec<_>>().join(" "))));
        }
    }
    LISTS.map(|(phrases, by)| {
        said.iter().any(|(who, text)| (by == "either" || by == *who) && phrases.iter().any(|phrase| text.contains(&format!(" {phrase} "))))
    })
}

impl Heard {
    fn number(&self, field: &str) -> f64 {
        self.score[field].as_f64().unwrap_or(f64::NAN)
    }

    /// The numbers that have a plus-minus: field and truth.
    fn estimates(&self) -> Vec<(&'static str, f64)> {
        let CallTruth { agent, customer, .. } = &self.truth;
        vec![
            ("talk_time_agent_ms", f64::from(agent.talk_time_ms)),
            ("talk_time_customer_ms", f64::from(customer.talk_time_ms)),
            ("talk_speed_agent_wpm", agent.talk_speed_wpm.unwrap()),
            ("talk_speed_customer_wpm", customer.talk_speed_wpm.unwrap()),
            ("longest_monologue_agent_ms", f64::from(agent.longest_monologue_ms)),
            ("interruptions_agent_count", f64::from(agent.interruptions_count)),
            ("interruptions_customer_count", f64::from(customer.interruptions_count)),
            ("overlap_ms", f64::from(self.truth.overlap_ms)),
            ("non_talk_time_total_ms", f64::from(self.truth.non_talk_time_total_ms)),
            ("silence_count", f64::from(self.truth.silence_count)),
        ]
    }

    fn off_percent(&self, field: &str, truth: f64) -> f64 {
        100.0 * (self.number(field) - truth) / truth
    }
}

fn check(call: &Heard, faults: &mut Vec<String>) {
    let label = format!("{}{}", call.name, if call.is_noisy { ", noisy" } else { "" });
    let mut fault = |is_right: bool, what: String| {
        if !is_right {
            faults.push(format!("{label}: {what}"));
        }
    };
    let duration = f64::from(call.truth.call_duration_ms.unwrap());
    let off = call.number("call_duration_ms") - duration;
    fault(off.abs() <= 60.0 + ROUNDING_MS, format!("call_duration_ms is {off} ms off"));
    for (field, truth) in call.estimates() {
        let off = call.number(field) - truth;
        let allowed = match field {
            "talk_time_agent_ms" | "talk_time_customer_ms" => truth * if call.is_noisy { 0.08 } else { 0.05 } + ROUNDING_MS,
            "talk_speed_agent_wpm" | "talk_speed_customer_wpm" => truth * 0.1 + 0.5,
            "interruptions_agent_count" | "interruptions_customer_count" | "silence_count" => 0.0,
            _ => f64::INFINITY,
        };
        fault(off.abs() <= allowed, format!("{field} is {} and should be {truth:.0}", call.score[field]));
    }
    for (ordinal, said) in call.lists.into_iter().enumerate() {
        let heard = &call.score[format!("category_{:02}", ordinal + 1)];
        // The recogniser mishears a word now and then, and `confidence_keywords` says how often; but what nobody said is not heard.
        fault(heard != &Value::Bool(true) || said, format!("list {} was heard and not said", ordinal + 1));
    }
}

/// Each group's confidence is a probability: no smaller share of its values may lie within their plus-minus.
fn check_confidence(heard: &[Heard], faults: &mut Vec<String>) {
    for (group, fields) in [
        ("talk_balance", &["talk_time_agent_ms", "talk_time_customer_ms", "talk_speed_agent_wpm", "talk_speed_customer_wpm", "longest_monologue_agent_ms"][..]),
        ("interruptions", &["interruptions_agent_count", "interruptions_customer_count", "overlap_ms"][..]),
        ("silence", &["non_talk_time_total_ms", "silence_count"][..]),
    ] {
        let (mut within, mut all, mut said) = (0, 0, 0.0f64);
        for call in heard {
            said = said.max(call.number(&format!("confidence_{group}")));
            for (field, truth) in call.estimates().into_iter().filter(|(field, _)| fields.contains(field)) {
                let rounding = if field.ends_with("_ms") { ROUNDING_MS } else { 0.5 };
                all += 1;
                within += u32::from((call.number(field) - truth).abs() <= call.number(&format!("{field}_pm")) + rounding);
            }
        }
        let share = f64::from(within) / f64::from(all);
        println!("{group}: {within} of {all} values within their plus-minus ({share:.2}); published confidence {said}");
        if share < said {
            faults.push(format!("{group}: {share:.2} within the plus-minus, published {said}"));
        }
    }
    let (right, all) = heard.iter().flat_map(|call| call.lists.iter().enumerate().map(move |(ordinal, said)| (&call.score[format!("category_{:02}", ordinal + 1)], said)))
        .filter(|(heard, _)| heard.is_boolean())
        .fold((0, 0), |(right, all), (heard, said)| (right + u32::from(heard == said), all + 1));
    println!("keywords: {right} of {all} lists right; published confidence {}", heard[0].score["confidence_keywords"]);
    if f64::from(right) / f64::from(all) < heard[0].number("confidence_keywords") {
        faults.push(format!("keywords: {right} of {all} right"));
    }
}

fn table(heard: &[Heard]) -> String {
    let mut table = String::from("\ncall                            duration   talk agent      talk customer   interruptions  silence          wpm agent     wpm customer\n");
    for call in heard {
        let CallTruth { agent, customer, .. } = &call.truth;
        let talk = |field: &str, truth: u32| format!("{:>6} {:+5.1} %", call.score[field], call.off_percent(field, f64::from(truth)));
        let speed = |field: &str, truth: Option<f64>| format!("{:>4} {:+5.1} %", call.score[field], call.off_percent(field, truth.unwrap()));
        let _ = writeln!(
            table,
            "{:<26}{} {:>+6} ms  {}  {}  {}/{} (true {}/{})  {:>6} ({:>5})  {}  {}",
            call.name,
            if call.is_noisy { "noisy" } else { "     " },
            call.number("call_duration_ms") - f64::from(call.truth.call_duration_ms.unwrap()),
            talk("talk_time_agent_ms", agent.talk_time_ms),
            talk("talk_time_customer_ms", customer.talk_time_ms),
            call.score["interruptions_agent_count"],
            call.score["interruptions_customer_count"],
            agent.interruptions_count,
            customer.interruptions_count,
            call.score["non_talk_time_total_ms"],
            call.truth.non_talk_time_total_ms,
            speed("talk_speed_agent_wpm", agent.talk_speed_wpm),
            speed("talk_speed_customer_wpm", customer.talk_speed_wpm),
        );
    }
    table
}
