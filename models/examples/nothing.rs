//! `nothing [--pack DIR] [--without-vad] [--words] [WAV...]`: words heard where nobody speaks; the target is none.
//!
//! An hour: the wavs given (hold music, 8 kHz or a multiple, one channel, 16 bit), once as they are and once 20 dB
//! lower, and beside them white, pink and brown noise at four levels, noise in bursts, tones and sweeps, the
//! telephone's own signals, DTMF, comfort noise at -60 dBFS and digital silence, all through G.711. They go through the
//! detector and the recogniser as a leg of a call does; `--without-vad` gives the recogniser all of it, in pieces of 5 s.
//! A table on stdout; the exit status is 1 where a word was heard. A developer's tool.

use std::error::Error;
use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use sotto_models::Pack;
use sotto_models::resample::Upsampler;
use sotto_models::vad::{Vad, VadState};
use sotto_models::whisper::{Heard, Turn, Whisper};

const RATE: usize = 8000;
/// As the daemon cuts turns: probabilities of speech, the pause that ends a turn, the least speech, the sound around it,
/// and the longest.
const SPEECH: f32 = 0.5;
const STILL_SPEECH: f32 = 0.35;
const PAUSE: usize = RATE / 2;
const LEAST: usize = 96 * RATE / 1000;
const MARGIN: usize = 240 * RATE / 1000;
const LONGEST: usize = 28 * RATE;
/// Pieces where nothing is cut.
const PIECE: usize = 5 * RATE;
const BATCH: usize = 8;

fn main() -> ExitCode {
    let mut pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
    let (mut without_vad, mut show) = (false, false);
    let mut wavs = Vec::new();
    let mut arguments = std::env::args_os().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--pack") => match arguments.next() {
                Some(directory) => pack = directory.into(),
                None => return usage(),
            },
            Some("--without-vad") => without_vad = true,
            Some("--words") => show = true,
            Some(option) if option.starts_with('-') => return usage(),
            _ => wavs.push(PathBuf::from(argument)),
        }
    }
    match run(&pack, &wavs, without_vad, show) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("nothing: {error}");
            ExitCode::from(2)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: nothing [--pack DIR] [--without-vad] [--words] [WAV...]");
    ExitCode::from(2)
}

/// The count of words heard.
fn run(
    pack: &Path,
    wavs: &[PathBuf],
    without_vad: bool,
    show: bool,
) -> Result<usize, Box<dyn Error>> {
    let pack = Pack::open(pack)?;
    let vad = pack.vad()?;
    let mut whisper = pack.whisper()?;
    let upsampler = Upsampler::new(2).ok_or("a factor of two is within the range")?;
    println!(
        "{:34} {:>7} {:>8} {:>6} {:>6}",
        "what", "seconds", "speech s", "turns", "words"
    );
    let mut totals = (0, 0, 0, 0);
    for (name, mut sound) in sounds(wavs)? {
        for sample in &mut sound {
            *sample = g711(*sample);
        }
        let turns = if without_vad {
            sound.chunks(PIECE).map(<[f32]>::to_vec).collect()
        } else {
            turns(&vad, &sound)
        };
        let wide: Vec<Vec<f32>> = turns.iter().map(|turn| upsampler.upsample(turn)).collect();
        let heard = listen(&mut whisper, &wide)?;
        let words: usize = heard.iter().map(|heard| heard.words.len()).sum();
        let speech: usize = turns.iter().map(Vec::len).sum();
        println!(
            "{name:34} {:7} {:8.1} {:6} {words:6}",
            sound.len() / RATE,
            speech as f64 / RATE as f64,
            turns.len()
        );
        if show {
            for (heard, turn) in heard.iter().zip(&turns) {
                let words: Vec<String> = heard
                    .words
                    .iter()
                    .map(|word| format!("{} ({:.2})", word.text, word.probability))
                    .collect();
                println!(
                    "    {:5.1} s, no speech {:.3}, log {:.2}: {}",
                    turn.len() as f64 / RATE as f64,
                    heard.no_speech_probability,
                    heard.average_log_probability,
                    words.join(" ")
                );
            }
        }
        totals.0 += sound.len() / RATE;
        totals.1 += speech / RATE;
        totals.2 += turns.len();
        totals.3 += words;
    }
    println!(
        "{:34} {:7} {:8} {:6} {:6}",
        "all", totals.0, totals.1, totals.2, totals.3
    );
    Ok(totals.3)
}

