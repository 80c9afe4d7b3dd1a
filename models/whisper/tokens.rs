//! The vocabulary: which tokens may follow, and what words they are.

use zeroize::Zeroize;

use super::decoder::Decoded;
use super::{HOP, HeardWord, SAMPLE_RATE, align, confidence};
use crate::error::ModelError;
use crate::gguf::Tensors;

pub(super) struct Tokens {
    /// The bytes of all tokens, one after the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<u32>,
    prompt: Vec<u32>,
    /// Codes, as in ISO 639, and the tokens that stand for them; none where the model knows one language only.
    languages: Vec<(String, u32)>,
    end: u32,
    no_speech: u32,
    suppress: Vec<u32>,
    suppress_begin: Vec<u32>,
}

/// A language that the model knows. It means something to the model that gave it only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Language(usize);

/// Where in the prompt the language is named, in the models that know several.
const LANGUAGE_PLACE: usize = 1;

impl Tokens {
    pub(super) fn load(tensors: &Tensors<'_>, vocabulary: usize) -> Result<Self, ModelError> {
        const TOKENS: &str = "tokenizer.ggml.tokens";
        const LANGUAGES: &str = "whisper.language_token_ids";
        let wrong = |key: &str, needed| ModelError::Metadata {
            key: key.to_owned(),
            needed,
        };
        let texts = tensors.texts(TOKENS)?;
        if texts.len() != vocabulary {
            return Err(wrong(TOKENS, "one text for each row of the embedding"));
        }
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(texts.len());
        for text in texts {
            bytes.extend(text.chars().filter_map(byte_of));
            let end = u32::try_from(bytes.len()).map_err(|_| wrong(TOKENS, "less than 4 GiB"))?;
            ends.push(end);
        }
        let known = |key: &str, ids: Vec<u32>| {
            if ids.iter().all(|&id| (id as usize) < vocabulary) {
                Ok(ids)
            } else {
                Err(wrong(key, "tokens of the vocabulary"))
            }
        };
        let list = |key: &str| known(key, tensors.u32s(key)?);
        let one = |key: &str| {
            let id = tensors.u32(key)?;
            known(key, vec![id]).map(|_| id)
        };
        let prompt = list("whisper.prompt")?;
        if prompt.is_empty() || prompt.len() > 8 {
            return Err(wrong("whisper.prompt", "1 to 8 tokens"));
        }
        let mut languages = Vec::new();
        if tensors.metadata(LANGUAGES).is_some() {
            let codes = tensors.texts("general.languages")?;
            let ids = list(LANGUAGES)?;
            if codes.len() != ids.len() || ids.is_empty() || prompt.len() <= LANGUAGE_PLACE {
                return Err(wrong(LANGUAGES, "one token for each of general.languages"));
            }
            languages = codes.into_iter().map(str::to_owned).zip(ids).collect();
        }
        Ok(Self {
            bytes,
            ends,
            prompt,
            languages,
            end: one("tokenizer.ggml.eos_token_id")?,
            no_speech: one("whisper.no_speech_token_id")?,
            suppress: list("whisper.suppress")?,
            suppress_begin: list("whisper.suppress_begin")?,
        })
    }

    /// How many tokens a decoding starts with.
    pub(super) fn prompt_length(&self) -> usize {
        self.prompt.len()
    }

    /// Which is the one at this place.
    pub(super) fn prompt(&self, place: usize, language: Option<Language>) -> Option<u32> {
        let language = language.and_then(|language| self.languages.get(language.0));
        match language {
            Some(&(_, token)) if place == LANGUAGE_PLACE => Some(token),
            _ => self.prompt.get(place).copied(),
        }
    }

    /// The language with this code, where the model knows several.
    pub(super) fn find(&self, code: &str) -> Option<Language> {
        let place = self.languages.iter().position(|(known, _)| known == code)?;
        Some(Language(place))
    }

    pub(super) fn code(&self, language: Language) -> Option<&str> {
        let (code, _) = self.languages.get(language.0)?;
        Some(code)
    }

