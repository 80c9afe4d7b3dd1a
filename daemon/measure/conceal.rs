//! What stands in the place of lost packets.
//!
//! A hole of up to 60 ms is filled with the sound just before it, repeated by whole pitch periods and fading out (the idea of
//! G.711 Appendix I, without its overlap-add); beyond that, and where nothing was sent, there is silence. A scorer needs no
//! more: concealment must neither start nor end a word.

/// Beyond this a hole is silent.
const LONGEST: usize = 480;
/// Pitch periods looked for: 66 to 400 Hz at 8 kHz.
const PERIODS: std::ops::Range<usize> = 20..121;
/// So much of the latest sound is enough to find its period; what lies before it changes nothing.
pub(crate) const HISTORY: usize = 2 * PERIODS.end;

/// Appends `missing` samples after `history`, which holds the latest sound.
pub(crate) fn conceal(history: &[i16], missing: usize, samples: &mut Vec<i16>) {
    let spoken = missing.min(LONGEST);
    if let Some(period) = period(history) {
        let cycle = &history[history.len() - period..];
        samples.extend((0..spoken).map(|at| {
            let fade = 1.0 - at as f32 / LONGEST as f32;
            (f32::from(cycle[at % period]) * fade) as i16
        }));
    } else {
        samples.resize(samples.len() + spoken, 0);
    }
    samples.resize(samples.len() + missing - spoken, 0);
}

/// The period at which the latest sound is most like itself; `None` where there is too little of it.
fn period(history: &[i16]) -> Option<usize> {
    let window = PERIODS.end;
    if history.len() < HISTORY {
        return None;
    }
    let recent = &history[history.len() - window..];
    PERIODS.max_by_key(|&period| {
        let before = &history[history.len() - window - period..history.len() - period];
        let (dot, energy) = recent.iter().zip(before).fold((0i64, 1i64), |(dot, energy), (&a, &b)| {
            (dot + i64::from(a) * i64::from(b), energy + i64::from(b) * i64::from(b))
        });
        // Normalised correlation, squared with its sign, in 1/1000: an integer, so that the choice is the same everywhere.
        (dot.signum() as i128) * (i128::from(dot) * i128::from(dot) * 1_000 / i128::from(energy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(from: usize, count: usize) -> Vec<i16> {
        (from..from + count).map(|at| ((at as f32 * std::f32::consts::TAU / 40.0).sin() * 8_000.0) as i16).collect()
    }

    #[test]
    fn a_tone_goes_on_through_a_lost_packet() {
        let mut filled = Vec::new();
        conceal(&tone(0, 800), 160, &mut filled);
        let truth = tone(800, 160);
        let error: f32 = filled.iter().zip(&truth).map(|(&a, &b)| (f32::from(a) - f32::from(b)).powi(2)).sum();
        let energy: f32 = truth.iter().map(|&b| f32::from(b).powi(2)).sum();
        assert!(error < 0.1 * energy, "{}", error / energy);
    }

    #[test]
    fn a_long_hole_ends_in_silence_and_has_its_length() {
        let mut filled = Vec::new();
        conceal(&tone(0, 800), 4_000, &mut filled);
        assert_eq!(filled.len(), 4_000);
        assert!(filled[480..].iter().all(|&sample| sample == 0));
        let mut nothing = Vec::new();
        conceal(&[], 100, &mut nothing);
        assert_eq!(nothing, [0; 100]);
    }
}
