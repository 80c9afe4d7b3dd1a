//! Samples: wav files in and out, resampling, levels, noise, tones. Everything is mono f64 at 8 kHz, full scale 1.0.

use std::path::Path;

use crate::Error;
use crate::random::Random;
use crate::script::NoiseKind;

/// Samples a second of a telephone leg.
pub const RATE: u32 = 8_000;

/// Samples in a millisecond.
pub const PER_MS: usize = 8;

/// Zero crossings of the resampler's sinc on each side: its transition band is about a tenth of the lower rate.
const SINC_CROSSINGS: f64 = 24.0;

/// Reads a wav file as mono at 8 kHz: channels averaged, resampled, full scale 1.0.
///
/// # Errors
/// The file cannot be read, or is not PCM or float wav.
pub fn read_wav(path: &Path) -> Result<Vec<f64>, Error> {
    let failed = |source: hound::Error| Error::new(format!("{}: {source}", path.display()));
    let mut reader = hound::WavReader::open(path).map_err(failed)?;
    let spec = reader.spec();
    let interleaved: Vec<f64> = match spec.sample_format {
        hound::SampleFormat::Float => reader
            .samples::<f32>()
            .map(|sample| sample.map(f64::from))
            .collect::<Result<_, _>>()
            .map_err(failed)?,
        hound::SampleFormat::Int => {
            let scale = 2_f64.powi(1 - i32::from(spec.bits_per_sample));
            reader
                .samples::<i32>()
                .map(|sample| sample.map(|value| f64::from(value) * scale))
                .collect::<Result<_, _>>()
                .map_err(failed)?
        }
    };
    let channels = usize::from(spec.channels.max(1));
    let mono: Vec<f64> = interleaved
        .chunks_exact(channels)
        .map(|frame| frame.iter().sum::<f64>() / channels as f64)
        .collect();
    Ok(resample(&mono, spec.sample_rate, RATE))
}

/// Writes the two legs of a call as a wav file: left the agent, right the customer.
///
/// # Errors
/// The file cannot be written.
pub fn write_two_channels(path: &Path, legs: [&[i16]; 2]) -> Result<(), Error> {
    write(path, 2, legs[0].iter().zip(legs[1]).flat_map(|(&left, &right)| [left, right]))
}

/// Writes one leg as a wav file.
///
/// # Errors
/// The file cannot be written.
pub fn write_mono(path: &Path, samples: &[i16]) -> Result<(), Error> {
    write(path, 1, samples.iter().copied())
}

/// Changes the sampling rate with a windowed sinc (Kaiser, beta 8: about 80 dB of rejection), one set of weights for each phase.
#[must_use]
pub fn resample(input: &[f64], from: u32, to: u32) -> Vec<f64> {
    if from == to || from == 0 || to == 0 {
        return input.to_vec();
    }
    let divisor = greatest_common_divisor(from, to);
    let (up, down) = (to / divisor, from / divisor);
    // Cycles per input sample; a little below the lower of the two Nyquist frequencies, where the transition band ends.
    let cutoff = 0.5 * (f64::from(to) / f64::from(from)).min(1.0) * 0.94;
    let half = (SINC_CROSSINGS / (2.0 * cutoff)).ceil();
    let weights = |phase: u32| -> Vec<f64> {
        let fraction = f64::from(phase) / f64::from(up);
        let raw: Vec<f64> = (-(half as i64)..=half as i64)
            .map(|tap| {
                let distance = tap as f64 - fraction;
                let x = std::f64::consts::TAU * cutoff * distance;
                let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
                sinc * kaiser(distance / (half + 1.0))
            })
            .collect();
        // Unit gain at zero frequency for every phase, or the phases' differences would be heard.
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|weight| weight / sum).collect()
    };
    let phases: Vec<Vec<f64>> = (0..up).map(weights).collect();
    let count = input.len() * up as usize / down as usize;
    (0..count)
        .map(|n| {
            let position = n * down as usize;
            let (centre, phase) = ((position / up as usize) as i64, position % up as usize);
            let first = centre - half as i64;
            phases[phase]
                .iter()
                .zip(first..)
                .filter_map(|(weight, at)| Some(weight * input.get(usize::try_from(at).ok()?)?))
                .sum()
        })
        .collect()
}

/// Root mean square; 0 of nothing.
#[must_use]
pub fn root_mean_square(samples: &[f64]) -> f64 {
    if samples.is_empty() {
        0.0
    } else {
        (samples.iter().map(|x| x * x).sum::<f64>() / samples.len() as f64).sqrt()
    }
}

