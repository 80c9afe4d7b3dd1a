//! A pack: the folder of converted weights that one installation hears with.
//!
//! `pack.toml` names each file with its size, hash, origin and licence. What does not match is refused: first of all every
//! file, which is read through once and not kept; then, when a model is loaded, its file again, since the hash is taken
//! over the very bytes that are parsed. So no more than one file is in memory at a time.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::bert::Parts;
use crate::embed::Embedder;
use crate::error::ModelError;
use crate::gguf::Tensors;
use crate::pii::Finder;
use crate::sentiment::Sentiment;
use crate::vad::Vad;
use crate::whisper::Whisper;

/// The manifest's name in a pack's folder.
pub const MANIFEST: &str = "pack.toml";
/// A manifest has a few kilobytes.
const MAX_MANIFEST: u64 = 64 * 1024;
/// The largest Whisper in Q8_0 has 1.7 GB; a wrong file is refused before it fills the memory.
const MAX_FILE: u64 = 2 * 1024 * 1024 * 1024;
/// Jobs that a pack can do, so more files make no sense.
const MAX_FILES: usize = 16;

/// What `pack.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The pack's name, such as `en`.
    pub name: String,
    /// The recipe's version.
    pub version: String,
    /// SHA-256, in hex, of the recipe that the pack was built from.
    pub recipe_sha256: String,
    /// The files beside the manifest.
    pub file: Vec<ManifestFile>,
}

/// One file of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Which model it is: `whisper`, `vad`, `pii`, `embed` or `sentiment`.
    pub job: String,
    /// Its plain name in the pack's folder.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
    /// SPDX identifier of the weights' licence.
    pub licence: String,
    /// Registry, package, version and hash that the weights were taken from.
    pub source: String,
}

/// A pack's version: up to three numbers, the first of which weighs most. What is older is never installed over what is newer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u32; 3]);

impl Version {
    /// From `1`, `1.2` or `1.2.3`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = [0; 3];
        for (index, part) in text.split('.').enumerate() {
            *numbers.get_mut(index)? = part.parse().ok()?;
        }
        Some(Self(numbers))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// A pack whose every byte matched its manifest when it was opened.
pub struct Pack {
    directory: PathBuf,
    manifest: Manifest,
    digest: [u8; 32],
    /// What the models that were loaded have in common.
    parts: Mutex<Parts>,
}

impl Pack {
    /// Reads a pack's folder and checks every file against the manifest.
    ///
    /// # Errors
    ///
    /// Names the file and what is wrong with it; see [`PackError`].
    pub fn open(directory: &Path) -> Result<Self, PackError> {
        let (path, bytes) = manifest_of(directory)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| PackError::Manifest {
            file: path.clone(),
            what: "not UTF-8".to_owned(),
        })?;
        let manifest: Manifest = toml::from_str(text).map_err(|error| PackError::Manifest {
            file: path.clone(),
            what: error.to_string(),
        })?;
        if manifest.file.len() > MAX_FILES {
            return Err(PackError::Manifest {
                file: path,
                what: format!("more than {MAX_FILES} files"),
            });
        }
        for file in &manifest.file {
            check(directory, file)?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            manifest,
            digest: Sha256::digest(&bytes).into(),
            parts: Mutex::default(),
        })
    }

    /// The pack's name, such as `en`.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// The [`digest`](Self::digest) of the pack in a folder, without the models themselves: for who only names them.
    ///
    /// # Errors
    /// The manifest cannot be read, or is too large.
    pub fn digest_of(directory: &Path) -> Result<[u8; 32], PackError> {
        let (_, bytes) = manifest_of(directory)?;
        Ok(Sha256::digest(&bytes).into())
    }

    /// The version of the pack in a folder, without the models themselves; `None` where there is none, or none that can be read.
    pub fn version_of(directory: &Path) -> Option<Version> {
        let (_, bytes) = manifest_of(directory).ok()?;
        Version::parse(&toml::from_str::<Manifest>(std::str::from_utf8(&bytes).ok()?).ok()?.version)
    }

    /// SHA-256 of the manifest, and so, through the hashes in it, of the whole pack.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What the pack is made of.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The detector of speech.
    ///
    /// # Errors
    ///
    /// The pack has none, or its tensors are not Silero's.
    pub fn vad(&self) -> Result<Vad, PackError> {
        self.load("vad", Vad::load)
    }

    /// The recogniser of words.
    ///
    /// # Errors
    ///
    /// The pack has none, or its tensors are not Whisper's.
    pub fn whisper(&self) -> Result<Whisper, PackError> {
        self.load("whisper", Whisper::load)
    }

    /// What finds, in what was said, what identifies somebody.
    ///
    /// # Errors
    ///
    /// The pack has none, or its tensors are not Rampart's.
    pub fn pii(&self) -> Result<Finder, PackError> {
        self.load("pii", Finder::load)
    }

    /// What gives a sentence's meaning.
    ///
    /// # Errors
    ///
    /// The pack has none, or its tensors are not MiniLM's.
    pub fn embedder(&self) -> Result<Embedder, PackError> {
        self.load("embed", |tensors| Embedder::load_with(tensors, &mut self.parts()))
    }

    /// What gives a turn's sentiment.
    ///
    /// # Errors
    ///
    /// The pack has none, or its tensors are not those of our model.
    pub fn sentiment(&self) -> Result<Sentiment, PackError> {
        self.load("sentiment", |tensors| Sentiment::load_with(tensors, &mut self.parts()))
    }

    fn load<T>(
        &self,
        job: &'static str,
        load: impl FnOnce(&Tensors<'_>) -> Result<T, ModelError>,
    ) -> Result<T, PackError> {
        let file = self
            .manifest
            .file
            .iter()
            .find(|file| file.job == job)
            .ok_or_else(|| PackError::NoModel {
                directory: self.directory.clone(),
                job,
            })?;
        let path = self.directory.join(&file.name);
        let bytes = read(&path, file.bytes.min(MAX_FILE))?;
        matches(&path, file, bytes.len() as u64, &sha256_hex(&bytes))?;
        Tensors::parse(&bytes)
            .and_then(|tensors| load(&tensors))
            .map_err(|error| PackError::Model { file: path, error })
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack")
            .field("directory", &self.directory)
            .field("manifest", &self.manifest)
            .finish_non_exhaustive()
    }
}

