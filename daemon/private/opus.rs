//! How long an Opus packet lasts, by its first bytes (RFC 6716 section 3.1). The sound itself is for the decoder.

/// The longest packet that RFC 6716 section 3.2.5 allows, microseconds.
const LONGEST: i64 = 120_000;

/// How long a packet lasts, microseconds; 0 where its first bytes are damaged.
pub(crate) fn micros(payload: &[u8]) -> i64 {
    let Some(&toc) = payload.first() else { return 0 };
    let frame = match toc >> 3 {
        // SILK: 10, 20, 40, 60 ms for each of three bandwidths.
        config @ 0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config % 4)],
        // Hybrid: 10, 20 ms.
        config @ 12..=15 => [10_000, 20_000][usize::from(config % 2)],
        // CELT: 2.5, 5, 10, 20 ms.
        config => [2_500, 5_000, 10_000, 20_000][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => i64::from(payload.get(1).map_or(0, |count| count & 63)),
    };
    let whole = frame * frames;
    if whole > LONGEST { 0 } else { whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_contents_tells_the_length() {
        assert_eq!(micros(&[0x08, 0]), 20_000, "SILK, 20 ms, one frame");
        assert_eq!(micros(&[0xf8, 0]), 20_000, "CELT, 20 ms, one frame");
        assert_eq!(micros(&[0xe1, 0]), 5_000, "CELT, 2.5 ms, two frames");
        assert_eq!(micros(&[0x7b, 3]), 60_000, "hybrid, 20 ms, three frames");
        assert_eq!(micros(&[0x1b, 48]), 0, "48 frames of 60 ms are more than any packet holds");
        assert_eq!(micros(&[0x03]), 0);
        assert_eq!(micros(&[]), 0);
    }
}
