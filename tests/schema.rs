//! The schemas that are shipped are those of the types that leave, and every message keeps to its own.
//!
//! `SOTTO_WRITE_SCHEMA=1 cargo test --release -p sotto-tests --test schema` writes them anew after a change of the types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sotto_charter::{Names, thresholds};
use sotto_report::messages::{Birth, Coverage, Event, EventKind, Gauges, Health, LostRange, State, Status};
use sotto_report::{
    Ack, CallId, Direction, EndCause, Field, Fingerprint, Group, Id, Kind, MediaCodec, Millis, Outcome, Quantity, Reason, Score,
    schema::{all, inbound},
};
use sotto_spool::Entry;
use sotto_tests::process::repository;
use sotto_tests::schema::{ASYNCAPI, folder, name_of, validate};
use sotto_uplink::{About, Message, asyncapi, contract_fingerprint, render, render_ack, render_entry, render_notice, schema_fingerprint};

const NOW: i64 = 1_790_000_000_000;

#[test]
fn what_is_shipped_is_what_the_types_say() {
    let folder = folder();
    let mut names = BTreeSet::new();
    for (name, schema) in all(&thresholds::ALL).into_iter().chain(inbound()).chain([(ASYNCAPI, asyncapi())]) {
        let path = folder.join(format!("{name}.json"));
        let text = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        if std::env::var_os("SOTTO_WRITE_SCHEMA").is_some_and(|value| value == "1") {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let shipped = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(shipped == text, "{} is not what the types say; SOTTO_WRITE_SCHEMA=1 writes it anew", path.display());
        names.insert(format!("{name}.json"));
    }
    let found: BTreeSet<String> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, names);
}

#[test]
fn every_message_has_a_schema() {
    let about = about();
    let schemas: BTreeSet<String> = all(&[]).into_iter().map(|(name, _)| name.to_owned()).collect();
    let messages: BTreeSet<String> = Message::ALL.into_iter().map(|message| name_of(&about.topic(message)).unwrap()).collect();
    assert_eq!(messages, schemas);
}

#[test]
fn a_score_with_all_that_it_can_say_keeps_to_its_schema() {
    for outcome in Outcome::ALL {
        for share in [0.0, 0.37, 1.0] {
            check(&render(&full_score(outcome, share), &names(), &about()));
        }
    }
    check(&render(&bare_score(), &names(), &about()));
    let mut unavailable = bare_score();
    for (ordinal, field) in Field::ALL.into_iter().enumerate() {
        unavailable.set_unavailable(field, Reason::ALL[ordinal % Reason::ALL.len()]);
    }
    check(&render(&unavailable, &names(), &about()));
}

#[test]
fn messages_about_the_box_keep_to_theirs() {
    let about = about();
    let ts_ms = Millis::rounded(NOW);
    for state in State::ALL {
        check(&render_notice(&Status { ts_ms, state, connection: 3 }, &about));
    }
    let birth = Birth {
        ts_ms,
        connection: 3,
        version_major: 0,
        version_minor: 1,
        version_patch: 0,
        epoch: Fingerprint(0xffff_ffff),
        charter: Fingerprint(u64::MAX),
        schema: schema_fingerprint(),
        contract: contract_fingerprint(),
    };
    check(&render_notice(&birth, &about));
    check(&render_notice(&Health::default(), &about));
    check(&render_notice(&Health { ts_ms, backlog: u64::MAX, tap_age_s: Some(1), tap: Gauges { packets: u64::MAX, ..Gauges::default() }, ..Health::default() }, &about));
    check(&render_notice(&Event { ts_ms, event: EventKind::Shedding, shed_level: 2, shed_level_before: 1 }, &about));
    let lost_to = CallId { epoch: 7, seq: u64::MAX };
    check(&render_notice(&LostRange { ts_ms, lost_from: CallId { epoch: 7, seq: 1 }, lost_to, lost_calls: 1, lost_scores: u64::MAX }, &about));
    let coverage = Coverage {
        ts: ts_ms,
        hour: ts_ms,
        hour_counts: [7; Outcome::ALL.len()],
        total_counts: [9; Outcome::ALL.len()],
        hour_reasons: [1; Reason::ALL.len()],
        expired_unacked: 2,
    };
    check(&render_notice(&coverage, &about));
}

#[test]
fn what_waits_and_what_a_collector_says_of_it_keep_to_theirs() {
    let entry = Entry { row: i64::MAX, score: full_score(Outcome::Scored, 0.5), names: 5, bytes: 0 };
    check(&render_entry(&entry, Fingerprint(7), &names(), &about()));
    for orders in ["1", "1-4,6,8-18446744073709551615"] {
        check(&render_ack(&Ack { ts_ms: Millis::rounded(NOW), outbox: Fingerprint(7), orders: orders.parse().unwrap() }, &about()));
    }
}

/// Whoever read what was released reads what is sent today: keys are added, and none is taken away, moved or turned into something else.
#[test]
fn what_was_released_is_kept() {
    let released = repository().join("tests/fixtures/contract-0.1");
    let now: BTreeMap<String, Value> = all(&thresholds::ALL).into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    for entry in std::fs::read_dir(&released).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let before: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let faults = breaks(&before, now.get(&name).unwrap_or(&Value::Null));
        assert!(faults.is_empty(), "{name}: {faults:?}");
    }
}

