//! Whether the site's lists were heard: words and phrases, exactly, in any inflection, or by their sound. What is heard by its meaning
//! (`topics`) is only marked here.

use sotto_charter::{Category, Heard, Nearness};
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
    nearness: Nearness,
    agent: bool,
    customer: bool,
}

/// What one leg said last, in case a phrase goes on in its next turn.
#[derive(Default)]
pub(crate) struct Tail(Option<(u32, Private<Vec<String>>)>);

impl Lists {
    pub(crate) fn new(categories: &[Category]) -> Self {
        let lists: Vec<List> = categories
            .iter()
            .take(CATEGORIES)
            .map(|category| List {
                phrases: category.phrases.iter().map(|phrase| dressed(&plain_words(phrase), category.nearness)).collect(),
                nearness: category.nearness,
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
        for nearness in [Nearness::Exact, Nearness::Inflected, Nearness::Sound] {
            let listening = |list: &List| list.nearness == nearness && [list.agent, list.customer][role];
            if !self.lists.iter().any(listening) {
                continue;
            }
            let text = Private::new(dressed(said.expose(), nearness));
            for (list, heard) in self.lists.iter().zip(heard.iter_mut()).filter(|(list, _)| listening(list)) {
                *heard |= list.phrases.iter().any(|phrase| text.expose().contains(phrase.as_str()));
            }
        }
        let keep = self.longest.saturating_sub(1);
        let surplus = said.expose().len().saturating_sub(keep);
        for word in said.expose_mut().drain(..surplus) {
            drop(Private::new(word));
        }
        tail.0 = Some((turn, said));
    }

    /// Marks the lists that a turn means: a bit each.
    pub(crate) fn mark(&self, role: usize, topics: u32, heard: &mut [bool; CATEGORIES]) {
        for (ordinal, (list, heard)) in self.lists.iter().zip(heard).enumerate() {
            *heard |= topics >> ordinal & 1 == 1 && [list.agent, list.customer][role];
        }
    }
}

/// Lower case, letters and digits alone; an apostrophe joins, anything else parts.
fn plain_words(text: &str) -> Vec<String> {
    let joined: Private<String> = Private::new(text.chars().filter(|c| !matches!(c, '\'' | '\u{2019}')).flat_map(char::to_lowercase).collect());
    joined.expose().split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// ` word word `, each word brought down to what is compared.
fn dressed(words: &[String], nearness: Nearness) -> String {
    let mut text = String::from(" ");
    for word in words {
        match nearness {
            Nearness::Exact => text.push_str(word),
            Nearness::Inflected => text.push_str(stem(word)),
            Nearness::Sound => sound(word, &mut text),
        }
        text.push(' ');
    }
    text
}

/// Without the endings of plural, past and progress: "cancelled", "cancelling" and "cancels" become "cancel".
fn stem(word: &str) -> &str {
    const SHORTEST: usize = 3;
    let endings = ["ingly", "edly", "ing", "ied", "ies", "ed", "es", "s", "e", "y"];
    let cut = endings.iter().filter_map(|ending| word.strip_suffix(ending)).find(|stem| stem.len() >= SHORTEST);
    let stem = cut.unwrap_or(word);
    // "cancelled" doubles its l, "stopped" its p.
    let letters = stem.as_bytes();
    match letters {
        [.., before, last] if before == last && stem.len() > SHORTEST && !matches!(last, b's' | b'e' | b'o') && stem.is_ascii() => &stem[..stem.len() - 1],
        _ => stem,
    }
}

/// The word's consonants in classes of like sound, as Soundex (US patent 1,261,167) has them, its first sound kept; short words as they are.
fn sound(word: &str, to: &mut String) {
    const SHORTEST: usize = 5;
    if word.len() < SHORTEST || !word.is_ascii() {
        return to.push_str(word);
    }
    let class = |letter: u8| match letter {
        b'b' | b'f' | b'p' | b'v' => '1',
        b'c' | b'g' | b'j' | b'k' | b'q' | b's' | b'x' | b'z' => '2',
        b'd' | b't' => '3',
        b'l' => '4',
        b'm' | b'n' => '5',
        b'r' => '6',
        b'h' | b'w' => '-',
        _ => 'a',
    };
    let mut last = ' ';
    for (place, letter) in word.bytes().enumerate() {
        let class = class(letter);
        if class != '-' && class != last && (class != 'a' || place == 0) {
            to.push(class);
        }
        if class != '-' {
            last = class;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Lists {
        let list = |phrases: &[&str], nearness, agent, customer| List { phrases: phrases.iter().map(|phrase| dressed(&plain_words(phrase), nearness)).collect(), nearness, agent, customer };
        let lists = vec![
            list(&["cancel", "close my account"], Nearness::Exact, false, true),
            list(&["how may I help"], Nearness::Exact, true, false),
            list(&["cancel the order", "stop"], Nearness::Inflected, true, true),
            list(&["Wrightson"], Nearness::Sound, true, true),
        ];
        Lists { lists, longest: 4 }
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
    fn inflections_and_sounds_are_heard_where_the_list_says_so() {
        let hits = |text: &str| {
            let (lists, mut tail, mut heard) = (lists(), Tail::default(), [false; CATEGORIES]);
            lists.look(1, 0, &text.split(' ').collect::<Vec<_>>(), &mut tail, &mut heard);
            (heard[2], heard[3])
        };
        assert_eq!(hits("I am cancelling the orders"), (true, false));
        assert_eq!(hits("it stopped"), (true, false));
        assert_eq!(hits("Mister Rightson called"), (false, true));
        assert_eq!(hits("the right son"), (false, false));
        let (lists, mut heard) = (lists(), [false; CATEGORIES]);
        lists.mark(0, 0b101, &mut heard);
        assert_eq!(heard[..3], [false, false, true]);
    }

    #[test]
    fn a_phrase_may_go_on_in_the_next_turn() {
        assert_eq!(heard(1, &[&["please", "close", "my"], &["account", "now"]]), [true, false]);
        assert_eq!(heard(1, &[&["close", "my"], &["well", "account"]]), [false, false]);
    }
}
