//! `sotto egress`: what left this box, and what could.

use std::path::{Path, PathBuf};

use serde_json::json;
use sotto_charter::thresholds;
use sotto_spool::Rights;

use crate::End;
use crate::config::Places;

/// Flags of `sotto egress`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Where the units lie; the first folder that has one counts.
    #[arg(long, value_name = "DIR", default_values = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"])]
    units: Vec<PathBuf>,
}

/// What a unit must say so that its program cannot pass on what it hears.
const DEMANDS: [(&str, &[&str]); 2] = [
    ("sotto-tap.service", &["IPAddressDeny=any", "RestrictAddressFamilies=AF_UNIX AF_PACKET", "LimitCORE=0", "MemorySwapMax=0"]),
    ("sotto-uplink.service", &["LimitCORE=0"]),
];

/// Runs it: exit 1 where a unit leaves open what it should not.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let path = Rights::beside(&places.spool);
    let left = if path.exists() { Rights::open(&path).map_err(End::no)?.egress().map_err(End::no)? } else { Vec::new() };
    let fields: Vec<(&str, usize)> = sotto_report::schema::all(&thresholds::ALL)
        .iter()
        .map(|(name, schema)| (*name, schema["properties"].as_object().map_or(0, serde_json::Map::len)))
        .collect();
    let open: Vec<String> = DEMANDS.iter().flat_map(|(unit, demands)| missing(unit, demands, &arguments.units)).collect();
    if arguments.json {
        let left: Vec<_> = left.iter().map(|egress| json!({"day": egress.day, "topic": egress.topic, "messages": egress.messages, "bytes": egress.bytes})).collect();
        let fields: serde_json::Map<_, _> = fields.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect();
        println!("{}", json!({"left": left, "fields_at_most": fields, "open": open}));
    } else {
        println!("what left, by day (UTC) and kind of message: nothing else has a way out");
        for egress in &left {
            println!("  {}  {:<16} {:>9} messages {:>12} bytes", egress.day, egress.topic, egress.messages, egress.bytes);
        }
        println!("what a message can hold at most: only these fields, and no free text but the notice's");
        for (name, count) in fields {
            println!("  {name:<16} {count:>3} fields");
        }
        println!("what could leave: {}", if open.is_empty() { "the units hold the programs to the broker" } else { "more than the broker's share, see below" });
        for what in &open {
            println!("  open: {what}");
        }
        println!("The firewall of the network is not seen from here: allow this box its broker, and nothing else.");
    }
    if open.is_empty() { Ok(()) } else { Err(End::No(String::new())) }
}

/// What a unit does not say.
fn missing(unit: &str, demands: &[&str], folders: &[PathBuf]) -> Vec<String> {
    let Some(text) = folders.iter().find_map(|folder| text_of(folder, unit)) else { return vec![format!("{unit} is not installed: nothing holds the program back")] };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    demands.iter().filter(|demand| !lines.contains(demand)).map(|demand| format!("{unit} does not say {demand}")).collect()
}

fn text_of(folder: &Path, unit: &str) -> Option<String> {
    std::fs::read_to_string(folder.join(unit)).ok()
}
