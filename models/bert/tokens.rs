//! From a text to word pieces, as BERT's uncased models were taught them: lower case, accents off, punctuation apart,
//! then the longest pieces that the vocabulary has (`BertNormalizer`, `BertPreTokenizer` and `WordPiece` of
//! <https://github.com/huggingface/tokenizers>).

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use zeroize::Zeroize;

use crate::bert::wrong;
use crate::error::ModelError;
use crate::gguf::Tensors;

/// A longer word is unknown as a whole.
const LONGEST_WORD: usize = 100;
/// How a piece is written that does not begin a word.
const INNER: &str = "##";

/// A part of a word, and where it stands in the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) id: u32,
    /// Its first byte.
    pub(crate) start: usize,
    /// One past its last byte.
    pub(crate) end: usize,
    /// It begins a word.
    pub(crate) begins: bool,
}

pub(super) struct Vocabulary {
    /// All pieces, one after the other, and where each ends.
    text: String,
    ends: Vec<u32>,
    /// All ids, as their pieces are sorted.
    sorted: Vec<u32>,
    unknown: u32,
    marks: (u32, u32),
}

impl Vocabulary {
    pub(super) fn load(tensors: &Tensors<'_>) -> Result<Self, ModelError> {
        let key = "tokenizer.ggml.tokens";
        Self::of(tensors.texts(key)?).ok_or_else(|| wrong(key, "the tokens [UNK], [CLS] and [SEP]"))
    }

    /// `None` where the marks are not among the pieces.
    fn of(pieces: Vec<&str>) -> Option<Self> {
        let mut ends = Vec::with_capacity(pieces.len());
        let mut end = 0;
        for piece in &pieces {
            end += piece.len();
            ends.push(u32::try_from(end).ok()?);
        }
        let mut sorted: Vec<u32> = (0..).take(pieces.len()).collect();
        sorted.sort_by_key(|&id| pieces[id as usize]);
        let vocabulary = Self { text: pieces.concat(), ends, sorted, unknown: 0, marks: (0, 0) };
        let (unknown, begin, end) = (vocabulary.id("[UNK]")?, vocabulary.id("[CLS]")?, vocabulary.id("[SEP]")?);
        Some(Self { unknown, marks: (begin, end), ..vocabulary })
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    fn piece(&self, id: u32) -> &str {
        let end = |id: usize| self.ends[id] as usize;
        let start = if id == 0 { 0 } else { end(id as usize - 1) };
        &self.text[start..end(id as usize)]
    }

    fn id(&self, piece: &str) -> Option<u32> {
        let place = self.sorted.binary_search_by_key(&piece, |&id| self.piece(id)).ok()?;
        Some(self.sorted[place])
    }

    /// What stands before and after every text.
    pub(super) fn marks(&self) -> (u32, u32) {
        self.marks
    }

    pub(super) fn pieces(&self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut word = Word::default();
        for (start, c) in text.char_indices() {
            if c.is_whitespace() || stands_alone(c) || c.is_control() || c == '\u{fffd}' {
                // A control character is as if it were not there; it does not part a word.
                if !c.is_control() || c.is_whitespace() {
                    self.cut(&mut word, &mut pieces);
                }
                if stands_alone(c) {
                    word.push(c, start, start + c.len_utf8());
                    self.cut(&mut word, &mut pieces);
                }
                continue;
            }
            for plain in c.to_lowercase().nfd().filter(|&c| !is_combining_mark(c)) {
                word.push(plain, start, start + c.len_utf8());
            }
        }
        self.cut(&mut word, &mut pieces);
        pieces
    }

    /// Takes a word apart and empties it.
    fn cut(&self, word: &mut Word, pieces: &mut Vec<Piece>) {
        let before = pieces.len();
        if word.places.len() > LONGEST_WORD || !self.take_apart(word, pieces) {
            pieces.truncate(before);
            if let (Some(&(_, start, _)), Some(&(_, _, end))) = (word.places.first(), word.places.last()) {
                pieces.push(Piece { id: self.unknown, start, end, begins: true });
            }
        }
        word.wipe();
    }

    /// Gives whether the vocabulary has all that the word is made of.
    fn take_apart(&self, word: &Word, pieces: &mut Vec<Piece>) -> bool {
        let mut from = 0;
        let mut piece = String::new();
        while from < word.places.len() {
            let found = (from + 1..=word.places.len()).rev().find_map(|to| {
                piece.zeroize();
                if from > 0 {
                    piece.push_str(INNER);
                }
                let end = word.places.get(to).map_or(word.text.len(), |place| place.0);
                piece.push_str(&word.text[word.places[from].0..end]);
                self.id(&piece).map(|id| (id, to))
            });
            let Some((id, to)) = found else {
                piece.zeroize();
                return false;
            };
            pieces.push(Piece { id, start: word.places[from].1, end: word.places[to - 1].2, begins: from == 0 });
            from = to;
        }
        piece.zeroize();
        true
    }
}

/// A word in the plain dress of the vocabulary.
#[derive(Default)]
struct Word {
    text: String,
    /// For each character: where it begins in `text`, and the first and one past the last byte that it stems from.
    places: Vec<(usize, usize, usize)>,
}

impl Word {
    fn push(&mut self, c: char, start: usize, end: usize) {
        self.places.push((self.text.len(), start, end));
        self.text.push(c);
    }

    fn wipe(&mut self) {
        self.text.zeroize();
        self.places.clear();
    }
}

/// Punctuation (all of ASCII that is no letter or digit counts as such) and the ideographs, each of which is a word.
fn stands_alone(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c, '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}')
        || matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let tokens = ["[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "cafe", ",", "'", "s", "it"];
        Vocabulary::of(tokens.to_vec()).unwrap()
    }

    #[test]
    fn the_longest_pieces_with_their_places() {
        let found = |text: &str| -> Vec<(u32, &str)> { vocabulary().pieces(text).iter().map(|piece| (piece.id, &text.to_owned().leak()[piece.start..piece.end])).collect() };
        assert_eq!(found("Unaffable, it's"), [(3, "Un"), (4, "aff"), (5, "able"), (7, ","), (10, "it"), (8, "'"), (9, "s")]);
        assert_eq!(found("Caf\u{e9}\u{0} x"), [(6, "Caf\u{e9}"), (0, "x")]);
        assert_eq!(found("unx un"), [(0, "unx"), (3, "un")]);
        assert_eq!(found(&"u".repeat(101)).len(), 1);
        assert!(found(" \t").is_empty());
    }
}
