//! `vad WAV [--pack DIR] [--frames] [--no-gate] [--gain-db DB] [--legs N]`: where there is speech in a recording.
//!
//! One JSON line a segment, in seconds: `{"start":0.42,"end":2.07}`; with `--frames`, the probability of every
//! 32 ms instead. Timing as one JSON line on stderr. The wav has one channel, at 8 or 16 kHz.
//! `--no-gate` looks at lasting silence too; with `--legs`, so many legs that say the same are looked at together, as the daemon does, and the
//! timing is of them all.
//!
//! Segments are cut as the Python package's `get_speech_timestamps` cuts them with its default
//! arguments, so that the two can be compared; the daemon cuts turns in its own way.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use sotto_models::Pack;
use sotto_models::vad::{Look, Vad, VadState};

/// Speech begins at this probability ...
const THRESHOLD: f32 = 0.5;
/// ... and ends below this one.
const END_THRESHOLD: f32 = 0.35;
const MIN_SPEECH: usize = samples(250);
const MIN_SILENCE: usize = samples(100);
const PAD: usize = samples(30);

const fn samples(milliseconds: usize) -> usize {
    milliseconds * Vad::RATE as usize / 1000
}

fn main() -> ExitCode {
    let mut wav = None;
    let mut pack = PathBuf::from("target/models/en");
    let mut options = Options { frames: false, gate: true, gain: 1.0, legs: 1 };
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--pack") => match arguments.next() {
                Some(directory) => pack = directory.into(),
                None => return usage(),
            },
            Some("--frames") => options.frames = true,
            Some("--no-gate") => options.gate = false,
            Some("--gain-db") => match number(arguments.next()) {
                Some(decibels) => options.gain = 10f32.powf(decibels / 20.0),
                None => return usage(),
            },
            Some("--legs") => match number(arguments.next()) {
                Some(legs) if (1.0..=10_000.0).contains(&legs) => options.legs = legs as usize,
                _ => return usage(),
            },
            Some(option) if option.starts_with("--") => return usage(),
            _ if wav.is_none() => wav = Some(PathBuf::from(argument)),
            _ => return usage(),
        }
    }
    let Some(wav) = wav else { return usage() };
    match run(&wav, &pack, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vad: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: vad WAV [--pack DIR] [--frames] [--no-gate] [--gain-db DB] [--legs N]");
    ExitCode::from(2)
}

struct Options {
    frames: bool,
    gate: bool,
    gain: f32,
    legs: usize,
}

fn number(argument: Option<std::ffi::OsString>) -> Option<f32> {
    argument?.to_str()?.parse().ok()
}

