//! Numbers as they are said: runs of words that make one number, and whether such a number names somebody.

use std::ops::Range;

use zeroize::Zeroize;

use crate::pii::Kind;
use crate::pii::atoms::{Atom, Sense};

/// Words that may stand within a number.
const WITHIN: [&str; 11] = ["and", "um", "uh", "er", "erm", "dash", "hyphen", "slash", "of", "then", "space"];
/// What a recogniser writes for a digit that it did not take for one.
const SOUNDS_LIKE: [&str; 6] = ["for", "to", "too", "won", "ate", "o"];
/// After these a number counts things, or is a time.
const UNITS: [&str; 57] = [
    "dollars", "dollar", "bucks", "pounds", "pound", "euros", "euro", "cents", "pence", "percent", "per", "minutes", "minute", "seconds",
    "hours", "hour", "days", "day", "weeks", "week", "months", "month", "years", "year", "times", "miles", "mile", "kilometers", "meters",
    "feet", "inches", "inch", "pm", "am", "oclock", "degrees", "people", "items", "pieces", "calls", "percentage", "grand", "mph",
    "megabytes", "gigabytes", "gigs", "gallons", "liters", "points", "basis", "quarter", "quarters", "shares", "stores", "customers",
    "employees", "countries",
];
/// Before these a number names something or somebody.
const CUES: [&str; 42] = [
    "number", "numbers", "account", "card", "phone", "telephone", "cell", "mobile", "zip", "code", "postcode", "postal", "pin", "policy",
    "reference", "extension", "social", "security", "id", "license", "licence", "passport", "member", "membership", "ending", "digits", "box",
    "apartment", "apt", "suite", "unit", "serial", "confirmation", "routing", "sort", "cvv", "cvc", "expiry", "expires", "address", "ssn",
    "tracking",
];
const BIRTH_CUES: [&str; 6] = ["born", "birth", "birthday", "birthdate", "dob", "bday"];
const PHONE_CUES: [&str; 6] = ["phone", "telephone", "cell", "mobile", "call", "reach"];
/// How far before a number a cue may stand, words.
const CUE_WITHIN: usize = 6;
/// Nobody who telephones was born in this year or later.
const RECENT_YEAR: u32 = 2015;
/// A payment card's number (ISO/IEC 7812).
const CARD_DIGITS: std::ops::RangeInclusive<usize> = 13..=19;
/// So many digits that are no quantity name somebody, whatever stands around them.
const MANY_DIGITS: usize = 5;

/// A number that somebody said.
pub(super) struct Number {
    /// Of its atoms.
    pub(super) range: Range<usize>,
    /// As they would be typed.
    digits: Vec<u8>,
    has_month: bool,
    /// Day, month and year with slashes.
    is_dated: bool,
    /// Hundreds, thousands, a decimal fraction.
    is_quantity: bool,
    is_money_or_time: bool,
    /// Every digit was said alone, or is written.
    is_by_digit: bool,
}

impl Number {
    /// The number that begins at an atom.
    pub(super) fn at(atoms: &[Atom], from: usize) -> Option<Self> {
        if !begins(&atoms[from]) {
            return None;
        }
        let mut end = from + 1;
        while let Some(next) = following(atoms, end) {
            end = next + 1;
        }
        let number = Self::of(atoms, from..end);
        // "May I", "first", "oh" are no numbers.
        let is_said = number.digits.iter().any(|&digit| digit != 0) || number.digits.len() > 1 || number.is_quantity;
        is_said.then_some(number)
    }

