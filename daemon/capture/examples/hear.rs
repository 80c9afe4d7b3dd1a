//! Hears an interface for a while and says what came, as one JSON object: `hear INTERFACE SECONDS`.
//!
//! For measurements: what is heard is taken apart and thrown away, so that the figures are those of listening alone.

use std::fs::read_to_string;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sotto_capture::{Captured, Interface, InterfaceOptions, Next, Source};

/// The clock is looked at after so many packets.
const LOOK_EVERY: u32 = 256;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(seconds)) = (arguments.next(), arguments.next()) else {
        return Err("usage: hear INTERFACE SECONDS".into());
    };
    let seconds = Duration::from_secs_f64(seconds.parse()?);
    let mut interface = Interface::open(&name, InterfaceOptions::default())?;
    writeln!(io::stderr(), "listening")?;
    let begun = Instant::now();
    let (mut datagrams, mut segments, mut bytes) = (0u64, 0u64, 0u64);
    let mut looked = 0;
    loop {
        match interface.next()? {
            Next::Item(Captured::Datagram(datagram)) => {
                datagrams += 1;
                bytes += datagram.payload().len() as u64;
            }
            Next::Item(Captured::Segment(segment)) => {
                segments += 1;
                bytes += segment.payload().len() as u64;
            }
            Next::End => break,
            // Nothing to do: time to look at the clock.
            Next::Quiet => looked = LOOK_EVERY,
            Next::Item(_) | Next::InterfaceDown | Next::InterfaceUp => {}
        }
        looked += 1;
        if looked >= LOOK_EVERY {
            looked = 0;
            if begun.elapsed() > seconds {
                break;
            }
        }
    }
    let counters = interface.counters();
    let (user, system) = processor_seconds();
    writeln!(
        io::stdout(),
        r#"{{"frames":{},"datagrams":{datagrams},"segments":{segments},"bytes":{bytes},"kernel_drops":{},"user_s":{user:.2},"system_s":{system:.2},"rss_kib":{}}}"#,
        counters.frames,
        counters.kernel_drops,
        resident_kib(),
    )?;
    let _ = writeln!(io::stderr(), "{counters:?}");
    Ok(())
}

/// User and system time of this process, seconds; proc(5) counts in hundredths.
fn processor_seconds() -> (f64, f64) {
    let text = read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, which may hold anything, ends with the last parenthesis; 11 fields later come both times.
    let mut ticks = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).filter_map(|field| field.parse::<f64>().ok());
    (ticks.next().unwrap_or_default() / 100.0, ticks.next().unwrap_or_default() / 100.0)
}

/// The most memory that was resident, KiB.
fn resident_kib() -> u64 {
    let text = read_to_string("/proc/self/status").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