fn run(wav: &Path, pack: &Path, options: &Options) -> Result<(), Box<dyn Error>> {
    let vad = Pack::open(pack)?.vad()?;
    let audio = read(wav)?;

    let started = Instant::now();
    let mut probabilities = Vec::with_capacity(audio.len() / Vad::FRAME + 1);
    let mut looks = vec![
        Look {
            state: VadState::new(),
            frame: [0.0; Vad::FRAME],
            probability: 0.0,
        };
        options.legs
    ];
    for part in audio.chunks(Vad::FRAME) {
        let mut frame = [0.0; Vad::FRAME];
        for (to, from) in frame.iter_mut().zip(part) {
            *to = options.gain * from;
        }
        for look in &mut looks {
            look.frame = frame;
        }
        if options.gate {
            vad.look(&mut looks);
        } else {
            for look in &mut looks {
                look.probability = vad.probability(&mut look.state, &frame);
            }
        }
        probabilities.push(looks[0].probability);
    }
    let compute_s = started.elapsed().as_secs_f64();
    let audio_s = seconds(audio.len() * options.legs);
    eprintln!(r#"{{"audio_s":{audio_s:.3},"compute_s":{compute_s:.6},"threads":1}}"#);

    if options.frames {
        for probability in probabilities {
            println!("{probability:.6}");
        }
    } else {
        for (start, end) in segments(&probabilities, audio.len()) {
            println!(
                r#"{{"start":{:.3},"end":{:.3}}}"#,
                seconds(start),
                seconds(end)
            );
        }
    }
    Ok(())
}

fn seconds(samples: usize) -> f64 {
    samples as f64 / f64::from(Vad::RATE)
}

/// Speech as ranges of samples of a recording of `length` samples.
fn segments(probabilities: &[f32], length: usize) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut start = None;
    let mut quiet_since = None;
    for (frame, &probability) in probabilities.iter().enumerate() {
        let now = frame * Vad::FRAME;
        if probability >= THRESHOLD {
            quiet_since = None;
            start = start.or(Some(now));
        } else if let Some(begun) = start
            && probability < END_THRESHOLD
        {
            let end = *quiet_since.get_or_insert(now);
            if now - end >= MIN_SILENCE {
                if end - begun > MIN_SPEECH {
                    found.push((begun, end));
                }
                start = None;
                quiet_since = None;
            }
        }
    }
    if let Some(begun) = start
        && length - begun > MIN_SPEECH
    {
        found.push((begun, length));
    }

    // Padding: two segments share the gap between them where it is too short for both.
    for index in 0..found.len() {
        let before = match index.checked_sub(1) {
            None => PAD.min(found[0].0),
            Some(previous) => {
                let gap = found[index].0 - found[previous].1;
                let pad = if gap < 2 * PAD { gap / 2 } else { PAD };
                found[previous].1 += pad;
                pad
            }
        };
        found[index].0 -= before;
    }
    if let Some(last) = found.last_mut() {
        last.1 = length.min(last.1 + PAD);
    }
    found
}

/// One channel at 8 kHz, -1 to 1.
fn read(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut reader = hound::WavReader::open(path)?;
    let format = reader.spec();
    if format.channels != 1 {
        return Err("the wav has more than one channel".into());
    }
    let audio: Vec<f32> = match format.sample_format {
        hound::SampleFormat::Float => reader.samples().collect::<Result<_, _>>()?,
        hound::SampleFormat::Int => {
            let scale = (f64::from(format.bits_per_sample) - 1.0).exp2();
            let samples = reader.samples::<i32>();
            samples
                .map(|sample| Ok((f64::from(sample?) / scale) as f32))
                .collect::<Result<_, hound::Error>>()?
        }
    };
    match format.sample_rate {
        8000 => Ok(audio),
        16000 => Ok(halve(&audio)),
        _ => Err("the wav is neither at 8 nor at 16 kHz".into()),
    }
}

/// Every second sample, after what lies above 3.7 kHz was taken away (a windowed sinc).
fn halve(audio: &[f32]) -> Vec<f32> {
    const REACH: usize = 127;
    let cutoff = 3700.0 / 16000.0;
    let mut taps = [0.0f64; 2 * REACH + 1];
    for (index, tap) in taps.iter_mut().enumerate() {
        let n = index as f64 - REACH as f64;
        let angle = std::f64::consts::TAU * cutoff * n;
        let sinc = if n == 0.0 {
            2.0 * cutoff
        } else {
            angle.sin() / (std::f64::consts::PI * n)
        };
        let hamming = 0.54 + 0.46 * (std::f64::consts::PI * n / (REACH as f64 + 1.0)).cos();
        *tap = sinc * hamming;
    }
    (0..audio.len())
        .step_by(2)
        .map(|centre| {
            let first = centre.saturating_sub(REACH);
            let skipped = REACH - (centre - first);
            let heard = &audio[first..audio.len().min(centre + REACH + 1)];
            let sum: f64 = heard
                .iter()
                .zip(&taps[skipped..])
                .map(|(sample, tap)| f64::from(*sample) * tap)
                .sum();
            sum as f32
        })
        .collect()
}
