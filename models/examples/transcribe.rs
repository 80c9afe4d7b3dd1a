//! `transcribe [--pack DIR] LIST`: a wav path a line in, `path<TAB>text` a line out.
//!
//! Wav files are mono, 16 bit, at 16 kHz or a whole part of it (8 kHz). The timing is one JSON line on
//! stderr; loading the model and reading the files is not in it. What cannot be read is said on stderr, and
//! the exit status is then 1. A developer's tool: it prints words, and is never shipped.

use std::fmt;
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sotto_models::pack::Pack;
use sotto_models::resample::Upsampler;
use sotto_models::whisper::{Heard, MAX_SAMPLES, Whisper};

const RATE: u32 = 16_000;

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!("usage: transcribe [--pack DIR] [--confidence] LIST");
        return ExitCode::from(2);
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("transcribe: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Arguments {
    pack: PathBuf,
    /// Adds columns: average log probability, mean word probability, no-speech probability.
    confidence: bool,
    list: PathBuf,
}

impl Arguments {
    fn parse() -> Option<Self> {
        let mut pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
        let mut confidence = false;
        let mut list = None;
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--pack") => pack = arguments.next()?.into(),
                Some("--confidence") => confidence = true,
                Some(option) if option.starts_with('-') => return None,
                _ if list.is_none() => list = Some(argument.into()),
                _ => return None,
            }
        }
        Some(Self {
            pack,
            confidence,
            list: list?,
        })
    }
}

/// Whether every file could be read.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn std::error::Error>> {
    let list = fs::read_to_string(&arguments.list)
        .map_err(|error| format!("{}: {error}", arguments.list.display()))?;
    let paths: Vec<&str> = list.lines().filter(|line| !line.is_empty()).collect();
    let mut whisper = Pack::open(&arguments.pack)?.whisper()?;
    let mut output = BufWriter::new(io::stdout().lock());
    let progress = io::stderr().is_terminal();
    let mut whole = true;
    let mut samples_heard = 0;
    let mut computing = Duration::ZERO;
    for (index, path) in paths.iter().enumerate() {
        if progress {
            eprint!("\r{} of {}", index + 1, paths.len());
        }
        let (rate, samples) = match read(Path::new(path)) {
            Ok(read) => read,
            Err(error) => {
                eprintln!("transcribe: {path}: {error}");
                whole = false;
                continue;
            }
        };
        let start = Instant::now();
        let heard = listen(&mut whisper, rate, &samples)?;
        computing += start.elapsed();
        samples_heard += samples.len() as u64 * u64::from(RATE / rate);
        writeln!(output, "{path}\t{}", text(&heard, arguments.confidence))?;
    }
    output.flush()?;
    if progress {
        eprintln!();
    }
    let timing = serde_json::json!({
        "audio_s": samples_heard as f64 / f64::from(RATE),
        "compute_s": computing.as_secs_f64(),
        "threads": threads(),
    });
    eprintln!("{timing}");
    Ok(whole)
}

/// Pieces of at most 30 s, one after the other: the tool's files are single turns, mostly shorter.
fn listen(
    whisper: &mut Whisper,
    rate: u32,
    samples: &[f32],
) -> Result<Vec<Heard>, Box<dyn std::error::Error>> {
    let factor = RATE / rate;
    let upsampler = Upsampler::new(factor as usize).ok_or("a sample rate below 2 kHz")?;
    samples
        .chunks(MAX_SAMPLES / factor as usize)
        .map(|piece| Ok(whisper.transcribe(&upsampler.upsample(piece))?))
        .collect()
}

fn text(heard: &[Heard], confidence: bool) -> String {
    let words = || heard.iter().flat_map(|heard| &heard.words);
    let mut line = words()
        .map(|word| word.text.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    if confidence {
        let pieces = heard.len().max(1) as f32;
        let average = |value: fn(&Heard) -> f32| heard.iter().map(value).sum::<f32>() / pieces;
        let count = words().count().max(1) as f32;
        line += &format!(
            "\t{:.3}\t{:.3}\t{:.3}\t{}",
            average(|heard| heard.average_log_probability),
            words().map(|word| word.probability).sum::<f32>() / count,
            average(|heard| heard.no_speech_probability),
            heard.iter().filter(|heard| heard.decoded_twice).count(),
        );
    }
    line
}

/// What is wrong with a wav file, without what is in it.
#[derive(Debug)]
enum WavError {
    Read(hound::Error),
    Channels(u16),
    Bits(u16),
    Rate(u32),
}

impl fmt::Display for WavError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "{error}"),
            Self::Channels(count) => write!(f, "fmt chunk: {count} channels, one is needed"),
            Self::Bits(count) => write!(f, "fmt chunk: {count} bits a sample, 16 are needed"),
            Self::Rate(rate) => write!(f, "fmt chunk: {rate} Hz is no whole part of 16000"),
        }
    }
}

fn read(path: &Path) -> Result<(u32, Vec<f32>), WavError> {
    let mut reader = hound::WavReader::open(path).map_err(WavError::Read)?;
    let format = reader.spec();
    if format.channels != 1 {
        return Err(WavError::Channels(format.channels));
    }
    if format.bits_per_sample != 16 || format.sample_format != hound::SampleFormat::Int {
        return Err(WavError::Bits(format.bits_per_sample));
    }
    let rate = format.sample_rate;
    if rate == 0 || !RATE.is_multiple_of(rate) || RATE / rate > 8 {
        return Err(WavError::Rate(rate));
    }
    let samples = reader
        .samples::<i16>()
        .map(|sample| sample.map(|sample| f32::from(sample) / 32_768.0))
        .collect::<Result<_, _>>()
        .map_err(WavError::Read)?;
    Ok((rate, samples))
}

/// As the products count them.
fn threads() -> usize {
    ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse().ok())
        .unwrap_or(1)
}
