//! From any rate to 8 kHz.

use super::RATE;
use sotto_private::Private;

/// Rates that are read: what sound cards, recorders and L16 streams use lies within.
pub(crate) const RATES: std::ops::RangeInclusive<u32> = 4_000..=192_000;

/// The filter reaches so many periods of the lower of the two rates to either side. It makes the slope from pass to stop about
/// 1 kHz wide, and the sound 2 ms late.
const REACH: f64 = 16.0;
/// The middle of that slope, in parts of the lower rate: at 8 kHz up to 3.2 kHz pass, and what folds back lies above 3.8 kHz.
const CUTOFF: f64 = 0.4625;
/// Positions between two input samples that the filter is worked out for. Every usual rate needs fewer; a rate that needs more
/// takes the one before.
const PHASES: u32 = 320;

/// A windowed sinc, worked out once, run over one channel's stream of blocks.
pub(crate) struct Resampler {
    rate: u32,
    /// Coefficients of each phase, one after the other, each `taps` long and of unit gain.
    filter: Vec<f32>,
    phases: u32,
    taps: usize,
    /// Input that later output still needs.
    pending: Private<Vec<i16>>,
    /// Where the next output sample's first tap lies, from `pending`'s first sample, in input samples times [`RATE`].
    at: u64,
}

impl Resampler {
    /// From `rate`, which must lie within [`RATES`].
    pub(crate) fn new(rate: u32) -> Self {
        let rate = rate.clamp(*RATES.start(), *RATES.end());
        let phases = (RATE / divisor(rate, RATE)).min(PHASES);
        // Periods of the lower rate, in input samples.
        let period = (f64::from(rate) / f64::from(RATE)).max(1.0);
        // A multiple of the lanes that [`dot`] works in.
        let taps = ((2.0 * REACH * period).ceil() as usize).next_multiple_of(LANES);
        let mut filter = Vec::with_capacity(taps * phases as usize);
        for phase in 0..phases {
            let middle = (taps / 2) as f64 - 1.0 + f64::from(phase) / f64::from(phases);
            let tap = |tap: usize| {
                let x = (tap as f64 - middle) / period;
                let sinc = if x == 0.0 { 1.0 } else { (std::f64::consts::TAU * CUTOFF * x).sin() / (std::f64::consts::TAU * CUTOFF * x) };
                // Hann's window.
                let window = if x.abs() < REACH { 0.5 + 0.5 * (std::f64::consts::PI * x / REACH).cos() } else { 0.0 };
                sinc * window
            };
            let taps: Vec<f64> = (0..taps).map(tap).collect();
            let gain: f64 = taps.iter().sum();
            filter.extend(taps.into_iter().map(|tap| (tap / gain) as f32));
        }
        Self { rate, filter, phases, taps, pending: Private::new(Vec::new()), at: 0 }
    }

    /// The most samples that so many of its input become.
    pub(crate) fn samples(rate: u32, count: usize) -> usize {
        let rate = rate.clamp(*RATES.start(), *RATES.end());
        (count as u64 * u64::from(RATE) / u64::from(rate)) as usize + 2
    }

    /// Takes in a block and appends what it became.
    pub(crate) fn run(&mut self, block: &[i16], samples: &mut Vec<i16>) {
        let Some(&first) = block.first() else { return };
        if self.pending.expose().is_empty() {
            // Before the first sample there is no step from silence: the filter would ring.
            self.pending.append(&vec![first; self.taps / 2 - 1]);
        }
        self.pending.append(block);
        let input = self.pending.expose();
        loop {
            let from = (self.at / u64::from(RATE)) as usize;
            let Some(heard) = input.get(from..from + self.taps) else { break };
            let phase = (self.at % u64::from(RATE)) * u64::from(self.phases) / u64::from(RATE);
            let filter = self.filter.get(phase as usize * self.taps..(phase as usize + 1) * self.taps).unwrap_or_default();
            samples.push(dot(heard, filter).round() as i16);
            self.at += u64::from(self.rate);
        }
        let done = ((self.at / u64::from(RATE)) as usize).min(input.len());
        self.at -= done as u64 * u64::from(RATE);
        let kept = input.len() - done;
        self.pending.expose_mut().copy_within(done.., 0);
        self.pending.cut(kept);
    }
}

/// Sums that run beside each other: the order of the additions is fixed, so that the result is the same everywhere, and yet the
/// processor may do them at once.
const LANES: usize = 8;

fn dot(samples: &[i16], filter: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    for (samples, filter) in samples.chunks_exact(LANES).zip(filter.chunks_exact(LANES)) {
        for ((sum, &sample), &tap) in sums.iter_mut().zip(samples).zip(filter) {
            *sum += f32::from(sample) * tap;
        }
    }
    sums.iter().sum()
}

const fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hertz: f32, count: usize) -> Vec<i16> {
        (0..count).map(|at| ((at as f32 * hertz * std::f32::consts::TAU / rate as f32).sin() * 10_000.0) as i16).collect()
    }

    fn level(samples: &[i16]) -> f64 {
        let energy: f64 = samples.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        10.0 * (energy / samples.len() as f64 / (f64::from(10_000) / 2f64.sqrt()).powi(2)).log10()
    }

    /// In blocks of 20 ms, as it comes.
    fn resampled(rate: u32, input: &[i16]) -> Vec<i16> {
        let mut resampler = Resampler::new(rate);
        let mut samples = Vec::new();
        for block in input.chunks((rate / 50) as usize) {
            let before = samples.len();
            resampler.run(block, &mut samples);
            assert!(samples.len() - before <= Resampler::samples(rate, block.len()), "{rate}");
        }
        samples
    }

    #[test]
    fn the_telephone_band_passes_and_what_would_fold_back_does_not() {
        for rate in [11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000] {
            for hertz in [100.0, 1_000.0, 3_000.0] {
                let level = level(&resampled(rate, &tone(rate, hertz, rate as usize))[100..]);
                assert!(level.abs() < 0.2, "{rate} Hz, a tone of {hertz}: {level} dB");
            }
            for hertz in [4_800.0, 5_200.0, 7_000.0, 15_000.0, 23_000.0] {
                if hertz < rate as f32 / 2.0 {
                    let level = level(&resampled(rate, &tone(rate, hertz, rate as usize))[100..]);
                    assert!(level < -50.0, "{rate} Hz, a tone of {hertz}: {level} dB");
                }
            }
        }
    }

    #[test]
    fn the_length_stays_true_over_a_minute() {
        for rate in [4_000, 8_001, 11_025, 16_000, 44_100, 48_000, 191_999] {
            let heard = resampled(rate, &vec![1_000; rate as usize * 60]).len() as i64;
            // What is missing is the 2 ms (of the lower rate) that still wait for their neighbours.
            assert!((479_960..=480_000).contains(&heard), "{rate}: {heard}");
        }
    }

    #[test]
    fn blocks_of_any_size_are_one_stream() {
        let input = tone(48_000, 440.0, 48_000);
        let mut whole = Vec::new();
        Resampler::new(48_000).run(&input, &mut whole);
        let mut pieces = Vec::new();
        let mut resampler = Resampler::new(48_000);
        for block in input.chunks(7) {
            resampler.run(block, &mut pieces);
        }
        assert_eq!(whole, pieces);
    }

    #[test]
    fn a_step_does_not_overflow() {
        let input: Vec<i16> = (0..48_000).map(|at| if (at / 480) % 2 == 0 { i16::MAX } else { i16::MIN }).collect();
        assert!(resampled(48_000, &input).iter().any(|&sample| sample == i16::MAX));
    }
}
