//! The recognisers' rules, one after the other over the words of a turn.

use std::ops::Range;

use crate::pii::atoms::{Atom, Sense, atoms};
use crate::pii::letters::Letters;
use crate::pii::numbers::Number;
use crate::pii::{Kind, Span, health};

/// Words that say nothing beside a number or a spelled name.
const FILLERS: [&str; 58] = [
    "yes", "yeah", "yep", "no", "okay", "ok", "its", "it", "is", "was", "that", "thats", "my", "the", "um", "uh", "er", "erm", "sure", "and",
    "so", "sir", "maam", "please", "area", "code", "zip", "phone", "number", "a", "half", "of", "at", "oh", "well", "i", "im", "lets", "see",
    "here", "this", "house", "account", "card", "born", "on", "date", "birth", "name", "last", "first", "then", "thank", "thanks", "you",
    "would", "be", "postcode",
];
const STREETS: [&str; 17] = [
    "street", "avenue", "ave", "road", "rd", "lane", "drive", "boulevard", "blvd", "court", "square", "terrace", "crescent", "highway",
    "parkway", "st", "apartments",
];
/// The ends of a domain name.
const DOMAINS: [&str; 22] = [
    "com", "net", "org", "edu", "gov", "co", "uk", "de", "io", "us", "info", "biz", "eu", "fr", "ca", "au", "in", "me", "tv", "nl", "es", "mil",
];
/// Before these an e-mail address does not begin.
const NOT_IN_ADDRESS: [&str; 21] = [
    "is", "its", "email", "mail", "address", "me", "my", "to", "send", "it", "yes", "yeah", "okay", "the", "on", "this", "was", "be", "use",
    "under", "write",
];
/// Parts of the name before the `@`.
const LONGEST_LOCAL: usize = 12;
/// Before these comes no name.
const TITLES: [&str; 9] = ["mr", "mister", "mrs", "missus", "ms", "miss", "dr", "mistress", "sir"];
const NO_NAMES: [&str; 31] = [
    "not", "on", "in", "the", "a", "an", "and", "calling", "spelled", "spelt", "just", "is", "here", "i", "with", "from", "it", "its", "what",
    "that", "under", "for", "to", "please", "s", "correct", "right", "wrong", "or", "number", "of",
];

pub(super) fn find(text: &str) -> Vec<Span> {
    let atoms = atoms(text);
    let mut found = Found { atoms: &atoms, spans: Vec::new() };
    found.addresses();
    found.runs();
    found.houses();
    found.names();
    found.health();
    found.spans.sort_by_key(|span| (span.start, span.end));
    found.spans
}

/// Whether there is more in a text than letters and numbers in words.
pub(super) fn has_written_words(text: &str) -> bool {
    atoms(text).iter().any(|atom| matches!(atom.sense, Sense::Digits(_)) || (atom.sense == Sense::Word && !FILLERS.contains(&atom.plain.as_str())))
}

struct Found<'a> {
    atoms: &'a [Atom],
    spans: Vec<Span>,
}

