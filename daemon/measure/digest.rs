//! Whether two legs sound the same, without the sound.

use std::hash::{DefaultHasher, Hasher};

use sotto_private::{Audio, Private, Wall};

use crate::leg::{Leg, Listening};

/// A digest of what a leg's packets are decoded to, sample by sample and each in its place, holes filled as they are in a call that is measured.
///
/// For tests that must show that nothing changes what is heard: the sound itself stays here.
pub fn decoded_digest<'a>(answered: Wall, packets: impl IntoIterator<Item = &'a Audio>) -> u64 {
    let mut digest = DefaultHasher::new();
    let (mut leg, mut turns, mut fresh) = (Leg::new(answered), Vec::new(), Private::default());
    // As for turns: then the longest hole that is filled is kept whole.
    let mut listening = Listening { vad: None, wants_turns: true, turns: &mut turns, fresh: &mut fresh };
    for packet in packets {
        let before = leg.place();
        digest.write_u8(u8::from(leg.audio(packet, &mut listening).is_ok()));
        digest.write_i64(leg.place());
        for sample in leg.sound_since(before).expose() {
            digest.write_i16(*sample);
        }
    }
    digest.finish()
}

#[cfg(test)]
mod tests {
    use sotto_private::{Call, Encoding, Side};

    use super::*;

    fn leg(change: impl Fn(usize, &mut Vec<u8>)) -> Vec<Audio> {
        let packets = (0..50).map(|number| {
            let mut payload: Vec<u8> = (0..160).map(|at| (number * 7 + at) as u8).collect();
            change(number, &mut payload);
            Audio::new(Call(1), Side::Calling, number as u64, Wall::from_micros(20_000 * number as i64), Encoding::Pcmu, payload)
        });
        packets.collect()
    }

    #[test]
    fn one_sample_or_one_place_makes_another_digest() {
        let whole = leg(|_, _| {});
        let digest = |packets: &[Audio]| decoded_digest(Wall::default(), packets);
        assert_eq!(digest(&whole), digest(&leg(|_, _| {})));
        assert_ne!(digest(&whole), digest(&leg(|number, payload| payload[159] ^= u8::from(number == 49))));
        assert_ne!(digest(&whole), digest(&whole[..49]));
        let mut later = leg(|_, _| {});
        later.iter_mut().skip(25).for_each(|packet| packet.start = packet.start.plus(20_000));
        assert_ne!(digest(&whole), digest(&later));
    }
}
