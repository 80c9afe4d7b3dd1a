//! Whether the matter was settled, as it was heard: by what the last part of the call means.
//!
//! Each of the last turns is compared with sentences that end a call well and sentences that leave it open. Nobody is asked, and a
//! customer who says "it works" may be wrong: the field says `heard`.

use sotto_models::ModelError;
use sotto_models::embed::{Embedder, Meaning};
use sotto_private::{Measured, Reason, Resolution};

/// The part of the call, from its end, that is listened to.
const LAST_PART: f64 = 0.4;
/// Likeness below this is no likeness (all-MiniLM-L6-v2 gives unrelated sentences 0 to 0.3).
const LEAST_LIKENESS: f32 = 0.45;
/// A turn must be this much nearer to one side than to the other.
const LEAST_DIFFERENCE: f32 = 0.06;
/// The sum of all turns' evidence from which on it is said.
const LEAST_EVIDENCE: f64 = 0.12;
/// How often it is right where it says resolved or unresolved, on the scripted calls (`tests/eval`).
pub(crate) const CONFIDENCE: f64 = 0.8;
/// More turns than this in one call are no conversation.
const MOST_TURNS: usize = 4_096;

const SETTLED: [&str; 16] = [
    "That fixed it, it works now.",
    "It is working again, thank you.",
    "Great, that solves my problem.",
    "Perfect, that is all I needed.",
    "Thank you, that was everything.",
    "Yes, the light is green now.",
    "I have refunded the amount to your account.",
    "Your appointment is booked for Tuesday.",
    "The replacement is on its way and arrives tomorrow.",
    "I have corrected your bill.",
    "Your order has been cancelled and the money will be returned.",
    "Everything is set up for you now.",
    "That answers my question.",
    "Okay, I will bring it in on Thursday then, thank you.",
    "Wonderful, thank you so much for your help.",
    "I am glad I could sort that out for you.",
];
const OPEN: [&str; 16] = [
    "It still does not work.",
    "No, that did not help.",
    "That does not solve my problem.",
    "I will have to call back later.",
    "We will get back to you about that.",
    "I cannot do anything about it.",
    "I am afraid there is nothing I can do.",
    "I want to speak to a manager.",
    "I am going to cancel my contract.",
    "Nobody can tell me when it will be fixed.",
    "I will file a complaint.",
    "That is not good enough.",
    "A technician has to look at it, we will call you.",
    "I still do not know what to do.",
    "You have not helped me at all.",
    "I will take my business elsewhere.",
];

/// What a turn says of the matter.
#[derive(Clone, Copy)]
pub(crate) struct Evidence {
    /// Its middle, milliseconds from the answer.
    pub(crate) at: i64,
    /// Above zero: settled.
    pub(crate) weight: f64,
}

/// The sentences, as meanings.
pub(crate) struct Endings {
    settled: Vec<Meaning>,
    open: Vec<Meaning>,
}

impl Endings {
    pub(crate) fn new(embedder: &Embedder) -> Result<Self, ModelError> {
        let meanings = |sentences: &[&str]| sentences.iter().map(|sentence| embedder.embed(sentence)).collect::<Result<_, _>>();
        Ok(Self { settled: meanings(&SETTLED)?, open: meanings(&OPEN)? })
    }

    /// How much a turn speaks for a settled matter, and against it where it is below zero.
    pub(crate) fn weigh(&self, text: &str, embedder: &Embedder) -> Result<f64, ModelError> {
        let meaning = embedder.embed(text)?;
        let nearest = |to: &[Meaning]| to.iter().map(|other| meaning.likeness(other)).fold(0.0f32, f32::max);
        let (settled, open) = (nearest(&self.settled), nearest(&self.open));
        let difference = settled - open;
        let is_telling = settled.max(open) >= LEAST_LIKENESS && difference.abs() >= LEAST_DIFFERENCE;
        Ok(if is_telling { f64::from(difference) } else { 0.0 })
    }
}

/// What was heard of the matter in a call, from both legs.
#[derive(Default)]
pub(crate) struct Matter(Vec<Evidence>);

impl Matter {
    pub(crate) fn add(&mut self, evidence: Evidence) {
        if self.0.len() < MOST_TURNS {
            self.0.push(evidence);
        }
    }

    /// `duration` is the call's, milliseconds.
    pub(crate) fn resolution(&self, duration: i64, blocked: Option<Reason>) -> Resolution {
        let is_settled: Measured<Option<bool>> = match blocked.or_else(|| self.0.is_empty().then_some(Reason::TooShort)) {
            Some(why) => Err(why),
            None => {
                let from = duration as f64 * (1.0 - LAST_PART);
                // What is said later weighs more: up to twice.
                let weight = |evidence: &Evidence| evidence.weight * (1.0 + (evidence.at as f64 - from) / (duration as f64 * LAST_PART).max(1.0));
                let sum: f64 = self.0.iter().filter(|evidence| evidence.at as f64 >= from).map(weight).sum();
                Ok((sum.abs() >= LEAST_EVIDENCE).then_some(sum > 0.0))
            }
        };
        Resolution { is_settled, confidence: CONFIDENCE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts_and_little_is_unknown() {
        let matter = |turns: &[(i64, f64)]| Matter(turns.iter().map(|&(at, weight)| Evidence { at, weight }).collect()).resolution(10_000, None).is_settled;
        assert_eq!(matter(&[(1_000, -0.9), (9_000, 0.2)]), Ok(Some(true)));
        assert_eq!(matter(&[(9_000, -0.2), (7_000, 0.1)]), Ok(Some(false)));
        assert_eq!(matter(&[(9_000, 0.01)]), Ok(None));
        assert_eq!(matter(&[]), Err(Reason::TooShort));
        assert_eq!(Matter::default().resolution(10_000, Some(Reason::Mixed)).is_settled, Err(Reason::Mixed));
    }
}
