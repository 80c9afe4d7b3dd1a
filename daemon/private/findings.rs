//! What `measure` found out about one call: exact numbers, before `redact` rounds them or keeps them back.

use crate::{Call, Codec, EndCause, Level, Origin, StreamFacts, Wall};

/// How many keyword categories a charter may hold.
pub const CATEGORIES: usize = 30;

/// Why a value is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No rule of the charter gave consent, so nothing was decoded.
    Consent,
    /// The purpose's date of review has passed.
    ReviewOverdue,
    /// Neither party or both parties match the site's `[[agents]]`.
    Unlabelled,
    /// Sound was heard from one party only.
    OneLegged,
    /// No sound was heard at all.
    NoAudio,
    /// The sound is in a codec that this box does not decode.
    CodecUnsupported,
    /// The sound is encrypted, and no key was heard.
    Encrypted,
    /// Analysis was paused for so long, by the agent or the recording session, that the value would mislead.
    Paused,
    /// Both parties are in one channel: nobody can say who spoke.
    Mixed,
    /// So much was lost that the value would mislead.
    Loss,
    /// The two legs' clocks cannot be laid on one line closely enough.
    Jitter,
    /// There was too little speech.
    TooShort,
    /// The recogniser was too unsure of the words.
    LowConfidence,
    /// The box could not keep up and dropped this work.
    Shed,
    /// RTCP, which could tell, was not heard.
    NoRtcp,
    /// Nobody has published a model that covers it.
    NoModel,
    /// What was said was, or may have been, in a language in which blanking is not verified.
    Language,
}

/// A value, or why it is not known.
pub type Measured<T> = Result<T, Reason>;

/// A value and how far off it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value, in the unit of its field.
    pub value: f64,
    /// With the group's confidence, the truth lies within this much of the value.
    pub plus_minus: f64,
}

/// Which party is the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The calling side is the agent.
    AgentCalling,
    /// The called side is the agent.
    AgentCalled,
    /// Neither or both match; the box does not guess.
    Unlabelled,
}

/// Where a call stands by the charter's consent rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// A rule covers the call.
    Given,
    /// A party objected in the call itself.
    Refused,
    /// No rule covers the call, or the evidence that its rule asks for is not there.
    Unknown,
    /// It is never measured: the charter's list, or a private call.
    Excluded,
    /// It is not among the spot checks.
    NotSampled,
}

/// Everything found out about one call. Arrays of two hold the agent's value first, then the customer's.
#[derive(Debug)]
pub struct Findings {
    /// The call.
    pub call: Call,
    /// The INVITE.
    pub offered: Wall,
    /// The first 180 or 183.
    pub ringing: Option<Wall>,
    /// The answer.
    pub answered: Option<Wall>,
    /// The end.
    pub ended: Wall,
    /// Why it ended.
    pub cause: EndCause,
    /// Time on hold, microseconds.
    pub hold_micros: i64,
    /// How often it was put on hold.
    pub hold_count: u32,
    /// How the call came to be known. Without signalling there is no ringing, direction or quality of a line; a call that was
    /// running already has no known start.
    pub origin: Origin,
    /// The call whose story it continues, after a transfer.
    pub continues: Option<Call>,
    /// Which side is the agent.
    pub label: Label,
    /// Whether the charter's rules allowed decoding.
    pub consent: Consent,
    /// A keyed hash of the agent's identity, where it is known who that is and there is a key.
    pub agent: Option<[u8; 16]>,
    /// Ordinal of the team in the site's list.
    pub team: Option<u16>,
    /// Ordinal of the line that was called, in the site's list.
    pub line: Option<u16>,
    /// The codec of the call (the agent's, where the legs differ).
    pub codec: Option<Codec>,
    /// What each leg's stream came to; by [`crate::Side`], not by role.
    pub streams: [Option<StreamFacts>; 2],
    /// Listening quality of each leg by the E-model (ITU-T G.107), MOS 1..4.5.
    pub quality: [Measured<f64>; 2],
    /// The part of the answered time of both legs that was really analysed, 0..1.
    pub scored_fraction: f64,
    /// The part of the answered time in which nothing held analysis back: no pause, and consent was there. 0..1.
    pub unpaused: f64,
    /// The most that the box left out while the call was answered.
    pub level: Level,
    /// Group talk_balance; `None` where the charter does not name it.
    pub talk: Option<TalkBalance>,
    /// Group interruptions.
    pub interruptions: Option<Interruptions>,
    /// Group silence.
    pub silence: Option<Silence>,
    /// Group keywords.
    pub keywords: Option<Keywords>,
    /// Group sentiment_customer.
    pub sentiment: Option<Sentiment>,
    /// Group resolution.
    pub resolution: Option<Resolution>,
    /// Group sensitive.
    pub sensitive: Option<Sensitive>,
}

/// Who talked how much.
#[derive(Clone, Debug)]
pub struct TalkBalance {
    /// Each leg's talk, agent first.
    pub legs: [LegTalk; 2],
    /// The agent's longest stretch of talk, milliseconds.
    pub longest_monologue_agent_ms: Measured<Estimate>,
    /// Probability that each value lies within its plus-minus, 0..1.
    pub confidence: f64,
}

/// One leg's talk.
#[derive(Clone, Debug)]
pub struct LegTalk {
    /// Time talking, milliseconds; pauses under 500 ms count as talk.
    pub talk_time_ms: Measured<Estimate>,
    /// Words a minute of talk time.
    pub talk_speed_wpm: Measured<Estimate>,
}

/// Who cut in on whom.
#[derive(Clone, Debug)]
pub struct Interruptions {
    /// How often the agent interrupted, and the customer.
    pub counts: [Measured<Estimate>; 2],
    /// Time both talked, milliseconds.
    pub overlap_ms: Measured<Estimate>,
    /// Probability that each value lies within its plus-minus, 0..1.
    pub confidence: f64,
}

/// When nobody talked.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Sum of the gaps over 3 s, hold left out, milliseconds.
    pub non_talk_time_total_ms: Measured<Estimate>,
    /// How many such gaps.
    pub silence_count: Measured<Estimate>,
    /// Probability that each value lies within its plus-minus, 0..1.
    pub confidence: f64,
}

/// Which of the site's word lists were heard.
#[derive(Clone, Debug)]
pub struct Keywords {
    /// For each category of the charter, by ordinal: heard or not.
    pub categories: [Option<Measured<bool>>; CATEGORIES],
    /// Probability that each answer is right, 0..1.
    pub confidence: f64,
}

/// How the customer's words felt, -5 to 5.
#[derive(Clone, Debug)]
pub struct Sentiment {
    /// The mean of the quarters.
    pub overall: Measured<Estimate>,
    /// The first part.
    pub start: Measured<Estimate>,
    /// The last part.
    pub end: Measured<Estimate>,
    /// By quarter of the customer's own time.
    pub quarters: [Measured<Estimate>; 4],
    /// Probability that each value lies within its plus-minus, 0..1.
    pub confidence: f64,
}

/// Whether the matter was settled.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// Settled, not settled, or (`None`) not to be told from what was heard.
    pub is_settled: Measured<Option<bool>>,
    /// Probability that it is right, 0..1.
    pub confidence: f64,
}

/// Sensitive things said aloud by either party, counted.
#[derive(Clone, Debug)]
pub struct Sensitive {
    /// Numbers of payment cards.
    pub cards: Measured<Estimate>,
    /// Words about somebody's health.
    pub health: Measured<Estimate>,
    /// What names or finds a person.
    pub identities: Measured<Estimate>,
    /// Probability that each value lies within its plus-minus, 0..1.
    pub confidence: f64,
}
