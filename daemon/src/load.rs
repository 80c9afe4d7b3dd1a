//! From files to what runs: configuration, charter, models.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use sotto_charter::approval::Unsigned;
use sotto_charter::{Charter, Names, Register};
use sotto_measure::{Readers, Recogniser, is_verified};
use sotto_models::{Pack, trial};
use sotto_models::vad::Vad;
use sotto_redact::Pseudonyms;
use sotto_report::Fingerprint;
use sotto_spool::{People, SpoolError};
use sotto_uplink::About;

use crate::End;
use crate::config::{Config, ConfigError, Places, load_charter, read_text, signatures};
use crate::events::{Event, say};
use crate::pipeline::{NewWords, Renewal};

/// Configuration and charter, both read and without contradiction.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The charter in force: one that measures nothing where it is not signed as the site demands.
    pub(crate) charter: Arc<Charter>,
    /// Why it is not in force as it is written.
    pub(crate) unsigned: Option<Unsigned>,
}

impl Loaded {
    pub(crate) fn new(places: &Places) -> Result<Self, End> {
        let config = Config::load(&places.config).map_err(End::bad_configuration)?;
        let charter = load_charter(&places.charter).map_err(End::bad_configuration)?;
        let refuse = |what: String| End::bad_configuration(ConfigError::of_charter(&places.charter, 0, what));
        if let Some(line) = charter.exclude.lines.iter().find(|line| !config.site.lines().contains(line)) {
            return Err(refuse(format!("[exclude] lines names `{line}`, which is no [[lines]] of sotto.toml: nobody would be left out")));
        }
        if charter.names_agents {
            return Err(refuse("names_agents is not built in this version: scores never carry the agent [nobody signs for what does not come]".to_owned()));
        }
        let unsigned = match &config.approval {
            None => None,
            Some(keys) => {
                let text = read_text(&places.charter).map_err(End::bad_configuration)?;
                let signatures = signatures(&places.charter).map_err(End::bad_configuration)?;
                keys.verify(text.as_bytes(), signatures.each_ref().map(Option::as_deref)).err()
            }
        };
        let charter = if unsigned.is_some() { charter.standing_down() } else { charter };
        Ok(Self { config, charter: Arc::new(charter), unsigned })
    }

    /// What every message says of its sender.
    pub(crate) fn about(&self) -> Result<About, End> {
        About::new(&self.config.site_id, &self.config.node).map_err(End::bad_configuration)
    }
}

/// What is said where there is no folder to look in.
const NO_PACK: &str = "there is no model pack: install sotto-models-en";

/// The models that the charter needs, and no others.
pub(crate) struct Models {
    pub(crate) vad: Option<Vad>,
    pub(crate) recogniser: Option<Recogniser>,
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Models {
    pub(crate) fn load(places: &Places, loaded: &Loaded) -> Result<Self, End> {
        if !loaded.charter.needs_sound() {
            return Ok(Self { vad: None, recogniser: None, fingerprint: None });
        }
        let language = loaded.config.language.as_deref();
        let (words, charter) = (needs_words(&loaded.charter, language), Some(&*loaded.charter));
        let open = |pack: &PathBuf| {
            let models = Self::open(pack, words, charter)?;
            Ok(Self { recogniser: models.recogniser.map(|recogniser| speaking(recogniser, language)), ..models })
        };
        let packs = places.packs(&loaded.config.pack);
        let newest = packs.first().map_or_else(|| Err(End::bad_configuration(NO_PACK)), open);
        let Err(End::BadConfiguration(why)) = newest else { return newest };
        // What was there before it is better than a box that hears nothing.
        let older = packs.iter().skip(1).find_map(|pack| open(pack).ok());
        match older {
            Some(older) => {
                say(&Event::PackRefused { why: &why });
                Ok(older)
            }
            None => Err(End::BadConfiguration(why)),
        }
    }

    /// Those of a pack's folder; the recogniser only where words are needed.
    pub(crate) fn open(folder: &Path, needs_words: bool, charter: Option<&Charter>) -> Result<Self, End> {
        let pack = Pack::open(folder).map_err(End::bad_configuration)?;
        let vad = pack.vad().map_err(End::bad_configuration)?;
        let recogniser = if needs_words {
            let readers = Readers::load(&pack, charter).map_err(End::bad_configuration)?;
            Some(Recogniser::new(pack.whisper().map_err(End::bad_configuration)?, readers))
        } else {
            None
        };
        Ok(Self { vad: Some(vad), recogniser, fingerprint: Some(fingerprint(&pack.digest())) })
    }
}

/// Whether anything is put into words: what cannot be blanked is not.
fn needs_words(charter: &Charter, language: Option<&str>) -> bool {
    charter.needs_words() && language.is_none_or(is_verified)
}

fn speaking(recogniser: Recogniser, language: Option<&str>) -> Recogniser {
    match language {
        Some(code) => recogniser.speaking(code),
        None => recogniser,
    }
}

/// The models that are there, for whoever agrees on something else while the box runs.
pub(crate) struct Kept {
    fingerprint: Option<Fingerprint>,
    has_vad: bool,
    readers: Option<Readers>,
    /// What the site speaks: it stays so until a restart.
    language: Option<String>,
}

impl Kept {
    pub(crate) fn of(models: &Models, config: &Config) -> Self {
        let language = config.language.clone();
        Self { language, fingerprint: models.fingerprint, has_vad: models.vad.is_some(), readers: models.recogniser.as_ref().and_then(Recogniser::readers) }
    }

