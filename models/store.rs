//! Packs that a site installed: by their digest, with the one in use and its predecessor named by links.
//!
//! ```text
//! DIR/by-digest/<sha256 of pack.toml>/   a pack, never changed once it is there
//! DIR/en                                 -> by-digest/…, the one in use
//! DIR/en.previous                        -> by-digest/…, the one before it
//! ```
//!
//! A switch is one `rename` of a link: whoever opens the pack finds the old one or the new one, whole, also after a power cut.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::pack::{MANIFEST, Pack, PackError, Version};
use crate::trial::TrialError;

/// The signature's file beside the manifest.
pub const SIGNATURE: &str = "pack.toml.minisig";
const BY_DIGEST: &str = "by-digest";
const PREVIOUS: &str = "previous";

/// Where installed packs are kept.
pub struct Store {
    folder: PathBuf,
}

/// Why a pack was not installed, or none taken back.
#[derive(Debug)]
pub enum StoreError {
    /// It is not whole.
    Pack(PackError),
    /// Its name cannot be one of a link.
    Name,
    /// Its version is no number such as `1.2.3`.
    Version,
    /// What is in use is newer, or as new.
    Older {
        /// In use.
        installed: Version,
        /// Offered.
        offered: Version,
    },
    /// This very pack is in use.
    Same,
    /// It is not signed as the site demands.
    Untrusted(String),
    /// It became another while it was copied.
    Changed,
    /// It does not hear what it must.
    Trial(TrialError),
    /// There is nothing to go back to.
    NoPredecessor,
    /// The disk did not do something.
    Disk {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pack(error) => error.fmt(f),
            Self::Name => f.write_str("the pack's name must be of a-z, 0-9 and -"),
            Self::Version => f.write_str("the pack's version must be up to three numbers, as 1.2.3"),
            Self::Older { installed, offered } => write!(f, "version {offered} is not newer than {installed}, which is in use; to go back, sotto models rollback"),
            Self::Same => f.write_str("this very pack is in use"),
            Self::Untrusted(why) => f.write_str(why),
            Self::Changed => f.write_str("it changed while it was copied"),
            Self::Trial(error) => write!(f, "it fails its trial: {error}; what was in use stays in use"),
            Self::NoPredecessor => f.write_str("there is no predecessor to go back to"),
            Self::Disk { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<PackError> for StoreError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

impl Store {
    /// In this folder, which need not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folders of a pack's installed versions: the one in use, and its predecessor.
    pub fn packs(&self, name: &str) -> Vec<PathBuf> {
        [self.link(name), self.previous(name)].into_iter().filter(|link| link.is_dir()).collect()
    }

    /// The names of what is installed.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter(|entry| entry.path().is_symlink()).filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| is_name(name)).collect();
        names.sort();
        names
    }

    /// Copies a pack here, asks whether it is to be trusted, tries it, and puts it in the place of the one in use, which becomes the predecessor. `packaged` is what is in use
    /// where nothing is installed. Nothing is in another state than before where an error comes back.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn install(&self, source: &Path, packaged: Option<Version>, is_trusted: &dyn Fn(&Path) -> Result<(), String>) -> Result<Pack, StoreError> {
        let offered = Pack::open(source)?;
        let name = offered.name().to_owned();
        if !is_name(&name) {
            return Err(StoreError::Name);
        }
        let version = Version::parse(&offered.manifest().version).ok_or(StoreError::Version)?;
        let digest = hex(&offered.digest());
        let installed = Pack::version_of(&self.link(&name)).max(packaged);
        match installed {
            Some(installed) if version < installed => return Err(StoreError::Older { installed, offered: version }),
            Some(installed) if version == installed => {
                let is_same = Pack::digest_of(&self.link(&name)).is_ok_and(|known| hex(&known) == digest);
                return Err(if is_same { StoreError::Same } else { StoreError::Older { installed, offered: version } });
            }
            _ => {}
        }
        let folder = self.folder.join(BY_DIGEST);
        let (incoming, home) = (folder.join(".incoming"), folder.join(&digest));
        let pack = self.copy(&offered, source, &incoming).and_then(|()| {
            // What is tried and used is what lies here, whatever became of the source meanwhile.
            let pack = Pack::open(&incoming)?;
            is_trusted(&incoming).map_err(StoreError::Untrusted)?;
            if hex(&pack.digest()) != digest {
                return Err(StoreError::Changed);
            }
            pack.trial().map_err(StoreError::Trial)?;
            Ok(pack)
        });
        let pack = match pack {
            Ok(pack) => pack,
            Err(error) => {
                drop(fs::remove_dir_all(&incoming));
                return Err(error);
            }
        };
        drop(fs::remove_dir_all(&home));
        fs::rename(&incoming, &home).and_then(|()| sync(&folder)).map_err(at(&home))?;
        let target = Path::new(BY_DIGEST).join(&digest);
        if let Ok(before) = fs::read_link(self.link(&name)) {
            self.point(&self.previous(&name), &before)?;
        }
        self.point(&self.link(&name), &target)?;
        self.forget_unused();
        Ok(pack)
    }

    /// Puts the predecessor in the place of what is in use. Where there is none but a packaged pack, that one is in use again.
    ///
    /// # Errors
    /// There is nothing to go back to, or the disk did not do it.
    pub fn roll_back(&self, name: &str, has_packaged: bool) -> Result<Option<PathBuf>, StoreError> {
        let (link, previous) = (self.link(name), self.previous(name));
        if !is_name(name) || !link.is_symlink() {
            return Err(StoreError::NoPredecessor);
        }
        match fs::read_link(&previous) {
            Ok(target) => {
                fs::rename(&previous, &link).and_then(|()| sync(&self.folder)).map_err(at(&link))?;
                self.forget_unused();
                Ok(Some(self.folder.join(target)))
            }
            Err(_) if has_packaged => {
                fs::remove_file(&link).and_then(|()| sync(&self.folder)).map_err(at(&link))?;
                self.forget_unused();
                Ok(None)
            }
            Err(_) => Err(StoreError::NoPredecessor),
        }
    }

    fn link(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn previous(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{PREVIOUS}"))
    }

    /// The manifest, its signature and every file, on the disk for good.
    fn copy(&self, pack: &Pack, source: &Path, incoming: &Path) -> Result<(), StoreError> {
        drop(fs::remove_dir_all(incoming));
        fs::create_dir_all(incoming).map_err(at(incoming))?;
        let files = pack.manifest().file.iter().map(|file| file.name.as_str());
        for name in files.chain([MANIFEST, SIGNATURE]) {
            let (from, to) = (source.join(name), incoming.join(name));
            match fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && name == SIGNATURE => {}
                Err(error) => return Err(StoreError::Disk { path: from, error }),
            }
        }
        sync(incoming).map_err(at(incoming))
    }

    /// Points a link, which may be there, elsewhere: at one moment.
    fn point(&self, link: &Path, target: &Path) -> Result<(), StoreError> {
        let new = self.folder.join(".new");
        drop(fs::remove_file(&new));
        symlink(target, &new).and_then(|()| fs::rename(&new, link)).and_then(|()| sync(&self.folder)).map_err(at(link))
    }

    /// Removes packs that no link names. What stays behind where the disk refuses is removed the next time.
    fn forget_unused(&self) {
        let named: Vec<PathBuf> = fs::read_dir(&self.folder).into_iter().flatten().flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect();
        for entry in fs::read_dir(self.folder.join(BY_DIGEST)).into_iter().flatten().flatten() {
            if !named.iter().any(|target| target.file_name() == Some(&entry.file_name())) {
                drop(fs::remove_dir_all(entry.path()));
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    |error| StoreError::Disk { path: path.to_owned(), error }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
