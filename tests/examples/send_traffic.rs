//! Sends many calls at once over an interface, for measurements, each packet in its own time.
//!
//! Prints one JSON object: packets sent, seconds in all, and by how much a packet was late at most.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use sotto_tests::traffic::{MOST_CALLS, Traffic, noise};
use sotto_tests::wire::Wire;

/// Send many calls at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// The interface.
    #[arg(long)]
    interface: String,
    /// Calls at once, at most 30,000: each sends 100 packets a second.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_CALLS)))]
    calls: u32,
    /// How long all of them talk; 0 for calls without a packet of sound.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Over how long a time the calls begin, and over how long they end, milliseconds.
    #[arg(long, default_value_t = 1_000)]
    ramp_ms: u32,
    /// Leave the BYEs out: the calls are open to the end.
    #[arg(long)]
    no_bye: bool,
}

/// What is due within this time goes together: a call of the system costs as much as many packets, and a mirror port has bursts too.
const TOGETHER_US: i64 = 200;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let Arguments { calls, seconds, ramp_ms, no_bye, .. } = *arguments;
    let wire = Wire::open(&arguments.interface)?;
    let began = Instant::now();
    let (mut due, mut first, mut latest, mut packets) = (Vec::new(), 0, Duration::ZERO, 0_usize);
    let mut send = |due: &mut Vec<Vec<u8>>, at_us: i64| {
        let at = Duration::from_micros(at_us.unsigned_abs());
        std::thread::sleep(at.saturating_sub(began.elapsed()));
        wire.send(due)?;
        latest = latest.max(began.elapsed().saturating_sub(at));
        packets += due.len();
        due.clear();
        io::Result::Ok(())
    };
    Traffic { calls, seconds, ramp_ms, has_byes: !no_bye }.each(&[noise()], |at_us, frame| {
        if !due.is_empty() && at_us >= first + TOGETHER_US {
            send(&mut due, first + TOGETHER_US)?;
        }
        if due.is_empty() {
            first = at_us;
        }
        due.push(frame.to_vec());
        Ok(())
    })?;
    send(&mut due, first + TOGETHER_US)?;
    println!("{{\"packets\":{packets},\"seconds\":{:.3},\"latest_ms\":{:.1}}}", began.elapsed().as_secs_f64(), latest.as_secs_f64() * 1_000.0);
    Ok(())
}