impl Found<'_> {
    fn add(&mut self, range: Range<usize>, kind: Kind, digits: usize) {
        if let (Some(first), Some(last)) = (self.atoms.get(range.start), self.atoms.get(range.end.wrapping_sub(1))) {
            self.spans.push(Span { start: first.start, end: last.end, kind, digits: u32::try_from(digits).unwrap_or(u32::MAX) });
        }
    }

    fn plain(&self, index: usize) -> &str {
        self.atoms.get(index).map_or("", |atom| atom.plain.as_str())
    }

    /// Numbers and letters, and the two together.
    fn runs(&mut self) {
        let runs = runs(self.atoms);
        let mut is_run = vec![false; self.atoms.len()];
        for run in &runs {
            is_run[run.range()].fill(true);
        }
        let is_filler = |index: &usize| is_run[*index] || FILLERS.contains(&self.plain(*index));
        let is_all = (0..self.atoms.len()).all(|index| is_filler(&index));
        for (place, run) in runs.iter().enumerate() {
            let beside = |other: Option<&Run>| other.is_some_and(|other| other.range().start == run.range().end || other.range().end == run.range().start);
            let (before, after) = (place.checked_sub(1).and_then(|place| runs.get(place)), runs.get(place + 1));
            let neighbours = [before, after].into_iter().flatten().filter(|other| beside(Some(other)));
            // Letters and digits together name a thing; only together with a month or a box they name a day or a house.
            let number_beside = [run.range().start.wrapping_sub(1), run.range().end].into_iter().filter_map(|index| self.atoms.get(index)).any(|atom| atom.sense.is_number());
            let is_code = (run.is_letters() && number_beside && !run.is_part_of_a_number()) || neighbours.clone().any(|other| other.is_letters() != run.is_letters() && !other.is_part_of_a_number() && !run.is_part_of_a_number());
            let is_dated = neighbours.clone().any(Run::is_part_of_a_number);
            match run {
                Run::Number(number) => {
                    let lone_letter = self.atoms.iter().zip(&is_run).any(|(atom, is_run)| atom.sense == Sense::Letter && !is_run && atom.plain != "a" && atom.plain != "i");
                    let kind = number.kind(self.atoms, is_all && !is_code && !lone_letter && !self.begins_with_a()).or(is_dated.then_some(Kind::DateOfBirth));
                    if let Some(kind) = kind {
                        self.add(number.range.clone(), kind, number.digits());
                    }
                }
                Run::Letters(letters) => {
                    let has_number = neighbours.clone().next().is_some();
                    if letters.is_part_of_a_number() && has_number {
                        self.add(letters.range.clone(), Kind::DateOfBirth, 0);
                    } else if !is_code && (letters.count > 2 || (is_all && runs.iter().all(Run::is_letters))) {
                        self.add(letters.range.clone(), Kind::Spelled, 0);
                    }
                }
            }
        }
    }

    /// A turn that is "A" and a number is a code, as those with other letters are; behind a number an "A" is part of a house's.
    fn begins_with_a(&self) -> bool {
        self.plain(0) == "a"
    }

    /// E-mail addresses, written or spoken: "maria dot jensen at example dot com".
    fn addresses(&mut self) {
        for at in 1..self.atoms.len() {
            let spoken = self.plain(at) == "at";
            if !spoken && !self.atoms[at].gap.at {
                continue;
            }
            let domain = at + usize::from(spoken);
            let Some(end) = self.domain_end(domain) else { continue };
            let mut start = at;
            while start > 0 && at - start < LONGEST_LOCAL && !NOT_IN_ADDRESS.contains(&self.plain(start - 1)) {
                start -= 1;
            }
            if start < at {
                self.add(start..end, Kind::Email, 0);
            }
        }
    }

    fn domain_end(&self, from: usize) -> Option<usize> {
        let mut end = None;
        for index in from..self.atoms.len().min(from + 8) {
            let is_dotted = self.plain(index) == "dot" || self.atoms[index].gap.point;
            let name = if self.plain(index) == "dot" { index + 1 } else { index };
            if is_dotted && DOMAINS.contains(&self.plain(name)) {
                end = Some(name + 1);
            }
        }
        end
    }

    /// "12 Baker Street"
    fn houses(&mut self) {
        let mut from = 0;
        while from < self.atoms.len() {
            let Some(number) = Number::at(self.atoms, from) else {
                from += 1;
                continue;
            };
            from = number.range.end;
            let street = (from + 1..from + 4).find(|&index| STREETS.contains(&self.plain(index)));
            let Some(street) = street else { continue };
            let is_name = |atom: &Atom| matches!(atom.sense, Sense::Word | Sense::Letter | Sense::Ordinal) && !NO_NAMES.contains(&atom.plain.as_str());
            if self.atoms[from..street].iter().all(is_name) {
                self.add(number.range.start..street + 1, Kind::StreetName, number.digits());
            }
        }
    }

    /// "My name is Maria Jensen", "Mr Jensen"
    fn names(&mut self) {
        for index in 0..self.atoms.len() {
            let is_name = self.plain(index) == "name" || self.plain(index) == "surname";
            let after = match self.plain(index) {
                "names" if index > 0 && self.plain(index - 1) == "my" => index + 1,
                _ if is_name && matches!(self.plain(index + 1), "is" | "was") => index + 2,
                title if TITLES.contains(&title) => index + 1,
                _ => continue,
            };
            let is_part = |atom: &&Atom| atom.sense == Sense::Word && !NO_NAMES.contains(&atom.plain.as_str()) && !FILLERS.contains(&atom.plain.as_str());
            let count = self.atoms.iter().skip(after).take(2).take_while(is_part).count();
            if count > 0 {
                self.add(after..after + count, Kind::Surname, 0);
            }
        }
    }

    fn health(&mut self) {
        for index in 0..self.atoms.len() {
            if let Some(range) = health::at(self.atoms, index) {
                self.add(range, Kind::Health, 0);
            }
        }
    }
}

