//! `sentiment [--pack DIR]`: a line of text in on stdin, its sentiment out as one JSON line:
//! `{"score":-5..5,"confidence":0..1}`, where the confidence is the probability that the truth lies within 1.5 of the score.
//!
//! The time of all lines is told on stderr at the end. A developer's tool, never shipped.

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use sotto_models::Pack;

/// What the confidence is of.
const WITHIN: f32 = 1.5;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sentiment: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `--pack DIR`, or the pack of this checkout.
fn pack() -> Result<Pack, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/models/en");
    let folder = match &arguments[..] {
        [] => default,
        [option, folder] if option == "--pack" => folder.as_str(),
        _ => return Err("usage: sentiment [--pack DIR], a text a line on stdin".into()),
    };
    Ok(Pack::open(Path::new(folder))?)
}

fn run() -> Result<(), Box<dyn Error>> {
    let sentiment = pack()?.sentiment()?;
    let (began, mut lines) = (Instant::now(), 0);
    for line in std::io::stdin().lock().lines() {
        let feeling = sentiment.feel(&line?)?;
        println!("{}", json!({"score": feeling.score, "confidence": feeling.confidence(WITHIN)}));
        lines += 1;
    }
    eprintln!("{}", json!({"lines": lines, "compute_s": began.elapsed().as_secs_f64()}));
    Ok(())
}
