//! The charter's own keys among those that are pressed in a call, and no others.
//!
//! Digits in a call are card numbers and secret codes. So none is kept here: all that is known of a side is how far it has come in
//! each sequence of the charter, which a card number leaves at nothing. What leaves is that a sequence was complete.

use std::fmt;
use std::sync::Arc;

use sotto_private::Side;

/// The most keys of one sequence.
const KEYS: usize = 8;

/// A sequence of the charter that was pressed to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// A party objects.
    Objection,
    /// Analysis pauses; it did not before.
    Pause,
    /// Whoever paused goes on; nobody pauses any more.
    Resume,
    /// A party says yes.
    Consent,
    /// The call is private.
    Private,
}

/// How a key came. Many phones send each key both ways; the way that came first in a call is the one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// A telephone event (RFC 4733).
    Event,
    /// SIP INFO (RFC 6086).
    Info,
}

/// What each sequence stands for, in the order in which they are kept.
const MEANINGS: [Pressed; 5] = [Pressed::Objection, Pressed::Pause, Pressed::Resume, Pressed::Consent, Pressed::Private];

/// The sequences of the charter, and how far each side of one call has come in them.
#[derive(Clone)]
pub struct Keys {
    sequences: Arc<[Vec<u8>; MEANINGS.len()]>,
    sides: [Progress; 2],
}

#[derive(Clone, Copy, Default)]
struct Progress {
    /// Of each sequence: how many of its first keys were the last that were pressed.
    matched: [u8; MEANINGS.len()],
    /// Source and time stamp of the last telephone event: its packets repeat both (RFC 4733 section 2.5.1.4).
    event: Option<(u32, u32)>,
    way: Option<Way>,
    paused: bool,
}

impl Keys {
    /// From sequences of the characters `0` to `9`, `*`, `#`, `A` to `D`, at most eight. An empty one, or one that holds anything
    /// else, is never heard.
    #[must_use]
    pub fn new(objection: &str, pause: &str, resume: &str) -> Self {
        Self { sequences: Arc::new([objection, pause, resume, "", ""].map(sequence)), sides: [Progress::default(); 2] }
    }

    /// Also listens for a yes, and for the key that takes a private call out.
    #[must_use]
    pub fn with_consent(self, consent: &str, private: &str) -> Self {
        let [objection, pause, resume, ..] = (*self.sequences).clone();
        Self { sequences: Arc::new([objection, pause, resume, sequence(consent), sequence(private)]), ..self }
    }

    /// Whether there is nothing to listen for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sequences.iter().all(Vec::is_empty)
    }

    /// A packet of a telephone event, of which `side` is the sender. The first one of each event counts; further ones bear the
    /// same source and time stamp.
    pub(crate) fn telephone_event(&mut self, side: Side, ssrc: u32, timestamp: u32, event: u8) -> Option<Pressed> {
        let progress = &mut self.sides[side.index()];
        if progress.event.replace((ssrc, timestamp)) == Some((ssrc, timestamp)) || *progress.way.get_or_insert(Way::Event) != Way::Event {
            return None;
        }
        self.press(side, event)
    }

    /// A key in the body of an INFO request that `side` sent.
    pub(crate) fn info(&mut self, side: Side, event: u8) -> Option<Pressed> {
        if *self.sides[side.index()].way.get_or_insert(Way::Info) != Way::Info {
            return None;
        }
        self.press(side, event)
    }

    /// A key, as RFC 4733 section 3.2 numbers them: 0 to 9, 10 for `*`, 11 for `#`, 12 to 15 for `A` to `D`. Others are no keys.
    ///
    /// Only the side that paused can resume: the other cannot undo it. In a pause nothing else is listened for: a card's number may
    /// be on its way.
    pub(crate) fn press(&mut self, side: Side, event: u8) -> Option<Pressed> {
        if event > 15 {
            return None;
        }
        let was_paused = self.sides.iter().any(|side| side.paused);
        let mut complete = None;
        let progress = &mut self.sides[side.index()];
        for ((sequence, matched), meaning) in self.sequences.iter().zip(&mut progress.matched).zip(MEANINGS) {
            if was_paused && !matches!(meaning, Pressed::Pause | Pressed::Resume) {
                *matched = 0;
                continue;
            }
            *matched = step(sequence, *matched, event);
            if !sequence.is_empty() && usize::from(*matched) == sequence.len() {
                *matched = 0;
                complete.get_or_insert(meaning);
            }
        }
        let complete = complete?;
        progress.matched = [0; MEANINGS.len()];
        match complete {
            Pressed::Objection | Pressed::Consent | Pressed::Private => return Some(complete),
            Pressed::Pause => self.sides[side.index()].paused = true,
            Pressed::Resume => self.sides[side.index()].paused = false,
        }
        let is_paused = self.sides.iter().any(|side| side.paused);
        (was_paused != is_paused).then_some(complete)
    }
}

