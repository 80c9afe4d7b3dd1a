//! JSON Schema (draft 2020-12) of every message, as it is published: with the site's and node's name, and names in the place of
//! ids. `additionalProperties` is false throughout, and no field is free text: the schema is the redaction contract.

#![expect(clippy::disallowed_types, reason = "schemas are documents for people; nothing of a call is in them")]

use serde_json::{Value, json};

use crate::messages::{EventKind, HOUR_KEYS, REASON_KEYS, State};
use crate::score::{REQUIRED, Use, ValidatedOn};
use crate::{Direction, EndCause, Field, Group, Kind, MediaCodec, Outcome, Reason};

/// A call's id: epoch and number.
const CALL_ID: &str = "^[0-9a-f]{8}-[1-9][0-9]{0,19}$";

/// A published threshold: name, value, unit, meaning.
pub type Threshold = (&'static str, u32, &'static str, &'static str);

/// The messages and their schemas, by the last part of their topic (with `/` as `-`).
#[must_use]
pub fn all(thresholds: &[Threshold]) -> Vec<(&'static str, Value)> {
    vec![
        ("status", status()),
        ("birth", birth()),
        ("health", health()),
        ("coverage", coverage()),
        ("event", event()),
        ("lost", lost()),
        ("call-score", score(thresholds)),
        ("call-withdrawn", withdrawn()),
        ("notice", notice()),
    ]
}

/// What may come in, and its schema, by the last part of its topic (`sotto-in/v1/<site>/<node>/…`).
#[must_use]
pub fn inbound() -> Vec<(&'static str, Value)> {
    vec![("ack", ack())]
}

/// The schema of `call/score`.
#[must_use]
pub fn score(thresholds: &[Threshold]) -> Value {
    let mut properties = about();
    properties.extend([
        ("v".to_owned(), json!({"const": 1, "description": "Version of this shape; fields are only added."})),
        ("call".to_owned(), json!({"type": "string", "pattern": CALL_ID, "description": "Names the call; never the SIP Call-ID. Equal ids are the same message sent again."})),
        ("seq".to_owned(), json!({"type": "integer", "minimum": 1, "description": "The number in `call`; calls without a score leave gaps, which `coverage` explains."})),
        ("outbox".to_owned(), fingerprint("Names the queue that it was sent from, for a collector's acknowledgement.")),
        ("order".to_owned(), json!({"type": "integer", "minimum": 1, "description": "Its place in that queue, which counts scores from 1 without gaps."})),
        ("ts_ms".to_owned(), millis("When the call began.")),
        ("ended_ms".to_owned(), millis("When the call ended.")),
        ("expires_ms".to_owned(), millis("When every copy of this message must be deleted.")),
        ("outcome".to_owned(), one_of(Outcome::ALL.map(Outcome::name), "Where the call stands in the ledger.")),
        ("continues".to_owned(), json!({"type": "string", "pattern": CALL_ID, "description": "The call whose story this one continues, after a transfer."})),
        ("direction".to_owned(), one_of(Direction::ALL.map(Direction::name), "Who called whom.")),
        ("end_cause".to_owned(), one_of(EndCause::ALL.map(EndCause::name), "Why the call ended.")),
        ("codec".to_owned(), one_of(MediaCodec::ALL.map(MediaCodec::name), "The codec of the sound.")),
        ("team".to_owned(), name("The agent's team; never the agent.")),
        ("line".to_owned(), name("The line that was called.")),
        ("scored_fraction".to_owned(), number(Kind::Ratio, "The part of the answered time, of both legs, that was analysed.")),
        ("unavailable".to_owned(), json!({"type": "string", "pattern": unavailable_pattern(), "description": "field:reason,… for fields that should be here and are not."})),
        ("late".to_owned(), json!({"type": "boolean", "description": "Made more than a minute after the call ended."})),
        ("use".to_owned(), one_of(Use::ALL.map(Use::name), "What this may be used for.")),
        ("validated_on".to_owned(), one_of(ValidatedOn::ALL.map(ValidatedOn::name), "The material that the confidences were measured on.")),
        ("charter".to_owned(), fingerprint("The charter that it was made under.")),
        ("models".to_owned(), fingerprint("The models that it was made with.")),
    ]);
    for field in Field::ALL {
        properties.insert(field.name().to_owned(), number(field.kind(), field.meaning()));
        if !field.pm_name().is_empty() {
            properties.insert(field.pm_name().to_owned(), number(field.kind(), "With the group's confidence, the truth lies within this much."));
        }
    }
    for group in Group::ALL.into_iter().filter(|group| *group != Group::Always) {
        properties.insert(group.confidence_key().to_owned(), number(Kind::Ratio, "Probability that each value of the group lies within its plus-minus."));
    }
    let mut schema = object("call/score", "One call's score.", properties, REQUIRED.iter().copied());
    schema["x-thresholds"] = thresholds
        .iter()
        .map(|(name, value, unit, meaning)| ((*name).to_owned(), json!({"value": value, "unit": unit, "meaning": meaning})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    schema
}

fn status() -> Value {
    let mut properties = about();
    properties.extend([
        ("ts_ms".to_owned(), millis("When it was written.")),
        ("state".to_owned(), one_of(State::ALL.map(State::name), "Whether the box is connected.")),
        ("connection".to_owned(), count("Counts connections; equal in status, birth and health of one connection.")),
    ]);
    object("status", "Whether the box is connected; retained, and the will.", properties, ["ts_ms", "state", "connection"])
}

fn birth() -> Value {
    let mut properties = about();
    properties.extend([
        ("ts_ms".to_owned(), millis("When.")),
        ("connection".to_owned(), count("Counts connections.")),
        ("version_major".to_owned(), count("Version of the software.")),
        ("version_minor".to_owned(), count("Version of the software.")),
        ("version_patch".to_owned(), count("Version of the software.")),
        ("epoch".to_owned(), fingerprint("Names the spool; call ids begin with its last eight digits.")),
        ("charter".to_owned(), fingerprint("The charter in force.")),
        ("schema".to_owned(), fingerprint("Digest of the schema of call/score.")),
        ("contract".to_owned(), fingerprint("Digest of the AsyncAPI document and all schemas.")),
    ]);
    let required = ["ts_ms", "connection", "version_major", "version_minor", "version_patch", "epoch", "charter", "schema"];
    object("birth", "What runs here; retained, at each connection.", properties, required)
}

fn health() -> Value {
    let mut properties = about();
    properties.insert("ts_ms".to_owned(), millis("When."));
    properties.insert("audit_hash".to_owned(), fingerprint("First 64 bits of that entry's hash: keep both, and `sotto audit verify --anchor` finds a chain that was cut off or written anew."));
    let counts = [
        ("connection", "Counts connections."),
        ("backlog", "Rows that wait for their acknowledgement."),
        ("backlog_age_s", "Age of the oldest of them, seconds."),
        ("expired_unacked", "Rows that expired before they could be delivered."),
        ("dead_letters", "Rows that the broker will not take; kept."),
        ("acked", "Rows acknowledged since the spool was created."),
        ("no_subscriber", "Acknowledgements that said nobody subscribes; the rows stay."),
        ("invalid_rows", "Rows whose content did not hold when read again; kept back."),
        ("lost_calls", "Calls that the disk lost; see lost."),
        ("lost_scores", "Scores that the disk lost before they were delivered."),
        ("taken_over", "How often another client took over the box's session: a second box of the same name, or a copy of it."),
        ("clock_jumps", "How often the wall clock jumped while the box ran."),
        ("certificate_days_left", "Days until the first certificate ends that the connection rests on: the box's own or the broker's. Absent without TLS."),
        ("charter_days_left", "Days until the first purpose of the charter must be reviewed or the agreement ends; past that day its metric stops. Absent where nothing is measured."),
        ("tap_age_s", "Seconds since the tap wrote its numbers."),
        ("audit_seq", "Number of the last entry of the audit chain."),
        ("calls_open", "Calls running now."),
        ("packets", "Packets seen."),
        ("packets_dropped", "Packets that the kernel dropped."),
        ("sip_messages", "SIP messages read."),
        ("sip_refused", "SIP or SDP that could not be read."),
        ("rtp_packets", "RTP packets bound to a call."),
        ("rtp_unbound", "RTP-like packets that belong to no call known."),
        ("turns", "Turns put into words."),
        ("turns_shed", "Turns dropped because the recogniser could not keep up."),
        ("audio_s", "Seconds of sound decoded."),
        ("turns_waiting", "Turns that wait to be put into words."),
        ("words_p50_ms", "From the end of a turn until its words were counted, median over the last minute; 0 where there was none."),
        ("words_p95_ms", "The same, the time that 95 % stayed below."),
        ("shed_level", SHED_LEVEL),
        ("shed_agent_words", "How often agents' words came to be left out."),
        ("shed_unsampled_words", "How often words came to be left out but for a sample of the calls."),
        ("shed_all_words", "How often all words came to be left out."),
        ("shed_sound", "How often sound came to be left out."),
        ("shed_media", "How often all but signalling came to be left out."),
        ("packets_shed", "Packets of sound that were not decoded, or not looked at, because of that."),
    ];
    for (key, meaning) in counts {
        properties.insert(key.to_owned(), count(meaning));
    }
    object("health", "The box's state; retained.", properties, ["ts_ms", "connection", "backlog", "acked"])
}

/// What the levels of shedding mean.
const SHED_LEVEL: &str =
    "What is left out for want of time: 0 nothing, 1 agents' words, 2 words but for a sample of the calls, 3 all words, 4 all sound, 5 all but signalling.";

fn event() -> Value {
    let mut properties = about();
    properties.extend([
        ("ts_ms".to_owned(), millis("When it was noticed.")),
        ("event".to_owned(), one_of(EventKind::ALL.map(EventKind::name), "What it is of.")),
        ("shed_level".to_owned(), count(SHED_LEVEL)),
        ("shed_level_before".to_owned(), count("What was left out when an event last said so.")),
    ]);
    object("event", "Something changed that explains a change in the numbers; a dashboard's annotation.", properties, ["ts_ms", "event"])
}

fn coverage() -> Value {
    let mut properties = about();
    properties.insert("ts_ms".to_owned(), millis("When."));
    properties.insert("hour_ms".to_owned(), millis("The hour that the hour_ numbers are of."));
    for key in ["hour_calls_seen", "calls_seen", "expired_unacked"].into_iter().chain(HOUR_KEYS).chain(REASON_KEYS).chain(Outcome::ALL.map(Outcome::name)) {
        properties.insert(key.to_owned(), count("Calls."));
    }
    object("coverage", "The ledger: calls_seen is the sum of the outcomes; retained.", properties, ["ts_ms", "hour_ms", "calls_seen", "scored", "open"])
}

fn withdrawn() -> Value {
    let mut properties = about();
    properties.extend([
        ("v".to_owned(), json!({"const": 1, "description": "Version of this shape; fields are only added."})),
        ("call".to_owned(), json!({"type": "string", "pattern": CALL_ID, "description": "The call whose score must go, wherever it is."})),
    ]);
    object("call/withdrawn", "A score was contested, erased or objected to: delete it. Which of them it was is not said.", properties, ["v", "call"])
}

/// The one message with text in it: what the site's own charter says, written by the uplink, which never had anything of a call but scores.
fn notice() -> Value {
    let text = |language: &str| json!({"type": "string", "pattern": "^# ", "maxLength": 65_536, "description": format!("The notice in {language}, Markdown, from the charter in force.")});
    let mut properties = about();
    properties.extend([
        ("v".to_owned(), json!({"const": 1, "description": "Version of this shape; fields are only added."})),
        ("ts_ms".to_owned(), millis("When it was written.")),
        ("charter".to_owned(), fingerprint("The charter that it tells of.")),
        ("text_en".to_owned(), text("English")),
        ("text_de".to_owned(), text("German")),
    ]);
    object("notice", "What is measured of whom, why, who sees it, how long, and what people can do; retained.", properties, ["v", "ts_ms", "charter"])
}

fn lost() -> Value {
    let mut properties = about();
    properties.extend([
        ("ts_ms".to_owned(), millis("When it is told.")),
        ("lost_from".to_owned(), json!({"type": "string", "pattern": CALL_ID, "description": "The lowest call that may be concerned."})),
        ("lost_to".to_owned(), json!({"type": "string", "pattern": CALL_ID, "description": "The highest."})),
        ("lost_calls".to_owned(), count("Calls of which not even the outcome is known any more, at most; in no count of coverage.")),
        ("lost_scores".to_owned(), count("Scores that were not delivered and never will be, at most.")),
    ]);
    object("lost", "The disk lost calls or scores; sent until somebody has it.", properties, ["ts_ms", "lost_from", "lost_to", "lost_calls", "lost_scores"])
}

fn ack() -> Value {
    let mut properties = about();
    properties.extend([
        ("ts_ms".to_owned(), millis("When it was said.")),
        ("outbox".to_owned(), fingerprint("The queue, as the scores name it.")),
        (
            "orders".to_owned(),
            json!({"type": "string", "pattern": "^[1-9][0-9]{0,19}(-[1-9][0-9]{0,19})?(,[1-9][0-9]{0,19}(-[1-9][0-9]{0,19})?){0,15}$",
                "description": "The scores, by their order: ranges, ascending, apart from each other."}),
        ),
    ]);
    object("ack", "A collector has these scores on its disk; retained. The box deletes what of them it was still keeping.", properties, ["ts_ms", "outbox", "orders"])
}

/// What every message repeats of its topic.
fn about() -> serde_json::Map<String, Value> {
    [("site".to_owned(), name("The site.")), ("node".to_owned(), name("The box."))].into_iter().collect()
}

fn object<'a>(title: &str, description: &str, properties: serde_json::Map<String, Value>, required: impl IntoIterator<Item = &'a str>) -> Value {
    let required: Value = ["site", "node"].into_iter().chain(required).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    })
}