    /// The likeliest language by the scores that follow a prompt's first token, or the one that was `asked` for;
    /// and how likely it is among the languages.
    pub(super) fn language(
        &self,
        scores: &[f32],
        asked: Option<Language>,
    ) -> Option<(Language, f32)> {
        let score = |&(_, token): &(String, u32)| scores.get(token as usize).copied();
        let all: Vec<f32> = self.languages.iter().filter_map(score).collect();
        let (best, highest) =
            (0..)
                .zip(&all)
                .fold((0, f32::NEG_INFINITY), |best, (place, &score)| {
                    if score > best.1 { (place, score) } else { best }
                });
        let language = asked.unwrap_or(Language(best));
        let sum: f32 = all.iter().map(|score| (score - highest).exp()).sum();
        let probability = (all.get(language.0)? - highest).exp() / sum;
        Some((language, probability))
    }

    /// The token that ends a turn.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    /// The token that says that nobody speaks.
    pub(super) fn no_speech(&self) -> u32 {
        self.no_speech
    }

    /// Makes impossible what is not speech (the published list: brackets, notes), what is no text at all
    /// (languages, tasks, times), and for the first token an end or a blank.
    pub(super) fn forbid(&self, scores: &mut [f32], first: bool) {
        let begin = if first { &self.suppress_begin[..] } else { &[] };
        for &id in self.suppress.iter().chain(begin) {
            if let Some(score) = scores.get_mut(id as usize) {
                *score = f32::NEG_INFINITY;
            }
        }
        // All marks have higher numbers than the one for the end.
        if let Some(marks) = scores.get_mut(self.end as usize + 1..) {
            marks.fill(f32::NEG_INFINITY);
        }
    }

    /// The words that tokens make: one begins where a token begins with a space.
    pub(super) fn words(&self, decoded: &Decoded) -> Vec<HeardWord> {
        let mut words: Vec<HeardWord> = Vec::new();
        let mut spelled = Spelled::default();
        for token in &decoded.tokens {
            let bytes = self.bytes_of(token.id);
            let is_word = bytes
                .iter()
                .any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
            if bytes.first() == Some(&b' ') && is_word {
                spelled.close(&mut words, token.begin, &decoded.speech);
            }
            if is_word && !spelled.is_word {
                (spelled.is_word, spelled.begin) = (true, token.begin);
            }
            spelled.bytes.extend_from_slice(bytes);
            if is_word {
                spelled.log_probability += token.log_probability;
            }
        }
        spelled.close(&mut words, decoded.finish, &decoded.speech);
        words
    }

    fn bytes_of(&self, id: u32) -> &[u8] {
        let id = id as usize;
        let start = id.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = start.map_or(0, |&end| end as usize);
        let end = self.ends.get(id).map_or(start, |&end| end as usize);
        &self.bytes[start..end]
    }
}

/// A word on its way.
#[derive(Default)]
struct Spelled {
    bytes: Vec<u8>,
    /// There was a letter or a digit.
    is_word: bool,
    log_probability: f32,
    /// The position where the first token with a letter begins.
    begin: u16,
}

impl Spelled {
    /// Ends a word, at the latest at this position. What has no letter and no digit is no word.
    fn close(&mut self, words: &mut Vec<HeardWord>, end: u16, speech: &[bool]) {
        if self.is_word {
            let text = String::from_utf8_lossy(self.bytes.trim_ascii()).into_owned();
            let probability = self.log_probability.exp();
            let (begin, end) = align::tighten(self.begin.into(), end.into(), speech);
            let seconds = |position: usize| (2 * HOP * position) as f32 / SAMPLE_RATE as f32;
            words.push(HeardWord {
                text,
                probability,
                confidence: confidence(probability),
                begin: seconds(begin),
                end: seconds(end),
            });
        }
        self.bytes.zeroize();
        *self = Self {
            bytes: std::mem::take(&mut self.bytes),
            ..Self::default()
        };
    }
}

