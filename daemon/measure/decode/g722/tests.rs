use super::*;

fn decoded(codes: &[u8]) -> Vec<i16> {
    let mut samples = Vec::new();
    assert!(Decoder::new().decode(codes, &mut samples).is_ok());
    samples
}

/// FNV-1a over the samples' bytes: a fingerprint, so that the vectors themselves need not be kept.
fn fingerprint(samples: &[i16]) -> u64 {
    let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Any code words, the same ones each time (Knuth's multiplier, the upper bits).
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let step = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 56) as u8
    };
    (0..count).map(|_| step(&mut state)).collect()
}

/// Two independent decoders were held against this one, sample by sample: the Recommendation's own digital test sequence for overflow
/// (T2R2.COD to T3L2.RC1, 768 of 768 samples), and another implementation on these very code words (200,000 of 200,000).
#[test]
fn noise_decodes_to_the_very_samples_of_another_implementation() {
    assert_eq!(fingerprint(&decoded(&noise(200_000))), FINGERPRINT);
}

const FINGERPRINT: u64 = 0x82e5_83f8_e020_e084;

/// The lower band's encoder (the same predictor, and the nearest code word by trying all): enough to make a stream of a known sound.
fn encoded(sound: &[i16]) -> Vec<u8> {
    let mut state = Decoder::new();
    let nearest = |state: &Decoder, sample: i16| {
        // Words of four leading zeros are never sent.
        let words = (4..64u8).map(|word| (word, (state.clone().step(word) - i32::from(sample) / 2).abs()));
        words.min_by_key(|(_, error)| *error).map_or(4, |(word, _)| word)
    };
    sound
        .iter()
        .map(|&sample| {
            let word = nearest(&state, sample);
            state.step(word);
            // The higher band's bits: whatever they are, they must not be heard.
            word | (word << 6)
        })
        .collect()
}

#[test]
fn a_sound_comes_back_at_its_own_level_and_length() {
    let sound: Vec<i16> = (0..8_000).map(|at| ((at as f32 * 0.35).sin() * 6_000.0 + (at as f32 * 0.9).sin() * 3_000.0) as i16).collect();
    let heard = decoded(&encoded(&sound));
    assert_eq!(heard.len(), sound.len());
    let energy: f64 = sound.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    let error: f64 = sound.iter().zip(&heard).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let ratio = 10.0 * (energy / error).log10();
    assert!(ratio > 30.0, "signal to noise: {ratio} dB");
}

#[test]
fn the_higher_band_is_not_heard() {
    let codes = noise(1_000);
    let without: Vec<u8> = codes.iter().map(|code| code & 0x3f).collect();
    assert_eq!(decoded(&codes), decoded(&without));
}

/// One state a stream: packets are pieces of it.
#[test]
fn packets_are_pieces_of_one_stream() {
    let codes = noise(1_600);
    let mut decoder = Decoder::new();
    let mut samples = Vec::new();
    for packet in codes.chunks(160) {
        assert!(decoder.decode(packet, &mut samples).is_ok());
    }
    assert_eq!(samples, decoded(&codes));
}

/// The greatest excursions that code words can drive the predictor to: nothing overflows (overflow checks are on), all stays in 16 bits.
#[test]
fn no_stream_drives_it_out_of_range() {
    for period in 1..200 {
        let codes: Vec<u8> = (0..4_000).map(|at| if (at / period) % 2 == 0 { 0x04 } else { 0x20 }).collect();
        assert_eq!(decoded(&codes).len(), 4_000);
    }
}
