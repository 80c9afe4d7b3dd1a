//! In what language somebody speaks, and whether blanking is verified in it. Words in any other are not read, and no number is made of them.

use std::collections::HashMap;

use sotto_private::{Call, Side};

/// Languages (ISO 639-1) in which it was measured what blanking finds and what it misses (`tests/eval`). It is no setting: a further one
/// comes with its measurement.
pub const VERIFIED: [&str; 1] = ["en"];

/// Whether blanking is verified in a language.
#[must_use]
pub fn is_verified(code: &str) -> bool {
    VERIFIED.contains(&code)
}

/// How likely a turn is in a language in which blanking is verified.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Witness {
    /// 0 where it was put into words in another language, else how likely the model finds the one that it was put into words in, 0..1.
    pub(crate) likely: f32,
    /// The turn's length.
    pub(crate) seconds: f32,
}

/// A turn less likely than this is not read at all.
const READ_FROM: f32 = 0.2;
/// Where a leg's turns are less likely than this, each as much as it is long, no number is made of the leg's words.
const BELIEVED_FROM: f64 = 0.5;

impl Witness {
    pub(crate) fn may_be_read(self) -> bool {
        self.likely >= READ_FROM
    }
}

/// What all turns of a leg say of its language. A recogniser that knows one language says nothing: there, how sure it is of its words tells.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tongue {
    /// Seconds, each times how likely.
    verified: f64,
    seconds: f64,
}

impl Tongue {
    /// Of a site whose language is none in which blanking is verified.
    pub(crate) const UNVERIFIED: Self = Self { verified: 0.0, seconds: f64::INFINITY };

    pub(crate) fn add(&mut self, witness: Witness) {
        self.verified += f64::from(witness.likely) * f64::from(witness.seconds);
        self.seconds += f64::from(witness.seconds);
    }

    /// Whether what was said may have been in a language that is not blanked.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.seconds > 0.0 && self.verified < BELIEVED_FROM * self.seconds
    }
}

/// What language a leg speaks, found once: a short turn is a weak witness, and a leg rarely changes it.
pub(crate) struct Languages<L>(HashMap<(Call, Side), L>);

/// A turn of so many seconds whose language is at least so likely is believed for the turns after it.
const WITNESS: (f32, f32) = (2.0, 0.5);
/// Legs that are remembered; then all are forgotten, and found again.
const MOST_LEGS: usize = 4096;

impl<L: Copy> Languages<L> {
    /// `None`: to be found out.
    pub(crate) fn of(&self, leg: (Call, Side)) -> Option<L> {
        self.0.get(&leg).copied()
    }

    /// What was found in a turn of so many seconds, and how likely it is.
    pub(crate) fn learn(&mut self, leg: (Call, Side), seconds: f32, found: Option<(L, f32)>) {
        let Some((language, probability)) = found else { return };
        if self.of(leg).is_some() || seconds < WITNESS.0 || probability < WITNESS.1 {
            return;
        }
        if self.0.len() >= MOST_LEGS {
            self.0.clear();
        }
        self.0.insert(leg, language);
    }
}

impl<L> Default for Languages<L> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn leg(call: u64) -> (Call, Side) {
        (Call(call), Side::Calling)
    }

    #[test]
    fn a_legs_language_is_found_on_its_first_long_turn() {
        let mut languages = Languages::default();
        languages.learn(leg(1), 1.0, Some(('s', 0.9)));
        languages.learn(leg(1), 3.0, Some(('s', 0.3)));
        languages.learn(leg(1), 3.0, None);
        assert_eq!(languages.of(leg(1)), None);
        languages.learn(leg(1), 3.0, Some(('s', 0.6)));
        languages.learn(leg(1), 9.0, Some(('v', 0.9)));
        assert_eq!(languages.of(leg(1)), Some('s'));
        assert_eq!(languages.of(leg(2)), None);
        for call in 2..MOST_LEGS as u64 + 5 {
            languages.learn(leg(call), 2.0, Some(('e', 1.0)));
        }
        assert!(languages.0.len() <= MOST_LEGS);
    }

    #[test]
    fn a_leg_counts_by_the_time_it_speaks_a_language() {
        let tongue = |turns: &[(f32, f32)]| {
            let mut tongue = Tongue::default();
            turns.iter().for_each(|&(likely, seconds)| tongue.add(Witness { likely, seconds }));
            tongue
        };
        assert!(!Tongue::default().is_doubtful(), "nobody was heard, or the model knows one language");
        assert!(Tongue::UNVERIFIED.is_doubtful());
        assert!(!tongue(&[(0.98, 6.0), (0.1, 0.5), (0.3, 0.7)]).is_doubtful(), "short answers weigh little");
        assert!(tongue(&[(0.9, 1.0), (0.0, 6.0)]).is_doubtful(), "a greeting in English does not make a call English");
        assert!(!Witness { likely: 0.1, seconds: 5.0 }.may_be_read());
    }
}
