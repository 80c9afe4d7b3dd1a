//! The same conversation on two calls: a PBX that ends each leg itself (a back-to-back user agent, RFC 7092) shows two dialogs that
//! have nothing in common but the sound.
//!
//! A PBX that only passes sound on rewrites headers and leaves the payload as it is. So payloads are compared by fingerprint, about
//! one in four of them, chosen by what is in it and thus the same ones on either leg. Hold music, prompts and test tones are the
//! same payload on many calls too. What they cannot have is *causality*: one party's sound passes the first leg and then the second,
//! and the other party's passes the second leg first. Two calls whose both directions agree, each in its own order, are one.
//!
//! A PBX that decodes and encodes again, mixes, or repacks into other lengths cannot be found so: then both legs count.

use std::collections::HashMap;

use sotto_private::{Call, Side, Wall};

/// Fingerprints remembered: some tenths of a second of 2,000 calls.
const SEEN: usize = 1 << 14;
/// One packet in so many is compared.
const SHARE: u64 = 4;
/// A PBX holds sound back for less than this, microseconds.
const WINDOW: i64 = 1_000_000;
/// Distinct payloads of each direction that must agree.
const PROOF: u32 = 16;
/// Of so many that agree, one may be in the other order: stamps of two mirror ports differ by a little.
const ODD: u32 = 8;
/// Pairs of calls that are compared at once; at the cap the comparison starts anew.
const PAIRS: usize = 4_096;

#[derive(Default)]
pub(super) struct Twins {
    /// By the fingerprint's low bits; what comes later takes the place.
    seen: Vec<Option<Seen>>,
    pairs: HashMap<(Call, Call), Pair>,
}

#[derive(Clone, Copy)]
struct Seen {
    print: u64,
    at: Wall,
    call: Call,
    side: Side,
}

/// What agrees of two calls: by whether the sides are the same or crossed, and by the earlier call's side.
#[derive(Default)]
struct Pair {
    agreed: [[Agreed; 2]; 2],
}

#[derive(Default)]
struct Agreed {
    /// Payloads that were heard on the earlier call first, and on the later call first.
    first: [u32; 2],
    /// Which payloads, by six bits: the same ones again prove nothing.
    which: u64,
}

impl Twins {
    /// A payload was heard. Which two calls are the same, the earlier one first, if that is proven by it.
    pub(super) fn heard(&mut self, print: u64, at: Wall, call: Call, side: Side) -> Option<(Call, Call)> {
        if !(print >> 32).is_multiple_of(SHARE) {
            return None;
        }
        if self.seen.is_empty() {
            self.seen.resize(SEEN, None);
        }
        let place = self.seen.get_mut(print as usize % SEEN)?;
        let before = place.replace(Seen { print, at, call, side })?;
        if before.print != print || before.call == call || at.since(before.at) > WINDOW {
            return None;
        }
        self.agree(print, before, call, side)
    }

    /// A call is over.
    pub(super) fn forget(&mut self, call: Call) {
        if !self.pairs.is_empty() {
            self.pairs.retain(|(one, two), _| *one != call && *two != call);
        }
    }

    fn agree(&mut self, print: u64, before: Seen, call: Call, side: Side) -> Option<(Call, Call)> {
        let (earlier, later) = (before.call.min(call), before.call.max(call));
        if self.pairs.len() >= PAIRS && !self.pairs.contains_key(&(earlier, later)) {
            self.pairs.clear();
        }
        let pair = self.pairs.entry((earlier, later)).or_default();
        let of_earlier = if before.call == earlier { before.side } else { side };
        let is_crossed = usize::from(before.side != side);
        let agreed = &mut pair.agreed[is_crossed][of_earlier.index()];
        let bit = 1u64 << (print >> 58);
        if agreed.which & bit != 0 {
            return None;
        }
        agreed.which |= bit;
        agreed.first[usize::from(before.call != earlier)] += 1;
        let order = pair.agreed[is_crossed].each_ref().map(Agreed::order);
        let is_same = matches!(order, [Some(one), Some(two)] if one != two);
        is_same.then(|| {
            self.pairs.remove(&(earlier, later));
            (earlier, later)
        })
    }
}

impl Agreed {
    /// Which of the two calls a direction passes first; `None` as long as that is not certain.
    fn order(&self) -> Option<usize> {
        let [one, two] = self.first;
        let (most, least, order) = if one >= two { (one, two, 0) } else { (two, one, 1) };
        (most >= PROOF && least * ODD <= most).then_some(order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distinct payloads, of which each is compared.
    fn print(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !(3 << 32)
    }

    fn wall(micros: i64) -> Wall {
        Wall::from_micros(1_700_000_000_000_000 + micros)
    }

    /// Sound of both directions on calls 1 and 2. Where each direction passes call 2: so much later than call 1.
    fn compared(calling: i64, called: i64, packets: u64, crossed: bool) -> Option<(Call, Call)> {
        let mut twins = Twins::default();
        let mut heard = Vec::new();
        for number in 0..packets {
            let at = 1_000_000 + 20_000 * number as i64;
            let other = |side: Side| if crossed { side.other() } else { side };
            heard.push((at, print(2 * number), Call(1), Side::Calling));
            heard.push((at + calling, print(2 * number), Call(2), other(Side::Calling)));
            heard.push((at, print(2 * number + 1), Call(1), Side::Called));
            heard.push((at + called, print(2 * number + 1), Call(2), other(Side::Called)));
        }
        heard.sort_unstable();
        heard.into_iter().find_map(|(at, print, call, side)| twins.heard(print, wall(at), call, side))
    }

    #[test]
    fn two_legs_of_a_pbx_are_one_call() {
        for crossed in [false, true] {
            assert_eq!(compared(300, -300, 200, crossed), Some((Call(1), Call(2))));
            assert_eq!(compared(-40_000, 25_000, 200, crossed), Some((Call(1), Call(2))));
        }
        assert_eq!(compared(300, -300, 10, false), None, "too little to be sure");
    }

    #[test]
    fn the_same_recording_played_twice_is_two_calls() {
        // Both parties of both calls play the same file: the later call is later in both directions.
        assert_eq!(compared(300, 300, 500, false), None);
        assert_eq!(compared(-700_000, -20_000, 500, true), None);
    }

    #[test]
    fn what_many_callers_hear_is_no_proof() {
        let mut twins = Twins::default();
        for number in 0..2_000u64 {
            for call in 1..=20 {
                let at = wall(20_000 * number as i64 + call as i64 * 7);
                // Hold music to all; each caller makes noise of its own; a tone of two payloads comes back from each.
                assert_eq!(twins.heard(print(number), at, Call(call), Side::Called), None);
                assert_eq!(twins.heard(print(number * 100 + call + 1_000_000), at, Call(call), Side::Calling), None);
                assert_eq!(twins.heard(print(number % 2), wall(20_000 * number as i64 - call as i64 * 7), Call(call), Side::Calling), None);
            }
        }
        assert!(twins.pairs.len() <= PAIRS);
        for call in 1..=20 {
            twins.forget(Call(call));
        }
        assert!(twins.pairs.is_empty());
    }
}