fn millis(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "maximum": 7_258_118_400_000_i64, "multipleOf": 100, "description": description, "x-unit": "ms since 1970"})
}

fn count(description: &str) -> Value {
    json!({"type": "integer", "minimum": 0, "description": description})
}

fn fingerprint(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[0-9a-f]{16}$", "description": description})
}

fn name(description: &str) -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,31}$", "description": description})
}

fn one_of<const N: usize>(names: [&'static str; N], description: &str) -> Value {
    json!({"enum": names.as_slice(), "description": description})
}

fn number(kind: Kind, description: &str) -> Value {
    if kind == Kind::Flag {
        return json!({"type": "boolean", "description": description});
    }
    if !kind.choices().is_empty() {
        return json!({"enum": kind.choices(), "description": description});
    }
    let (least, greatest): (Value, Value) =
        if kind.is_whole() { ((kind.least() as i64).into(), (kind.greatest() as i64).into()) } else { (kind.least().into(), kind.greatest().into()) };
    let mut value = json!({
        "type": if kind.is_whole() { "integer" } else { "number" },
        "minimum": least,
        "maximum": greatest,
        "description": description,
    });
    match kind {
        // Steps below one are not exact in binary; bounds and the sender's own check hold them.
        Kind::Mos | Kind::Ratio | Kind::Sentiment | Kind::Flag | Kind::Count | Kind::Speed | Kind::Resolution | Kind::Source => {}
        Kind::Time | Kind::Ppm => value["multipleOf"] = (kind.step() as i64).into(),
    }
    let unit = match kind {
        Kind::Time => "ms",
        Kind::Speed => "words/min",
        Kind::Mos => "MOS 1..5, steps of 0.1",
        Kind::Ppm => "parts in a million",
        Kind::Ratio => "0..1, steps of 0.01",
        Kind::Sentiment => "-5 (as bad as can be) to 5, steps of 0.5",
        Kind::Count | Kind::Flag | Kind::Resolution | Kind::Source => return value,
    };
    value["x-unit"] = unit.into();
    value
}

fn unavailable_pattern() -> String {
    let fields = Field::ALL.map(Field::name).join("|");
    let reasons = Reason::ALL.map(Reason::name).join("|");
    format!("^(({fields}):({reasons}))(,({fields}):({reasons}))*$")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_property_is_free_text() {
        for (message, schema) in all(&[]).into_iter().chain(inbound()) {
            assert_eq!(schema["additionalProperties"], false, "{message}");
            for (key, property) in schema["properties"].as_object().unwrap() {
                let is_text = property["type"] == "string";
                assert!(!is_text || property["pattern"].is_string(), "{message}: {key} is free text");
                let is_number = property["type"] == "integer" || property["type"] == "number";
                assert!(is_text || is_number || property["type"] == "boolean" || property["enum"].is_array() || property["const"].is_number(), "{message}: {key}");
            }
        }
    }
}
