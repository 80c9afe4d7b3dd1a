//! The dashboards that are shipped ask for what is there: their queries run on a collector's database, and their keys are in the schemas.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::{Value, json};
use sotto_collect::message::read;
use sotto_collect::store::Store;
use sotto_tests::process::repository;
use sotto_tests::schema::folder;

const NOW: i64 = 1_790_000_000_000;

fn dashboards() -> PathBuf {
    repository().join("packaging/dashboards")
}

/// A collector's database with two hours of a box, and the folder that it lives in.
fn collected() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("collect.db");
    let mut store = Store::open(&path).unwrap();
    let mut messages = Vec::new();
    let mut say = |kind: &str, mut body: Value| {
        body["site"] = "harbor".into();
        body["node"] = "rec-1".into();
        messages.push(read(&format!("sotto/v1/harbor/rec-1/{kind}"), body.to_string().as_bytes()).unwrap());
    };
    for seq in 1..=60 {
        let ts_ms = NOW - 3_600_000 - seq * 60_000;
        say(
            "call/score",
            json!({"call": format!("000000a1-{seq}"), "outbox": "00000000000000a1", "order": seq, "team": "billing", "line": "hotline", "outcome": "scored", "ts_ms": ts_ms,
                "expires_ms": NOW + 1_000_000, "call_duration_ms": 60_000, "non_talk_time_total_ms": 5_000, "sentiment_customer": -1.5, "resolution": "unresolved"}),
        );
    }
    for hour in 0..2 {
        say("coverage", json!({"ts_ms": NOW, "hour_ms": NOW / 3_600_000 * 3_600_000 - hour * 3_600_000, "hour_calls_seen": 40, "hour_scored": 30, "hour_signalling_only": 10,
            "hour_unanswered": 0, "hour_open": 0, "hour_reason_consent": 7, "hour_shed": 0, "hour_refused": 0}));
    }
    for minute in 0..10 {
        say("health", json!({"ts_ms": NOW - minute * 60_000, "backlog": minute, "backlog_age_s": 0, "tap_age_s": 3, "packets_dropped": 0, "turns_shed": 0, "lost_scores": 0,
            "certificate_days_left": 40, "charter_days_left": 200}));
    }
    say("lost", json!({"ts_ms": NOW, "lost_scores": 3}));
    store.keep(&messages, NOW).unwrap();
    let connection = Connection::open(&path).unwrap();
    (folder, connection)
}

/// All rows of a query, a day up to now.
fn rows(connection: &Connection, sql: &str) -> Vec<Vec<rusqlite::types::Value>> {
    let sql = sql.replace("$__from", &(NOW - 86_400_000).to_string()).replace("$__to", &NOW.to_string());
    let mut statement = connection.prepare(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = statement.column_count();
    statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect()).unwrap().map(Result::unwrap).collect()
}

#[test]
fn every_question_of_the_morning_is_answered() {
    let (_folder, connection) = collected();
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(dashboards().join("grafana/morning.json")).unwrap()).unwrap();
    let mut asked = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let found = rows(&connection, target["rawQueryText"].as_str().unwrap());
            assert!(!found.is_empty(), "{}: no row", panel["title"]);
            assert!(found.iter().flatten().any(|value| !matches!(value, rusqlite::types::Value::Null)), "{}: nothing but null", panel["title"]);
            asked += 1;
        }
    }
    assert!(asked >= 10, "{asked}");
}

#[test]
fn every_alarm_is_one_number() {
    let (_folder, connection) = collected();
    let rules = std::fs::read_to_string(dashboards().join("grafana/provisioning/alerting/sotto.yaml")).unwrap();
    let mut asked = 0;
    // The queries stand in double quotes, without any within.
    for part in rules.split("rawQueryText: &").skip(1) {
        let sql = part.split('"').nth(1).unwrap();
        let found = rows(&connection, sql);
        assert_eq!((found.len(), found[0].len()), (1, 1), "{sql}");
        assert!(matches!(found[0][0], rusqlite::types::Value::Integer(_)), "{sql}: {:?}", found[0][0]);
        asked += 1;
    }
    assert_eq!(asked, 9);
}

#[test]
fn no_dashboard_asks_for_a_key_that_no_message_has() {
    // Groups that are named and not measured everywhere yet; the dashboards show them where they come.
    const TO_COME: [&str; 2] = ["sentiment_customer", "resolution"];
    let mut known: BTreeSet<String> = TO_COME.map(str::to_owned).into();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap();
        known.extend(schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys().cloned()));
    }
    let read = |name: &str| std::fs::read_to_string(dashboards().join(name)).unwrap();
    let word = |text: &str| -> String { text.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect() };
    let after = |text: &str, before: &str| -> Vec<String> { text.split(before).skip(1).map(word).filter(|key| !key.is_empty()).collect() };
    let mut asked = Vec::new();
    for (file, before) in [
        ("grafana/morning.json", "'$."),
        ("grafana/provisioning/alerting/sotto.yaml", "'$."),
        ("home-assistant/sotto.yaml", "value_json."),
        ("node-red/flows.json", "msg.payload."),
        ("node-red/flows.json", "health."),
        ("node-red/flows.json", "coverage."),
        ("live/index.html", "health."),
        ("live/index.html", "birth."),
    ] {
        let keys = after(&read(file), before);
        assert!(!keys.is_empty(), "{file}: {before}");
        asked.extend(keys.into_iter().map(|key| (file, key)));
    }
    let unknown: Vec<_> = asked.iter().filter(|(_, key)| !known.contains(key)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