/// Why a pack was refused. Its text says which file, and what to do.
#[derive(Debug)]
pub enum PackError {
    /// A file cannot be read.
    Read {
        /// Which.
        file: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The manifest is not one.
    Manifest {
        /// Where it lies.
        file: PathBuf,
        /// The rule that it breaks.
        what: String,
    },
    /// A file has another size than the manifest says, or more than any model has.
    Size {
        /// Which.
        file: PathBuf,
        /// Bytes; the most that is accepted where the manifest asks for more.
        expected: u64,
        /// Bytes; `None` where reading stopped at the limit.
        found: Option<u64>,
    },
    /// A file has another hash than the manifest says.
    Hash {
        /// Which.
        file: PathBuf,
        /// Hex.
        expected: String,
        /// Hex.
        found: String,
    },
    /// The pack has no model for this job.
    NoModel {
        /// The pack's folder.
        directory: PathBuf,
        /// As in [`ManifestFile::job`].
        job: &'static str,
    },
    /// A file is what the manifest says, and still no model of ours.
    Model {
        /// Which.
        file: PathBuf,
        /// What is wrong in it.
        error: ModelError,
    },
}

impl fmt::Display for PackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => write!(f, "{}: {error}", file.display()),
            Self::Manifest { file, what } => write!(f, "{}: {what}", file.display()),
            Self::Size {
                file,
                expected,
                found: Some(found),
            } => write!(
                f,
                "{}: {found} bytes, the manifest says {expected}",
                file.display()
            ),
            Self::Size {
                file,
                expected,
                found: None,
            } => write!(f, "{}: more than {expected} bytes", file.display()),
            Self::Hash {
                file,
                expected,
                found,
            } => write!(
                f,
                "{}: sha256 is {found}, the manifest says {expected}",
                file.display()
            ),
            Self::NoModel { directory, job } => {
                write!(f, "{}: no model for {job}", directory.display())
            }
            Self::Model { file, error } => write!(f, "{}: {error}", file.display()),
        }?;
        write!(f, "; install or build the model pack again")
    }
}

impl std::error::Error for PackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            Self::Model { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// SHA-256 in lower-case hex, as manifests write it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn manifest_of(directory: &Path) -> Result<(PathBuf, Vec<u8>), PackError> {
    let path = directory.join(MANIFEST);
    let bytes = read(&path, MAX_MANIFEST)?;
    Ok((path, bytes))
}

/// Reads a file through, and keeps nothing of it.
fn check(directory: &Path, file: &ManifestFile) -> Result<(), PackError> {
    if Path::new(&file.name).file_name() != Some(file.name.as_ref()) {
        return Err(PackError::Manifest {
            file: directory.join(MANIFEST),
            what: "a file's name is not a plain name".to_owned(),
        });
    }
    let path = directory.join(&file.name);
    let failed = |error| PackError::Read {
        file: path.clone(),
        error,
    };
    let limit = file.bytes.min(MAX_FILE);
    let mut input = File::open(&path).map_err(failed)?.take(limit.saturating_add(1));
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut part = vec![0; 1 << 16];
    loop {
        match input.read(&mut part) {
            Ok(0) => break,
            Ok(count) => {
                hash.update(&part[..count]);
                length += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if length > limit {
        return Err(PackError::Size {
            file: path,
            expected: limit,
            found: None,
        });
    }
    matches(&path, file, length, &hex(&hash.finalize()))
}

/// Whether a file of so many bytes and this hash is the manifest's.
fn matches(path: &Path, file: &ManifestFile, length: u64, found: &str) -> Result<(), PackError> {
    if length != file.bytes {
        return Err(PackError::Size {
            file: path.to_owned(),
            expected: file.bytes,
            found: Some(length),
        });
    }
    if found != file.sha256 {
        return Err(PackError::Hash {
            file: path.to_owned(),
            expected: file.sha256.clone(),
            found: found.to_owned(),
        });
    }
    Ok(())
}

/// The whole file, in one reading; the limit holds for what is read, whatever the file's length was before.
fn read(path: &Path, limit: u64) -> Result<Vec<u8>, PackError> {
    let failed = |error| PackError::Read {
        file: path.to_owned(),
        error,
    };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(limit)).unwrap_or(0) + 1);
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        return Err(PackError::Size {
            file: path.to_owned(),
            expected: limit,
            found: None,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
