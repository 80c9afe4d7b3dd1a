//! A file that setup writes: it knows its own, and asks before it touches what somebody else changed.

use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The first words of each; the digest of what follows the line stands at its end.
const HEADER: &str = "# Written by `sotto setup`, which writes it anew as long as nobody else changes it; your own go into files beside it. ";

/// A file, as it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) path: PathBuf,
    /// What it shall say; `None` where it shall be gone.
    pub(crate) content: Option<String>,
}

/// What writing it would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It stands there already, or is gone already.
    None,
    /// There is no such file.
    New,
    /// It was ours, and says something else.
    Ours,
    /// Somebody else wrote or changed it.
    Theirs,
    /// It was ours, and is needed no more.
    Gone,
}

impl Change {
    /// In a word, for the list of what is to be done.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::None => "unchanged",
            Self::New => "new",
            Self::Ours => "changed",
            Self::Theirs => "CHANGED BY HAND",
            Self::Gone => "removed",
        }
    }
}

impl Wanted {
    /// With its header.
    pub(crate) fn new(path: PathBuf, body: Option<String>) -> Self {
        Self { path, content: body.map(|body| format!("{HEADER}{}\n{body}", digest(&body))) }
    }

    /// What writing it would change, where `there` is what stands there now.
    pub(crate) fn change(&self, there: Option<&str>) -> Change {
        match (&self.content, there) {
            (None, None) => Change::None,
            (Some(content), Some(there)) if content == there => Change::None,
            (Some(_), None) => Change::New,
            (_, Some(there)) if body_of_ours(there).is_none() => if self.content.is_none() { Change::None } else { Change::Theirs },
            (Some(_), Some(_)) => Change::Ours,
            (None, Some(_)) => Change::Gone,
        }
    }

    /// Writes it whole or not at all, or removes it.
    pub(crate) fn write(&self) -> io::Result<()> {
        match &self.content {
            Some(content) => write_whole(&self.path, content.as_bytes(), 0o644),
            None => std::fs::remove_file(&self.path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }),
        }
    }
}

/// What follows the header, where nobody but setup wrote it.
pub(crate) fn body_of_ours(text: &str) -> Option<&str> {
    let (header, body) = text.split_once('\n')?;
    (header.strip_prefix(HEADER)? == digest(body)).then_some(body)
}

/// Writes beside the file and renames: a power cut leaves the old one or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("sotto-new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    std::fs::rename(&beside, path)
}

fn digest(body: &str) -> String {
    Sha256::digest(body.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(body: Option<&str>) -> Wanted {
        Wanted::new(PathBuf::from("/x"), body.map(str::to_owned))
    }

    #[test]
    fn what_setup_wrote_it_may_write_anew_and_nothing_else() {
        let first = wanted(Some("a = 1\n"));
        let there = first.content.clone().unwrap();
        assert_eq!(first.change(None), Change::New);
        assert_eq!(first.change(Some(&there)), Change::None, "twice is once");
        assert_eq!(wanted(Some("a = 2\n")).change(Some(&there)), Change::Ours);
        assert_eq!(wanted(Some("a = 2\n")).change(Some(&there.replace("a = 1", "a = 3"))), Change::Theirs);
        assert_eq!(wanted(Some("a = 2\n")).change(Some("a = 2\n")), Change::Theirs, "an admin's own file of this name");
        assert_eq!(wanted(None).change(Some(&there)), Change::Gone);
        assert_eq!(wanted(None).change(Some("a = 2\n")), Change::None, "what is not ours is not removed");
    }

    #[test]
    fn a_file_is_written_whole() {
        let folder = std::env::temp_dir().join(format!("sotto-setup-file-{}", std::process::id()));
        let file = Wanted::new(folder.join("deep/x.toml"), Some("a = 1\n".to_owned()));
        file.write().unwrap();
        let there = std::fs::read_to_string(&file.path).unwrap();
        assert_eq!(body_of_ours(&there), Some("a = 1\n"));
        assert_eq!(std::fs::read_dir(folder.join("deep")).unwrap().count(), 1, "nothing is left beside it");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
