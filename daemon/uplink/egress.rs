//! Counting what is handed to the broker, by day and kind of message.

use std::collections::BTreeMap;

use sotto_charter::day_of;
use sotto_spool::Egress;

use crate::About;

/// What was handed over and is not written down yet.
#[derive(Debug, Default)]
pub(crate) struct Counting(BTreeMap<(String, String), (u64, u64)>);

impl Counting {
    /// A message was handed over at `now_ms`, milliseconds since 1970.
    pub(crate) fn count(&mut self, topic: &str, payload: &str, about: &About, now_ms: i64) {
        let own = format!("sotto/v1/{}/{}/", about.site(), about.node());
        let day = day_of(now_ms.saturating_mul(1_000)).to_string();
        let (messages, bytes) = self.0.entry((day, topic.strip_prefix(&own).unwrap_or(topic).to_owned())).or_default();
        *messages += 1;
        *bytes += (topic.len() + payload.len()) as u64;
    }

    /// All of it, to be written down.
    pub(crate) fn take(&mut self) -> Vec<Egress> {
        std::mem::take(&mut self.0).into_iter().map(|((day, topic), (messages, bytes))| Egress { day, topic, messages, bytes }).collect()
    }
}