#[test]
fn a_break_of_what_was_released_is_seen() {
    let before = json!({"required": ["a"], "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}, "b": {"enum": ["x", "y"]}}});
    let with = |pointer: &str, value: Value| {
        let mut after = before.clone();
        *after.pointer_mut(pointer).unwrap() = value;
        breaks(&before, &after)
    };
    assert_eq!(breaks(&before, &before), Vec::<String>::new());
    assert_eq!(with("/properties/b/enum", json!(["x", "y", "z"])), Vec::<String>::new(), "a word more");
    for (pointer, value) in [
        ("/required", json!([])),
        ("/properties", json!({"a": {"type": "integer", "minimum": 0, "maximum": 9}})),
        ("/properties/a/type", json!("string")),
        ("/properties/a/maximum", json!(10)),
        ("/properties/a/minimum", json!(-1)),
        ("/properties/b/enum", json!(["x"])),
    ] {
        assert_eq!(with(pointer, value).len(), 1, "{pointer}");
    }
}

/// What a reader of the schema `before` could stumble over in a message of `after`.
fn breaks(before: &Value, after: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let required = |schema: &Value| -> BTreeSet<String> { schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect() };
    faults.extend(required(before).difference(&required(after)).map(|key| format!("{key} may be absent now")));
    for (key, old) in before["properties"].as_object().into_iter().flatten() {
        let new = &after["properties"][key];
        if new.is_null() {
            faults.push(format!("{key} is gone"));
            continue;
        }
        let words = |property: &Value| -> BTreeSet<String> { property["enum"].as_array().into_iter().flatten().map(ToString::to_string).collect() };
        if !words(old).is_subset(&words(new)) {
            faults.push(format!("{key} lost a word"));
        }
        for (what, is_wider) in [("maximum", 1.0), ("minimum", -1.0)] {
            if let Some(old) = old[what].as_f64()
                && new[what].as_f64().is_none_or(|new| (new - old) * is_wider > 0.0)
            {
                faults.push(format!("{key} has another {what}"));
            }
        }
        if ["type", "const", "multipleOf", "x-unit"].iter().any(|what| old[*what] != new[*what]) {
            faults.push(format!("{key} means something else"));
        }
    }
    faults
}

#[test]
fn the_schema_refuses_what_must_not_leave() {
    let (topic, payload) = render(&full_score(Outcome::Scored, 1.0), &names(), &about());
    let good = validate(&topic, payload.as_bytes()).unwrap();
    for (key, wrong) in [
        ("words", json!("four words of text")),
        ("team", json!("Four words of text")),
        ("unavailable", json!("four words")),
        ("call", json!("3848276298220188511@atlanta.example.com")),
        ("continues", json!("3848276298220188511@atlanta.example.com")),
        ("call_duration_ms", json!(61_234)),
        ("talk_time_agent_ms", json!(-100)),
        ("scored_fraction", json!(1.5)),
        ("category_01", json!("yes")),
        ("use", json!("control")),
        ("charter", json!("four words of text")),
        ("codec", Value::Null),
        ("team", json!(["billing"])),
    ] {
        let mut bad = good.clone();
        bad[key] = wrong;
        assert!(validate(&topic, bad.to_string().as_bytes()).is_err(), "{key}");
    }
    for absent in ["v", "call", "expires_ms", "site"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(absent);
        assert!(validate(&topic, bad.to_string().as_bytes()).is_err(), "{absent}");
    }
    assert!(validate("sotto/v1/harbor/rec-2/call/score", payload.as_bytes()).is_err(), "another box's topic");
    assert!(validate("sotto/v1/harbor/rec-1/call/words", payload.as_bytes()).is_err());
    assert!(validate("other/v1/harbor/rec-1/call/score", payload.as_bytes()).is_err());
    assert!(validate(&topic, b"{").is_err());
}

fn check((topic, payload): &(String, String)) {
    validate(topic, payload.as_bytes()).unwrap();
}

fn about() -> About {
    About::new("harbor", "rec-1").unwrap()
}

fn names() -> Names {
    Names { teams: vec!["billing".into()], lines: vec!["hotline".into(), "0-800".into()] }
}

fn bare_score() -> Score {
    let at = Millis::rounded(NOW);
    Score::new(CallId { epoch: 7, seq: 1 }, at, at, at, Outcome::Interrupted, EndCause::CaptureEnded, Fingerprint(5))
}

/// Every field, at a share of the way from its least to its greatest value.
fn full_score(outcome: Outcome, share: f64) -> Score {
    let at = Millis::rounded(NOW);
    let mut score = Score::new(CallId { epoch: u32::MAX, seq: u64::MAX }, at, at, at, outcome, EndCause::HungUp, Fingerprint(u64::MAX));
    for field in Field::ALL {
        let kind = field.kind();
        if kind == Kind::Flag {
            score.set_flag(field, share > 0.5);
        } else {
            let value = kind.least() + share * (kind.greatest() - kind.least());
            score.set_estimate(field, value, value);
        }
    }
    for group in Group::ALL.into_iter().filter(|group| *group != Group::Always) {
        score.set_confidence(group, share);
    }
    score.continues = Some(CallId { epoch: 0, seq: 1 });
    score.direction = Some(Direction::Inbound);
    score.codec = Some(MediaCodec::Pcma);
    score.team = Some(Id(0));
    score.line = Some(Id(1));
    score.scored_fraction = Quantity::nearest(Kind::Ratio, share);
    score.models = Some(Fingerprint(0));
    score
}
