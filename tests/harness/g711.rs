//! ITU-T G.711, both laws, encoder only: the harness makes sound, the product hears it.

/// Encodes one 16-bit sample in mu-law.
#[must_use]
pub fn mu_law(sample: i16) -> u8 {
    const BIAS: i32 = 0x84;
    const CLIP: i32 = 32_635;
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(CLIP) + BIAS;
    // The segment is the place of the highest bit: 0x84 lies in segment 0, 0x7fff in segment 7.
    let segment = (31 - magnitude.leading_zeros() as i32) - 7;
    let mantissa = (magnitude >> (segment + 3)) & 0x0f;
    !(sign | (segment << 4) | mantissa) as u8
}

/// Encodes one 16-bit sample in A-law.
#[must_use]
pub fn a_law(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 {
        (0x80, i32::from(sample) >> 3)
    } else {
        (0, (-i32::from(sample) - 1) >> 3)
    };
    let segment = ((32 - magnitude.leading_zeros() as i32) - 5).max(0);
    let mantissa = if segment <= 1 {
        (magnitude >> 1) & 0x0f
    } else {
        (magnitude >> segment) & 0x0f
    };
    ((sign | (segment << 4) | mantissa) ^ 0x55) as u8
}

#[cfg(test)]
mod tests {
    use super::{a_law, mu_law};

    /// G.711 tables 2a: decision values and code words of the upper ends.
    #[test]
    fn mu_law_words_of_the_standard() {
        assert_eq!(
            [mu_law(0), mu_law(-1), mu_law(32_767), mu_law(-32_768)],
            [0xff, 0x7f, 0x80, 0x00]
        );
        assert_eq!([mu_law(1_000), mu_law(-1_000)], [0xce, 0x4e]);
    }

    #[test]
    fn a_law_words_of_the_standard() {
        assert_eq!(
            [a_law(0), a_law(-1), a_law(32_767), a_law(-32_768)],
            [0xd5, 0x55, 0xaa, 0x2a]
        );
        assert_eq!([a_law(1_000), a_law(-1_000)], [0xfa, 0x7a]);
    }

    /// Decoding (G.711's tables, written out as arithmetic) gives back each sample to within half a step of its segment.
    #[test]
    fn both_laws_stay_within_half_a_step() {
        for sample in (-32_768..=32_767).step_by(7) {
            let word = !mu_law(sample);
            let magnitude = ((i32::from(word & 0x0f) << 3) + 0x84) << ((word >> 4) & 7);
            let decoded = if word & 0x80 != 0 {
                0x84 - magnitude
            } else {
                magnitude - 0x84
            };
            let error = (i32::from(sample).clamp(-32_635, 32_635) - decoded).abs();
            assert!(
                error <= 4 << ((word >> 4) & 7),
                "mu-law {sample}: {decoded}"
            );

            let word = a_law(sample) ^ 0x55;
            let segment = (word >> 4) & 7;
            let mantissa = i32::from(word & 0x0f) << 4;
            let magnitude = if segment == 0 {
                mantissa + 8
            } else {
                (mantissa + 0x108) << (segment - 1)
            };
            let decoded = if word & 0x80 != 0 {
                magnitude
            } else {
                -magnitude
            };
            assert!(
                (i32::from(sample) - decoded).abs() <= 8 << segment.saturating_sub(1),
                "A-law {sample}: {decoded}"
            );
        }
    }
}
