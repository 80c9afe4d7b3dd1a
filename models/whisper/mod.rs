//! Words from speech: Whisper (<https://arxiv.org/abs/2212.04356>), written for short telephone turns.
//!
//! The encoder of Whisper always sees 30 s. Here it sees the turn and a margin of silence, and the rest of the
//! memory that the decoder looks at is what the encoder makes of pure silence, computed once: the
//! **silent tail**. Without the tail the decoder misses the end of the speech and repeats itself.
//!
//! Several turns, whosever they are, are decoded together: that is what makes the decoder cheap. Decoding is
//! greedy, without timestamps; what was heard comes with how sure the model was, and whoever uses the words
//! decides from that whether to believe them.

mod align;
mod decoder;
mod encoder;
mod guard;
mod tokens;

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroize;

use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::kernels::{HEAD, MOST_TURNS, Memory};
use crate::mel::{HOP, LogMel, SAMPLE_RATE};
use decoder::{Decoded, Decoder, Desk, Encoded};
use encoder::{Encoder, Room};
pub use tokens::Language;
use tokens::Tokens;

/// The longest turn: 30 s.
pub const MAX_SAMPLES: usize = 30 * SAMPLE_RATE;
/// Encoder positions a whole window has: one for each 20 ms.
const WINDOW: usize = 1500;
/// Samples that one encoder position stands for.
const POSITION: usize = 2 * HOP;
/// Silence that is encoded after the turn, in samples. With 0.3 s a few more words are wrong (the
/// design's table), with more the time goes up and nothing else.
const MARGIN: usize = SAMPLE_RATE;
/// The spectrogram of silence, as the tail is made of it.
const SILENCE: f32 = -0.6;
/// Positions of silence that the decoder looks at as one, their mean: it is much alike, and looking at it is a third of a
/// decoder's step.
const ALIKE: usize = 6;
/// Positions of silence that are encoded beside when a turn is decoded once more because the first words were doubtful: half a second.
const OTHER_CUT: usize = 25;
/// Above the first, and with tokens less likely than the second on average, nobody spoke. The first pair is
/// OpenAI's (`transcribe.py`); the others are for music, where a short word comes out more likely than that, or
/// the model less sure that there is nothing. Of 270 prompts one is above 0.45, with -0.7.
const NO_SPEECH: [(f32, f32); 3] = [(0.6, -1.0), (0.8, -0.5), (0.45, -1.6)];

/// The positions in all of turns that are decoded together: what the decoder looks at is the greatest part of the memory that a worker needs, 12 KiB
/// a position in the smallest model.
const MOST_POSITIONS: usize = 2 * WINDOW;

/// A loaded model, with the room that its work needs. A clone shares the weights.
pub struct Whisper {
    model: Arc<Model>,
    desk: Desk,
    room: Room,
    encoded: Vec<f32>,
    operations: [Operations; Stage::ALL.len()],
}

/// Operations of the arithmetic, products and sums counted each, as a plain product of matrices would count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Operations {
    /// On activations and weights of 8 bits.
    pub eight_bits: u64,
    /// On what attention looks at, 16 bits.
    pub sixteen_bits: u64,
}

/// What somebody said without a pause.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    /// At 16 kHz, -1 to 1, at most [`MAX_SAMPLES`].
    pub samples: &'a [f32],
    /// `None`: to be found out, where the model knows several languages.
    pub language: Option<Language>,
}

/// What the model is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The spectrogram.
    Mel,
    /// The encoder.
    Encoder,
    /// Keys and values of what the encoder gave, for the decoder.
    CrossKeys,
    /// The layers of the decoder.
    Decoder,
    /// From the decoder's last layer to a token.
    Vocabulary,
    /// All else.
    Other,
}

impl Stage {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Mel, Self::Encoder, Self::CrossKeys, Self::Decoder, Self::Vocabulary, Self::Other];
}

struct Model {
    log_mel: LogMel,
    mel_bins: usize,
    encoder: Encoder,
    decoder: Decoder,
    tokens: Tokens,
    /// For each decoder layer, keys and values of a window of silence.
    silence: Vec<Memory>,
}

/// What was heard in one turn. It holds spoken words: nothing prints them, and they are wiped when dropped.
#[derive(Clone, PartialEq)]
pub struct Heard {
    /// In the order spoken.
    pub words: Vec<HeardWord>,
    /// Mean natural logarithm of the tokens' probabilities, the end of the turn among them. At most 0;
    /// telephone English is mostly above -0.5, another language mostly below -1.
    pub average_log_probability: f32,
    /// How likely the model finds it that there was no speech at all, 0 to 1.
    pub no_speech_probability: f32,
    /// The language that the words are in, and how likely it is among all that the model knows; `None` where it knows
    /// one only.
    pub language: Option<(Language, f32)>,
    /// The first decoding ran away or was doubtful, and the turn was decoded again, with the full window or another cut.
    pub decoded_twice: bool,
    /// The better one ran away too: the words end where it began to repeat itself.
    pub cut_short: bool,
}

