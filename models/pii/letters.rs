//! Names that are spelled: letters on their own, "W as in whiskey", the alphabet of radio.

use std::ops::Range;

use zeroize::Zeroize;

use crate::pii::atoms::{Atom, Sense};

/// What may stand between two letters.
const WITHIN: [&str; 7] = ["apostrophe", "hyphen", "dash", "capital", "space", "um", "uh"];
/// Written apart, these are still words.
const WORDS: [&str; 18] =
    ["tv", "pc", "us", "usa", "uk", "eu", "atm", "pdf", "dvd", "cd", "www", "ok", "faq", "gps", "usb", "am", "pm", "ai"];
const ALPHABET: [&str; 30] = [
    "alpha", "alfa", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "juliett", "kilo", "lima", "mike",
    "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "whisky", "xray", "yankee", "zulu",
    "zebra",
];

/// Letters in a row.
pub(super) struct Letters {
    /// Of its atoms.
    pub(super) range: Range<usize>,
    pub(super) count: usize,
    word: String,
}

impl Letters {
    /// The letters that begin at an atom: two at least.
    pub(super) fn at(atoms: &[Atom], from: usize) -> Option<Self> {
        if let Some(radio) = radio(atoms, from) {
            return Some(radio);
        }
        if atoms[from].sense != Sense::Letter {
            return None;
        }
        let mut letters = Self { range: from..from + 1, count: 1, word: atoms[from].plain.clone() };
        loop {
            letters.range.end = explained(atoms, letters.range.end);
            let end = letters.range.end;
            let is_letter = |index: usize| atoms.get(index).is_some_and(|atom| atom.sense == Sense::Letter);
            let joins = |atom: &Atom| WITHIN.contains(&atom.plain.as_str()) || matches!(atom.sense, Sense::Times(_));
            let next = if is_letter(end) {
                end
            } else if atoms.get(end).is_some_and(joins) && is_letter(end + 1) {
                end + 1
            } else {
                break;
            };
            letters.count += 1;
            letters.word.push_str(&atoms[next].plain);
            letters.range.end = next + 1;
        }
        let is_word = WORDS.contains(&letters.word.as_str()) || letters.word.bytes().all(|letter| matches!(letter, b'a' | b'i'));
        (letters.count > 1 && !is_word).then_some(letters)
    }

    /// Whether they make a word that stands beside the number of a date or of a house.
    pub(super) fn is_part_of_a_number(&self) -> bool {
        const PARTS: [&str; 22] = [
            "box", "pobox", "apt", "january", "february", "march", "april", "june", "july", "august", "september", "october", "november",
            "december", "jan", "feb", "mar", "apr", "jun", "aug", "nov", "dec",
        ];
        PARTS.contains(&self.word.as_str())
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        self.word.zeroize();
    }
}

/// Behind "as in whiskey" or "for whiskey" after a letter that ends before `end`.
fn explained(atoms: &[Atom], end: usize) -> usize {
    let plain = |index: usize| atoms.get(index).map(|atom| atom.plain.as_str());
    let begins_alike = |index: usize| matches!((plain(end - 1), plain(index)), (Some(letter), Some(word)) if word.len() > 1 && word.starts_with(letter));
    match (plain(end), plain(end + 1)) {
        (Some("as"), Some("in")) if begins_alike(end + 2) => end + 3,
        (Some("for" | "like"), _) if begins_alike(end + 1) => end + 2,
        _ => end,
    }
}

/// Three words of the radio alphabet or more.
fn radio(atoms: &[Atom], from: usize) -> Option<Letters> {
    let count = atoms[from..].iter().take_while(|atom| ALPHABET.contains(&atom.plain.as_str())).count();
    (count > 2).then(|| Letters { range: from..from + count, count, word: String::new() })
}