fn listen(whisper: &mut Whisper, turns: &[Vec<f32>]) -> Result<Vec<Heard>, Box<dyn Error>> {
    let turns: Vec<Turn<'_>> = turns
        .iter()
        .map(|samples| Turn {
            samples,
            language: None,
        })
        .collect();
    let mut heard = Vec::new();
    for turns in turns.chunks(BATCH) {
        heard.extend(whisper.transcribe_batch(turns)?);
    }
    Ok(heard)
}

/// What the recogniser is given of a leg.
fn turns(vad: &Vad, sound: &[f32]) -> Vec<Vec<f32>> {
    let mut state = VadState::new();
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut current: Option<(usize, usize, usize)> = None;
    for (index, frame) in sound.as_chunks::<{ Vad::FRAME }>().0.iter().enumerate() {
        let at = index * Vad::FRAME;
        let end = at + Vad::FRAME;
        let probability = vad.probability(&mut state, frame);
        match &mut current {
            None if probability >= SPEECH => current = Some((at, end, Vad::FRAME)),
            None => {}
            Some((start, speech_end, speech)) => {
                if probability >= STILL_SPEECH {
                    *speech_end = end;
                    *speech += Vad::FRAME;
                }
                if end - *speech_end >= PAUSE || end - *start >= LONGEST - 2 * MARGIN {
                    if *speech > LEAST {
                        found.push((*start, *speech_end));
                    }
                    current = None;
                }
            }
        }
    }
    found.extend(current.and_then(|(start, end, speech)| (speech > LEAST).then_some((start, end))));
    found
        .into_iter()
        .map(|(start, end)| {
            sound[start.saturating_sub(MARGIN)..(end + MARGIN).min(sound.len())].to_vec()
        })
        .collect()
}

fn sounds(wavs: &[PathBuf]) -> Result<Vec<(String, Vec<f32>)>, Box<dyn Error>> {
    let mut sounds = Vec::new();
    let mut named = |name: String, sound: Vec<f32>| sounds.push((name, sound));
    for wav in wavs {
        let name = wav
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let sound = read(wav).map_err(|error| format!("{}: {error}", wav.display()))?;
        named(
            format!("{name}, 20 dB lower"),
            sound.iter().map(|sample| sample * 0.1).collect(),
        );
        named(name, sound);
    }
    for decibels in [-20.0, -30.0, -40.0, -50.0] {
        for (kind, slope) in [("white", 0), ("pink", 1), ("brown", 2)] {
            named(
                format!("{kind} noise, {decibels} dBFS"),
                noise(110, decibels, slope),
            );
        }
    }
    let bursts = noise(180, -25.0, 1).into_iter().enumerate();
    let bursts = bursts.map(|(n, value)| {
        if n / 2400 % 5 < 2 {
            value
        } else {
            value * 0.01
        }
    });
    named("noise in bursts of 0.6 s".to_owned(), bursts.collect());
    named("comfort noise, -60 dBFS".to_owned(), noise(300, -60.0, 0));
    named("digital silence".to_owned(), vec![0.0; 120 * RATE]);
    named("tone of 1 kHz".to_owned(), tones(60, &[1000.0], |_| true));
    named("sweeps".to_owned(), sweeps(120));
    // Frequencies and cadences of the American and the European exchange.
    named(
        "ringing, America".to_owned(),
        tones(120, &[440.0, 480.0], |ms| ms % 6000 < 2000),
    );
    named(
        "busy, America".to_owned(),
        tones(60, &[480.0, 620.0], |ms| ms % 1000 < 500),
    );
    named(
        "ringing, Europe".to_owned(),
        tones(120, &[425.0], |ms| ms % 5000 < 1000),
    );
    named(
        "busy, Europe".to_owned(),
        tones(60, &[425.0], |ms| ms % 960 < 480),
    );
    named("dial tone".to_owned(), tones(30, &[350.0, 440.0], |_| true));
    named(
        "modem's answer".to_owned(),
        tones(30, &[2100.0], |ms| ms % 4000 < 3300),
    );
    named("DTMF".to_owned(), dtmf(180));
    Ok(sounds)
}

struct Random(u64);

