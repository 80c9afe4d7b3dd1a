//! Makes a scripted call: a capture, and what is true of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use sotto_tests::script::{Call, Noise, NoiseKind, Overrides, Script, Who};
use sotto_tests::{Error, Made, make, make_file};

/// Make a call from a script, with known truth.
#[derive(Debug, Parser)]
struct Arguments {
    /// The script (TOML).
    #[arg(required_unless_present_all = ["agent_wav", "customer_wav"], conflicts_with_all = ["agent_wav", "customer_wav"])]
    script: Option<PathBuf>,
    /// Instead of a script: the agent's whole leg.
    #[arg(long, requires = "customer_wav")]
    agent_wav: Option<PathBuf>,
    /// Instead of a script: the customer's whole leg.
    #[arg(long, requires = "agent_wav")]
    customer_wav: Option<PathBuf>,
    /// Where the capture goes.
    #[arg(long)]
    pcap: PathBuf,
    /// Where the truth goes (JSON).
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Where the sound of the first call goes: left the agent, right the customer.
    #[arg(long)]
    wav: Option<PathBuf>,
    /// Wall time of the start: `now`, or milliseconds since 1970; else the script's.
    #[arg(long, value_parser = parse_start)]
    start: Option<i64>,
    /// Seed, in place of the script's.
    #[arg(long)]
    seed: Option<u64>,
    /// Noise on both legs, this many decibels below the speech, in place of the script's.
    #[arg(long, value_name = "DB")]
    noise_snr_db: Option<f64>,
    /// Colour of that noise.
    #[arg(long, value_enum, default_value = "pink", requires = "noise_snr_db")]
    noise: Colour,
    /// Packet loss in percent, in place of the script's.
    #[arg(long, value_name = "PERCENT")]
    loss: Option<f64>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Colour {
    White,
    Pink,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let made = made(arguments)?;
    made.write_pcap(&arguments.pcap)?;
    if let Some(path) = &arguments.truth {
        made.write_truth(path)?;
    }
    if let Some(path) = &arguments.wav {
        made.write_wav(path)?;
    }
    Ok(())
}

fn made(arguments: &Arguments) -> Result<Made, Error> {
    let kind = match arguments.noise {
        Colour::White => NoiseKind::White,
        Colour::Pink => NoiseKind::Pink,
    };
    let overrides = Overrides {
        start_epoch_ms: arguments.start,
        seed: arguments.seed,
        noise: arguments.noise_snr_db.map(|snr| Noise {
            kind,
            level_dbfs: None,
            snr_db: Some(snr),
        }),
        loss_percent: arguments.loss,
        codec: None,
    };
    match (
        &arguments.script,
        &arguments.agent_wav,
        &arguments.customer_wav,
    ) {
        (Some(script), ..) => make_file(script, &overrides),
        (None, Some(agent), Some(customer)) => {
            let call = Call {
                tail_ms: 0,
                ..Call::default()
            }
            .plays(Who::Agent, 0, agent)
            .plays(Who::Customer, 0, customer);
            let mut script = Script::of(call);
            script.apply(&overrides);
            make(&script)
        }
        _ => Err(Error::new("give a script, or two wav files")),
    }
}

fn parse_start(text: &str) -> Result<i64, String> {
    if text == "now" {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|error| error.to_string())?;
        return i64::try_from(now.as_millis()).map_err(|error| error.to_string());
    }
    text.parse()
        .map_err(|_| "`now`, or milliseconds since 1970".to_owned())
}
