//! A test's own site: configuration, charter and spool in a folder of its own, and the product run with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Error;
use crate::process::{sotto_binary, target_folder};

/// A charter that names every group of this version, with a list of words.
pub const CHARTER: &str = r#"version = "1"
profile = "uk"
kpis = ["talk_balance", "interruptions", "silence", "keywords"]
detail = ["talk_balance"]
[[consent]]
match = "*"
customer = "notice"
notice = "N-1"
agent = "agreement"
[retention]
scores_days = 7
[[purpose]]
metric = "talk_balance"
why = "See whether customers get to speak"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "interruptions"
why = "Find calls in which the two talk past each other"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "silence"
why = "Find where our own systems make people wait"
basis = "legitimate interest"
review_by = "2099-01-01"
[[purpose]]
metric = "keywords"
why = "See which topics come up"
basis = "legitimate interest"
review_by = "2099-01-01"
[controller]
name = "Harbor Telecom"
contact = "privacy@harbor.example"
[[category]]
name = "refund"
phrases = ["refund", "money back"]
"#;

/// A charter without any number that needs sound: nothing is decoded and no model is loaded.
pub const CHARTER_WITHOUT_SOUND: &str = r#"version = "1"
profile = "uk"
kpis = []
[retention]
scores_days = 7
"#;

/// sotto.toml of site `harbor`, box `rec-1`; the agents are `sip:1???@*`, as the call maker's.
#[must_use]
pub fn config(interface: Option<&str>, broker: Option<&str>) -> String {
    let mut text = "[site]\nid = \"harbor\"\nnode = \"rec-1\"\n[[agents]]\nmatch = \"sip:1???@*\"\nteam = \"billing\"\n[models]\npack = \"en\"\n".to_owned();
    if let Some(interface) = interface {
        text += &format!("[capture]\nsource = \"mirror\"\ninterface = \"{interface}\"\n");
    }
    if let Some(broker) = broker {
        text += &format!("[uplink]\nbroker = \"{broker}\"\n");
    }
    text
}

/// The folder of model packs that the build made.
///
/// # Errors
/// As [`target_folder`].
pub fn packs() -> Result<PathBuf, Error> {
    Ok(target_folder()?.join("models"))
}

/// Whether the English pack has been built (`models/convert/build_pack.sh en`).
#[must_use]
pub fn has_pack() -> bool {
    packs().is_ok_and(|folder| folder.join("en/pack.toml").is_file())
}

/// A site. Its folder goes with it.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// Writes `sotto.toml` and `charter.toml`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn new(config: &str, charter: &str) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(|source| Error::new(format!("temporary folder: {source}")))?;
        let site = Self { folder };
        site.write("sotto.toml", config)?;
        site.write("charter.toml", charter)?;
        Ok(site)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the scores wait.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.path("spool.db")
    }

    /// Writes a file into the folder.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf, Error> {
        let path = self.path(name);
        std::fs::write(&path, content).map_err(|source| Error::file(&path, &source))?;
        Ok(path)
    }

    /// Where `sotto` finds everything of this site.
    ///
    /// # Errors
    /// As [`packs`].
    pub fn places(&self) -> Result<Places, Error> {
        Ok(Places { config: self.path("sotto.toml"), charter: self.path("charter.toml"), spool: self.spool(), models: packs()? })
    }

    /// `sotto` with this site's files and the built packs; the sub-command is the caller's to add.
    ///
    /// # Errors
    /// As [`sotto_binary`].
    pub fn sotto(&self) -> Result<Command, Error> {
        Ok(self.places()?.command(&sotto_binary()?))
    }
}

/// The flags that come before every sub-command.
#[derive(Clone, Debug)]
pub struct Places {
    /// sotto.toml.
    pub config: PathBuf,
    /// charter.toml.
    pub charter: PathBuf,
    /// The spool.
    pub spool: PathBuf,
    /// The folder of model packs.
    pub models: PathBuf,
}

impl Places {
    /// A command with them; the sub-command is the caller's to add.
    #[must_use]
    pub fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        for (flag, path) in [("--config", &self.config), ("--charter", &self.charter), ("--spool", &self.spool), ("--models", &self.models)] {
            command.arg(flag).arg(path);
        }
        // What a test reads must come out on standard error, wherever the test runs.
        for name in ["JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"] {
            command.env_remove(name);
        }
        command
    }
}
