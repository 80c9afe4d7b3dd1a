//! From a text to words with what they can mean in a number or a spelled name.

use zeroize::Zeroize;

/// A word, or a part of one where digits and letters meet or a hyphen parts.
pub(super) struct Atom {
    /// Its first byte.
    pub(super) start: usize,
    /// One past its last byte.
    pub(super) end: usize,
    /// In lower case.
    pub(super) plain: String,
    pub(super) sense: Sense,
    /// What stands between it and the one before.
    pub(super) gap: Gap,
}

/// What a word can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sense {
    /// So many digits, written as such.
    Digits(usize),
    /// A single digit in words.
    Unit(u8),
    /// Ten to nineteen.
    Teen(u8),
    /// Twenty to ninety.
    Tens(u8),
    /// Hundred, thousand: a quantity, where it is not a house.
    Large,
    /// A day of a month.
    Ordinal,
    /// Double, triple: so many of the next digit.
    Times(usize),
    /// A month's name.
    Month,
    /// A letter on its own.
    Letter,
    /// Anything else.
    Word,
}

/// What stands before an atom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    /// A blank.
    pub(super) blank: bool,
    /// `$`, `£`, `€`.
    pub(super) currency: bool,
    /// `:` or `.` without a blank: a time, a decimal number, a web address.
    pub(super) point: bool,
    /// `,` without a blank: thousands.
    pub(super) comma: bool,
    /// `/`.
    pub(super) slash: bool,
    /// `@`.
    pub(super) at: bool,
    /// `%`.
    pub(super) percent: bool,
}

impl Sense {
    /// Whether it can be part of a number.
    pub(super) const fn is_number(self) -> bool {
        matches!(self, Self::Digits(_) | Self::Unit(_) | Self::Teen(_) | Self::Tens(_) | Self::Large | Self::Ordinal | Self::Times(_))
    }
}

impl Drop for Atom {
    fn drop(&mut self) {
        self.plain.zeroize();
    }
}

pub(super) fn atoms(text: &str) -> Vec<Atom> {
    let mut atoms: Vec<Atom> = Vec::new();
    let mut gap = Gap { blank: true, ..Gap::default() };
    let mut open: Option<(usize, bool)> = None;
    for (at, c) in text.char_indices().chain(std::iter::once((text.len(), ' '))) {
        let joins = c.is_alphanumeric() || (matches!(c, '\'' | '\u{2019}') && open.is_some());
        let turns = open.is_some_and(|(_, digits)| c.is_alphanumeric() && digits != c.is_ascii_digit());
        if let Some((start, _)) = open.filter(|_| !joins || turns) {
            atoms.push(atom(text, start, at, std::mem::take(&mut gap)));
            open = None;
        }
        if joins && open.is_none() {
            open = Some((at, c.is_ascii_digit()));
        }
        match c {
            c if c.is_whitespace() => gap.blank = true,
            '$' | '£' | '€' => gap.currency = true,
            ':' | '.' => gap.point = true,
            ',' => gap.comma = true,
            '/' => gap.slash = true,
            '@' => gap.at = true,
            '%' => {
                if let Some(last) = atoms.last_mut() {
                    last.gap.percent = true;
                }
            }
            _ => {}
        }
    }
    // A point before a blank ends a sentence and parts no number.
    for atom in atoms.iter_mut().filter(|atom| atom.gap.blank) {
        atom.gap.point = false;
        atom.gap.comma = false;
    }
    atoms
}

fn atom(text: &str, start: usize, end: usize, gap: Gap) -> Atom {
    let written = text[start..end].trim_end_matches(['\'', '\u{2019}']);
    let plain: String = written.chars().filter(|c| *c != '\u{2019}' && *c != '\'').flat_map(char::to_lowercase).collect();
    let sense = sense(&plain);
    Atom { start, end: start + written.len(), plain, sense, gap }
}

fn sense(plain: &str) -> Sense {
    const UNITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    const TEENS: [&str; 10] = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"];
    const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    const LARGE: [&str; 8] = ["hundred", "hundreds", "thousand", "thousands", "million", "millions", "billion", "billions"];
    const ORDINALS: [&str; 21] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth",
        "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth", "thirtieth",
    ];
    const MONTHS: [&str; 23] = [
        "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december", "jan",
        "feb", "mar", "apr", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    if !plain.is_empty() && plain.bytes().all(|byte| byte.is_ascii_digit()) {
        return Sense::Digits(plain.len());
    }
    let place = |names: &[&str]| names.iter().position(|name| *name == plain).and_then(|place| u8::try_from(place).ok());
    if let Some(value) = place(&UNITS) {
        return Sense::Unit(value);
    }
    if let Some(value) = place(&TEENS) {
        return Sense::Teen(10 + value);
    }
    if let Some(value) = place(&TENS) {
        return Sense::Tens(20 + 10 * value);
    }
    match plain {
        "oh" | "nought" => Sense::Unit(0),
        "niner" => Sense::Unit(9),
        "double" => Sense::Times(2),
        "triple" | "treble" => Sense::Times(3),
        _ if LARGE.contains(&plain) => Sense::Large,
        _ if ORDINALS.contains(&plain) => Sense::Ordinal,
        _ if MONTHS.contains(&plain) => Sense::Month,
        _ if plain.len() == 1 && plain.as_bytes()[0].is_ascii_alphabetic() => Sense::Letter,
        _ => Sense::Word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_what_parts_them() {
        let found: Vec<(String, Sense)> = atoms("Twenty-five, 4th W.H. SW1A $3.50 it's").iter().map(|atom| (atom.plain.clone(), atom.sense)).collect();
        let expected = [
            ("twenty", Sense::Tens(20)),
            ("five", Sense::Unit(5)),
            ("4", Sense::Digits(1)),
            ("th", Sense::Word),
            ("w", Sense::Letter),
            ("h", Sense::Letter),
            ("sw", Sense::Word),
            ("1", Sense::Digits(1)),
            ("a", Sense::Letter),
            ("3", Sense::Digits(1)),
            ("50", Sense::Digits(2)),
            ("its", Sense::Word),
        ];
        assert_eq!(found.iter().map(|(plain, sense)| (plain.as_str(), *sense)).collect::<Vec<_>>(), expected);
        let atoms = atoms("$3.50 5% a@b");
        assert!(atoms[0].gap.currency && atoms[1].gap.point && atoms[2].gap.percent && atoms[4].gap.at);
    }
}