/// A number or letters.
enum Run {
    Number(Number),
    Letters(Letters),
}

impl Run {
    fn range(&self) -> Range<usize> {
        match self {
            Self::Number(number) => number.range.clone(),
            Self::Letters(letters) => letters.range.clone(),
        }
    }

    fn is_letters(&self) -> bool {
        matches!(self, Self::Letters(_))
    }

    fn is_part_of_a_number(&self) -> bool {
        matches!(self, Self::Letters(letters) if letters.is_part_of_a_number())
    }
}

fn runs(atoms: &[Atom]) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut from = 0;
    while from < atoms.len() {
        let run = Letters::at(atoms, from).map(Run::Letters).or_else(|| Number::at(atoms, from).map(Run::Number));
        from = run.as_ref().map_or(from + 1, |run| run.range().end);
        runs.extend(run);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        find(text).into_iter().map(|span| (span.kind, &text[span.start..span.end])).collect()
    }

    #[test]
    fn numbers_as_they_are_said() {
        for (text, expected) in [
            ("my card is 4111 1111 1111 1111 thanks", vec![(Kind::Card, "4111 1111 1111 1111")]),
            (
                "it's four one one one double one double one triple one one one one one one",
                vec![(Kind::Card, "four one one one double one double one triple one one one one one one")],
            ),
            ("call me on 412-268-8000 please", vec![(Kind::Phone, "412-268-8000")]),
            ("for 111 111", vec![(Kind::Phone, "for 111 111")]),
            ("ONE FIVE OH FOUR FOUR", vec![(Kind::ZipCode, "ONE FIVE OH FOUR FOUR")]),
            ("I was born on March third nineteen twenty eight", vec![(Kind::DateOfBirth, "March third nineteen twenty eight")]),
            ("yes, 08/14/1964", vec![(Kind::DateOfBirth, "08/14/1964")]),
            ("my pin is four seven two one", vec![(Kind::Number, "four seven two one")]),
            ("F E B ONE EIGHT ONE NINE SIX FOUR", vec![(Kind::DateOfBirth, "F E B"), (Kind::Number, "ONE EIGHT ONE NINE SIX FOUR")]),
            ("I live at 12 Baker Street", vec![(Kind::StreetName, "12 Baker Street")]),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn names_and_addresses_as_they_are_said() {
        for (text, expected) in [
            ("W H I T", vec![(Kind::Spelled, "W H I T")]),
            ("that is W-H-I-T-E for you", vec![(Kind::Spelled, "W-H-I-T-E")]),
            ("W as in whiskey, H as in hotel, I for India", vec![(Kind::Spelled, "W as in whiskey, H as in hotel, I for India")]),
            ("whiskey hotel india tango", vec![(Kind::Spelled, "whiskey hotel india tango")]),
            ("it's maria dot jensen at example dot com", vec![(Kind::Email, "maria dot jensen at example dot com")]),
            ("write to maria@example.co.uk", vec![(Kind::Email, "maria@example.co.uk")]),
            ("my name is Maria Jensen and", vec![(Kind::Surname, "Maria Jensen")]),
            ("I have diabetes", vec![(Kind::Health, "diabetes")]),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_nobodys_is_left_alone() {
        for text in [
            "", "enter six two four", "C Z D Z W eight", "rubout G J H G V seven", "that is $1,250.00 in all", "it takes five to six days",
            "we sold 12,500 shares in 2019", "call back at 7:30 pm", "may I have one second", "the first one, please", "I am on hold for forty five minutes",
            "I watch T V", "oh", "two of the three", "A V M U four forty two", "we deliver on March third", "at the store dot", "about twenty percent", "rubout Y Y F X zero",
        ] {
            assert_eq!(kinds(text), vec![], "{text}");
        }
    }
}
