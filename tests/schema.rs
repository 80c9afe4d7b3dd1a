//! The schemas that are shipped are those of the types that leave, and every message keeps to its own.
//!
//! `SOTTO_WRITE_SCHEMA=1 cargo test --release -p sotto-tests --test schema` writes them anew after a change of the types.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sotto_charter::{Names, thresholds};
use sotto_report::messages::{Birth, Coverage, Event, EventKind, Gauges, Health, State, Status};
use sotto_report::{
    CallId, Direction, EndCause, Field, Fingerprint, Group, Id, Kind, MediaCodec, Millis, Outcome, Quantity, Reason, Score, schema::all,
};
use sotto_tests::schema::{folder, name_of, validate};
use sotto_uplink::{About, Message, render, render_notice, schema_fingerprint};

const NOW: i64 = 1_790_000_000_000;

#[test]
fn what_is_shipped_is_what_the_types_say() {
    let folder = folder();
    let mut names = BTreeSet::new();
    for (name, schema) in all(&thresholds::ALL) {
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
    };
    check(&render_notice(&birth, &about));
    check(&render_notice(&Health::default(), &about));
    check(&render_notice(&Health { ts_ms, backlog: u64::MAX, tap_age_s: Some(1), tap: Gauges { packets: u64::MAX, ..Gauges::default() }, ..Health::default() }, &about));
    check(&render_notice(&Event { ts_ms, event: EventKind::Shedding, shed_level: 2, shed_level_before: 1 }, &about));
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
