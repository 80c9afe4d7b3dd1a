//! The types that never leave the box.
//!
//! A call's bytes, sound, parties and words travel from `capture` to `redact` in these types and in no others. They have no
//! `Serialize` (this crate does not know serde, and no other crate may implement it for them), no `Display`, and a `Debug`
//! that tells nothing but the type's name. Where they hold bytes, sound or words, the memory is wiped when they are dropped.
//!
//! A spoken word cannot be printed by accident:
//!
//! ```compile_fail
//! let word = sotto_private::Private::new(String::from("four"));
//! println!("{}", word);
//! ```
//!
//! Its twin, one line different, compiles, and prints the type's name alone:
//!
//! ```
//! let word = sotto_private::Private::new(String::from("four"));
//! println!("{:?}", word);
//! ```

mod call;
mod findings;
mod level;
mod media;
mod opus;
mod reply;
mod words;

pub use call::{Call, CallEvent, Codec, EndCause, FarEnd, Origin, Party, Said, Side, StreamFacts};
pub use findings::{
    CATEGORIES, Consent, Estimate, Findings, Interruptions, Keywords, Label, LegTalk, Measured, Reason, Resolution, Sensitive, Sentiment, Silence,
    TalkBalance,
};
pub use level::Level;
pub use media::{Audio, Datagram, Encoding, Pcm, Segment, SegmentFlags};
pub use reply::{Reply, Transport};
pub use words::{Turn, Word, Words};

use zeroize::Zeroize;

/// A value that is wiped when it is dropped and whose `Debug` tells nothing.
pub struct Private<T: Zeroize>(T);

impl<T: Zeroize> Private<T> {
    /// Takes a value into custody.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. What is borrowed here must not be copied into anything that outlives the call.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, to be changed in place.
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Zeroize + Copy> Private<Vec<T>> {
    /// Makes room for `additional` more. A vector that grows by itself leaves its old place unwiped behind; this one does not.
    pub fn reserve(&mut self, additional: usize) {
        let needed = self.0.len().saturating_add(additional);
        if needed <= self.0.capacity() {
            return;
        }
        let mut roomier = Vec::with_capacity(needed.max(self.0.capacity().saturating_mul(2)));
        roomier.extend_from_slice(&self.0);
        std::mem::replace(&mut self.0, roomier).zeroize();
    }

    /// Appends, growing as [`Self::reserve`] does.
    pub fn append(&mut self, more: &[T]) {
        self.reserve(more.len());
        self.0.extend_from_slice(more);
    }

    /// Shortens, and wipes what is cut off.
    pub fn cut(&mut self, length: usize)
    where
        T: Default,
    {
        if length < self.0.len() {
            self.0[length..].fill(T::default());
            self.0.truncate(length);
        }
    }
}

impl<T: Zeroize + Clone> Clone for Private<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize + Default> Default for Private<T> {
    fn default() -> Self {
        Self(T::default())
    }
}

impl<T: Zeroize> Drop for Private<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> std::fmt::Debug for Private<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[private]")
    }
}

/// Wall-clock time: microseconds since 1970-01-01T00:00:00Z. The kernel's stamp live, the file's in replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall {
    /// Microseconds since the epoch.
    pub micros: i64,
}

impl Wall {
    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self { micros }
    }

    /// Microseconds from `earlier` to `self`; negative when `self` is the earlier one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> i64 {
        self.micros.saturating_sub(earlier.micros)
    }

    /// `micros` later.
    #[must_use]
    pub const fn plus(self, micros: i64) -> Self {
        Self { micros: self.micros.saturating_add(micros) }
    }

    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.micros.div_euclid(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_every_type_that_holds_content_tells_nothing_of_it() {
        let canary = "canary";
        let audio = Audio::new(Call(1), Side::Calling, 7, Wall::default(), Encoding::Pcmu, canary.as_bytes().to_vec());
        let party = Party::new(canary, Some(canary), canary);
        let word = Word::new(canary, 0.5);
        let words = Words { call: Call(1), side: Side::Calling, turn: 0, words: vec![word], spoken: 1, mean_probability: 0.5, no_speech: 0.1 };
        let datagram =
            Datagram::new(Wall::default(), 1, "127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap(), canary.as_bytes().to_vec());
        for printed in [format!("{audio:?}"), format!("{party:?}"), format!("{words:?}"), format!("{datagram:?}")] {
            assert!(!printed.contains(canary), "{printed}");
            assert!(!printed.contains("99, 97, 110"), "bytes of the canary in {printed}");
        }
    }

    #[test]
    fn growing_and_cutting_keep_the_content() {
        let mut sound = Private::new(vec![1i16, 2, 3]);
        for more in 0..100 {
            sound.append(&[more; 7]);
        }
        assert_eq!(sound.expose().len(), 703);
        assert_eq!(sound.expose()[..4], [1, 2, 3, 0]);
        sound.reserve(10_000);
        let place = sound.expose().as_ptr();
        sound.expose_mut().extend_from_slice(&[5; 10_000]);
        assert_eq!(sound.expose().as_ptr(), place, "there was room: nothing moved");
        sound.cut(2);
        assert_eq!(sound.expose()[..], [1, 2]);
    }

    #[test]
    fn private_is_wiped_on_drop() {
        struct Witness<'a>(&'a std::cell::Cell<bool>);
        impl Zeroize for Witness<'_> {
            fn zeroize(&mut self) {
                self.0.set(true);
            }
        }
        let wiped = std::cell::Cell::new(false);
        drop(Private::new(Witness(&wiped)));
        assert!(wiped.get());
    }
}