/// The factor of a level in decibels.
#[must_use]
pub fn factor(decibels: f64) -> f64 {
    10_f64.powf(decibels / 20.0)
}

/// Scales so that the root mean square is `level` (dBov); silence stays silent.
pub fn set_level(samples: &mut [f64], level: f64) {
    let now = root_mean_square(samples);
    if now > 0.0 {
        let gain = factor(level) / now;
        samples.iter_mut().for_each(|sample| *sample *= gain);
    }
}

/// Adds `sound` to `leg` from sample `at` on; what lies beyond the leg's end is cut.
pub fn mix(leg: &mut [f64], at: usize, sound: &[f64]) {
    for (sample, add) in leg.iter_mut().skip(at).zip(sound) {
        *sample += add;
    }
}

/// A tone of `length` samples with 5 ms ramps, so that it does not click.
#[must_use]
pub fn tone(length: usize, hz: f64, level: f64) -> Vec<f64> {
    let ramp = (5 * PER_MS) as f64;
    let peak = factor(level) * std::f64::consts::SQRT_2;
    (0..length)
        .map(|n| {
            let edge = (n.min(length - 1 - n) as f64 / ramp).min(1.0);
            peak * edge * (std::f64::consts::TAU * hz * n as f64 / f64::from(RATE)).sin()
        })
        .collect()
}

/// Noise of `length` samples with root mean square `level` (dBov).
#[must_use]
pub fn noise(length: usize, kind: NoiseKind, level: f64, random: &mut Random) -> Vec<f64> {
    let mut noise: Vec<f64> = match kind {
        NoiseKind::White => (0..length).map(|_| random.normal()).collect(),
        NoiseKind::Pink => {
            // Paul Kellet's filter, within half a decibel of 3 dB an octave.
            let mut state = [0.0_f64; 3];
            (0..length)
                .map(|_| {
                    let white = random.normal();
                    state[0] = 0.99765 * state[0] + white * 0.0990460;
                    state[1] = 0.96300 * state[1] + white * 0.2965164;
                    state[2] = 0.57000 * state[2] + white * 1.0526913;
                    state[0] + state[1] + state[2] + white * 0.1848
                })
                .collect()
        }
    };
    set_level(&mut noise, level);
    noise
}

/// To 16 bits, clipped.
#[must_use]
pub fn to_i16(samples: &[f64]) -> Vec<i16> {
    samples
        .iter()
        .map(|sample| (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16)
        .collect()
}

fn write(path: &Path, channels: u16, samples: impl Iterator<Item = i16>) -> Result<(), Error> {
    let failed = |source: hound::Error| Error::new(format!("{}: {source}", path.display()));
    let spec = hound::WavSpec {
        channels,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).map_err(failed)?;
    for sample in samples {
        writer.write_sample(sample).map_err(failed)?;
    }
    writer.finalize().map_err(failed)
}

/// Kaiser's window with beta 8 at `x`, -1 to 1.
fn kaiser(x: f64) -> f64 {
    const BETA: f64 = 8.0;
    bessel_i0(BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(BETA)
}

/// Modified Bessel function of order 0, by its series.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

const fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f64) -> Vec<f64> {
        (0..rate)
            .map(|n| (std::f64::consts::TAU * hz * f64::from(n) / f64::from(rate)).sin())
            .collect()
    }

    #[test]
    fn resampling_keeps_the_telephone_band_and_stops_what_would_alias() {
        for from in [16_000, 44_100, 22_050] {
            let kept = resample(&sine(from, 1_000.0), from, RATE);
            assert_eq!(kept.len(), RATE as usize);
            let error: Vec<f64> = kept
                .iter()
                .zip(sine(RATE, 1_000.0))
                .map(|(a, b)| a - b)
                .collect();
            assert!(root_mean_square(&error[400..7_600]) < 1e-3, "{from}");
            let stopped = resample(&sine(from, 4_700.0), from, RATE);
            assert!(root_mean_square(&stopped[400..7_600]) < 1e-3, "{from}");
        }
    }

    #[test]
    fn levels_are_what_they_say() {
        let mut random = Random::new(1, "test");
        for kind in [NoiseKind::White, NoiseKind::Pink] {
            let level = 20.0 * root_mean_square(&noise(8_000, kind, -40.0, &mut random)).log10();
            assert!((level + 40.0).abs() < 0.01);
        }
        let level = 20.0 * root_mean_square(&tone(8_000, 440.0, -20.0)).log10();
        assert!((level + 20.0).abs() < 0.1, "{level}");
    }
}
