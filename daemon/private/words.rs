//! Turns of speech and what was said in them.

use crate::{Call, Private, Side, Wall};

/// A stretch of one leg's speech, cut at pauses, on its way to be turned into words.
#[derive(Debug)]
pub struct Turn {
    /// The call.
    pub call: Call,
    /// Whose speech.
    pub side: Side,
    /// Running number within the leg, from 0.
    pub number: u32,
    /// Where its first sample lies on the wall clock.
    pub start: Wall,
    /// When the speech in it ended; where it was cut from speech that went on, when it was cut.
    pub ended: Wall,
    /// Samples at 8 kHz, full scale is 32768; at most 30 s of them.
    pub samples: Private<Vec<i16>>,
}

/// One word as the recogniser wrote it.
#[derive(Clone, Debug)]
pub struct Word {
    text: Private<String>,
    /// The probability that the recogniser gave it, 0..1.
    pub probability: f32,
}

impl Word {
    /// Takes the word into custody.
    #[must_use]
    pub fn new(text: &str, probability: f32) -> Self {
        Self { text: Private::new(text.to_owned()), probability }
    }

    /// The word; empty once it was blanked.
    #[must_use]
    pub fn text(&self) -> &str {
        self.text.expose()
    }

    /// Wipes the word. That there was one stays.
    pub fn blank(&mut self) {
        self.text = Private::new(String::new());
    }

    /// Whether it was blanked.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.text.expose().is_empty()
    }
}

/// What was said in one turn.
#[derive(Debug)]
pub struct Words {
    /// The call.
    pub call: Call,
    /// Whose words.
    pub side: Side,
    /// The turn's number within the leg.
    pub turn: u32,
    /// The words in order, what is sensitive among them blanked. Empty where nothing was understood.
    pub words: Vec<Word>,
    /// How many words were spoken, the blanked ones among them: "25" is two.
    pub spoken: u32,
    /// Mean probability of the words, 0..1.
    pub mean_probability: f32,
    /// The recogniser's probability that this was no speech, 0..1.
    pub no_speech: f32,
}
