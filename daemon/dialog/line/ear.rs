//! What one channel of a line sounds like, 20 ms at a time: nothing, a voice, or a tone of the telephone network.
//!
//! A voice is sound that stands out of the channel's own noise: by 12 dB to begin with, and by 8 dB while it lasts. The noise is the
//! least level of late, and rises by 1 dB a second where there is no pause.
//!
//! Tones must neither begin a call nor keep it: dial, ringing and busy tone, digits (ITU-T E.180, Q.23). Each is one or two sines, and
//! the sum of two sines follows from its last four samples, which no voice does. So a block that a linear prediction of the fourth
//! order explains but for a thousandth is a tone.

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing above the noise.
    Silence,
    /// Somebody, or something that is no tone: music keeps a call, too.
    Voice,
    /// One or two steady sines.
    Tone,
    /// A tone of a low and a high frequency that make a digit together (DTMF).
    Digit,
}

/// The rate that blocks are looked at, about.
const RATE: u32 = 8_000;
/// Levels, dB below full scale.
const QUIETEST: f64 = -75.0;
const NOISIEST: f64 = -35.0;
/// Nothing softer is a voice, however quiet the line.
const SOFTEST: f64 = -52.0;
/// How far a voice stands out of the noise, dB: to begin, and to go on.
const BEGINS: f64 = 12.0;
const GOES_ON: f64 = 8.0;
/// By how much the noise is thought to rise, dB a second.
const RISES: f64 = 1.0;
/// What a prediction may leave of a tone.
const LEFT: f64 = 1e-3;

/// One channel.
#[derive(Debug)]
pub(crate) struct Ear {
    /// The channel's noise, dB.
    noise: f64,
    was_voice: bool,
}

impl Default for Ear {
    fn default() -> Self {
        Self { noise: NOISIEST, was_voice: false }
    }
}

impl Ear {
    /// What a block is. `rate` is its rate; 10 to 60 ms are a good length.
    pub(crate) fn hear(&mut self, samples: &[i16], rate: u32) -> Heard {
        let block = brought_down(samples, rate);
        if block.is_empty() {
            return Heard::Silence;
        }
        let energy = block.iter().map(|sample| sample * sample).sum::<f64>() / block.len() as f64;
        let level = 10.0 * (energy / f64::from(1u32 << 30) + 1e-12).log10();
        let seconds = block.len() as f64 / f64::from(RATE);
        self.noise = level.min(self.noise + RISES * seconds).clamp(QUIETEST, NOISIEST);
        let above = if self.was_voice { GOES_ON } else { BEGINS };
        let heard = match level > (self.noise + above).max(SOFTEST) {
            false => Heard::Silence,
            true if !is_tone(&block) => Heard::Voice,
            true if is_digit(&block) => Heard::Digit,
            true => Heard::Tone,
        };
        self.was_voice = heard == Heard::Voice;
        heard
    }
}

/// Averaged down to about 8 kHz, without its mean: a sound card's offset is no sound.
fn brought_down(samples: &[i16], rate: u32) -> Vec<f64> {
    let factor = (rate.max(1) / RATE).max(1) as usize;
    let mut block: Vec<f64> = samples.chunks_exact(factor).map(|chunk| chunk.iter().map(|&sample| f64::from(sample)).sum::<f64>() / factor as f64).collect();
    let mean = block.iter().sum::<f64>() / block.len().max(1) as f64;
    block.iter_mut().for_each(|sample| *sample -= mean);
    block
}

/// Whether each sample follows from the four before it (least squares, by Cholesky's decomposition).
fn is_tone(block: &[f64]) -> bool {
    const ORDER: usize = 4;
    if block.len() < 8 * ORDER {
        return false;
    }
    // products[i][j]: of the sample i back and the one j back.
    let mut products = [[0.0f64; ORDER + 1]; ORDER + 1];
    for window in block.windows(ORDER + 1) {
        for (i, row) in products.iter_mut().enumerate() {
            for (j, sum) in row.iter_mut().enumerate() {
                *sum += window[ORDER - i] * window[ORDER - j];
            }
        }
    }
    let energy = products[0][0];
    // A single sine needs but two: the rest is held down.
    let ridge = energy * 1e-9 + f64::MIN_POSITIVE;
    let mut lower = [[0.0f64; ORDER]; ORDER];
    let mut explained = 0.0;
    let mut solved = [0.0f64; ORDER];
    for i in 0..ORDER {
        for j in 0..=i {
            let sum = products[i + 1][j + 1] - (0..j).map(|k| lower[i][k] * lower[j][k]).sum::<f64>();
            lower[i][j] = if i == j { (sum + ridge).max(ridge).sqrt() } else { sum / lower[j][j] };
        }
        solved[i] = (products[i + 1][0] - (0..i).map(|k| lower[i][k] * solved[k]).sum::<f64>()) / lower[i][i];
        explained += solved[i] * solved[i];
    }
    energy - explained < LEFT * energy
}

