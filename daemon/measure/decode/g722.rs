//! G.722 at 64 kbit/s (mode 1): two bands of 8,000 samples a second each, in ADPCM. ITU-T Recommendation G.722 (09/2012).
//!
//! Of each byte the lower six bits are the lower band, 0 to 4 kHz, and the upper two the higher band, 4 to 8 kHz. A full decoder
//! brings both to 16 kHz and adds them; whoever wants 8 kHz would only take that apart again. So the lower band alone is
//! decoded: it *is* the sound at 8 kHz, split off by the sender's own filter. It is bit-exact: its samples are the
//! Recommendation's `RL`. The higher band's two bits are left where they are.

use super::Refused;

/// The lower band's decoder: inverse quantizers, scale factor, predictor. The names are the Recommendation's.
#[derive(Clone)]
pub(crate) struct Decoder {
    /// `SL`: the prediction of the next sample.
    sl: i32,
    /// `SZL`: of that, the zero section's part.
    szl: i32,
    /// `NBL`: the logarithmic scale factor.
    nbl: i32,
    /// `DETL`: the scale factor.
    detl: i32,
    /// `AL1`, `AL2`: the pole section's coefficients.
    al: [i32; 2],
    /// `BL1` to `BL6`: the zero section's coefficients.
    bl: [i32; 6],
    /// `DLT1` to `DLT6`: quantized differences, the latest first.
    dlt: [i32; 6],
    /// `RLT1`, `RLT2`: reconstructed samples, the latest first.
    rlt: [i32; 2],
    /// `PLT1`, `PLT2`: partially reconstructed samples, the latest first.
    plt: [i32; 2],
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        // At reset all is 0 but the scale factor, which has its least value.
        Self { sl: 0, szl: 0, nbl: 0, detl: 32, al: [0; 2], bl: [0; 6], dlt: [0; 6], rlt: [0; 2], plt: [0; 2] }
    }

    /// The most samples that a payload holds.
    pub(crate) const fn samples(payload: &[u8]) -> Result<usize, Refused> {
        Ok(payload.len())
    }

    /// Appends a payload's samples.
    #[allow(clippy::unnecessary_wraps, reason = "the same signature in every codec's file")]
    pub(crate) fn decode(&mut self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), Refused> {
        // RL has 15 bits, so that the sum of both bands has 16: at 8 kHz it is doubled.
        samples.extend(payload.iter().map(|&code| (self.step(code & 0x3f) * 2) as i16));
        Ok(())
    }

    /// One code word of the lower band to one sample `RL`, -16,384 to 16,383.
    fn step(&mut self, ilr: u8) -> i32 {
        let ril = usize::from(ilr & 0x3f);
        // INVQBL and LIMIT: what is heard has six bits of precision.
        let rl = (self.sl + ((self.detl * QM6[ril]) >> 15)).clamp(-16_384, 16_383);
        // INVQAL: the adaptation goes by four, which every mode has.
        let il4 = ril >> 2;
        let dlt0 = (self.detl * QM4[il4]) >> 15;
        self.scale(il4);
        self.predict(dlt0);
        rl
    }

    /// LOGSCL and SCALEL.
    fn scale(&mut self, il4: usize) {
        self.nbl = (((self.nbl * 127) >> 7) + WL[il4]).clamp(0, 18_432);
        let mantissa = ILB[((self.nbl >> 6) & 31) as usize];
        let shift = 8 - (self.nbl >> 11);
        self.detl = (if shift < 0 { mantissa << -shift } else { mantissa >> shift }) << 2;
    }

    /// RECONS, PARREC, UPPOL2, UPPOL1, UPZERO, DELAYA, FILTEP, FILTEZ and PREDIC, in this order.
    fn predict(&mut self, dlt0: i32) {
        let rlt0 = saturate(self.sl + dlt0);
        let plt0 = saturate(dlt0 + self.szl);
        let [al1, al2] = self.al;
        let same = |a: i32, b: i32| (a < 0) == (b < 0);

        let quadruple = saturate(al1 * 4);
        let towards = if same(plt0, self.plt[0]) { -quadruple } else { quadruple }.min(32_767);
        let step = if same(plt0, self.plt[1]) { 128 } else { -128 };
        let apl2 = ((towards >> 7) + step + ((al2 * 32_512) >> 15)).clamp(-12_288, 12_288);
        let step = if same(plt0, self.plt[0]) { 192 } else { -192 };
        let limit = 15_360 - apl2;
        let apl1 = saturate(step + ((al1 * 32_640) >> 15)).clamp(-limit, limit);
        self.al = [apl1, apl2];

        let gain = if dlt0 == 0 { 0 } else { 128 };
        for (bl, &dlt) in self.bl.iter_mut().zip(&self.dlt) {
            let step = if same(dlt0, dlt) { gain } else { -gain };
            *bl = saturate(step + ((*bl * 32_640) >> 15));
        }
        self.dlt.copy_within(0..5, 1);
        self.dlt[0] = dlt0;
        self.rlt = [rlt0, self.rlt[0]];
        self.plt = [plt0, self.plt[0]];

        let term = |coefficient: i32, value: i32| (coefficient * saturate(value * 2)) >> 15;
        let spl = saturate(term(apl1, self.rlt[0]) + term(apl2, self.rlt[1]));
        self.szl = self.bl.iter().zip(&self.dlt).rev().fold(0, |sum, (&bl, &dlt)| saturate(sum + term(bl, dlt)));
        self.sl = saturate(spl + self.szl);
    }
}

/// To the 16 bits that the Recommendation's arithmetic has.
const fn saturate(value: i32) -> i32 {
    if value > 32_767 {
        32_767
    } else if value < -32_768 {
        -32_768
    } else {
        value
    }
}

/// The inverse quantizer of six bits by code word, with its sign. Words of four leading zeros are never sent.
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232, -9_360, -8_576, -7_856, -7_192,
    -6_576, -6_000, -5_456, -4_944, -4_464, -4_008, -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904,
    19_008, 16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000, 5_456, 4_944, 4_464, 4_008, 3_576,
    3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432, 136, -432, -136,
];

/// The same of four bits.
const QM4: [i32; 16] = [0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288, 4_240, 2_584, 1_200, 0];

/// By how much a code word of four bits changes the logarithmic scale factor.
const WL: [i32; 16] = [-60, 3_042, 1_198, 538, 334, 172, 58, -30, 3_042, 1_198, 538, 334, 172, 58, -30, -60];

/// From the logarithmic scale factor's fraction to the linear one: 2,048 times 2 to the power of n/32.
const ILB: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656, 2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091,
    3_158, 3_228, 3_298, 3_371, 3_444, 3_520, 3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];

#[cfg(test)]
mod tests;
