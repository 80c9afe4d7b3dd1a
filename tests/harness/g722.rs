//! ITU-T G.722 at 64 kbit/s, encoder only: the harness makes sound, the product hears it.
//!
//! The harness' sound has 8,000 samples a second, which is the codec's lower band as it is; its higher band is encoded as the silence
//! that it is. The names are the Recommendation's.

/// The encoder of one stream.
#[derive(Debug)]
pub struct Encoder {
    low: Band,
    high: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { low: Band::new(32), high: Band::new(8) }
    }
}

impl Encoder {
    /// Encodes one 16-bit sample at 8 kHz, which is one byte of RTP payload and one tick of its clock (RFC 3551 section 4.5.2).
    pub fn encode(&mut self, sample: i16) -> u8 {
        (self.encode_high(0) << 6) | self.encode_low(i32::from(sample) >> 1)
    }

    /// SUBTRA, QUANTL, INVQAL, LOGSCL, SCALEL.
    fn encode_low(&mut self, xl: i32) -> u8 {
        let band = &mut self.low;
        let el = saturate(xl - band.s);
        let magnitude = if el < 0 { -(el + 1) } else { el };
        let level = (1..30).find(|&level| magnitude < (Q6[level] * band.det) >> 12).unwrap_or(30);
        let level = level as u8;
        let code = match (el < 0, level) {
            (true, 1 | 2) => 64 - level,
            (true, _) => 34 - level,
            (false, _) => 62 - level,
        };
        let il4 = usize::from(code >> 2);
        let difference = (band.det * QM4[il4]) >> 15;
        band.adapt(WL[il4], 18_432, 8);
        band.predict(difference);
        code
    }

    /// SUBTRA, QUANTH, INVQAH, LOGSCH, SCALEH.
    fn encode_high(&mut self, xh: i32) -> u8 {
        let band = &mut self.high;
        let eh = saturate(xh - band.s);
        let magnitude = if eh < 0 { -(eh + 1) } else { eh };
        let is_large = magnitude >= (564 * band.det) >> 12;
        let code = match (eh < 0, is_large) {
            (true, true) => 0,
            (true, false) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        let difference = (band.det * [-7_408, -1_616, 7_408, 1_616][usize::from(code)]) >> 15;
        band.adapt(if is_large { 798 } else { -214 }, 22_528, 10);
        band.predict(difference);
        code
    }
}

/// What both bands' adaptive differential coders remember.
#[derive(Debug)]
struct Band {
    /// The prediction, and its zero section's part.
    s: i32,
    sz: i32,
    /// Scale factor, logarithmic and linear.
    nb: i32,
    det: i32,
    /// Coefficients of poles and zeros.
    a: [i32; 2],
    b: [i32; 6],
    /// Differences, reconstructed and partially reconstructed samples, the latest first.
    d: [i32; 6],
    r: [i32; 2],
    p: [i32; 2],
}

impl Band {
    const fn new(det: i32) -> Self {
        Self { s: 0, sz: 0, nb: 0, det, a: [0; 2], b: [0; 6], d: [0; 6], r: [0; 2], p: [0; 2] }
    }

    fn adapt(&mut self, step: i32, most: i32, shift: i32) {
        self.nb = (((self.nb * 127) >> 7) + step).clamp(0, most);
        let mantissa = ILB[((self.nb >> 6) & 31) as usize];
        let shift = shift - (self.nb >> 11);
        self.det = (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2;
    }

    fn predict(&mut self, difference: i32) {
        let r = saturate(self.s + difference);
        let p = saturate(self.sz + difference);
        let alike = [(p < 0) == (self.p[0] < 0), (p < 0) == (self.p[1] < 0)];

        let lean = saturate(4 * self.a[0]);
        let lean = if alike[0] { (-lean).min(32_767) } else { lean };
        let a2 = (lean >> 7) + if alike[1] { 128 } else { -128 } + ((self.a[1] * 32_512) >> 15);
        let a2 = a2.clamp(-12_288, 12_288);
        let a1 = if alike[0] { 192 } else { -192 } + ((self.a[0] * 32_640) >> 15);
        let a1 = a1.clamp(a2 - 15_360, 15_360 - a2);

        for (b, past) in self.b.iter_mut().zip(self.d) {
            let step = match (difference, (difference < 0) == (past < 0)) {
                (0, _) => 0,
                (_, true) => 128,
                (_, false) => -128,
            };
            *b = saturate(step + ((*b * 32_640) >> 15));
        }
        (self.a, self.r, self.p) = ([a1, a2], [r, self.r[0]], [p, self.p[0]]);
        self.d.rotate_right(1);
        self.d[0] = difference;

        let part = |coefficient: i32, value: i32| (coefficient * saturate(2 * value)) >> 15;
        let poles = saturate(part(a1, self.r[0]) + part(a2, self.r[1]));
        self.sz = (0..6).rev().fold(0, |sum, at| saturate(sum + part(self.b[at], self.d[at])));
        self.s = saturate(poles + self.sz);
    }
}

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

const Q6: [i32; 30] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023, 1_121, 1_219, 1_339, 1_458, 1_612,
    1_765, 1_980, 2_195, 2_557, 2_919,
];

const QM4: [i32; 16] = [0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288, 4_240, 2_584, 1_200, 0];

const WL: [i32; 16] = [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];

const ILB: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774, 2_834, 2_896, 2_960, 3_025,
    3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

#[cfg(test)]
mod tests {
    use super::Encoder;

    /// Another implementation gives these very code words of the lower band for this sound: a rising square, loud enough to saturate.
    #[test]
    fn the_lower_bands_words_are_those_of_another_implementation() {
        let mut encoder = Encoder::default();
        let sound = (0..20_000i32).map(|at| if (at * at / 3_000) % 2 == 0 { at * 37 % 32_768 } else { -(at * 91 % 32_768) } as i16);
        let fingerprint = sound.fold(0xcbf2_9ce4_8422_2325u64, |sum, sample| {
            (sum ^ u64::from(encoder.encode(sample) & 0x3f)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(fingerprint, FINGERPRINT);
    }

    const FINGERPRINT: u64 = 0x96b2_d4dd_16be_e03c;

    /// Nothing but the two words next to zero: the higher band is silent.
    #[test]
    fn the_higher_band_is_silent() {
        let mut encoder = Encoder::default();
        assert!((0..8_000).all(|at| encoder.encode((at * 7 % 30_000) as i16) >> 6 & 1 == 1));
    }
}