    /// All that a changed charter, site or pack needs and that is not there yet. Nothing changes where something cannot be read, and a new
    /// pack must first pass its own test.
    pub(crate) fn renew(&mut self, places: &Places, loaded: &Loaded) -> Result<Renewal, End> {
        let charter = &loaded.charter;
        let register = register(&people(places)?, charter).map_err(End::no)?;
        let site = Arc::new(loaded.config.site.clone());
        let names = Names::of(&site).fingerprint();
        let renewal = |models, vad, words| Renewal { charter: Arc::clone(charter), site, names, models, vad, words, register };
        if !charter.needs_sound() {
            return Ok(renewal(None, None, NewWords::None));
        }
        let pack = Pack::open(&places.pack(&loaded.config.pack)).map_err(End::bad_configuration)?;
        let digest = Some(fingerprint(&pack.digest()));
        let is_other = digest != self.fingerprint;
        let vad = (is_other || !self.has_vad).then(|| pack.vad()).transpose().map_err(End::bad_configuration)?;
        let known = self.readers.as_ref().filter(|_| !is_other);
        let words = match known {
            _ if !needs_words(charter, self.language.as_deref()) => NewWords::None,
            Some(readers) => NewWords::Readers(readers.renewed(&pack, charter).map_err(End::bad_configuration)?),
            None => {
                let readers = Readers::load(&pack, Some(charter)).map_err(End::bad_configuration)?;
                let mut whisper = pack.whisper().map_err(End::bad_configuration)?;
                trial::hears(&mut whisper).map_err(End::no)?;
                NewWords::Recogniser(speaking(Recogniser::new(whisper, readers), self.language.as_deref()))
            }
        };
        self.fingerprint = digest;
        self.has_vad |= vad.is_some();
        match &words {
            NewWords::None => {}
            NewWords::Readers(readers) => self.readers = Some(readers.clone()),
            NewWords::Recogniser(recogniser) => self.readers = recogniser.readers(),
        }
        Ok(renewal(digest, vad, words))
    }
}

/// A digest's first 64 bits.
pub(crate) fn fingerprint(digest: &[u8; 32]) -> Fingerprint {
    Fingerprint(digest.iter().take(8).fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))
}

/// The tap's own file, beside the spool.
pub(crate) fn people(places: &Places) -> Result<People, End> {
    let key = [random()?, random()?].concat().try_into().unwrap_or_default();
    People::open(&People::beside(&places.spool), key).map_err(End::no)
}

/// How the known agents stand under the charter in force.
pub(crate) fn register(people: &People, charter: &Charter) -> Result<Register, SpoolError> {
    let marks = Pseudonyms::new(people.key());
    Ok(Register::new(Arc::new(move |identity| marks.mark(identity)), people.standings(charter.fingerprint())?))
}

/// 16 bytes that nobody can guess.
pub(crate) fn random() -> Result<[u8; 16], End> {
    use std::io::Read as _;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(End::no)?;
    Ok(bytes)
}

/// 64 bits that nobody can guess.
pub(crate) fn seed() -> Result<u64, End> {
    Ok(u64::from(entropy()?) << 32 | u64::from(entropy()?))
}

/// The models' libraries read how many threads they may use from the environment alone, when they are first used; the C library how many
/// heaps: with one for each thread that recognises, what each of them is done with would stay apart (50 MiB). Units set it; here the program starts
/// itself anew with it.
pub(crate) fn one_thread_a_model() -> Result<(), End> {
    const VARIABLES: [&str; 3] = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS", "MALLOC_ARENA_MAX"];
    if VARIABLES.iter().all(|name| std::env::var_os(name).is_some()) {
        return Ok(());
    }
    let exe = std::env::current_exe().map_err(End::no)?;
    let mut again = std::process::Command::new(exe);
    again.args(std::env::args_os().skip(1));
    for name in VARIABLES {
        if std::env::var_os(name).is_none() {
            again.env(name, "1");
        }
    }
    // Comes back only if it failed.
    Err(End::no(again.exec()))
}

/// Fingerprint of this machine since it was switched on: its id, the addresses of its network cards, as a copied disk brings the id along, and
/// the kernel's name for this boot. A disk that lied of what it had written comes back from a power cut with numbers of before, and would
/// give them a second time: a collector would take the new call for the old one. Under a new epoch, which costs nothing, no id comes twice.
/// Never 0.
pub(crate) fn machine() -> i64 {
    let mut parts: Vec<String> = ["/etc/machine-id", "/proc/sys/kernel/random/boot_id"].iter().map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect();
    let cards = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten().map(|card| card.path());
    // Those with a device behind them; bridges and containers come and go.
    let mut addresses: Vec<String> = cards.filter(|card| card.join("device").exists()).filter_map(|card| std::fs::read_to_string(card.join("address")).ok()).collect();
    addresses.sort();
    parts.extend(addresses);
    let digest = Sha256::digest(parts.concat());
    digest.iter().take(8).fold(0, |sum, &byte| (sum << 8) | i64::from(byte)) | 1
}

/// 32 bits that nobody can guess, for a new spool's epoch.
pub(crate) fn entropy() -> Result<u32, End> {
    use std::io::Read as _;
    let mut bytes = [0; 4];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(End::no)?;
    Ok(u32::from_le_bytes(bytes))
}

/// A folder that is removed with everything in it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("sotto-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
