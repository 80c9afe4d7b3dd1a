//! `embed [--pack DIR]`: a line of text in on stdin, its meaning out as one JSON line: `{"embedding":[…]}`, 384 values.
//!
//! The processor's time a line is told on stderr at the end. A developer's tool, never shipped.

use std::error::Error;
use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;
use sotto_models::Pack;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("embed: {error}");
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
        _ => return Err("usage: embed [--pack DIR], a text a line on stdin".into()),
    };
    Ok(Pack::open(Path::new(folder))?)
}

fn run() -> Result<(), Box<dyn Error>> {
    let embedder = pack()?.embedder()?;
    let (began, mut lines) = (Instant::now(), 0);
    for line in std::io::stdin().lock().lines() {
        println!("{}", json!({"embedding": embedder.embed(&line?)?.values()}));
        lines += 1;
    }
    eprintln!("{}", json!({"lines": lines, "compute_s": began.elapsed().as_secs_f64()}));
    Ok(())
}
