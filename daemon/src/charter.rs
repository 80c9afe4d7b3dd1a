//! `sotto charter diff A B`: what another charter would change, field by field and audience by audience.

use std::path::PathBuf;

use serde_json::json;
use sotto_charter::diff::{self, AudienceChange, Change, Effect};

use crate::End;
use crate::config::load_charter;
use crate::load::fingerprint;

/// Flags of `sotto charter`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// What B would change of A: exit 0 where nothing, 1 where something.
    Diff {
        /// The charter in force.
        #[arg(value_name = "A")]
        before: PathBuf,
        /// Another one.
        #[arg(value_name = "B")]
        after: PathBuf,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), End> {
    let Command::Diff { before, after, json } = &arguments.command;
    let load = |path| load_charter(path).map_err(End::bad_configuration);
    let (before, after) = (load(before)?, load(after)?);
    let (changes, audiences) = (diff::changes(&before, &after), diff::audiences(&before, &after));
    if *json {
        let fields: Vec<_> = changes
            .iter()
            .map(|change| json!({"field": change.field, "before": change.before, "after": change.after, "effect": change.effect.name()}))
            .collect();
        let audiences: Vec<_> = audiences.iter().map(|change| json!({"audience": change.audience, "gains": change.gains, "loses": change.loses})).collect();
        let report = json!({
            "before": fingerprint(&before.digest),
            "after": fingerprint(&after.digest),
            "wider": changes.iter().filter(|change| change.effect == Effect::Wider).count(),
            "changes": fields,
            "audiences": audiences,
        });
        println!("{report}");
    } else {
        print(&changes, &audiences);
    }
    if changes.is_empty() { Ok(()) } else { Err(End::No(String::new())) }
}

fn print(changes: &[Change], audiences: &[AudienceChange]) {
    if changes.is_empty() {
        println!("both say the same");
        return;
    }
    for (effect, title) in [(Effect::Wider, "more than before"), (Effect::Narrower, "less than before"), (Effect::Other, "otherwise than before")] {
        let mut these = changes.iter().filter(|change| change.effect == effect).peekable();
        if these.peek().is_some() {
            println!("{title}");
        }
        for Change { field, before, after, .. } in these {
            match (before, after) {
                (None, Some(after)) => println!("  + {field}: {after}"),
                (Some(before), None) => println!("  - {field}: {before}"),
                (before, after) => println!("  ~ {field}: {} -> {}", before.as_deref().unwrap_or(""), after.as_deref().unwrap_or("")),
            }
        }
    }
    for change in audiences {
        println!("for {}", change.audience);
        for (sign, texts) in [('+', &change.gains), ('-', &change.loses)] {
            for text in texts {
                println!("  {sign} {text}");
            }
        }
    }
}
