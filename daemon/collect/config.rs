//! The collector's configuration: one file, every key known.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sotto_uplink::{Broker, BrokerError, Credentials, Identity, Roots, Tls, TlsError};

/// What a collector needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the broker is.
    pub broker: Broker,
    /// Who we are to it.
    pub credentials: Option<Credentials>,
    /// For `mqtts://`.
    pub tls: Option<Tls>,
    /// Names the session that the broker keeps while the collector is away.
    pub client_id: String,
    /// What is subscribed to; with `$share/<group>/` before it where several collectors divide the boxes' scores between them.
    pub topics: Vec<String>,
    /// Where scores are kept.
    pub database: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    broker: String,
    #[serde(default)]
    danger_plaintext: bool,
    user: Option<String>,
    ca: Option<PathBuf>,
    #[serde(default = "File::client_id")]
    client_id: String,
    #[serde(default = "File::topics")]
    topics: Vec<String>,
    database: PathBuf,
}

impl File {
    fn client_id() -> String {
        "sotto-collect".to_owned()
    }

    fn topics() -> Vec<String> {
        ["call/score", "call/withdrawn", "coverage", "event", "health", "lost"].map(|kind| format!("sotto/v1/+/+/{kind}")).to_vec()
    }
}

/// Why a configuration cannot be used. Nothing of it is quoted but file names.
#[derive(Debug)]
pub enum ConfigError {
    /// A file cannot be read.
    File(PathBuf, std::io::Error),
    /// It is not what it should be.
    Content(PathBuf, String),
    /// The broker's address.
    Broker(BrokerError),
    /// Certificates.
    Tls(TlsError),
    /// A user is named, and its password is not there.
    NoPassword,
    /// Certificate and key go together, and one is absent.
    HalfIdentity,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(formatter, "{}: {error}", path.display()),
            Self::Content(path, what) => write!(formatter, "{}: {what}", path.display()),
            Self::Broker(error) => error.fmt(formatter),
            Self::Tls(error) => error.fmt(formatter),
            Self::NoPassword => formatter.write_str("user is named, but the credential mqtt-password is absent (LoadCredential=)"),
            Self::HalfIdentity => formatter.write_str("the credentials mqtt-certificate and mqtt-key go together: one is absent"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file, and the credentials in the folder that systemd made of them.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(path: &Path, credentials: Option<&Path>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError::File(path.to_owned(), error))?;
        // The message says what and where, in the file's own words; passwords do not belong into it.
        let file: File = toml::from_str(&text).map_err(|error| ConfigError::Content(path.to_owned(), error.message().to_owned()))?;
        let broker = Broker::parse(&file.broker, file.danger_plaintext).map_err(ConfigError::Broker)?;
        let secret = |name: &str| match credentials.map(|folder| std::fs::read(folder.join(name))) {
            None => Ok(None),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Some(Err(error)) => Err(ConfigError::File(PathBuf::from(name), error)),
            Some(Ok(bytes)) => Ok(Some(bytes)),
        };
        let credentials = match file.user {
            None => None,
            Some(user) => {
                let password = secret("mqtt-password")?.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(ConfigError::NoPassword)?;
                Some(Credentials::new(user, password.trim_end_matches('\n')))
            }
        };
        let tls = if broker.is_encrypted() {
            let authorities = file.ca.as_ref().map(|ca| std::fs::read(ca).map_err(|error| ConfigError::File(ca.clone(), error))).transpose()?;
            let (certificates, key) = (secret("mqtt-certificate")?, secret("mqtt-key")?);
            let identity = match (&certificates, &key) {
                (Some(certificates), Some(key)) => Some(Identity { certificates, key }),
                (None, None) => None,
                _ => return Err(ConfigError::HalfIdentity),
            };
            Some(Tls::new(authorities.as_deref().map_or(Roots::System, Roots::Pem), identity).map_err(ConfigError::Tls)?)
        } else {
            None
        };
        Ok(Self { broker, credentials, tls, client_id: file.client_id, topics: file.topics, database: file.database })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_configuration_is_read_but_for_what_the_site_must_say() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("collect.toml");
        let load = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Config::load(&path, None)
        };
        let config = load("broker = \"mqtt://localhost\"\ndatabase = \"collect.db\"\n").unwrap();
        assert_eq!((config.topics.len(), config.client_id.as_str()), (6, "sotto-collect"));
        assert!(matches!(load("broker = \"mqtt://elsewhere\"\ndatabase = \"x\"\n"), Err(ConfigError::Broker(_))));
        assert!(matches!(load("broker = \"mqtt://localhost\"\n"), Err(ConfigError::Content(..))));
        assert!(matches!(load("broker = \"mqtt://localhost\"\ndatabase = \"x\"\nuser = \"u\"\n"), Err(ConfigError::NoPassword)));
        assert!(matches!(load("broker = \"mqtt://localhost\"\ndatabase = \"x\"\nwords = 1\n"), Err(ConfigError::Content(..))));
    }
}
