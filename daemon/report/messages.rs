//! The messages about the box itself.

use serde::{Deserialize, Serialize};

use crate::field::names;
use crate::{CallId, Fingerprint, Millis, Outcome, Reason};

names! {
    /// Whether the box's uplink is connected.
    State {
        /// Connected.
        Online "online",
        /// Not connected; published by the broker, as the will, or on a clean stop.
        Offline "offline",
    }
}

/// `status`, retained; the will is the same with `offline`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// When it was written; the will carries the time of the connection.
    pub ts_ms: Millis,
    /// Connected or not.
    pub state: State,
    /// Counts connections of this spool; the same number in the will, in `birth` and in `status`.
    pub connection: u64,
}

/// `birth`, retained, at each connection: what runs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Birth {
    /// When.
    pub ts_ms: Millis,
    /// Counts connections.
    pub connection: u64,
    /// Major version of the box's software.
    pub version_major: u16,
    /// Minor version.
    pub version_minor: u16,
    /// Patch version.
    pub version_patch: u16,
    /// Names this spool; call ids begin with it.
    pub epoch: Fingerprint,
    /// The charter that the uplink renders with.
    pub charter: Fingerprint,
    /// Digest of the JSON Schema of `call/score`.
    pub schema: Fingerprint,
    /// Digest of the AsyncAPI document and all schemas.
    pub contract: Fingerprint,
}

/// `health`, retained: the box's state in numbers that an admin needs at 3 a.m.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Health {
    /// When.
    pub ts_ms: Millis,
    /// Counts connections.
    pub connection: u64,
    /// Rows that wait for their acknowledgement.
    pub backlog: u64,
    /// Age of the oldest of them, seconds.
    pub backlog_age_s: u64,
    /// Rows that expired before they could be delivered.
    pub expired_unacked: u64,
    /// Rows that the broker will not take (too large, refused); kept, counted.
    pub dead_letters: u64,
    /// Rows acknowledged since the spool was created.
    pub acked: u64,
    /// Acknowledged although nobody subscribes (reason 0x10); they stay.
    pub no_subscriber: u64,
    /// Rows whose content did not hold when they were read again; kept back.
    pub invalid_rows: u64,
    /// Calls that the disk lost; see `lost`.
    pub lost_calls: u64,
    /// Scores that the disk lost before they were delivered.
    pub lost_scores: u64,
    /// How often another client took over our session: a second box of the same name, or a copy of this one.
    pub taken_over: u64,
    /// How often the wall clock jumped while the box ran.
    pub clock_jumps: u64,
    /// Days until the first certificate ends that the connection rests on: our own, or the broker's; 0 on its last day and later. Absent without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_days_left: Option<u64>,
    /// Days until the first purpose of the charter must be reviewed, or the agreement ends, after which the metric stops; 0 on that day and later.
    /// Absent where nothing is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub charter_days_left: Option<u64>,
    /// Seconds since the tap last wrote its gauges; absent before it ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tap_age_s: Option<u64>,
    /// Number of the last entry of the audit chain; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_seq: Option<u64>,
    /// First 64 bits of its hash: whoever keeps both finds out later whether the chain's end was cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_hash: Option<Fingerprint>,
    /// What the tap says of itself.
    #[serde(flatten)]
    pub tap: Gauges,
}

/// What the tap says of itself: counters since it started, but for `calls_open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gauges {
    /// Calls running now.
    #[serde(default)]
    pub calls_open: u64,
    /// Packets seen.
    #[serde(default)]
    pub packets: u64,
    /// Packets that the kernel dropped before the box could read them.
    #[serde(default)]
    pub packets_dropped: u64,
    /// SIP messages read.
    #[serde(default)]
    pub sip_messages: u64,
    /// SIP or SDP that could not be read.
    #[serde(default)]
    pub sip_refused: u64,
    /// RTP packets bound to a call.
    #[serde(default)]
    pub rtp_packets: u64,
    /// RTP-like packets that belong to no call known.
    #[serde(default)]
    pub rtp_unbound: u64,
    /// Turns put into words.
    #[serde(default)]
    pub turns: u64,
    /// Turns dropped because the recogniser could not keep up.
    #[serde(default)]
    pub turns_shed: u64,
    /// Seconds of sound decoded.
    #[serde(default)]
    pub audio_s: u64,
    /// Turns that wait to be put into words.
    #[serde(default)]
    pub turns_waiting: u64,
    /// From the end of a turn until its words were counted, milliseconds: the median over the last minute; 0 where there was none.
    #[serde(default)]
    pub words_p50_ms: u64,
    /// The same, the time that 95 % stayed below.
    #[serde(default)]
    pub words_p95_ms: u64,
    /// What is left out now for want of time: 0 nothing, 1 agents' words, 2 words but for a sample of the calls, 3 all words, 4 all
    /// sound, 5 all but signalling.
    #[serde(default)]
    pub shed_level: u64,
    /// How often agents' words came to be left out.
    #[serde(default)]
    pub shed_agent_words: u64,
    /// How often words came to be left out but for a sample of the calls.
    #[serde(default)]
    pub shed_unsampled_words: u64,
    /// How often all words came to be left out.
    #[serde(default)]
    pub shed_all_words: u64,
    /// How often sound came to be left out.
    #[serde(default)]
    pub shed_sound: u64,
    /// How often all but signalling came to be left out.
    #[serde(default)]
    pub shed_media: u64,
    /// Packets of sound that were not decoded, or not looked at, because of that.
    #[serde(default)]
    pub packets_shed: u64,
}

