//! G.711: eight bits a sample, companded. ITU-T Recommendation G.711 (11/88), tables 1a to 2b.

use super::Refused;

/// One law. It remembers nothing: each byte is a sample.
#[derive(Clone, Copy)]
pub(crate) struct Decoder(&'static [i16; 256]);

impl Decoder {
    pub(crate) const fn mu_law() -> Self {
        Self(&MU)
    }

    pub(crate) const fn a_law() -> Self {
        Self(&A)
    }

    /// The most samples that a payload holds.
    pub(crate) const fn samples(payload: &[u8]) -> Result<usize, Refused> {
        Ok(payload.len())
    }

    /// Appends a payload's samples.
    #[allow(clippy::unnecessary_wraps, reason = "the same signature in every codec's file")]
    pub(crate) fn decode(self, payload: &[u8], samples: &mut Vec<i16>) -> Result<(), Refused> {
        samples.extend(payload.iter().map(|&code| self.0[usize::from(code)]));
        Ok(())
    }
}

static MU: [i16; 256] = table(true);
static A: [i16; 256] = table(false);

const fn table(is_mu: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = if is_mu { mu(code as u8) } else { a(code as u8) };
        code += 1;
    }
    table
}

/// All bits are sent inverted; sign, three bits of segment, four of step. 14-bit values, scaled to 16.
const fn mu(code: u8) -> i16 {
    let code = !code;
    let segment = (code >> 4) & 7;
    let magnitude = (((((code & 15) as i16) << 1) + 33) << segment) - 33;
    if code & 0x80 != 0 { -(magnitude << 2) } else { magnitude << 2 }
}

/// Even bits are sent inverted. 13-bit values, scaled to 16.
const fn a(code: u8) -> i16 {
    let code = code ^ 0x55;
    let segment = (code >> 4) & 7;
    let step = ((code & 15) as i16) << 1;
    let magnitude = if segment == 0 { step + 1 } else { (step + 33) << (segment - 1) };
    if code & 0x80 != 0 { magnitude << 3 } else { -(magnitude << 3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recommendations_values() {
        // G.711 table 2a/2b decoder outputs: code 0x80 is the greatest positive value 8031, 0xff zero; table 1a: 0xaa is 4032, 0xd5 is 1.
        assert_eq!(mu(0x80), 8_031 << 2);
        assert_eq!(mu(0x00), -(8_031 << 2));
        assert_eq!(mu(0xff), 0);
        assert_eq!(mu(0x8f), 4_191 << 2);
        assert_eq!(a(0xaa), 4_032 << 3);
        assert_eq!(a(0x2a), -(4_032 << 3));
        assert_eq!(a(0xd5), 1 << 3);
        assert_eq!(a(0x55), -(1 << 3));
    }

    #[test]
    fn both_laws_are_odd_and_rise() {
        for code in 0..128u8 {
            assert_eq!(MU[usize::from(code)], -MU[usize::from(code | 0x80)]);
            assert_eq!(A[usize::from(code)], -A[usize::from(code | 0x80)]);
        }
        assert!((1..128usize).all(|code| MU[code - 1] < MU[code]));
    }
}
