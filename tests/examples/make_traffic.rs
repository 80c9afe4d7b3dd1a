//! Makes a capture of many calls at once, for measurements. It goes to the disk as it is made, so that it may be larger than the memory.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use sotto_tests::pcap::{Packet, to_bytes};
use sotto_tests::script::DEFAULT_START_EPOCH_MS;
use sotto_tests::traffic::{MOST_CALLS, Traffic, noise, talk_of};

/// Make a capture of many calls at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where it goes.
    #[arg(long)]
    pcap: PathBuf,
    /// Calls at once, at most 30,000.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_CALLS)))]
    calls: u32,
    /// How long all of them talk; 0 for calls without a packet of sound.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Over how long a time the calls begin, and over how long they end, milliseconds.
    #[arg(long, default_value_t = 1_000)]
    ramp_ms: u32,
    /// Whose sound the calls have, over and over: a script (`tests/calls/*.toml`), or two wav files as `AGENT.wav:CUSTOMER.wav`.
    #[arg(long, num_args = 1.., value_name = "SOUND")]
    talk: Vec<String>,
    /// Leave the BYEs out: the calls are open to the end.
    #[arg(long)]
    no_bye: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(packets) => {
            println!("{packets} packets");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<u64> {
    let Arguments { calls, seconds, ramp_ms, no_bye, .. } = *arguments;
    let sounds = if arguments.talk.is_empty() { vec![noise()] } else { arguments.talk.iter().map(|talk| talk_of(talk)).collect::<Result<_, _>>()? };
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&arguments.pcap)?);
    let header = to_bytes(&[]);
    file.write_all(&header)?;
    let packets = Traffic { calls, seconds, ramp_ms, has_byes: !no_bye }.each(&sounds, |at_us, frame| {
        let packet = Packet { at_us: DEFAULT_START_EPOCH_MS * 1_000 + at_us, frame: frame.to_vec() };
        file.write_all(&to_bytes(&[packet])[header.len()..])
    })?;
    file.flush()?;
    Ok(packets)
}
