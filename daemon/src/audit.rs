//! `sotto audit`: whether anybody has touched the record of what the box did, and what stands in it.

use serde_json::json;
use sotto_spool::Rights;

use crate::End;
use crate::config::Places;

/// Flags of `sotto audit`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// An entry's number, and its hash or the beginning of it.
#[derive(Clone, Debug)]
struct Kept {
    seq: u64,
    hash: Vec<u8>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Whether the chain holds: exit 0 where it does, 1 where not, with the first entry that is wrong.
    Verify {
        /// What was kept elsewhere, NUMBER:HASH, as this command prints it, or as `health` publishes it (audit_seq:audit_hash): finds an end
        /// that was cut off, and a chain that was written anew.
        #[arg(long, value_parser = anchor)]
        anchor: Option<Kept>,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// The newest entries.
    Show {
        /// How many.
        #[arg(long, default_value_t = 50)]
        last: u32,
        /// One JSON object a line instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let path = Rights::beside(&places.spool);
    if !path.exists() {
        return Err(End::No(format!("{}: there is no record yet", path.display())));
    }
    let rights = Rights::open(&path).map_err(End::no)?;
    match &arguments.command {
        Command::Verify { anchor, json } => match rights.verify(anchor.as_ref().map(|kept| (kept.seq, &kept.hash[..]))).map_err(End::no)? {
            Ok((entries, anchor)) => {
                let text = format!("{}:{}", anchor.seq, hexadecimal(&anchor.hash));
                if *json {
                    println!("{}", json!({"holds": true, "entries": entries, "anchor": text}));
                } else {
                    println!("{entries} entries hold; the chain stands at {text}");
                }
                Ok(())
            }
            Err(fault) => {
                if *json {
                    println!("{}", json!({"holds": false, "fault": fault.to_string()}));
                }
                Err(End::No(fault.to_string()))
            }
        },
        Command::Show { last, json } => {
            for record in rights.records(*last).map_err(End::no)? {
                let subject = hexadecimal(&record.subject);
                if *json {
                    println!("{}", json!({"seq": record.seq, "ts_ms": record.at_ms, "act": record.act, "subject": subject, "call": record.call, "detail": record.detail}));
                } else {
                    println!("{:>8}  {}  {:<20} {} {} {}", record.seq, record.at_ms, record.act, record.call, subject, record.detail);
                }
            }
            Ok(())
        }
    }
}

/// Bytes as text.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn anchor(text: &str) -> Result<Kept, String> {
    let wrong = || "must be NUMBER:HASH, the hash in 16 to 64 hexadecimal digits".to_owned();
    let (seq, hash) = text.split_once(':').ok_or_else(wrong)?;
    let seq = seq.parse().map_err(|_| wrong())?;
    let bytes: Option<Vec<u8>> = hash.is_ascii().then(|| (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(hash.get(at..at + 2)?, 16).ok()).collect()).flatten();
    let hash = bytes.filter(|bytes| (8..=32).contains(&bytes.len())).ok_or_else(wrong)?;
    Ok(Kept { seq, hash })
}
