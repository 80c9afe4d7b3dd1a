//! The thresholds behind the numbers. They are published in the schema, so that a number can be contested.

/// Pauses shorter than this, within one leg, count as talk.
pub const BRIDGE_MS: u32 = 500;

/// Gaps longer than this in which neither leg talks count as non-talk time (Contact Lens uses 3 s too).
pub const NON_TALK_GAP_MS: u32 = 3_000;

/// Speech shorter than this, begun while the other talks, is a backchannel ("mhm") and not an interruption.
pub const BACKCHANNEL_MS: u32 = 1_000;

/// The other must have been talking for at least this long for an interruption to count.
pub const INTERRUPTED_SINCE_MS: u32 = 500;

/// The other must go on talking for at least this long after the interruption began.
pub const INTERRUPTED_STILL_MS: u32 = 300;

/// Above this interarrival jitter (RFC 3550) of either leg the box does not say who cut in on whom.
pub const INTERRUPTION_JITTER_MS: u32 = 60;

/// Below this mean probability of a leg's words, no number is made of them. Measured: English telephone speech has 0.65 to 0.88,
/// Spanish heard by the English model 0.23 to 0.41 (`models/cards/whisper-tiny-en.md`).
pub const WORDS_PROBABILITY_PERCENT: u32 = 50;

/// Fewer words than this say nothing of how well a leg is understood.
pub const LEAST_WORDS: u32 = 5;

/// Above this share of lost packets no talk time is given.
pub const LOSS_PERCENT: u32 = 20;

/// Where analysis was held back, by a pause or because consent came late, for so much of the call that less than this share was heard, no
/// number is made of the sound.
pub const HEARD_PERCENT: u32 = 50;

/// A sentiment that may be further off than this, in tenths of a point, is not published.
pub const SENTIMENT_PLUS_MINUS_TENTHS: u32 = 25;

/// Every threshold, with its name in the schema, its unit and its meaning.
pub const ALL: [(&str, u32, &str, &str); 11] = [
    ("bridge_ms", BRIDGE_MS, "ms", "pauses shorter than this, within one leg, count as talk"),
    ("non_talk_gap_ms", NON_TALK_GAP_MS, "ms", "gaps longer than this, in which neither leg talks, count as non-talk time"),
    ("backchannel_ms", BACKCHANNEL_MS, "ms", "speech shorter than this, begun while the other talks, is no interruption"),
    ("interrupted_since_ms", INTERRUPTED_SINCE_MS, "ms", "how long the interrupted leg must have been talking"),
    ("interrupted_still_ms", INTERRUPTED_STILL_MS, "ms", "how long the interrupted leg must go on talking"),
    ("interruption_jitter_ms", INTERRUPTION_JITTER_MS, "ms", "above this jitter of either leg interruptions are not counted"),
    ("words_probability_percent", WORDS_PROBABILITY_PERCENT, "%", "below this mean word probability no number is made of a leg's words"),
    ("least_words", LEAST_WORDS, "words", "with fewer words no number is made of a leg's words"),
    ("sentiment_plus_minus_tenths", SENTIMENT_PLUS_MINUS_TENTHS, "0.1 points", "a sentiment that may be further off than this is not published"),
    ("loss_percent", LOSS_PERCENT, "%", "above this share of lost packets no talk time is given"),
    ("heard_percent", HEARD_PERCENT, "%", "where pauses, or consent that came late, leave less than this share of the call, no number is made of the sound"),
];
