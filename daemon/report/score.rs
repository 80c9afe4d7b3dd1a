//! One call's score.

use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::field::names;
use crate::{CallId, Direction, EndCause, Field, Fingerprint, Group, Id, Kind, MediaCodec, Millis, Outcome, Quantity, Reason};

names! {
    /// What a score may be used for.
    Use {
        /// Coaching, and nothing else.
        Coaching "coaching",
    }
}

names! {
    /// The material that the confidences were measured on: they hold for calls like these.
    ValidatedOn {
        /// The ten scripted calls of `tests/calls`, synthetic voices, clean and with noise at 20 dB and 3 % loss.
        ScriptedCalls "scripted_calls_2026_11",
    }
}

/// Everything that is said of one call.
///
/// In JSON it is one flat object. A field that was not measured is absent; where it should have been there, `unavailable` says
/// why. An unknown key, a value between the steps or out of bounds is refused on reading: the uplink reads every row so before
/// it publishes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The call.
    pub call: CallId,
    /// When the call began (the INVITE).
    pub started: Millis,
    /// When the call ended.
    pub ended: Millis,
    /// When this score is deleted everywhere.
    pub expires: Millis,
    /// Where the call stands in the ledger.
    pub outcome: Outcome,
    /// The call whose story it continues, after a transfer.
    pub continues: Option<CallId>,
    /// Who called whom; unknown where the parties are unlabelled.
    pub direction: Option<Direction>,
    /// Why the call ended.
    pub end_cause: EndCause,
    /// The codec.
    pub codec: Option<MediaCodec>,
    /// The agent's team.
    pub team: Option<Id>,
    /// The line that was called.
    pub line: Option<Id>,
    /// The part of the answered time that was analysed.
    pub scored_fraction: Quantity,
    /// Whether it was made later than a minute after the call's end.
    pub late: bool,
    /// The charter that it was made under.
    pub charter: Fingerprint,
    /// The models that it was made with; absent where none was needed.
    pub models: Option<Fingerprint>,
    values: [Option<Quantity>; Field::ALL.len()],
    plus_minus: [Option<Quantity>; Field::ALL.len()],
    unavailable: [Option<Reason>; Field::ALL.len()],
    confidence: [Option<Quantity>; Group::ALL.len()],
}

impl Score {
    /// A score that says nothing of the sound yet.
    #[must_use]
    pub fn new(call: CallId, started: Millis, ended: Millis, expires: Millis, outcome: Outcome, end_cause: EndCause, charter: Fingerprint) -> Self {
        Self {
            call,
            started,
            ended,
            expires,
            outcome,
            continues: None,
            direction: None,
            end_cause,
            codec: None,
            team: None,
            line: None,
            scored_fraction: Quantity::nearest(Kind::Ratio, 0.0),
            late: false,
            charter,
            models: None,
            values: [None; Field::ALL.len()],
            plus_minus: [None; Field::ALL.len()],
            unavailable: [None; Field::ALL.len()],
            confidence: [None; Group::ALL.len()],
        }
    }

    /// Sets a field, rounded to its step.
    pub fn set(&mut self, field: Field, value: f64) {
        self.values[field.index()] = Some(Quantity::nearest(field.kind(), value));
        self.unavailable[field.index()] = None;
    }

    /// Sets a field and how far off it may be. The plus-minus is rounded up, and never below half a step, which rounding alone costs.
    pub fn set_estimate(&mut self, field: Field, value: f64, plus_minus: f64) {
        self.set(field, value);
        if !field.pm_name().is_empty() {
            self.plus_minus[field.index()] = Some(Quantity::at_least(field.kind(), plus_minus));
        }
    }

    /// Sets a flag.
    pub fn set_flag(&mut self, field: Field, value: bool) {
        self.values[field.index()] = Some(Quantity::flag(value));
        self.unavailable[field.index()] = None;
    }

    /// Says why a field is not there.
    pub const fn set_unavailable(&mut self, field: Field, reason: Reason) {
        self.values[field.index()] = None;
        self.plus_minus[field.index()] = None;
        self.unavailable[field.index()] = Some(reason);
    }

    /// The probability that each value of a group lies within its plus-minus.
    pub fn set_confidence(&mut self, group: Group, confidence: f64) {
        self.confidence[group.index()] = Some(Quantity::nearest(Kind::Ratio, confidence));
    }

    /// A field's value, in its unit; flags are 0 or 1.
    #[must_use]
    pub fn value(&self, field: Field) -> Option<f64> {
        self.values[field.index()].map(Quantity::value)
    }

    /// Why a field is not there.
    #[must_use]
    pub const fn unavailable(&self, field: Field) -> Option<Reason> {
        self.unavailable[field.index()]
    }
}

