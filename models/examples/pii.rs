//! `pii [--pack DIR] [--alone rampart|spoken]`: a line of text in on stdin, what identifies somebody out as one JSON line:
//! `{"spans":[{"start":…,"end":…,"kind":…}]}`, offsets in characters.
//!
//! `--alone` asks one of the two that look, for comparisons. The time of all lines is told on stderr at the end. A developer's
//! tool, never shipped.

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use sotto_models::Pack;
use sotto_models::pii::{self, Span};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pii: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/models/en").to_owned();
    let mut alone = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(option) = arguments.next() {
        match (option.as_str(), arguments.next()) {
            ("--pack", Some(value)) => folder = value,
            ("--alone", Some(value)) if value == "rampart" || value == "spoken" => alone = Some(value),
            _ => return Err("usage: pii [--pack DIR] [--alone rampart|spoken], a text a line on stdin".into()),
        }
    }
    let finder = Pack::open(Path::new(&folder))?.pii()?;
    let (began, mut lines) = (Instant::now(), 0);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let spans = match alone.as_deref() {
            Some("rampart") => finder.rampart().find(&line)?,
            Some(_) => pii::spoken(&line),
            None => finder.find(&line)?,
        };
        let characters = |byte: usize| line[..byte].chars().count();
        let spans: Vec<_> =
            spans.iter().map(|Span { start, end, kind, .. }| json!({"start": characters(*start), "end": characters(*end), "kind": kind.name()})).collect();
        println!("{}", json!({"spans": spans}));
        lines += 1;
    }
    eprintln!("{}", json!({"lines": lines, "compute_s": began.elapsed().as_secs_f64()}));
    Ok(())
}
