//! Reports as they are published: flat JSON, with the site's and node's name, and names in the place of ids.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sotto_charter::Names;
use sotto_report::messages::{Birth, Coverage, Event, Health, LostRange, Status, Withdrawn};
use sotto_report::{Ack, Fingerprint, Id, Millis, Score};
use sotto_spool::Entry;

use crate::topic::is_name;
use crate::{About, Message};

/// A waiting score's topic and payload, with its place in the outbox: what a collector acknowledges it by.
#[must_use]
pub fn render_entry(entry: &Entry, outbox: Fingerprint, names: &Names, about: &About) -> (String, String) {
    let mut object = named(&entry.score, names);
    object.insert("outbox".to_owned(), outbox.to_string().into());
    object.insert("order".to_owned(), entry.row.into());
    finish(Message::CallScore, object, about)
}

/// A score's topic and payload. An id without a name is left out: see [`has_names`].
#[must_use]
pub fn render(score: &Score, names: &Names, about: &About) -> (String, String) {
    finish(Message::CallScore, named(score, names), about)
}

fn named(score: &Score, names: &Names) -> Map<String, Value> {
    let mut object = flat(score);
    for (key, id, list) in [("team", score.team, &names.teams), ("line", score.line, &names.lines)] {
        object.remove(key);
        if let Some(name) = id.and_then(|id| name_of(id, list)) {
            object.insert(key.to_owned(), name.into());
        }
    }
    object
}

/// What a collector says, as topic and payload.
#[must_use]
pub fn render_ack(ack: &Ack, about: &About) -> (String, String) {
    let object = json!({
        "site": about.site(), "node": about.node(), "ts_ms": ack.ts_ms, "outbox": ack.outbox, "orders": ack.orders.to_string(),
    });
    (about.ack_topic(), object.to_string())
}

/// What a collector said to this box; `None` where it is not that, or for another.
#[must_use]
pub fn parse_ack(payload: &[u8], about: &About) -> Option<Ack> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Said<'a> {
        site: &'a str,
        node: &'a str,
        ts_ms: Millis,
        outbox: Fingerprint,
        orders: &'a str,
    }
    let said: Said<'_> = serde_json::from_slice(payload).ok()?;
    let is_ours = said.site == about.site() && said.node == about.node();
    Some(Ack { ts_ms: said.ts_ms, outbox: said.outbox, orders: said.orders.parse().ok()? }).filter(|_| is_ours)
}

/// Whether every id in the score has a name here, and one that may leave.
#[must_use]
pub fn has_names(score: &Score, names: &Names) -> bool {
    [(score.team, &names.teams), (score.line, &names.lines)].into_iter().all(|(id, list)| id.is_none_or(|id| name_of(id, list).is_some()))
}

/// A status, birth, health, coverage or event as topic and payload.
#[must_use]
pub fn render_notice(notice: &impl Notice, about: &About) -> (String, String) {
    finish(notice.message(), flat(notice), about)
}

/// A tombstone as topic and payload.
#[must_use]
pub fn render_withdrawn(withdrawn: &Withdrawn, about: &About) -> (String, String) {
    finish(Message::CallWithdrawn, flat(withdrawn), about)
}

