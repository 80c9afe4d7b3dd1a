use super::*;

const ENCODINGS: [Encoding; 9] = [
    Encoding::Pcmu,
    Encoding::Pcma,
    Encoding::G722,
    Encoding::Opus,
    Encoding::L16 { rate: 8_000, channels: 1 },
    Encoding::L16 { rate: 44_100, channels: 2 },
    Encoding::L16 { rate: 0, channels: 0 },
    Encoding::Linear { rate: 48_000 },
    Encoding::Linear { rate: u32::MAX },
];

/// Any bytes, the same ones each time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn payload(&mut self) -> Vec<u8> {
        let length = match self.next() % 8 {
            0 => 0,
            1 => self.next() % 4,
            2 => self.next() % 3_000,
            _ => self.next() % 200,
        };
        (0..length).map(|_| self.next() as u8).collect()
    }
}

#[test]
fn any_bytes_are_decoded_or_refused_and_never_more_than_was_said() {
    for encoding in ENCODINGS {
        let mut noise = Noise(7);
        let mut decoder = Decoder::new(encoding);
        for _ in 0..3_000 {
            let payload = noise.payload();
            let mut samples = Vec::new();
            match decoder.samples(&payload) {
                Ok(most) => {
                    let refused = decoder.decode(&payload, &mut samples).err();
                    assert_ne!(refused, Some(Refused::Unsupported), "{encoding:?}");
                    assert!(samples.len() <= most, "{encoding:?}: {} samples of {} bytes, {most} at most", samples.len(), payload.len());
                }
                Err(refused) => assert_eq!(decoder.decode(&payload, &mut samples), Err(refused), "{encoding:?}"),
            }
        }
    }
}

/// As long as the stage before says, within rounding: else a stream would drift away from its own time stamps.
#[test]
fn a_payload_lasts_as_long_as_its_encoding_says() {
    for encoding in ENCODINGS {
        let mut noise = Noise(11);
        let mut decoder = Decoder::new(encoding);
        let (mut said, mut heard) = (0, 0);
        for _ in 0..500 {
            let payload = noise.payload();
            let mut samples = Vec::new();
            if decoder.samples(&payload).is_ok() && decoder.decode(&payload, &mut samples).is_ok() {
                said += encoding.micros(&payload);
                heard += samples.len() as i64 * 125;
            }
        }
        assert!((said - heard).abs() <= 20_000, "{encoding:?}: {said} us said, {heard} us heard");
    }
}

#[test]
fn what_no_source_has_is_not_supported() {
    let refused = |encoding| Decoder::new(encoding).samples(&[0; 320]).err();
    assert_eq!(refused(Encoding::L16 { rate: 0, channels: 1 }), Some(Refused::Unsupported));
    assert_eq!(refused(Encoding::L16 { rate: 16_000, channels: 0 }), Some(Refused::Unsupported));
    assert_eq!(refused(Encoding::Linear { rate: 200_000 }), Some(Refused::Unsupported));
    let opus = if cfg!(feature = "opus") { Some(Refused::Damaged) } else { Some(Refused::Unsupported) };
    assert_eq!(Decoder::new(Encoding::Opus).samples(&[]).err(), opus);
}

#[test]
fn a_stream_with_holes_has_its_length() {
    let packet = [0xd5u8; 160];
    let payloads: [&[u8]; 6] = [&packet, &[], &packet, &[], &[], &packet];
    for encoding in [Encoding::Pcma, Encoding::G722] {
        assert_eq!(decode_stream(encoding, payloads), 6 * 160, "{encoding:?}");
    }
    assert_eq!(decode_stream(Encoding::L16 { rate: 0, channels: 0 }, payloads), 0);
}