/// `field:reason,field:reason`, without ever holding the text.
struct Unavailable([Option<Reason>; Field::ALL.len()]);

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (field, reason) in Field::ALL.into_iter().zip(self.0) {
            if let Some(reason) = reason {
                write!(formatter, "{separator}{}:{}", field.name(), reason.name())?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl Serialize for Unavailable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Unavailable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Unavailable;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("field:reason,…")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Unavailable, E> {
                let mut reasons = [None; Field::ALL.len()];
                for pair in text.split(',') {
                    let (field, reason) = pair.split_once(':').ok_or_else(|| E::custom("a pair without a colon"))?;
                    let field = Field::ALL.into_iter().find(|known| known.name() == field).ok_or_else(|| E::custom("an unknown field"))?;
                    let reason = Reason::from_name(reason).ok_or_else(|| E::custom("an unknown reason"))?;
                    reasons[field.index()] = Some(reason);
                }
                Ok(Unavailable(reasons))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The version of this shape. Fields are only ever added.
const VERSION: u32 = 1;

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("v", &VERSION)?;
        map.serialize_entry("call", &self.call)?;
        map.serialize_entry("seq", &self.call.seq)?;
        map.serialize_entry("ts_ms", &self.started)?;
        map.serialize_entry("ended_ms", &self.ended)?;
        map.serialize_entry("outcome", &self.outcome)?;
        if let Some(continues) = self.continues {
            map.serialize_entry("continues", &continues)?;
        }
        let optional = [("direction", self.direction.map(Direction::name)), ("end_cause", Some(self.end_cause.name())), ("codec", self.codec.map(MediaCodec::name))];
        for (key, value) in optional {
            if let Some(value) = value {
                map.serialize_entry(key, value)?;
            }
        }
        for (key, id) in [("team", self.team), ("line", self.line)] {
            if let Some(id) = id {
                map.serialize_entry(key, &id)?;
            }
        }
        for field in Field::ALL {
            if let Some(value) = self.values[field.index()] {
                map.serialize_entry(field.name(), &value.to_json())?;
            }
            if let Some(plus_minus) = self.plus_minus[field.index()] {
                map.serialize_entry(field.pm_name(), &plus_minus.to_json())?;
            }
        }
        for group in Group::ALL {
            if let Some(confidence) = self.confidence[group.index()] {
                map.serialize_entry(group.confidence_key(), &confidence.to_json())?;
            }
        }
        map.serialize_entry("scored_fraction", &self.scored_fraction.to_json())?;
        if self.unavailable.iter().any(Option::is_some) {
            map.serialize_entry("unavailable", &Unavailable(self.unavailable))?;
        }
        map.serialize_entry("late", &self.late)?;
        map.serialize_entry("use", &Use::Coaching)?;
        map.serialize_entry("validated_on", &ValidatedOn::ScriptedCalls)?;
        map.serialize_entry("charter", &self.charter)?;
        if let Some(models) = self.models {
            map.serialize_entry("models", &models)?;
        }
        map.serialize_entry("expires_ms", &self.expires)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ScoreVisitor)
    }
}

struct ScoreVisitor;

impl<'de> Visitor<'de> for ScoreVisitor {
    type Value = Score;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a score")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Score, M::Error> {
        let unset = CallId { epoch: 0, seq: 0 };
        let mut score = Score::new(unset, Millis::default(), Millis::default(), Millis::default(), Outcome::Open, EndCause::Stopped, Fingerprint(0));
        // Which of the keys that every score has were seen.
        let mut seen = [false; REQUIRED.len()];
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Required(ordinal) => {
                    if std::mem::replace(&mut seen[ordinal], true) {
                        return Err(M::Error::custom("a key that comes twice"));
                    }
                    match REQUIRED[ordinal] {
                        "v" if map.next_value::<u32>()? == VERSION => {}
                        "call" => score.call = map.next_value()?,
                        // It repeats what `call` says.
                        "seq" => drop(map.next_value::<u64>()?),
                        "ts_ms" => score.started = map.next_value()?,
                        "ended_ms" => score.ended = map.next_value()?,
                        "outcome" => score.outcome = map.next_value()?,
                        "end_cause" => score.end_cause = map.next_value()?,
                        "scored_fraction" => score.scored_fraction = quantity(&mut map, Kind::Ratio)?,
                        "late" => score.late = map.next_value()?,
                        "use" => drop(map.next_value::<Use>()?),
                        "validated_on" => drop(map.next_value::<ValidatedOn>()?),
                        "charter" => score.charter = map.next_value()?,
                        "expires_ms" => score.expires = map.next_value()?,
                        _ => return Err(M::Error::custom("an unknown version")),
                    }
                }
                Key::Continues => score.continues = Some(map.next_value()?),
                Key::Direction => score.direction = Some(map.next_value()?),
                Key::Codec => score.codec = Some(map.next_value()?),
                Key::Team => score.team = Some(map.next_value()?),
                Key::Line => score.line = Some(map.next_value()?),
                Key::Models => score.models = Some(map.next_value()?),
                Key::Unavailable => score.unavailable = map.next_value::<Unavailable>()?.0,
                Key::Value(field) => score.values[field.index()] = Some(quantity(&mut map, field.kind())?),
                Key::PlusMinus(field) => score.plus_minus[field.index()] = Some(quantity(&mut map, field.kind())?),
                Key::Confidence(group) => score.confidence[group.index()] = Some(quantity(&mut map, Kind::Ratio)?),
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(M::Error::custom("an unknown key"));
                }
            }
        }
        if seen.contains(&false) {
            return Err(M::Error::custom("a key that every score has is absent"));
        }
        Ok(score)
    }
}

