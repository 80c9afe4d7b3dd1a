//! Whether a pack hears: a few seconds of known speech, silence, and a few sentences, before it is trusted with calls.
//!
//! The clip is synthetic speech (Debian's flite, voice `rms`) at 8 kHz in mu-law, cut from what `sotto bench` plays.

use std::fmt;

use crate::error::ModelError;
use crate::pack::{Pack, PackError};
use crate::resample::Upsampler;
use crate::vad::{Vad, VadState};
use crate::whisper::Whisper;

/// What is said in the clip, but for its number, which recognisers write in several ways.
const SAID: &str = "good morning i have a question about my bill there is a charge of dollars that i do not";
/// So many of these words must be heard, per cent: telephone speech of a clear voice.
const HEARD_PERCENT: usize = 75;
const CLIP: &[u8] = include_bytes!("clip.ulaw");
/// Seconds of silence that must stay silent.
const SILENCE_S: usize = 3;
/// A frame is speech from this probability on.
const SPEECH: f32 = 0.5;
/// So much of the clip is speech, per cent, and so much of silence may be taken for it.
const SPEECH_PERCENT: usize = 60;
const SILENCE_PERCENT: usize = 5;

/// Why a pack may not be trusted with calls.
#[derive(Debug)]
pub enum TrialError {
    /// A model cannot be read.
    Pack(PackError),
    /// A model failed.
    Model(ModelError),
    /// So many of the clip's words were heard, of so many.
    Words {
        /// Heard.
        heard: usize,
        /// Said.
        said: usize,
    },
    /// Words were heard in silence.
    Silence,
    /// Speech was not told from silence.
    Speech,
    /// A card's number was not found.
    Sensitive,
    /// Praise was not told from anger.
    Sentiment,
    /// Sentences that mean the same are no nearer than those that do not.
    Meaning,
}

impl fmt::Display for TrialError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pack(error) => error.fmt(formatter),
            Self::Model(error) => error.fmt(formatter),
            Self::Words { heard, said } => write!(formatter, "only {heard} of the {said} words of the known clip are heard"),
            Self::Silence => formatter.write_str("words are heard in silence"),
            Self::Speech => formatter.write_str("speech is not told from silence"),
            Self::Sensitive => formatter.write_str("a card's number that is read aloud is not found"),
            Self::Sentiment => formatter.write_str("praise is not told from anger"),
            Self::Meaning => formatter.write_str("sentences of one meaning are no nearer than others"),
        }
    }
}

impl std::error::Error for TrialError {}

impl From<ModelError> for TrialError {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

impl From<PackError> for TrialError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

impl Pack {
    /// Tries every model that the pack has. It takes about a second of one core.
    ///
    /// # Errors
    /// The first that cannot be trusted.
    pub fn trial(&self) -> Result<(), TrialError> {
        let has = |job: &str| self.manifest().file.iter().any(|file| file.job == job);
        tells_speech(&self.vad()?)?;
        hears(&mut self.whisper()?)?;
        if has("pii") && self.pii()?.find("my card number is four one one one one one one one one one one one one one one one")?.is_empty() {
            return Err(TrialError::Sensitive);
        }
        if has("sentiment") {
            let sentiment = self.sentiment()?;
            let (praise, anger) = (sentiment.feel("thank you so much this was wonderful")?, sentiment.feel("this is terrible and i am very angry with you")?);
            if praise.score <= 0.0 || anger.score >= 0.0 {
                return Err(TrialError::Sentiment);
            }
        }
        if has("embed") {
            let embedder = self.embedder()?;
            let meaning = |text| embedder.embed(text);
            let (bill, same, other) = (meaning("there is a mistake on my bill")?, meaning("the invoice you sent me is wrong")?, meaning("it will rain in the mountains tonight")?);
            if bill.likeness(&same) <= bill.likeness(&other) {
                return Err(TrialError::Meaning);
            }
        }
        Ok(())
    }
}

/// Whether a detector tells the clip from silence.
///
/// # Errors
/// It does not.
pub fn tells_speech(vad: &Vad) -> Result<(), TrialError> {
    let share = |samples: &[f32]| {
        let (mut state, frames) = (VadState::default(), samples.as_chunks::<{ Vad::FRAME }>().0);
        frames.iter().filter(|frame| vad.probability(&mut state, frame) >= SPEECH).count() * 100 / frames.len().max(1)
    };
    let silence = vec![0.0; SILENCE_S * Vad::RATE as usize];
    if share(&clip()) < SPEECH_PERCENT || share(&silence) > SILENCE_PERCENT { Err(TrialError::Speech) } else { Ok(()) }
}

/// Whether a recogniser hears the clip's words, and none in silence.
///
/// # Errors
/// It does not.
pub fn hears(whisper: &mut Whisper) -> Result<(), TrialError> {
    let upsampler = Upsampler::new(2).ok_or(TrialError::Speech)?;
    let heard = whisper.transcribe(&upsampler.upsample(&clip()))?;
    let mut heard: Vec<String> = heard.words.iter().map(|word| word.text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()).collect();
    let said = SAID.split(' ').count();
    let found = SAID.split(' ').filter(|word| heard.iter().position(|known| known == word).map(|at| heard.remove(at)).is_some()).count();
    if found * 100 < said * HEARD_PERCENT {
        return Err(TrialError::Words { heard: found, said });
    }
    let silence = vec![0.0; SILENCE_S * 2 * Vad::RATE as usize];
    if whisper.transcribe(&silence)?.words.is_empty() { Ok(()) } else { Err(TrialError::Silence) }
}

/// The clip's samples at 8 kHz, -1 to 1.
fn clip() -> Vec<f32> {
    CLIP.iter().map(|&code| mu_law(code)).collect()
}

/// A sample of mu-law (ITU-T G.711), 14 bits of magnitude, as -1 to 1.
fn mu_law(code: u8) -> f32 {
    let code = !code;
    let (exponent, mantissa) = ((code >> 4) & 7, i32::from(code & 15));
    let magnitude = (((mantissa << 3) + 132) << exponent) - 132;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as f32 / 32_768.0
}
