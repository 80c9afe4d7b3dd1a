//! From files to what runs: configuration, charter, models.

use std::sync::Arc;

use sotto_charter::Charter;
use sotto_measure::Recogniser;
use sotto_models::Pack;
use sotto_models::vad::Vad;
use sotto_report::Fingerprint;
use sotto_uplink::About;

use crate::End;
use crate::config::{Config, Places, load_charter};

/// Configuration and charter, both read and without contradiction.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) charter: Arc<Charter>,
}

impl Loaded {
    pub(crate) fn new(places: &Places) -> Result<Self, End> {
        let config = Config::load(&places.config).map_err(End::bad_configuration)?;
        let charter = load_charter(&places.charter).map_err(End::bad_configuration)?;
        Ok(Self { config, charter: Arc::new(charter) })
    }

    /// What every message says of its sender.
    pub(crate) fn about(&self) -> Result<About, End> {
        About::new(&self.config.site_id, &self.config.node).map_err(End::bad_configuration)
    }
}

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
        let folder = places.pack(&loaded.config.pack);
        let pack = Pack::open(&folder).map_err(End::bad_configuration)?;
        let vad = pack.vad().map_err(End::bad_configuration)?;
        let recogniser = if loaded.charter.needs_words() {
            Some(Recogniser::new(pack.whisper().map_err(End::bad_configuration)?))
        } else {
            None
        };
        Ok(Self { vad: Some(vad), recogniser, fingerprint: Some(fingerprint(&pack.digest())) })
    }
}

/// A digest's first 64 bits.
pub(crate) fn fingerprint(digest: &[u8; 32]) -> Fingerprint {
    Fingerprint(digest.iter().take(8).fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))
}

/// 32 bits that nobody can guess, for a new spool's epoch.
pub(crate) fn entropy() -> Result<u32, End> {
    use std::io::Read as _;
    let mut bytes = [0; 4];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(End::no)?;
    Ok(u32::from_le_bytes(bytes))
}