/// One spoken word.
#[derive(Clone, PartialEq)]
pub struct HeardWord {
    /// As the model writes it, with the punctuation that belongs to it, without spaces.
    pub text: String,
    /// Product of the probabilities of its tokens, punctuation aside; 0 to 1.
    pub probability: f32,
    /// How likely it is the word that was spoken, 0 to 1: of words that say 0.8, four of five are right. See
    /// [`CONFIDENCE`].
    pub confidence: f32,
    /// Seconds from the begin of the turn to the word's.
    pub begin: f32,
    /// Seconds from the begin of the turn to the word's end.
    pub end: f32,
}

impl Whisper {
    /// Reads the weights and computes the silent tail.
    ///
    /// # Errors
    ///
    /// A tensor or key is absent, of another shape, or makes no Whisper.
    pub fn load(tensors: &Tensors<'_>) -> Result<Self, ModelError> {
        if tensors.text("general.architecture")? != "whisper" {
            return Err(ModelError::Metadata {
                key: "general.architecture".to_owned(),
                needed: "whisper",
            });
        }
        let dimensions = Dimensions::load(tensors)?;
        let encoder = Encoder::load(tensors, &dimensions)?;
        let decoder = Decoder::load(tensors, &dimensions)?;
        let tokens = Tokens::load(tensors, dimensions.vocabulary)?;
        let log_mel = LogMel::new(dimensions.mel_bins);
        let (mut desk, mut room, mut encoded) = (Desk::default(), Room::default(), Vec::new());
        let silence = vec![SILENCE; 2 * WINDOW * dimensions.mel_bins];
        encoder.forward(&silence, &mut room, &mut encoded)?;
        let silence = decoder.memories(&backwards(&encoded, dimensions.width), &mut desk)?;
        Ok(Self {
            model: Arc::new(Model {
                log_mel,
                mel_bins: dimensions.mel_bins,
                encoder,
                decoder,
                tokens,
                silence,
            }),
            desk,
            room,
            encoded,
            operations: Default::default(),
        })
    }

    /// The language with this code (`en`, `es`), where the model knows several and this one among them.
    #[must_use]
    pub fn language(&self, code: &str) -> Option<Language> {
        self.model.tokens.find(code)
    }

    /// A language's code.
    #[must_use]
    pub fn code(&self, language: Language) -> Option<&str> {
        self.model.tokens.code(language)
    }

    /// The words of one turn at 16 kHz, -1 to 1, in a language that is found out where the model knows several.
    ///
    /// # Errors
    ///
    /// As [`Self::transcribe_batch`].
    pub fn transcribe(&mut self, samples: &[f32]) -> Result<Heard, ModelError> {
        let turn = Turn {
            samples,
            language: None,
        };
        let heard = self.transcribe_batch(&[turn])?.pop();
        heard.ok_or(ModelError::Input("no turn"))
    }

