//! Right after the words and before anything else sees them: what identifies somebody, or is nobody's business, is blanked.
//!
//! A blanked word is wiped. What is left of it is what kind it was, for the counts of the group *sensitive*. Where the finder
//! fails, the turn counts as not heard: nothing goes on unblanked.

use sotto_models::ModelError;
use sotto_models::pii::{Finder, Kind};
use sotto_private::{Private, Word};

/// Digits of a payment card.
const CARD_DIGITS: std::ops::RangeInclusive<u32> = 13..=19;

/// Something sensitive that was said, without what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sensed {
    /// A card's number, whole.
    Card,
    /// Something about somebody's health.
    Health,
    /// What names or finds a person: a number, an address, a date of birth, a spelled name.
    Identity {
        /// The digits in it.
        digits: u32,
    },
}

/// What blanking found in a turn.
#[derive(Debug, Default)]
pub(crate) struct Blanked {
    pub(crate) sensed: Vec<Sensed>,
    /// Nothing is left of the turn: a number may go on in the next one.
    pub(crate) is_all: bool,
}

/// Blanks a turn's words in place.
pub(crate) fn blank(words: &mut [Word], finder: &Finder) -> Result<Blanked, ModelError> {
    let (text, places) = joined(words);
    let mut blanked = Blanked::default();
    for span in finder.find(text.expose())? {
        blanked.sensed.extend(sensed(span.kind, span.digits));
        for (word, (start, end)) in words.iter_mut().zip(&places) {
            if *start < span.end && span.start < *end {
                word.blank();
            }
        }
    }
    let left = words.iter().filter(|word| !word.is_blank()).count();
    blanked.is_all = !blanked.sensed.is_empty() && left <= MOST_LEFT;
    Ok(blanked)
}

/// Words beside a number ("it's", "okay so") that do not end it.
const MOST_LEFT: usize = 3;

/// What is left of a turn after blanking, as one text; `None` where nothing is.
pub(crate) fn remaining(words: &[Word]) -> Option<Private<String>> {
    let (text, _) = joined(words);
    (!text.expose().trim().is_empty()).then_some(text)
}

/// The words with blanks between them, and where each lies in that.
fn joined(words: &[Word]) -> (Private<String>, Vec<(usize, usize)>) {
    let length = words.iter().map(|word| word.text().len() + 1).sum();
    let mut text = Private::new(String::with_capacity(length));
    let mut places = Vec::with_capacity(words.len());
    for word in words {
        let text = text.expose_mut();
        if !text.is_empty() && !word.is_blank() {
            text.push(' ');
        }
        let start = text.len();
        text.push_str(word.text());
        places.push((start, text.len()));
    }
    (text, places)
}

/// Names of people and towns are blanked and not counted: an agent says them in each greeting.
fn sensed(kind: Kind, digits: u32) -> Option<Sensed> {
    match kind {
        Kind::Card => Some(Sensed::Card),
        Kind::Health => Some(Sensed::Health),
        Kind::GivenName | Kind::Surname | Kind::City | Kind::State | Kind::Url => None,
        _ => Some(Sensed::Identity { digits }),
    }
}

/// Sensitive things that one leg said.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) cards: u32,
    pub(crate) health: u32,
    pub(crate) identities: u32,
    /// Numbers alone in the latest turns: how many, and their digits. A card is read in groups, and each may be a turn.
    open: (u32, u32),
}

impl Counts {
    pub(crate) fn add(&mut self, blanked: &Blanked) {
        let goes_on = blanked.is_all && blanked.sensed.iter().all(|sensed| matches!(sensed, Sensed::Identity { digits } if *digits > 0));
        if !goes_on && !blanked.is_quiet() {
            self.close();
        }
        for sensed in &blanked.sensed {
            match *sensed {
                Sensed::Card => self.cards += 1,
                Sensed::Health => self.health += 1,
                Sensed::Identity { digits } if goes_on => {
                    self.open = (self.open.0 + 1, self.open.1 + digits);
                    if CARD_DIGITS.contains(&self.open.1) && self.open.1 >= 15 {
                        self.close();
                    }
                }
                Sensed::Identity { .. } => self.identities += 1,
            }
        }
    }

    /// The number that was being read is over.
    pub(crate) fn close(&mut self) {
        let (count, digits) = std::mem::take(&mut self.open);
        if CARD_DIGITS.contains(&digits) {
            self.cards += 1;
        } else {
            self.identities += count;
        }
    }
}

impl Blanked {
    /// Nothing was said at all, or nothing was understood.
    fn is_quiet(&self) -> bool {
        self.sensed.is_empty() && self.is_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(sensed: &[Sensed], is_all: bool) -> Blanked {
        Blanked { sensed: sensed.to_vec(), is_all }
    }

    #[test]
    fn a_card_that_is_read_in_groups_is_one_card() {
        let group = Sensed::Identity { digits: 4 };
        let mut counts = Counts::default();
        for _ in 0..4 {
            counts.add(&turn(&[group], true));
        }
        counts.add(&turn(&[], false));
        assert_eq!((counts.cards, counts.identities), (1, 0));
        counts.add(&turn(&[group], true));
        counts.add(&turn(&[], false));
        counts.add(&turn(&[Sensed::Card, Sensed::Health], false));
        assert_eq!((counts.cards, counts.identities, counts.health), (2, 1, 1));
        counts.add(&turn(&[Sensed::Identity { digits: 13 }], true));
        counts.close();
        assert_eq!(counts.cards, 3);
    }

    #[test]
    fn what_is_left_keeps_its_order() {
        let mut words: Vec<Word> = ["my", "card", "is", "4111"].iter().map(|word| Word::new(word, 1.0)).collect();
        words[3].blank();
        words[1].blank();
        assert_eq!(remaining(&words).unwrap().expose(), "my is");
        assert!(words[3].is_blank() && words[3].text().is_empty());
        words.iter_mut().for_each(Word::blank);
        assert!(remaining(&words).is_none());
    }
}
