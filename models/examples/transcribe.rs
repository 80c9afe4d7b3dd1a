//! `transcribe [--pack DIR] LIST`: a wav path a line in, `path<TAB>text` a line out.
//!
//! Wav files are mono, 16 bit, at 16 kHz or a whole part of it (8 kHz). `--batch` turns are decoded together, as
//! many as the daemon takes unless said. The timing is one JSON line on stderr, in it the processor's seconds
//! and where the time went; loading the model and reading the files is not in it. What cannot be read is said on
//! stderr, and the exit status is then 1. A developer's tool: it prints words, and is never shipped.

use std::fmt;
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sotto_models::pack::Pack;
use sotto_models::rates;
use sotto_models::resample::Upsampler;
use sotto_models::whisper::{Heard, MAX_SAMPLES, Stage, Turn, Whisper};

const RATE: u32 = 16_000;
/// Turns decoded together.
const BATCH: usize = 8;

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else {
        eprintln!(
            "usage: transcribe [--pack DIR] [--batch N] [--language CODE] [--confidence] [--words] [--reach] LIST"
        );
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
    /// Adds a column: each word with its begin and end in seconds, its probability and its confidence, as JSON.
    words: bool,
    /// Adds to the timing how many operations each stage took, and what part that is of what the core can do at best.
    reach: bool,
    batch: usize,
    /// A code such as `en`; found out for each turn unless given, where the model knows several.
    language: Option<String>,
    list: PathBuf,
}

