//! What comes from the boxes: checked as far as a collector relies on it, and kept as it came.

use serde::Deserialize;
use sotto_report::{CallId, Fingerprint};
use sotto_uplink::About;

/// No message of a box is longer.
pub const LONGEST: usize = 16_384;

/// A message, as far as a collector needs to understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// `call/score`.
    Score(Score),
    /// `call/withdrawn`: the score of this call must go.
    Withdrawn {
        /// Which box.
        about: About,
        /// The call.
        call: CallId,
    },
    /// `coverage`.
    Hour {
        /// Which box.
        about: About,
        /// The hour, by its first millisecond.
        hour_ms: i64,
        /// When it was said.
        ts_ms: i64,
        /// As it came.
        text: String,
    },
    /// `health`.
    Health {
        /// Which box.
        about: About,
        /// When it was said.
        ts_ms: i64,
        /// As it came.
        text: String,
    },
    /// `event` or `lost`.
    Event {
        /// Which box.
        about: About,
        /// As it came.
        text: String,
    },
}

/// A score.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// Which box.
    pub about: About,
    /// Names it: what comes twice has the same.
    pub call: CallId,
    /// Its place in the box's queue, where the box says it.
    pub place: Option<(Fingerprint, u64)>,
    /// The agent's team.
    pub team: Option<String>,
    /// Where the call stands in the ledger.
    pub outcome: String,
    /// When the call began, milliseconds since 1970.
    pub ts_ms: i64,
    /// When every copy must be deleted.
    pub expires_ms: i64,
    /// As it came.
    pub text: String,
}

/// Not a message of a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The topic is none that a collector knows.
    Topic,
    /// Longer than any message of a box.
    Length,
    /// Not an object with the keys that a collector needs.
    Shape,
    /// The topic is another box's than the message says.
    OtherBox,
}

#[derive(Deserialize)]
struct Keys<'a> {
    site: &'a str,
    node: &'a str,
}

#[derive(Deserialize)]
struct WithdrawnKeys {
    call: CallId,
}

#[derive(Deserialize)]
struct HourKeys {
    hour_ms: i64,
    ts_ms: i64,
}

#[derive(Deserialize)]
struct HealthKeys {
    ts_ms: i64,
}

#[derive(Deserialize)]
struct ScoreKeys {
    call: CallId,
    outbox: Option<Fingerprint>,
    order: Option<u64>,
    team: Option<String>,
    outcome: String,
    ts_ms: i64,
    expires_ms: i64,
}

/// Reads a message. Keys that it does not know are of a newer box, and are kept.
///
/// # Errors
/// It is none.
pub fn read(topic: &str, payload: &[u8]) -> Result<Message, Refusal> {
    let mut parts = topic.splitn(5, '/');
    let (root, version, site, node, rest) = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    let (Some("sotto"), Some("v1"), Some(site), Some(node), Some(rest)) = (root, version, site, node, rest) else { return Err(Refusal::Topic) };
    let about = About::new(site, node).map_err(|_| Refusal::Topic)?;
    if payload.len() > LONGEST {
        return Err(Refusal::Length);
    }
    let text = std::str::from_utf8(payload).map_err(|_| Refusal::Shape)?;
    let keys: Keys<'_> = serde_json::from_str(text).map_err(|_| Refusal::Shape)?;
    if (keys.site, keys.node) != (site, node) {
        return Err(Refusal::OtherBox);
    }
    let text = text.to_owned();
    match rest {
        "call/score" => {
            let keys: ScoreKeys = serde_json::from_str(&text).map_err(|_| Refusal::Shape)?;
            let place = keys.outbox.zip(keys.order.filter(|order| *order > 0));
            let ScoreKeys { call, team, outcome, ts_ms, expires_ms, .. } = keys;
            Ok(Message::Score(Score { about, call, place, team, outcome, ts_ms, expires_ms, text }))
        }
        "call/withdrawn" => {
            let WithdrawnKeys { call } = serde_json::from_str(&text).map_err(|_| Refusal::Shape)?;
            Ok(Message::Withdrawn { about, call })
        }
        "coverage" => {
            let HourKeys { hour_ms, ts_ms } = serde_json::from_str(&text).map_err(|_| Refusal::Shape)?;
            Ok(Message::Hour { about, hour_ms, ts_ms, text })
        }
        "health" => {
            let HealthKeys { ts_ms } = serde_json::from_str(&text).map_err(|_| Refusal::Shape)?;
            Ok(Message::Health { about, ts_ms, text })
        }
        "event" | "lost" => Ok(Message::Event { about, text }),
        _ => Err(Refusal::Topic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORE: &str = r#"{"site":"harbor","node":"rec-1","call":"000000a1-3","outbox":"00000000000000a1","order":2,"team":"billing","outcome":"scored",
        "ts_ms":1790000000000,"expires_ms":1790600000000,"of_tomorrow":1}"#;
    const TOPIC: &str = "sotto/v1/harbor/rec-1/call/score";

    #[test]
    fn a_score_is_read_and_kept_as_it_came() {
        let Ok(Message::Score(score)) = read(TOPIC, SCORE.as_bytes()) else { panic!("no score") };
        assert_eq!((score.call.to_string().as_str(), score.place, score.team.as_deref()), ("000000a1-3", Some((Fingerprint(0xa1), 2)), Some("billing")));
        assert_eq!((score.text.as_str(), score.expires_ms), (SCORE, 1_790_600_000_000));
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = SCORE.replace("of_tomorrow", &"x".repeat(LONGEST));
        for (topic, payload, refusal) in [
            ("sotto/v1/harbor/rec-1/words", SCORE, Refusal::Topic),
            ("sotto/v1/harbor", SCORE, Refusal::Topic),
            ("sotto/v1/Harbor/rec-1/call/score", SCORE, Refusal::Topic),
            ("sotto/v1/harbor/rec-2/call/score", SCORE, Refusal::OtherBox),
            (TOPIC, &long, Refusal::Length),
            (TOPIC, "", Refusal::Shape),
            (TOPIC, "[]", Refusal::Shape),
            (TOPIC, &SCORE.replace("000000a1-3", "3848276298220188511@atlanta"), Refusal::Shape),
            (TOPIC, &SCORE.replace("1790600000000", "\"soon\""), Refusal::Shape),
        ] {
            assert_eq!(read(topic, payload.as_bytes()), Err(refusal), "{topic} {}", payload.len());
        }
    }
}