/// The byte that a character of GPT-2's vocabulary stands for: printable Latin-1 is itself, the other bytes
/// follow from U+0100 on (`bytes_to_unicode` in OpenAI's `encoder.py`).
fn byte_of(character: char) -> Option<u8> {
    let is_itself = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let code = u32::from(character);
    if let Ok(byte) = u8::try_from(code) {
        return is_itself(byte).then_some(byte);
    }
    let index = usize::try_from(code.checked_sub(0x100)?).ok()?;
    (0..=255).filter(|&byte| !is_itself(byte)).nth(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::whisper::decoder::Token;

    fn vocabulary(texts: &[&str]) -> Tokens {
        let mut tokens = Tokens {
            bytes: Vec::new(),
            ends: Vec::new(),
            prompt: vec![0],
            languages: Vec::new(),
            end: 1,
            no_speech: 2,
            suppress: vec![3],
            suppress_begin: vec![1],
        };
        for text in texts {
            tokens.bytes.extend(text.chars().filter_map(byte_of));
            tokens.ends.push(tokens.bytes.len() as u32);
        }
        tokens
    }

    fn token(id: u32, probability: f32) -> Token {
        Token {
            id,
            log_probability: probability.ln(),
            begin: 0,
        }
    }

    fn decoded(tokens: &[Token]) -> Decoded {
        Decoded {
            tokens: tokens.to_vec(),
            end: Some(0.0),
            finish: 100,
            speech: vec![true; 90],
            no_speech_probability: 0.0,
            language: None,
            ran_away: false,
        }
    }

    #[test]
    fn tokens_become_words() {
        let tokens = vocabulary(&["Ġcall", "Ġcent", "er", ",", "Ġdon", "'t", "Ġ,", "Ã", "©"]);
        let mut spoken = decoded(&[
            token(0, 0.9),
            token(1, 0.5),
            token(2, 0.5),
            token(3, 0.1),
            token(4, 0.8),
            token(5, 1.0),
            token(6, 0.1),
            token(0, 0.3),
            token(7, 1.0),
            token(8, 1.0),
        ]);
        for (token, begin) in spoken.tokens.iter_mut().zip((0..).step_by(10)) {
            token.begin = begin;
        }
        let words = tokens.words(&spoken);
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["call", "center,", "don't ,", "callé"]);
        for (word, expected) in words.iter().zip([0.9, 0.25, 0.8, 0.3]) {
            assert!((word.probability - expected).abs() < 1e-6);
        }
        // 20 ms a position; the last word ends with the sound.
        let times: Vec<[f32; 2]> = words.iter().map(|word| [word.begin, word.end]).collect();
        assert_eq!(times, [[0.0, 0.2], [0.2, 0.8], [0.8, 1.4], [1.4, 1.8]]);
    }

    #[test]
    fn punctuation_alone_is_no_word() {
        let tokens = vocabulary(&["Ġ.", "!"]);
        assert!(
            tokens
                .words(&decoded(&[token(0, 1.0), token(1, 1.0), token(77, 1.0)]))
                .is_empty()
        );
    }

    #[test]
    fn bytes_are_those_of_gpt2() {
        let mut seen: Vec<u8> = (0..0x200)
            .filter_map(char::from_u32)
            .filter_map(byte_of)
            .collect();
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..=255));
    }

    #[test]
    fn a_language_is_asked_for_or_found() {
        let mut tokens = vocabulary(&["a"]);
        assert_eq!(tokens.language(&[1.0; 8], None), None);
        assert_eq!(tokens.prompt(1, None), None);
        tokens.prompt = vec![0, 5, 9];
        tokens.languages = vec![("en".to_owned(), 5), ("es".to_owned(), 6)];
        let mut scores = [0.0; 8];
        scores[6] = 2.0;
        let (found, probability) = tokens.language(&scores, None).unwrap();
        assert_eq!(tokens.code(found), Some("es"));
        assert!((probability - 0.880_797).abs() < 1e-5);
        assert_eq!(tokens.prompt(1, Some(found)), Some(6));
        assert_eq!(tokens.prompt(2, Some(found)), Some(9));
        let english = tokens.find("en").unwrap();
        let (language, probability) = tokens.language(&scores, Some(english)).unwrap();
        assert_eq!(language, english);
        assert!((probability - 0.119_203).abs() < 1e-5);
        assert_eq!(tokens.find("xx"), None);
    }

    #[test]
    fn what_may_not_follow_is_impossible() {
        let tokens = vocabulary(&["a", "b"]);
        let mut scores = [1.0; 6];
        tokens.forbid(&mut scores, false);
        assert_eq!(
            scores.map(f32::is_finite),
            [true, true, false, false, false, false]
        );
        tokens.forbid(&mut scores, true);
        assert_eq!(
            scores.map(f32::is_finite),
            [true, false, false, false, false, false]
        );
    }
}