impl Arguments {
    fn parse() -> Option<Self> {
        let mut pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models/en");
        let mut confidence = false;
        let mut words = false;
        let mut reach = false;
        let mut batch = BATCH;
        let mut language = None;
        let mut list = None;
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--pack") => pack = arguments.next()?.into(),
                Some("--confidence") => confidence = true,
                Some("--words") => words = true,
                Some("--reach") => reach = true,
                Some("--batch") => {
                    batch = arguments.next()?.to_str()?.parse().ok()?;
                    if batch == 0 {
                        return None;
                    }
                }
                Some("--language") => language = Some(arguments.next()?.into_string().ok()?),
                Some(option) if option.starts_with('-') => return None,
                _ if list.is_none() => list = Some(argument.into()),
                _ => return None,
            }
        }
        Some(Self {
            pack,
            confidence,
            words,
            reach,
            batch,
            language,
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
    let language = match &arguments.language {
        None => None,
        Some(code) => Some(
            whisper
                .language(code)
                .ok_or("the model has no choice of this language")?,
        ),
    };
    let mut output = BufWriter::new(io::stdout().lock());
    let progress = io::stderr().is_terminal();
    let mut whole = true;
    let mut samples_heard = 0;
    let mut watch = Watch::default();
    for (index, paths_together) in paths.chunks(arguments.batch).enumerate() {
        if progress {
            eprint!("\r{} of {}", index * arguments.batch, paths.len());
        }
        let mut read_together = Vec::new();
        for path in paths_together {
            match read(Path::new(path)) {
                Ok(pieces) => read_together.push((path, pieces)),
                Err(error) => {
                    eprintln!("transcribe: {path}: {error}");
                    whole = false;
                }
            }
        }
        let turns: Vec<Turn<'_>> = read_together
            .iter()
            .flat_map(|(_, pieces)| pieces)
            .map(|samples| Turn { samples, language })
            .collect();
        samples_heard += turns.iter().map(|turn| turn.samples.len()).sum::<usize>();
        let mut heard = watch
            .listen(&mut whisper, &turns, arguments.batch)?
            .into_iter();
        for (path, pieces) in &read_together {
            let heard: Vec<Heard> = heard.by_ref().take(pieces.len()).collect();
            write!(output, "{path}\t{}", text(&heard, arguments.confidence))?;
            if arguments.words {
                write!(output, "\t{}", words(&heard))?;
            }
            writeln!(output)?;
        }
    }
    output.flush()?;
    if progress {
        eprintln!();
    }
    let mut timing = serde_json::json!({
        "audio_s": samples_heard as f64 / f64::from(RATE),
        "compute_s": watch.elapsed.as_secs_f64(),
        "processor_s": watch.processor,
        "threads": threads(),
        "batch": arguments.batch,
    });
    for (name, duration) in STAGES.iter().zip(watch.stages) {
        timing[format!("{name}_s")] = duration.as_secs_f64().into();
    }
    if arguments.reach {
        reach(&mut timing, &whisper, &watch);
    }
    eprintln!("{timing}");
    Ok(whole)
}

/// What the processor could do at best, and how much of it each stage with arithmetic of its own reached.
fn reach(timing: &mut serde_json::Value, whisper: &Whisper, watch: &Watch) {
    let start = Instant::now();
    let peaks = rates::peaks(&mut || start.elapsed().as_secs_f64());
    timing["peak_8_bits_gop_s"] = (peaks.eight_bits / 1e9).into();
    timing["peak_16_bits_gop_s"] = (peaks.sixteen_bits / 1e9).into();
    for ((name, duration), operations) in STAGES.iter().zip(watch.stages).zip(whisper.operations()) {
        let (eight, sixteen) = (operations.eight_bits as f64, operations.sixteen_bits as f64);
        if eight + sixteen > 0.0 {
            let least = eight / peaks.eight_bits + sixteen / peaks.sixteen_bits;
            timing[format!("{name}_8_bits_gop")] = (eight / 1e9).into();
            timing[format!("{name}_16_bits_gop")] = (sixteen / 1e9).into();
            timing[format!("{name}_of_peak")] = (least / duration.as_secs_f64()).into();
        }
    }
}

const STAGES: [&str; 6] = [
    "mel",
    "encoder",
    "cross_keys",
    "decoder",
    "vocabulary",
    "other",
];

/// Where the time goes.
#[derive(Default)]
struct Watch {
    elapsed: Duration,
    /// Seconds of this process.
    processor: f64,
    stages: [Duration; STAGES.len()],
}

impl Watch {
    fn listen(
        &mut self,
        whisper: &mut Whisper,
        turns: &[Turn<'_>],
        batch: usize,
    ) -> Result<Vec<Heard>, Box<dyn std::error::Error>> {
        let processor = processor_seconds();
        let start = Instant::now();
        let (mut stage, mut since) = (Stage::Other, start);
        let mut all = Vec::new();
        for turns in turns.chunks(batch) {
            all.extend(whisper.transcribe_watched(turns, &mut |next| {
                let now = Instant::now();
                self.stages[stage as usize] += now - since;
                (stage, since) = (next, now);
            })?);
        }
        self.elapsed += start.elapsed();
        self.processor += processor_seconds() - processor;
        Ok(all)
    }
}

/// User and system time of this process, from `/proc/self/stat` (proc(5): fields 14 and 15, of 10 ms); 0 elsewhere.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
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

/// Of the pieces of one file, one after the other.
fn words(heard: &[Heard]) -> serde_json::Value {
    let piece = (MAX_SAMPLES / RATE as usize) as f32;
    let words = (0..).zip(heard).flat_map(|(index, heard): (u16, _)| {
        let from = f32::from(index) * piece;
        heard.words.iter().map(move |word| {
            let (begin, end) = (from + word.begin, from + word.end);
            serde_json::json!([word.text, begin, end, word.probability, word.confidence])
        })
    });
    words.collect()
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

/// Pieces of at most 30 s at 16 kHz: the tool's files are single turns, mostly shorter.
fn read(path: &Path) -> Result<Vec<Vec<f32>>, WavError> {
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
    let samples: Vec<f32> = reader
        .samples::<i16>()
        .map(|sample| sample.map(|sample| f32::from(sample) / 32_768.0))
        .collect::<Result<_, _>>()
        .map_err(WavError::Read)?;
    let factor = (RATE / rate) as usize;
    let upsampler = Upsampler::new(factor).ok_or(WavError::Rate(rate))?;
    Ok(samples
        .chunks(MAX_SAMPLES / factor)
        .map(|piece| upsampler.upsample(piece))
        .collect())
}

/// As the products count them.
fn threads() -> usize {
    ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse().ok())
        .unwrap_or(1)
}