/// Whether a tone is one of the low group and one of the high group (ITU-T Q.23), by Goertzel's filters. Which, is not asked.
fn is_digit(block: &[f64]) -> bool {
    const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
    let total = block.iter().map(|sample| sample * sample).sum::<f64>();
    let share = |hertz: f64| {
        let twice = 2.0 * (std::f64::consts::TAU * hertz / f64::from(RATE)).cos();
        let (one, two) = block.iter().fold((0.0, 0.0), |(one, two), sample| (sample + twice * one - two, one));
        2.0 * (one * one + two * two - twice * one * two) / (block.len() as f64 * total)
    };
    let loudest = |group: [f64; 4]| group.into_iter().map(share).fold(0.0, f64::max);
    let (low, high) = (loudest(LOW), loudest(HIGH));
    low > 0.1 && high > 0.1 && low + high > 0.7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sines(rate: u32, hertz: &[f64], amplitude: f64) -> Vec<i16> {
        let at = |at: u32| hertz.iter().map(|hertz| (f64::from(at) * hertz * std::f64::consts::TAU / f64::from(rate)).sin() * amplitude).sum::<f64>();
        (0..rate / 50).map(|sample| at(sample) as i16).collect()
    }

    /// Three harmonics and breath: what a vowel is made of.
    fn vowel(rate: u32) -> Vec<i16> {
        let mut state = 3u64;
        let mut breath = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from((state >> 48) as u16 as i16) / 40.0
        };
        sines(rate, &[120.0, 240.0, 720.0, 1_200.0, 2_400.0], 1_500.0).into_iter().map(|sample| (f64::from(sample) + breath()) as i16).collect()
    }

    #[test]
    fn tones_of_the_network_are_no_voice() {
        // Dial tone, ringing and busy of North America; of Europe; of the United Kingdom.
        for tone in [&[350.0, 440.0][..], &[440.0, 480.0], &[480.0, 620.0], &[425.0], &[400.0, 450.0], &[1_000.0]] {
            for rate in [8_000, 16_000, 48_000] {
                assert_eq!(Ear::default().hear(&sines(rate, tone, 4_000.0), rate), Heard::Tone, "{tone:?} at {rate}");
            }
        }
    }

    #[test]
    fn every_digit_is_a_digit() {
        for low in [697.0, 770.0, 852.0, 941.0] {
            for high in [1_209.0, 1_336.0, 1_477.0, 1_633.0] {
                assert_eq!(Ear::default().hear(&sines(8_000, &[low, high], 4_000.0), 8_000), Heard::Digit, "{low} and {high}");
            }
        }
    }

    #[test]
    fn a_vowel_is_a_voice_at_any_rate() {
        for rate in [8_000, 16_000, 44_100, 48_000] {
            let mut ear = Ear::default();
            assert_eq!(ear.hear(&[0; 960], rate), Heard::Silence);
            assert_eq!(ear.hear(&vowel(rate), rate), Heard::Voice, "{rate}");
        }
    }

    #[test]
    fn a_voice_stands_out_of_the_noise() {
        let mut ear = Ear::default();
        let hiss = |loud: i64| -> Vec<i16> { (0..160i64).map(|at| ((at * at * 7_919 + at * 104_729) % (2 * loud) - loud) as i16).collect() };
        // A noisy line, -48 dB: after a while it is silence.
        for _ in 0..500 {
            ear.hear(&hiss(220), 8_000);
        }
        assert_eq!(ear.hear(&hiss(220), 8_000), Heard::Silence);
        assert_eq!(ear.hear(&hiss(330), 8_000), Heard::Silence, "3 dB more");
        assert_eq!(ear.hear(&vowel(8_000), 8_000), Heard::Voice);
        assert_eq!(ear.hear(&[500; 160], 8_000), Heard::Silence, "an offset is no sound");
        assert_eq!(ear.hear(&[], 8_000), Heard::Silence);
        assert_eq!(ear.hear(&[i16::MIN; 7], 0), Heard::Silence);
    }
}