impl Gauges {
    /// How often a step down was made.
    #[must_use]
    pub const fn shed_steps(&self) -> u64 {
        self.shed_agent_words + self.shed_unsampled_words + self.shed_all_words + self.shed_sound + self.shed_media
    }
}

names! {
    /// What an event is of.
    EventKind {
        /// What the box leaves out for want of time changed.
        Shedding "shedding",
    }
}

/// `event`: something changed that explains a change in the numbers; a dashboard's annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When it was noticed.
    pub ts_ms: Millis,
    /// What it is of.
    pub event: EventKind,
    /// What is left out now, as in [`Gauges::shed_level`].
    pub shed_level: u64,
    /// What was left out when an event last said so.
    pub shed_level_before: u64,
}

/// `call/withdrawn`: the score of a call must go wherever it is. Contest, erasure and objection look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Withdrawn {
    /// Version of this shape.
    pub v: u32,
    /// The call.
    pub call: CallId,
}

/// `lost`: the disk lost calls or scores. Sent until somebody has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostRange {
    /// When it is told.
    pub ts_ms: Millis,
    /// The lowest call that may be concerned.
    pub lost_from: CallId,
    /// The highest.
    pub lost_to: CallId,
    /// Calls of which not even the outcome is known any more, at most; they are in no count of `coverage`.
    pub lost_calls: u64,
    /// Scores that were not delivered and never will be, at most.
    pub lost_scores: u64,
}

/// `coverage`, retained: the ledger. `calls_seen` is the sum of the outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// When.
    pub ts: Millis,
    /// The hour that the `hour_…` numbers are of: its first millisecond.
    pub hour: Millis,
    /// Calls of that hour by outcome ([`Outcome::ALL`]).
    pub hour_counts: [u64; Outcome::ALL.len()],
    /// Calls since the spool was created, by outcome.
    pub total_counts: [u64; Outcome::ALL.len()],
    /// Calls of that hour that were signalling_only, by why ([`Reason::ALL`]).
    pub hour_reasons: [u64; Reason::ALL.len()],
    /// Rows that expired before they could be delivered, since the spool was created; counted within the outcomes.
    pub expired_unacked: u64,
}

impl Coverage {
    /// All calls of the hour.
    #[must_use]
    pub fn hour_seen(&self) -> u64 {
        self.hour_counts.iter().sum()
    }

    /// All calls.
    #[must_use]
    pub fn total_seen(&self) -> u64 {
        self.total_counts.iter().sum()
    }
}

impl Serialize for Coverage {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("ts_ms", &self.ts)?;
        map.serialize_entry("hour_ms", &self.hour)?;
        map.serialize_entry("hour_calls_seen", &self.hour_seen())?;
        for (key, count) in HOUR_KEYS.iter().zip(self.hour_counts) {
            map.serialize_entry(key, &count)?;
        }
        map.serialize_entry("calls_seen", &self.total_seen())?;
        for (outcome, count) in Outcome::ALL.iter().zip(self.total_counts) {
            map.serialize_entry(outcome.name(), &count)?;
        }
        for (key, count) in REASON_KEYS.iter().zip(self.hour_reasons) {
            map.serialize_entry(key, &count)?;
        }
        map.serialize_entry("expired_unacked", &self.expired_unacked)?;
        map.end()
    }
}

/// Keys of the hour's counts, in the order of [`Outcome::ALL`].
pub const HOUR_KEYS: [&str; Outcome::ALL.len()] = [
    "hour_scored",
    "hour_signalling_only",
    "hour_unanswered",
    "hour_not_sampled",
    "hour_excluded",
    "hour_interrupted",
    "hour_shed",
    "hour_refused",
    "hour_open",
];

/// Keys of the hour's reasons, in the order of [`Reason::ALL`].
pub const REASON_KEYS: [&str; Reason::ALL.len()] = [
    "hour_reason_consent",
    "hour_reason_review_overdue",
    "hour_reason_unlabelled",
    "hour_reason_one_legged",
    "hour_reason_no_audio",
    "hour_reason_codec_unsupported",
    "hour_reason_loss",
    "hour_reason_jitter",
    "hour_reason_too_short",
    "hour_reason_low_confidence",
    "hour_reason_shed",
    "hour_reason_no_rtcp",
    "hour_reason_encrypted",
    "hour_reason_paused",
    "hour_reason_mixed",
    "hour_reason_no_model",
    "hour_reason_language",
];