    /// The words of several turns, in their order: the same as of each alone, and sooner.
    ///
    /// It takes some 10 ms a second of sound on one core. Nothing of the turns stays behind.
    ///
    /// # Errors
    ///
    /// More than [`MAX_SAMPLES`]: a longer turn is the caller's to divide, where there is a pause.
    pub fn transcribe_batch(&mut self, turns: &[Turn<'_>]) -> Result<Vec<Heard>, ModelError> {
        self.transcribe_watched(turns, &mut |_| ())
    }

    /// As [`Self::transcribe_batch`]; `stage` is told each time that another part of the work begins.
    ///
    /// # Errors
    ///
    /// As [`Self::transcribe_batch`].
    pub fn transcribe_watched(
        &mut self,
        turns: &[Turn<'_>],
        stage: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Heard>, ModelError> {
        if turns.iter().any(|turn| turn.samples.len() > MAX_SAMPLES) {
            return Err(ModelError::Input("a turn of more than 30 s"));
        }
        let mut heard = Vec::with_capacity(turns.len());
        let mut rest = turns;
        while !rest.is_empty() {
            let mut positions = 0;
            let fitting = rest.iter().take(MOST_TURNS).take_while(|turn| {
                positions += positions_of(turn);
                positions <= MOST_POSITIONS
            });
            // The longest turn alone fits.
            let (batch, later) = rest.split_at(fitting.count().max(1));
            let decoded = self.decode(batch, positions_of, stage)?;
            for (turn, mut decoded) in batch.iter().zip(decoded) {
                let again = again(turn, &decoded);
                if let Some(positions) = again {
                    let more = self.decode(std::slice::from_ref(turn), |_| positions, stage)?;
                    decoded = more.into_iter().fold(decoded, better);
                }
                heard.push(self.heard(decoded, again.is_some()));
            }
            rest = later;
        }
        stage(Stage::Other);
        Ok(heard)
    }

    fn heard(&self, mut decoded: Decoded, decoded_twice: bool) -> Heard {
        let cut_short = decoded.ran_away;
        if cut_short {
            guard::cut(&mut decoded);
        }
        let average_log_probability = decoded.average_log_probability();
        Heard {
            words: if is_no_speech(&decoded) {
                Vec::new()
            } else {
                self.model.tokens.words(&decoded)
            },
            average_log_probability,
            no_speech_probability: decoded.no_speech_probability,
            language: decoded.language,
            decoded_twice,
            cut_short,
        }
    }

    /// Encodes so many positions of each turn, and decodes all turns.
    fn decode(
        &mut self,
        turns: &[Turn<'_>],
        positions_of: impl Fn(&Turn<'_>) -> usize,
        stage: &mut dyn FnMut(Stage),
    ) -> Result<Vec<Decoded>, ModelError> {
        let model = &*self.model;
        let mut encoded = Vec::with_capacity(turns.len());
        for turn in turns {
            let positions = positions_of(turn);
            stage(Stage::Mel);
            let mut mel = model.log_mel.compute(turn.samples, 2 * positions)?;
            stage(Stage::Encoder);
            model
                .encoder
                .forward(&mel, &mut self.room, &mut self.encoded)?;
            stage(Stage::CrossKeys);
            let spoken = turn.samples.len().div_ceil(POSITION).min(positions);
            encoded.push(Encoded {
                spoken,
                speech: align::speech(&mel, model.mel_bins, spoken),
                memories: model.decoder.memories(&self.encoded, &mut self.desk)?,
                positions,
                tail: tail_after(positions),
                seconds: turn.samples.len() as f32 / SAMPLE_RATE as f32,
                language: turn.language,
            });
            self.encoded.fill(0.0);
            mel.fill(0.0);
        }
        stage(Stage::Other);
        let looked: Vec<usize> = encoded.iter().map(|turn| turn.positions + turn.tail.0).collect();
        for turn in &encoded {
            self.operations[Stage::Encoder as usize] += model.encoder.operations(turn.positions, model.mel_bins);
            self.operations[Stage::CrossKeys as usize] += model.decoder.key_operations(turn.positions);
        }
        let desk = &mut self.desk;
        let decoded = model
            .decoder
            .decode(&model.tokens, encoded, &model.silence, desk, stage)?;
        for (decoded, looked) in decoded.iter().zip(looked) {
            let said = decoded.tokens.len();
            let steps = model.tokens.prompt_length() + said;
            self.operations[Stage::Decoder as usize] += model.decoder.step_operations(steps, looked);
            self.operations[Stage::Vocabulary as usize] += model.decoder.vocabulary_operations(said + 2);
        }
        Ok(decoded)
    }

    /// What all work so far took, by [`Stage`]. The spectrogram and what is done to single values are not counted.
    #[must_use]
    pub fn operations(&self) -> [Operations; Stage::ALL.len()] {
        self.operations
    }
}

/// Whether nobody spoke.
fn is_no_speech(decoded: &Decoded) -> bool {
    let average_log_probability = decoded.average_log_probability();
    NO_SPEECH.iter().any(|&(no_speech, unlikely)| {
        decoded.no_speech_probability > no_speech && average_log_probability < unlikely
    })
}

/// How many positions are to be encoded when a turn is decoded once more; `None` where it is not. What ran away, which
/// mostly is for want of the silence after the turn, gets the whole window; what is only doubtful another cut, which costs hardly
/// more than the first: at temperature 0 the same cut would say the same again.
fn again(turn: &Turn<'_>, decoded: &Decoded) -> Option<usize> {
    let positions = positions_of(turn);
    let wanted = if decoded.ran_away {
        WINDOW
    } else if guard::is_doubtful(decoded) && !is_no_speech(decoded) {
        (positions + OTHER_CUT).min(WINDOW)
    } else {
        positions
    };
    (wanted > positions).then_some(wanted)
}

/// The first of two decodings of a turn, or the second one.
fn better(first: Decoded, second: Decoded) -> Decoded {
    let is_better = match (first.ran_away, second.ran_away) {
        (true, _) => true,
        (false, true) => false,
        (false, false) => second.average_log_probability() > first.average_log_probability(),
    };
    if is_better { second } else { first }
}

impl std::ops::AddAssign for Operations {
    fn add_assign(&mut self, more: Self) {
        self.eight_bits += more.eight_bits;
        self.sixteen_bits += more.sixteen_bits;
    }
}

/// What a word's probability is worth: its odds to the power of the first, times `e` to the second. Fitted (logistic
/// regression) to whether words of tiny.en were right in every second of 270 telephone prompts, and tried on the other
/// half, which has the same voice. A fit to base comes out close (0.66, 1.27). The table is in the model's card.
pub const CONFIDENCE: (f32, f32) = (0.65, 1.43);

/// See [`CONFIDENCE`].
fn confidence(probability: f32) -> f32 {
    let odds = (f64::from(probability) / (1.0 - f64::from(probability)).max(1e-6)).max(1e-6);
    let logit = f64::from(CONFIDENCE.0) * odds.ln() + f64::from(CONFIDENCE.1);
    (1.0 / (1.0 + (-logit).exp())) as f32
}

/// Positions that a turn and the silence after it need.
fn positions_of(turn: &Turn<'_>) -> usize {
    (turn.samples.len() + MARGIN).div_ceil(POSITION).min(WINDOW)
}

/// How many of the silence's positions follow so many of a turn, and how many each of them stands for.
fn tail_after(positions: usize) -> (usize, f32) {
    let left = WINDOW.saturating_sub(positions);
    let count = left.div_ceil(ALIKE);
    (count, left as f32 / count.max(1) as f32)
}

/// Of each [`ALIKE`] positions their mean, the last first: so what follows a turn begins at the same place, however long it is.
fn backwards(encoded: &[f32], width: usize) -> Vec<f32> {
    let mut means = Vec::with_capacity(encoded.len() / ALIKE);
    for alike in encoded.rchunks(ALIKE * width) {
        let count = (alike.len() / width) as f32;
        means.extend(
            (0..width).map(|index| alike.iter().skip(index).step_by(width).sum::<f32>() / count),
        );
    }
    means
}

impl Heard {
    /// The share of the words that is likely to be right: the mean of their confidence; `None` where there are none.
    #[must_use]
    pub fn confidence(&self) -> Option<f32> {
        let sum: f32 = self.words.iter().map(|word| word.confidence).sum();
        (!self.words.is_empty()).then(|| sum / self.words.len() as f32)
    }
}

impl Clone for Whisper {
    fn clone(&self) -> Self {
        Self {
            model: Arc::clone(&self.model),
            desk: Desk::default(),
            room: Room::default(),
            encoded: Vec::new(),
            operations: Default::default(),
        }
    }
}

impl fmt::Debug for Whisper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whisper").finish_non_exhaustive()
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Turn({} samples)", self.samples.len())
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heard({} words)", self.words.len())
    }
}

impl fmt::Debug for HeardWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeardWord")
    }
}

impl Drop for HeardWord {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

/// The sizes of a model, checked once.
struct Dimensions {
    mel_bins: usize,
    width: usize,
    feed_forward: usize,
    encoder_layers: usize,
    decoder_layers: usize,
    decoder_positions: usize,
    vocabulary: usize,
}

impl Dimensions {
    fn load(tensors: &Tensors<'_>) -> Result<Self, ModelError> {
        let within = |key: &str, most: u32, needed: &'static str| {
            let value = tensors.u32(key)?;
            if value == 0 || value > most {
                return Err(ModelError::Metadata {
                    key: key.to_owned(),
                    needed,
                });
            }
            Ok(value as usize)
        };
        let width = within("whisper.embedding_length", 2048, "1 to 2048")?;
        for side in ["encoder", "decoder"] {
            let key = format!("whisper.{side}.attention.head_count");
            if within(&key, 64, "1 to 64")? * HEAD != width {
                return Err(ModelError::Metadata {
                    key,
                    needed: "heads of 64 values",
                });
            }
        }
        let key = "whisper.encoder.context_length";
        if within(key, u32::MAX, "1500")? != WINDOW {
            return Err(ModelError::Metadata {
                key: key.to_owned(),
                needed: "1500",
            });
        }
        Ok(Self {
            mel_bins: within("whisper.audio.mel_bins", 128, "1 to 128")?,
            width,
            feed_forward: within("whisper.feed_forward_length", 8192, "1 to 8192")?,
            encoder_layers: within("whisper.encoder.block_count", 64, "1 to 64")?,
            decoder_layers: within("whisper.decoder.block_count", 64, "1 to 64")?,
            decoder_positions: within("whisper.decoder.context_length", 1024, "1 to 1024")?,
            vocabulary: tensors
                .dimensions("decoder.embedding")
                .and_then(|dimensions| dimensions.first().copied())
                .unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests;