    fn of(atoms: &[Atom], mut range: Range<usize>) -> Self {
        let within = &atoms[range.clone()];
        let has_month = within.iter().any(|atom| atom.sense == Sense::Month);
        let mut digits: Vec<u8> = Vec::with_capacity(24);
        let (mut times, mut tens) = (1, false);
        for atom in within {
            let after_tens = std::mem::replace(&mut tens, matches!(atom.sense, Sense::Tens(_)));
            match atom.sense {
                Sense::Times(count) => times = count,
                Sense::Unit(value) if after_tens && value > 0 => {
                    if let Some(last) = digits.last_mut() {
                        *last = value;
                    }
                }
                Sense::Unit(value) => digits.extend(std::iter::repeat_n(value, times)),
                Sense::Teen(value) | Sense::Tens(value) => digits.extend([value / 10, value % 10]),
                Sense::Digits(_) => {
                    let written = atom.plain.bytes().map(|byte| byte - b'0');
                    written.for_each(|digit| digits.extend(std::iter::repeat_n(digit, times)));
                }
                // The value of a day does not matter.
                Sense::Ordinal if has_month => digits.push(1),
                Sense::Letter | Sense::Word if SOUNDS_LIKE.contains(&atom.plain.as_str()) => digits.push(0),
                _ => {}
            }
            if !matches!(atom.sense, Sense::Times(_)) {
                times = 1;
            }
        }
        let is_by_digit = within.iter().all(|atom| !matches!(atom.sense, Sense::Teen(_) | Sense::Tens(_) | Sense::Large | Sense::Ordinal | Sense::Month));
        let inner = || within.iter().skip(1);
        let points = inner().filter(|atom| atom.gap.point && !atom.gap.blank).count();
        let commas = inner().filter(|atom| atom.gap.comma && !atom.gap.blank && atom.sense == Sense::Digits(3)).count();
        let is_large = within.iter().any(|atom| atom.sense == Sense::Large);
        let next = atoms.get(range.end);
        let counts = next.is_some_and(|next| UNITS.contains(&next.plain.as_str()));
        let is_few = digits.len() < 7;
        let is_dated = inner().filter(|atom| atom.gap.slash).count() == 2;
        // Long numbers draw in what was heard for a digit before them.
        if is_by_digit && digits.len() > MANY_DIGITS && range.start > 0 && SOUNDS_LIKE.contains(&atoms[range.start - 1].plain.as_str()) {
            range.start -= 1;
            digits.push(0);
        }
        Self {
            is_quantity: is_large || (points == 1 && is_few) || (commas > 0 && digits.len() < 10),
            is_money_or_time: within[0].gap.currency || within.iter().any(|atom| atom.gap.percent) || (counts && is_few),
            range,
            digits,
            has_month,
            is_dated,
            is_by_digit,
        }
    }

    /// How many digits it has.
    pub(super) fn digits(&self) -> usize {
        self.digits.len()
    }

    /// What it names, if it names anything. `is_all` says that nothing else of meaning was said in the turn: then it answers a question.
    pub(super) fn kind(&self, atoms: &[Atom], is_all: bool) -> Option<Kind> {
        let count = self.digits.len();
        let before = &atoms[self.range.start.saturating_sub(CUE_WITHIN)..self.range.start];
        let cue = |cues: &[&str]| before.iter().any(|atom| cues.contains(&atom.plain.as_str()));
        if self.has_month || self.is_dated {
            let is_old = count > 4 && self.year() < RECENT_YEAR;
            return (is_old || cue(&BIRTH_CUES) || (is_all && count > 2)).then_some(Kind::DateOfBirth);
        }
        if self.is_money_or_time {
            return None;
        }
        if self.is_quantity {
            return is_all.then_some(Kind::Number);
        }
        if CARD_DIGITS.contains(&count) {
            return Some(Kind::Card);
        }
        if count >= MANY_DIGITS {
            return Some(match count {
                7 | 10 | 11 if self.is_by_digit || cue(&PHONE_CUES) => Kind::Phone,
                5 | 9 if self.is_by_digit && (is_all || cue(&["zip"])) => Kind::ZipCode,
                _ if cue(&BIRTH_CUES) => Kind::DateOfBirth,
                _ => Kind::Number,
            });
        }
        ((count > 2 && cue(&CUES)) || (count > 1 && is_all) || cue(&BIRTH_CUES)).then_some(Kind::Number)
    }

    fn year(&self) -> u32 {
        let last = &self.digits[self.digits.len().saturating_sub(4)..];
        last.iter().fold(0, |year, &digit| 10 * year + u32::from(digit))
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.digits.zeroize();
    }
}

fn begins(atom: &Atom) -> bool {
    atom.sense.is_number() || atom.sense == Sense::Month
}

/// The next atom of a number whose parts so far end before `end`: one word may stand between, or two.
fn following(atoms: &[Atom], end: usize) -> Option<usize> {
    for (next, atom) in atoms.iter().enumerate().skip(end).take(3) {
        // A number's own currency begins another one.
        if begins(atom) {
            return (!atom.gap.currency).then_some(next);
        }
        let plain = atom.plain.as_str();
        // "March the third", but not "two of the three".
        if plain == "the" && atoms[next - 1].sense == Sense::Month {
            continue;
        }
        if !WITHIN.contains(&plain) && !SOUNDS_LIKE.contains(&plain) && !(matches!(plain, "st" | "nd" | "rd" | "th") && !atom.gap.blank) {
            return None;
        }
    }
    None
}