/// A sequence's numbers; empty where the text is none.
fn sequence(text: &str) -> Vec<u8> {
    let codes: Option<Vec<u8>> = text.bytes().map(code).collect();
    codes.filter(|codes| codes.len() <= KEYS).unwrap_or_default()
}

/// How much of a sequence's beginning is matched after one more key. Without the keys themselves, what was matched says what they were.
fn step(sequence: &[u8], matched: u8, key: u8) -> u8 {
    let before = sequence.get(..usize::from(matched)).unwrap_or_default();
    // The longest beginning of the sequence that is an end of what was pressed.
    let fits = |length: &usize| {
        let Some((last, head)) = sequence.get(..*length).and_then(<[u8]>::split_last) else { return false };
        *last == key && before.ends_with(head)
    };
    (1..=before.len() + 1).rev().find(fits).map_or(0, |length| length as u8)
}

/// A key's number (RFC 4733 section 3.2).
pub(crate) const fn code(key: u8) -> Option<u8> {
    match key {
        b'0'..=b'9' => Some(key - b'0'),
        b'*' => Some(10),
        b'#' => Some(11),
        b'A'..=b'D' => Some(key - b'A' + 12),
        b'a'..=b'd' => Some(key - b'a' + 12),
        _ => None,
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("*9", "*7", "**8")
    }

    fn pressed(keys: &mut Keys, side: Side, text: &str) -> Vec<Pressed> {
        text.bytes().filter_map(|key| keys.press(side, code(key).unwrap())).collect()
    }

    #[test]
    fn only_the_charters_sequences_are_heard() {
        let mut keys = keys();
        assert_eq!(pressed(&mut keys, Side::Called, "4111111111111111#"), []);
        assert_eq!(keys.sides[1].matched, [0; MEANINGS.len()], "nothing is known of a card number");
        assert_eq!(pressed(&mut keys, Side::Called, "99*9"), [Pressed::Objection]);
        assert_eq!(pressed(&mut keys, Side::Called, "9"), [], "a key counts once");
        assert_eq!(pressed(&mut keys, Side::Calling, "***7"), [Pressed::Pause], "the longest beginning goes on");
        assert_eq!(pressed(&mut keys, Side::Called, "*"), []);
        assert_eq!(pressed(&mut keys, Side::Calling, "9"), [], "each side has its own fingers");
        assert_eq!(keys.press(Side::Calling, 16), None, "a hook flash is no key");
    }

    #[test]
    fn who_paused_resumes() {
        let mut keys = keys();
        assert_eq!(pressed(&mut keys, Side::Calling, "**8"), [], "nothing was paused");
        assert_eq!(pressed(&mut keys, Side::Calling, "*7*7"), [Pressed::Pause]);
        assert_eq!(pressed(&mut keys, Side::Called, "**8"), [], "the other side cannot");
        assert_eq!(pressed(&mut keys, Side::Called, "*7"), []);
        assert_eq!(pressed(&mut keys, Side::Calling, "**8"), [], "the other side pauses still");
        assert_eq!(pressed(&mut keys, Side::Called, "***8"), [Pressed::Resume]);
    }

    #[test]
    fn a_yes_and_a_private_call_have_keys_of_their_own_but_in_a_pause() {
        let mut keys = keys().with_consent("*1", "*0");
        assert_eq!(pressed(&mut keys, Side::Called, "*1*0*9"), [Pressed::Consent, Pressed::Private, Pressed::Objection]);
        assert_eq!(pressed(&mut keys, Side::Calling, "*7*9*1*0"), [Pressed::Pause], "a card's number may be on its way");
        assert_eq!(pressed(&mut keys, Side::Called, "*9"), [], "of either side");
        assert_eq!(pressed(&mut keys, Side::Calling, "**8*9"), [Pressed::Resume, Pressed::Objection]);
    }

    #[test]
    fn the_packets_of_one_event_are_one_key_and_one_way_counts() {
        let mut keys = Keys::new("99", "", "");
        for _ in 0..5 {
            assert_eq!(keys.telephone_event(Side::Calling, 7, 100, 9), None);
        }
        assert_eq!(keys.info(Side::Calling, 9), None, "the same key by INFO");
        assert_eq!(keys.telephone_event(Side::Calling, 7, 900, 9), Some(Pressed::Objection));
        assert_eq!(keys.info(Side::Called, 9), None);
        assert_eq!(keys.telephone_event(Side::Called, 8, 900, 9), None);
        assert_eq!(keys.info(Side::Called, 9), Some(Pressed::Objection));
    }

    #[test]
    fn what_is_no_sequence_is_never_heard() {
        for text in ["", "12345678 9", "hello", "123456789"] {
            assert!(Keys::new(text, "", "").is_empty(), "{text}");
        }
        let mut none = Keys::new("", "", "");
        assert!((0..=255u8).all(|event| none.press(Side::Calling, event).is_none()));
        assert_eq!(format!("{:?}", keys()), "Keys");
    }
}
