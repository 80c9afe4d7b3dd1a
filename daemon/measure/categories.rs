//! Whether the site's lists were heard: exact words and phrases, whatever their case and punctuation.

use sotto_charter::{Charter, Heard};
use sotto_private::{CATEGORIES, Private};

/// The charter's lists, ready to be looked for.
pub(crate) struct Lists {
    lists: Vec<List>,
    /// Words in the longest phrase.
    longest: usize,
}

struct List {
    /// Phrases as ` word word `, with a blank at either end so that only whole words match.
    phrases: Vec<String>,
    agent: bool,
    customer: bool,
}

/// What one leg said last, in case a phrase goes on in its next turn.
#[derive(Default)]
pub(crate) struct Tail(Option<(u32, Private<Vec<String>>)>);

impl Lists {
    pub(crate) fn new(charter: &Charter) -> Self {
        let lists: Vec<List> = charter
            .categories
            .iter()
            .take(CATEGORIES)
            .map(|category| List {
                phrases: category.phrases.iter().map(|phrase| padded(&plain_words(phrase))).collect(),
                agent: category.heard != Heard::Customer,
                customer: category.heard != Heard::Agent,
            })
            .collect();
        let longest = lists.iter().flat_map(|list| &list.phrases).map(|phrase| phrase.split_whitespace().count()).max().unwrap_or(0);
        Self { lists, longest }
    }

    pub(crate) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Which legs a list listens to: the agent's, the customer's.
    pub(crate) fn listens_to(&self, ordinal: usize) -> [bool; 2] {
        self.lists.get(ordinal).map_or([false; 2], |list| [list.agent, list.customer])
    }

    /// Marks the lists that this turn's words hit. `role` is 0 for the agent, 1 for the customer.
    pub(crate) fn look(&self, role: usize, turn: u32, words: &[&str], tail: &mut Tail, heard: &mut [bool; CATEGORIES]) {
        let mut said = match tail.0.take() {
            Some((before, words)) if before + 1 == turn => words,
            _ => Private::new(Vec::new()),
        };
        said.expose_mut().extend(words.iter().flat_map(|word| plain_words(word)));
        let text = Private::new(padded(said.expose()));
        for (list, heard) in self.lists.iter().zip(heard.iter_mut()) {
            if [list.agent, list.customer][role] && list.phrases.iter().any(|phrase| text.expose().contains(phrase.as_str())) {
                *heard = true;
            }
        }
        let keep = self.longest.saturating_sub(1);
        let surplus = said.expose().len().saturating_sub(keep);
        for word in said.expose_mut().drain(..surplus) {
            drop(Private::new(word));
        }
        tail.0 = Some((turn, said));
    }
}

/// Lower case, letters and digits alone; an apostrophe joins, anything else parts.
fn plain_words(text: &str) -> Vec<String> {
    let joined: Private<String> = Private::new(text.chars().filter(|c| !matches!(c, '\'' | '\u{2019}')).flat_map(char::to_lowercase).collect());
    joined.expose().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn padded(words: &[String]) -> String {
    format!(" {} ", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        let list = |phrases: &[&str], agent, customer| List { phrases: phrases.iter().map(|phrase| padded(&plain_words(phrase))).collect(), agent, customer };
        Lists { lists: vec![list(&["cancel", "close my account"], false, true), list(&["how may I help"], true, false)], longest: 4 }
    }

    fn heard(role: usize, turns: &[&[&str]]) -> Vec<bool> {
        let (lists, mut tail, mut heard) = (lists(), Tail::default(), [false; CATEGORIES]);
        for (turn, words) in turns.iter().enumerate() {
            lists.look(role, turn as u32, words, &mut tail, &mut heard);
        }
        heard[..2].to_vec()
    }

    #[test]
    fn whole_words_of_the_right_leg_whatever_their_dress() {
        assert_eq!(heard(1, &[&["I", "want", "to", "Cancel,", "please."]]), [true, false]);
        assert_eq!(heard(1, &[&["the", "cancellation"]]), [false, false]);
        assert_eq!(heard(0, &[&["cancel"]]), [false, false]);
        assert_eq!(heard(0, &[&["How", "may", "I", "help?"]]), [false, true]);
    }

    #[test]
    fn a_phrase_may_go_on_in_the_next_turn() {
        assert_eq!(heard(1, &[&["please", "close", "my"], &["account", "now"]]), [true, false]);
        assert_eq!(heard(1, &[&["close", "my"], &["well", "account"]]), [false, false]);
    }
}