/// The notice as topic and payload, in each language that it was written in.
#[must_use]
pub fn render_charter(texts: &[(&'static str, String)], charter: Fingerprint, ts_ms: Millis, about: &About) -> (String, String) {
    let mut object = Map::new();
    object.insert("v".to_owned(), 1.into());
    object.insert("ts_ms".to_owned(), ts_ms.get().into());
    object.insert("charter".to_owned(), charter.to_string().into());
    object.extend(texts.iter().map(|(language, text)| (format!("text_{language}"), text.clone().into())));
    finish(Message::Notice, object, about)
}

/// A message about the box itself.
pub trait Notice: Serialize {
    /// Which.
    fn message(&self) -> Message;
}

macro_rules! notices {
    ($($type:ident),*) => {$(
        impl Notice for $type {
            fn message(&self) -> Message {
                Message::$type
            }
        }
    )*};
}

notices!(Status, Birth, Health, Coverage, Event);

impl Notice for LostRange {
    fn message(&self) -> Message {
        Message::Lost
    }
}

fn name_of(id: Id, list: &[String]) -> Option<&str> {
    list.get(usize::from(id.0)).map(String::as_str).filter(|name| is_name(name))
}

/// Every report is one flat object; were it not, nothing of it would leave.
fn flat(report: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(report) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

fn finish(message: Message, mut object: Map<String, Value>, about: &About) -> (String, String) {
    object.insert("site".to_owned(), about.site().into());
    object.insert("node".to_owned(), about.node().into());
    (about.topic(message), Value::Object(object).to_string())
}

/// Which spool, and which of its connections, a `birth` of this box speaks of.
pub(crate) fn parse_birth(payload: &[u8], about: &About) -> Option<(Fingerprint, u64)> {
    let birth: Value = serde_json::from_slice(payload).ok()?;
    let is_ours = birth["site"].as_str() == Some(about.site()) && birth["node"].as_str() == Some(about.node());
    let epoch = Fingerprint::deserialize(&birth["epoch"]).ok()?;
    Some((epoch, birth["connection"].as_u64()?)).filter(|_| is_ours)
}

#[cfg(test)]
mod tests {
    use sotto_report::{CallId, EndCause, Field, Outcome};

    use super::*;

    fn score() -> Score {
        let at = Millis::rounded(1_790_000_000_000);
        let mut score = Score::new(CallId { epoch: 7, seq: 3 }, at, at, at, Outcome::Scored, EndCause::HungUp, Fingerprint(5));
        score.set(Field::CallDurationMs, 61_234.0);
        score.team = Some(Id(1));
        score
    }

    #[test]
    fn ids_become_names() {
        let about = About::new("harbor", "rec-1").unwrap();
        let names = Names { teams: vec!["sales".into(), "billing".into()], lines: Vec::new() };
        let (topic, payload) = render(&score(), &names, &about);
        assert_eq!(topic, "sotto/v1/harbor/rec-1/call/score");
        let json: Value = serde_json::from_str(&payload).unwrap();
        assert_eq!((&json["team"], &json["site"], &json["node"], &json["call_duration_ms"]), (&"billing".into(), &"harbor".into(), &"rec-1".into(), &61_200.into()));
        assert!(has_names(&score(), &names));
    }

    #[test]
    fn what_has_no_name_has_no_number_either() {
        let about = About::new("harbor", "rec-1").unwrap();
        for teams in [vec![], vec!["a".to_owned(), "four words of text".to_owned()]] {
            let names = Names { teams, lines: Vec::new() };
            assert!(!has_names(&score(), &names));
            let json: Value = serde_json::from_str(&render(&score(), &names, &about).1).unwrap();
            assert_eq!(json.get("team"), None);
        }
    }

    #[test]
    fn an_acknowledgement_reads_back_and_is_for_one_box() {
        let about = About::new("harbor", "rec-1").unwrap();
        let ack = Ack { ts_ms: Millis::rounded(1_790_000_000_000), outbox: Fingerprint(7), orders: "1-4,6".parse().unwrap() };
        let (topic, payload) = render_ack(&ack, &about);
        assert_eq!(topic, "sotto-in/v1/harbor/rec-1/ack");
        assert_eq!(parse_ack(payload.as_bytes(), &about), Some(ack));
        assert_eq!(parse_ack(payload.as_bytes(), &About::new("harbor", "rec-2").unwrap()), None);
        for wrong in ["", "{}", &payload.replace("1-4,6", "1-4,3"), &payload.replace("\"orders\"", "\"words\""), &payload.replacen('{', "{\"x\":1,", 1)] {
            assert_eq!(parse_ack(wrong.as_bytes(), &about), None, "{wrong}");
        }
    }

    #[test]
    fn a_birth_says_whose_it_is() {
        let about = About::new("harbor", "rec-1").unwrap();
        let [charter, schema, contract] = [Fingerprint(1); 3];
        let (version_major, version_minor, version_patch) = (0, 1, 0);
        let birth = Birth { ts_ms: Millis::default(), epoch: Fingerprint(0xa1), connection: 7, version_major, version_minor, version_patch, charter, schema, contract };
        let (_, payload) = render_notice(&birth, &about);
        assert_eq!(parse_birth(payload.as_bytes(), &about), Some((Fingerprint(0xa1), 7)));
        assert_eq!(parse_birth(payload.as_bytes(), &About::new("harbor", "rec-2").unwrap()), None);
        for wrong in ["", "[]", "{}", &payload.replace("connection", "connexion"), &payload.replace("00a1", "a1")] {
            assert_eq!(parse_birth(wrong.as_bytes(), &about), None, "{wrong}");
        }
    }

    #[test]
    fn every_message_is_flat() {
        let about = About::new("harbor", "rec-1").unwrap();
        let (topic, payload) = render_notice(&Health { acked: 3, tap_age_s: Some(2), ..Health::default() }, &about);
        assert_eq!(topic, "sotto/v1/harbor/rec-1/health");
        let json: Map<String, Value> = serde_json::from_str(&payload).unwrap();
        assert!(json.values().all(|value| !value.is_object() && !value.is_array() && !value.is_null()));
        assert_eq!((&json["acked"], &json["calls_open"]), (&3.into(), &0.into()));
    }
}
