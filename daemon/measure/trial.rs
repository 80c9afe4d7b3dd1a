//! What a text would do to the site's lists: for whoever writes them, on text of his own, before a call is measured by them.

use sotto_charter::{Category, Charter, Heard, Nearness};
use sotto_models::{ModelError, Pack, PackError};
use sotto_private::CATEGORIES;

use crate::categories::{Lists, Tail};
use crate::read::Readers;
use crate::topics::NEAR;

/// How near a text came to a list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Near {
    /// It is heard.
    Hit,
    /// It would be, with `nearness = "inflected"`.
    Inflected,
    /// It would be, with `nearness = "sound"`.
    Sound,
    /// By meaning it is so much below the list's threshold.
    Below(f32),
}

/// The charter's lists on trial.
pub struct Trial {
    lists: [Lists; 3],
    readers: Option<Readers>,
}

impl Trial {
    /// `pack` is needed where a list has sentences.
    ///
    /// # Errors
    /// The pack has not what the lists need.
    pub fn new(charter: &Charter, pack: Option<&Pack>) -> Result<Self, PackError> {
        let with = |nearness: Nearness| {
            let categories = charter.categories.iter().map(|category| Category { nearness: most(category.nearness, nearness), heard: Heard::Either, ..category.clone() });
            Lists::new(&categories.collect::<Vec<_>>())
        };
        let readers = pack.filter(|_| charter.needs_meanings()).map(|pack| Readers::load(pack, Some(charter))).transpose()?;
        Ok(Self { lists: [Nearness::Exact, Nearness::Inflected, Nearness::Sound].map(with), readers })
    }

    /// The lists that a turn's text hits or nearly hits, by ordinal.
    ///
    /// # Errors
    /// A product fails: a bug.
    pub fn text(&self, text: &str) -> Result<Vec<(usize, Near)>, ModelError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let heard = [0, 1, 2].map(|which| {
            let mut heard = [false; CATEGORIES];
            let lists: &Lists = &self.lists[which];
            lists.look(0, 0, &words, &mut Tail::default(), &mut heard);
            heard
        });
        let meant = self.readers.as_ref().map(|readers| readers.nearness(text)).transpose()?.unwrap_or_default();
        let near = |ordinal: usize| {
            let excess = meant.iter().find(|(other, _)| *other == ordinal).map(|(_, excess)| *excess);
            if heard[0][ordinal] || excess.is_some_and(|excess| excess >= 0.0) {
                Some(Near::Hit)
            } else if heard[1][ordinal] {
                Some(Near::Inflected)
            } else if heard[2][ordinal] {
                Some(Near::Sound)
            } else {
                excess.filter(|excess| *excess > -NEAR).map(|excess| Near::Below(-excess))
            }
        };
        Ok((0..self.lists[0].len()).filter_map(|ordinal| Some((ordinal, near(ordinal)?))).collect())
    }
}

/// The wider of two.
const fn most(one: Nearness, other: Nearness) -> Nearness {
    match (one, other) {
        (Nearness::Sound, _) | (_, Nearness::Sound) => Nearness::Sound,
        (Nearness::Inflected, _) | (_, Nearness::Inflected) => Nearness::Inflected,
        _ => Nearness::Exact,
    }
}

impl std::fmt::Debug for Trial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Trial")
    }
}