impl Random {
    /// -1 to 1, the same in every run.
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// `slope` times 3 dB an octave down, at this level over all.
fn noise(seconds: usize, decibels: f64, slope: u32) -> Vec<f32> {
    let mut random = Random(0x9e37_79b9 + u64::from(slope));
    let mut held = [0.0; 7];
    let mut sum = 0.0;
    let values: Vec<f64> = (0..seconds * RATE)
        .map(|_| {
            let white = random.next();
            match slope {
                0 => white,
                1 => {
                    // First-order filters an octave or two apart add up to 3 dB an octave.
                    let filters = [0.998_86, 0.993_32, 0.969, 0.866_5, 0.55, -0.761_6];
                    let gains = [0.055_5, 0.075_1, 0.153_9, 0.310_5, 0.533, -0.016_9];
                    for (value, (pole, gain)) in held.iter_mut().zip(filters.iter().zip(gains)) {
                        *value = *value * pole + white * gain;
                    }
                    held.iter().sum::<f64>() + white * 0.536
                }
                _ => {
                    sum = sum * 0.99 + white;
                    sum
                }
            }
        })
        .collect();
    let power = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
    let gain = 10f64.powf(decibels / 20.0) / power.sqrt();
    values
        .iter()
        .map(|value| (value * gain).clamp(-1.0, 1.0) as f32)
        .collect()
}

fn tones(seconds: usize, hertz: &[f64], sounds: impl Fn(usize) -> bool) -> Vec<f32> {
    let value = |n: usize| {
        let time = n as f64 / RATE as f64;
        let sum: f64 = hertz.iter().map(|hertz| (TAU * hertz * time).sin()).sum();
        if sounds(n * 1000 / RATE) {
            (0.15 * sum) as f32
        } else {
            0.0
        }
    };
    (0..seconds * RATE).map(value).collect()
}

/// From 200 Hz to 3.4 kHz in 4 s, again and again.
fn sweeps(seconds: usize) -> Vec<f32> {
    let mut phase = 0.0f64;
    let value = |n: usize| {
        phase += (200.0 + 3200.0 * (n % (4 * RATE)) as f64 / (4 * RATE) as f64) / RATE as f64;
        (0.2 * (TAU * phase).sin()) as f32
    };
    (0..seconds * RATE).map(value).collect()
}

/// Digits of 100 ms with 80 ms between, ten in a row, then a second of nothing.
fn dtmf(seconds: usize) -> Vec<f32> {
    const LOW: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
    const HIGH: [f64; 4] = [1209.0, 1336.0, 1477.0, 1633.0];
    let value = |n: usize| {
        let (ms, time) = (n * 1000 / RATE, n as f64 / RATE as f64);
        let (row, place) = (ms / 2800, ms % 2800);
        let digit = (row * 7 + place / 180 * 3) % 16;
        if place < 1800 && place % 180 < 100 {
            let pair = (TAU * LOW[digit / 4] * time).sin() + (TAU * HIGH[digit % 4] * time).sin();
            (0.2 * pair) as f32
        } else {
            0.0
        }
    };
    (0..seconds * RATE).map(value).collect()
}

/// There and back through G.711's mu-law: 14 bits, segments of twice the step each.
fn g711(sample: f32) -> f32 {
    const BIAS: f32 = 33.0;
    let magnitude = (sample.abs() * 8192.0).min(8158.0) + BIAS;
    let step = (magnitude.log2().floor() - 4.0).exp2();
    let decoded = ((magnitude / step).floor() + 0.5) * step - BIAS;
    (decoded.max(0.0) / 8192.0).copysign(sample)
}

/// One channel of 16 bits at a multiple of 8 kHz, averaged down to it.
fn read(path: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut reader = hound::WavReader::open(path)?;
    let format = reader.spec();
    let factor = format.sample_rate as usize / RATE;
    if format.channels != 1
        || format.bits_per_sample != 16
        || factor == 0
        || factor * RATE != format.sample_rate as usize
    {
        return Err("one channel of 16 bits at a multiple of 8 kHz is needed".into());
    }
    let samples: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| sample.map(|sample| f32::from(sample) / 32_768.0))
        .collect::<Result<_, _>>()?;
    Ok(samples
        .chunks_exact(factor)
        .map(|part| part.iter().sum::<f32>() / factor as f32)
        .collect())
}
