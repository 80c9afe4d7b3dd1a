//! Linear sound, 16 bit little endian, from a source without a codec.

use super::RATE;

/// Appends the samples, brought to 8 kHz.
///
/// Rates that are a multiple of 8 kHz are averaged down by that factor, which is filter enough for a telephone's 3.4 kHz band;
/// others are taken at the nearest instant.
pub(crate) fn decode(payload: &[u8], rate: u32, samples: &mut Vec<i16>) {
    let source: Vec<i16> = payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let rate = rate.max(1);
    if rate.is_multiple_of(RATE) {
        let factor = (rate / RATE) as usize;
        samples.extend(source.chunks(factor).map(|chunk| {
            let sum: i32 = chunk.iter().map(|&sample| i32::from(sample)).sum();
            (sum / chunk.len() as i32) as i16
        }));
        return;
    }
    let count = (source.len() as u64 * u64::from(RATE) / u64::from(rate)) as usize;
    samples.extend((0..count).filter_map(|at| source.get((at as u64 * u64::from(rate) / u64::from(RATE)) as usize)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_come_down_to_eight_kilohertz() {
        for rate in [8_000u32, 16_000, 11_025, 44_100, 48_000] {
            let payload: Vec<u8> = (0..rate / 50).flat_map(|_| 1_000i16.to_le_bytes()).collect();
            let mut samples = Vec::new();
            decode(&payload, rate, &mut samples);
            assert!((159..=160).contains(&samples.len()), "{rate}: {}", samples.len());
            assert!(samples.iter().all(|&sample| sample == 1_000));
        }
    }
}
