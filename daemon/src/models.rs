//! `sotto models`: which packs are here, whether they are whole, and how another one comes in.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use sotto_charter::approval::Key;
use sotto_models::Pack;
use sotto_models::pack::MANIFEST;
use sotto_models::store::{SIGNATURE, Store};

use crate::End;
use crate::config::{Config, PACKAGED, Places, read_text};
use crate::events::{Event, note};
use crate::load::fingerprint;

/// Flags of `sotto models`.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// The packs that are here, and which is in use.
    List {
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Whether a pack is whole, signed by whom the site trusts, and hears what it must.
    Verify {
        /// Its folder. Default: the one in use.
        #[arg(value_name = "DIR")]
        pack: Option<PathBuf>,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Put a pack in the place of the one in use: signed, newer, whole, and tried on known speech first.
    Install {
        /// Its folder: pack.toml, pack.toml.minisig and the files that it names.
        #[arg(value_name = "DIR")]
        pack: PathBuf,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Take the predecessor back.
    Rollback {
        /// The pack's name. Default: the one that sotto.toml names.
        #[arg(value_name = "NAME")]
        pack: Option<String>,
        /// One JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

/// What is told after a change.
const TAKE_UP: &str = "calls that begin after `systemctl reload sotto-tap` are heard by it";

/// Runs it: exit 1 where a pack is refused.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let config = Config::load(&places.config).map_err(End::bad_configuration)?;
    match arguments {
        Arguments::List { json } => list(places, &config, *json),
        Arguments::Verify { pack, json } => verify(places, &config, pack.as_deref(), *json),
        Arguments::Install { pack, json } => install(places, &config, pack, *json).inspect_err(|end| {
            if let End::No(why) = end {
                note(&Event::PackRefused { why });
            }
        }),
        Arguments::Rollback { pack, json } => roll_back(places, pack.as_ref().unwrap_or(&config.pack), *json),
    }
}

fn list(places: &Places, config: &Config, is_json: bool) -> Result<(), End> {
    let store = Store::new(&places.store());
    let mut names = store.names();
    names.extend(packaged());
    names.push(config.pack.clone());
    names.sort();
    names.dedup();
    let mut found = Vec::new();
    for name in names {
        for (rank, folder) in places.packs(&name).into_iter().filter(|folder| folder.join(MANIFEST).exists()).enumerate() {
            let standing = match (rank, name == config.pack) {
                (0, true) => "in use",
                (0, false) => "at hand",
                _ => "kept",
            };
            let version = Pack::version_of(&folder).map_or_else(|| "?".to_owned(), |version| version.to_string());
            let digest = Pack::digest_of(&folder).map(|digest| fingerprint(&digest).to_string()).unwrap_or_default();
            found.push((name.clone(), version, digest, standing, folder));
        }
    }
    if is_json {
        let packs: Vec<_> = found.iter().map(|(name, version, digest, standing, folder)| json!({"name": name, "version": version, "digest": digest, "standing": standing, "folder": folder})).collect();
        println!("{}", json!({ "packs": packs }));
    } else {
        println!("{:<10}{:<10}{:<19}{:<10}folder", "pack", "version", "digest", "");
        for (name, version, digest, standing, folder) in &found {
            println!("{name:<10}{version:<10}{digest:<19}{standing:<10}{}", folder.display());
        }
    }
    if found.iter().any(|(_, _, _, standing, _)| *standing == "in use") {
        Ok(())
    } else {
        Err(End::No(format!("the pack {} that sotto.toml names is not here: apt install sotto-models-{}", config.pack, config.pack)))
    }
}

fn verify(places: &Places, config: &Config, folder: Option<&Path>, is_json: bool) -> Result<(), End> {
    let folder = folder.map_or_else(|| places.pack(&config.pack), Path::to_owned);
    let pack = Pack::open(&folder).map_err(End::no)?;
    // Packs that came in a .deb are signed with it; those that were installed by hand have a signature of their own.
    let signed = if folder.join(SIGNATURE).exists() || folder != places.packaged(&config.pack) { signed(&folder, &config.signers).map(|()| true) } else { Ok(false) };
    let trial = pack.trial();
    let (name, version, digest) = (pack.name(), &pack.manifest().version, fingerprint(&pack.digest()).to_string());
    if is_json {
        let refused = |what: Option<String>| what.map_or(json!(true), |why| json!(why));
        println!("{}", json!({"name": name, "version": version, "digest": digest, "hashes": true, "signature": refused(signed.as_ref().err().cloned()), "trial": refused(trial.as_ref().err().map(ToString::to_string))}));
    } else {
        println!("{name} {version} ({digest}) in {}", folder.display());
        println!("hashes     every file is what the manifest says");
        println!("signature  {}", match &signed { Ok(true) => "holds", Ok(false) => "none of its own: it came with its package", Err(why) => why });
        println!("trial      {}", trial.as_ref().map_or_else(ToString::to_string, |()| "known speech is heard, and silence is silent".to_owned()));
    }
    match (trial, signed) {
        (Ok(()), Ok(_)) => Ok(()),
        _ => Err(End::No(String::new())),
    }
}

fn install(places: &Places, config: &Config, source: &Path, is_json: bool) -> Result<(), End> {
    let is_trusted = |folder: &Path| signed(folder, &config.signers).map_err(|why| format!("{SIGNATURE}: {why}"));
    // Before anything is copied; and once more what was copied.
    is_trusted(source).map_err(|why| End::No(format!("{}: {why}", source.display())))?;
    if !is_json && std::io::stderr().is_terminal() {
        eprintln!("copying, checking every hash and trying it on known speech ...");
    }
    let name = Pack::open(source).map_err(End::no)?.name().to_owned();
    let pack = Store::new(&places.store()).install(source, Pack::version_of(&places.packaged(&name)), &is_trusted).map_err(|error| End::No(format!("{}: {error}", source.display())))?;
    told("installed", pack.name(), &pack.manifest().version, &pack.digest(), is_json);
    Ok(())
}

fn roll_back(places: &Places, name: &str, is_json: bool) -> Result<(), End> {
    let packaged = places.packaged(name);
    let folder = Store::new(&places.store()).roll_back(name, packaged.is_dir()).map_err(|error| End::No(format!("{name}: {error}")))?;
    let folder = folder.unwrap_or(packaged);
    let version = Pack::version_of(&folder).unwrap_or_default().to_string();
    told("taken back", name, &version, &Pack::digest_of(&folder).map_err(End::no)?, is_json);
    Ok(())
}

fn told(what: &str, name: &str, version: &str, digest: &[u8; 32], is_json: bool) {
    let digest = fingerprint(digest);
    note(&Event::PackInstalled { pack: name, digest });
    if is_json {
        println!("{}", json!({"name": name, "version": version, "digest": digest.to_string(), "what": what}));
    } else {
        println!("{name} {version} ({digest}) is {what}: {TAKE_UP}");
    }
}

/// Whether one of the site's signers signed the manifest, and with it the hash of every file.
fn signed(folder: &Path, signers: &[Key]) -> Result<(), String> {
    if signers.is_empty() {
        return Err("[models] signers is empty: name the public key of whoever makes your packs".to_owned());
    }
    let signature = read_text(&folder.join(SIGNATURE)).map_err(|error| format!("no signature: {error}"))?;
    let manifest = std::fs::read(folder.join(MANIFEST)).map_err(|error| error.to_string())?;
    let mut last = String::new();
    for signer in signers {
        match signer.verify(&manifest, &signature) {
            Ok(()) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
    }
    Err(format!("{last}: it is refused"))
}

fn packaged() -> Vec<String> {
    let entries = std::fs::read_dir(PACKAGED).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
