//! What is heard of a call: it exists only with consent.

use sotto_charter::thresholds::WORDS_PROBABILITY_PERCENT;
use sotto_models::vad::Vad;
use sotto_private::{CATEGORIES, Call, Label, Side, Turn, Wall, Words};

use crate::blank::Counts;
use crate::categories::{Lists, Tail};
use crate::evaluate::sides;
use crate::language::Tongue;
use crate::leg::Leg;
use crate::read::Reading;
use crate::resolution::{Evidence, Matter};
use crate::sentiment::{Feelings, Felt};

/// The part of a call's state that exists only with consent.
pub(crate) struct Hearing {
    pub(crate) answered: Wall,
    pub(crate) label: Label,
    pub(crate) wants_sound: bool,
    pub(crate) wants_words: bool,
    /// By side.
    pub(crate) legs: [Option<Leg>; 2],
    /// Packets whose encoding this build does not decode, by side.
    pub(crate) unsupported: [u64; 2],
    /// By side.
    pub(crate) speech: [Speech; 2],
    pub(crate) categories: [bool; CATEGORIES],
    pub(crate) matter: Matter,
}

/// What a leg's words came to. The words themselves are gone.
#[derive(Default)]
pub(crate) struct Speech {
    pub(crate) spoken: u32,
    /// Sum over words of their probability.
    pub(crate) probability: f64,
    pub(crate) recognised: u32,
    pub(crate) turns_heard: u32,
    pub(crate) turns_shed: u32,
    pub(crate) sensitive: Counts,
    pub(crate) feelings: Feelings,
    pub(crate) tongue: Tongue,
    tail: Tail,
}

impl Speech {
    /// Of a site whose language is none in which blanking is verified.
    pub(crate) fn unverified() -> Self {
        Self { tongue: Tongue::UNVERIFIED, ..Self::default() }
    }
}

impl Hearing {
    /// Looks for speech in all that was decoded, without waiting for other calls.
    pub(crate) fn look_alone(&mut self, call: Call, vad: &Vad, turns: &mut Vec<Turn>) {
        for (side, leg) in Side::BOTH.into_iter().zip(&mut self.legs) {
            if let Some(leg) = leg {
                leg.look_alone(call, side, vad, self.wants_words, turns);
            }
        }
    }

    pub(crate) fn hear(&mut self, words: &Words, reading: &Reading, lists: &Lists) {
        let role = usize::from(sides(self.label)[0] != words.side);
        let speech = &mut self.speech[words.side.index()];
        speech.turns_heard += 1;
        speech.spoken += words.spoken;
        speech.sensitive.add(&reading.blanked);
        if let Some(witness) = reading.witness {
            speech.tongue.add(witness);
        }
        for word in &words.words {
            speech.probability += f64::from(word.probability);
            speech.recognised += 1;
        }
        // Words that the recogniser hardly believes hit no list.
        if words.mean_probability * 100.0 >= WORDS_PROBABILITY_PERCENT as f32 {
            let texts: Vec<&str> = words.words.iter().map(sotto_private::Word::text).collect();
            lists.look(role, words.turn, &texts, &mut speech.tail, &mut self.categories);
            lists.mark(role, reading.topics, &mut self.categories);
            let Some((start, end)) = reading.span else { return };
            let [start, end] = [start, end].map(|wall| wall.since(self.answered) / 1_000);
            let at = i64::midpoint(start, end);
            if let Some(feeling) = reading.feeling {
                speech.feelings.add(Felt { at, end, score: f64::from(feeling.score), spread: f64::from(feeling.spread) });
            }
            if let Some(weight) = reading.settled {
                self.matter.add(Evidence { at, weight });
            }
        }
    }
}
