//! sotto: hears a contact centre's calls on the spot and says only scores.
//!
//! The map is `daemon/README.md`. Everything here is wiring.

mod check;
mod config;
mod events;
mod load;
mod notify;
mod pipeline;
mod replay;
mod siprec;
mod status;
mod tap;
mod uplink;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Places;

/// Hears a contact centre's calls on the spot and says only scores, over MQTT. No sound and no word leaves.
#[derive(Parser)]
#[command(name = "sotto", version)]
struct Arguments {
    #[command(flatten)]
    places: Places,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Hear: from the mirror interface into the spool. Runs until it is told to stop.
    Tap,
    /// Hear as the recording server of an SBC or PBX (SIPREC): it sends the calls here. Runs until it is told to stop.
    Siprec,
    /// Speak: from the spool to the broker. Runs until it is told to stop.
    Uplink,
    /// Run recordings through the same pipeline and print what would be published.
    Replay(replay::Arguments),
    /// Check the configuration, the charter and the models; say what will be measured of whom, and why.
    Check(check::Arguments),
    /// One screen of truth: calls by outcome, what waits, how old the numbers are.
    Status(status::Arguments),
}

/// How a command ended, other than well.
enum End {
    /// The answer is no, or the input was damaged: exit 1.
    No(String),
    /// Bad configuration: exit 78 (EX_CONFIG), which units do not restart.
    BadConfiguration(String),
}

impl End {
    fn no(error: impl std::fmt::Display) -> Self {
        Self::No(error.to_string())
    }

    fn bad_configuration(error: impl std::fmt::Display) -> Self {
        Self::BadConfiguration(error.to_string())
    }
}

fn main() -> ExitCode {
    // Usage errors leave here with exit 2.
    let Arguments { places, command } = Arguments::parse();
    let end = match command {
        Command::Tap => tap::run(&places),
        Command::Siprec => siprec::run(&places),
        Command::Uplink => uplink::run(&places),
        Command::Replay(arguments) => replay::run(&places, &arguments),
        Command::Check(arguments) => check::run(&places, &arguments),
        Command::Status(arguments) => status::run(&places, &arguments),
    };
    let (why, code) = match end {
        Ok(()) => return ExitCode::SUCCESS,
        Err(End::No(why)) => (why, 1),
        Err(End::BadConfiguration(why)) => (why, 78),
    };
    if !why.is_empty() {
        eprintln!("sotto: {why}");
    }
    ExitCode::from(code)
}