/// The keys that every score has.
pub(crate) const REQUIRED: [&str; 13] =
    ["v", "call", "seq", "ts_ms", "ended_ms", "outcome", "end_cause", "scored_fraction", "late", "use", "validated_on", "charter", "expires_ms"];

enum Key {
    Required(usize),
    Continues,
    Direction,
    Codec,
    Team,
    Line,
    Models,
    Unavailable,
    Value(Field),
    PlusMinus(Field),
    Confidence(Group),
    Unknown,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Key;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a key of a score")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Key, E> {
                if let Some(ordinal) = REQUIRED.iter().position(|key| *key == text) {
                    return Ok(Key::Required(ordinal));
                }
                let field = |name: fn(Field) -> &'static str| Field::ALL.into_iter().find(|field| name(*field) == text);
                Ok(match text {
                    "continues" => Key::Continues,
                    "direction" => Key::Direction,
                    "codec" => Key::Codec,
                    "team" => Key::Team,
                    "line" => Key::Line,
                    "models" => Key::Models,
                    "unavailable" => Key::Unavailable,
                    "" => Key::Unknown,
                    _ => field(Field::name)
                        .map(Key::Value)
                        .or_else(|| field(Field::pm_name).map(Key::PlusMinus))
                        .or_else(|| Group::ALL.into_iter().find(|group| group.confidence_key() == text).map(Key::Confidence))
                        .unwrap_or(Key::Unknown),
                })
            }
        }
        deserializer.deserialize_str(Name)
    }
}

fn quantity<'de, M: MapAccess<'de>>(map: &mut M, kind: Kind) -> Result<Quantity, M::Error> {
    if kind == Kind::Flag {
        return Ok(Quantity::flag(map.next_value()?));
    }
    if !kind.choices().is_empty() {
        let choice = map.next_value_seed(Choice(kind))?;
        return Quantity::exact(kind, choice as f64).map_err(M::Error::custom);
    }
    Quantity::exact(kind, map.next_value()?).map_err(M::Error::custom)
}

/// One of a kind's names; its place among them.
struct Choice(Kind);

impl<'de> DeserializeSeed<'de> for Choice {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Choice {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("one of the field's names")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        self.0.choices().iter().position(|name| *name == text).ok_or_else(|| E::custom("an unknown name"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score() -> Score {
        let millis = Millis::rounded(1_790_000_000_000);
        let mut score = Score::new(CallId { epoch: 7, seq: 3 }, millis, millis, millis, Outcome::Scored, EndCause::HungUp, Fingerprint(5));
        score.set(Field::CallDurationMs, 61_234.0);
        score.set_estimate(Field::TalkTimeAgentMs, 30_012.0, 812.0);
        score.set_unavailable(Field::TalkTimeCustomerMs, Reason::OneLegged);
        score.set_unavailable(Field::OverlapMs, Reason::OneLegged);
        score.set_flag(Field::Category02, true);
        score.set_estimate(Field::SentimentCustomer, -2.4, 1.1);
        score.set(Field::Resolution, 1.0);
        score.set_confidence(Group::TalkBalance, 0.9);
        score.team = Some(Id(1));
        score.continues = Some(CallId { epoch: 7, seq: 2 });
        score
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = serde_json::to_string(&score()).unwrap();
        assert!(text.contains(r#""call_duration_ms":61200"#), "{text}");
        assert!(text.contains(r#""talk_time_agent_ms_pm":900"#), "{text}");
        assert!(text.contains(r#""sentiment_customer":-2.5,"sentiment_customer_pm":1.5"#), "{text}");
        assert!(text.contains(r#""resolution":"unresolved""#), "{text}");
        assert!(text.contains(r#""unavailable":"talk_time_customer_ms:one_legged,overlap_ms:one_legged""#), "{text}");
        assert_eq!(serde_json::from_str::<Score>(&text).unwrap(), score());
    }

    #[test]
    fn nothing_else_is_read() {
        let good = serde_json::to_string(&score()).unwrap();
        for (from, to) in [
            ("\"v\":1", "\"v\":2"),
            ("\"v\":1", "\"v\":1,\"words\":\"four\""),
            ("\"v\":1,", ""),
            ("61200", "61234"),
            ("61200", "99999999900"),
            ("one_legged", "four"),
            ("unresolved", "four"),
            ("-2.5", "-2.4"),
            ("\"hung_up\"", "\"four\""),
            ("\"team\":1", "\"team\":70000"),
            ("\"continues\":\"00000007-2\"", "\"continues\":\"four\""),
            ("\"late\":false", "\"late\":false,\"late\":false"),
        ] {
            assert!(good.contains(from), "{from}");
            assert!(serde_json::from_str::<Score>(&good.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }
}
