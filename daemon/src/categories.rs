//! `sotto categories try FILE`: what a text would do to the charter's lists. Offline; nothing is kept.

use std::path::PathBuf;

use serde_json::json;
use sotto_measure::{Near, Trial};
use sotto_models::Pack;

use crate::End;
use crate::config::Places;
use crate::load::Loaded;

/// What to do with the lists.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// Hold a text against them, a turn a line: hits, near misses, and the lists that nothing hit.
    Try {
        /// A text file.
        file: PathBuf,
        /// One JSON object a line instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let Arguments::Try { file, json } = arguments;
    let loaded = Loaded::new(places)?;
    let charter = &loaded.charter;
    let pack = if charter.needs_meanings() { Some(Pack::open(&places.pack(&loaded.config.pack)).map_err(End::bad_configuration)?) } else { None };
    let trial = Trial::new(charter, pack.as_ref()).map_err(End::bad_configuration)?;
    let text = std::fs::read_to_string(file).map_err(|error| End::no(format!("{}: {error}", file.display())))?;
    let mut hits = vec![0; charter.categories.len()];
    for (number, line) in text.lines().enumerate() {
        for (ordinal, near) in trial.text(line).map_err(End::no)? {
            let name = &charter.categories[ordinal].name;
            let (verdict, why) = match near {
                Near::Hit => ("hit", String::new()),
                Near::Inflected => ("near miss", "nearness = \"inflected\" would hear it".to_owned()),
                Near::Sound => ("near miss", "nearness = \"sound\" would hear it".to_owned()),
                Near::Below(much) => ("near miss", format!("by meaning {much:.2} below the list's threshold")),
            };
            hits[ordinal] += u32::from(near == Near::Hit);
            if *json {
                println!("{}", json!({"line": number + 1, "category": ordinal + 1, "name": name, "verdict": verdict, "why": why}));
            } else {
                println!("line {:>4}  category_{:02}  {verdict:<9}  {name}{}{why}", number + 1, ordinal + 1, if why.is_empty() { "" } else { ": " });
            }
        }
    }
    for (ordinal, category) in charter.categories.iter().enumerate().filter(|(ordinal, _)| hits[*ordinal] == 0) {
        if *json {
            println!("{}", json!({"category": ordinal + 1, "name": category.name, "verdict": "miss"}));
        } else {
            println!("           category_{:02}  miss       {}: no line hit it", ordinal + 1, category.name);
        }
    }
    Ok(())
}
