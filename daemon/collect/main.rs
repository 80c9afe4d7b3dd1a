//! `sotto-collect`: the reference collector as a program.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{CommandFactory as _, Parser};
use sotto_collect::{Config, Event, run};
use tokio::signal::unix::{SignalKind, signal};

/// Keeps the scores of any number of boxes on its own disk, and tells each box what it has.
#[derive(Parser)]
#[command(name = "sotto-collect", version)]
struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "/etc/sotto/collect.toml")]
    config: PathBuf,
    /// Write the manual page, for the package.
    #[arg(long, hide = true, value_name = "DIR")]
    manual: Option<PathBuf>,
}

fn main() -> ExitCode {
    let Arguments { config, manual } = Arguments::parse();
    if let Some(folder) = manual {
        return match clap_mangen::generate_to(Arguments::command(), folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sotto-collect: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let config = match Config::load(&config, credentials.as_deref()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("sotto-collect: {error}");
            // EX_CONFIG: units do not restart it.
            return ExitCode::from(78);
        }
    };
    let ended = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| error.to_string())?;
            let stop = async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            run(config, wall_ms, say, stop).await.map_err(|error| error.to_string())
        })
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sotto-collect: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Wall clock, milliseconds since 1970.
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What an admin should know; what is kept says the database.
fn say(event: Event) {
    match event {
        Event::Connected => eprintln!("sotto-collect: connected and subscribed"),
        Event::Lost => eprintln!("sotto-collect: not connected to the broker; tried again every second"),
        Event::Forbidden => eprintln!("sotto-collect: the broker does not grant the subscription: see its access rules"),
        Event::Kept { .. } => {}
        Event::Refused(refusal) => eprintln!("sotto-collect: a message that is no box's was dropped: {refusal:?}"),
        Event::Expired { scores } => eprintln!("sotto-collect: {scores} scores deleted, as their time of keeping ended"),
    }
}
