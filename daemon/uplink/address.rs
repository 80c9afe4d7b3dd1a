//! Where the broker is, and who we are to it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// A broker's address, checked: encrypted, or on this very machine, or named as dangerous.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    host: String,
    port: u16,
    is_encrypted: bool,
}

/// Why an address is refused. It does not quote the address, which might hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrokerError {
    /// Neither `mqtts://` nor `mqtt://`.
    Scheme,
    /// No host, or one with characters that no host has.
    Host,
    /// A port that is none.
    Port,
    /// A user name or password within the address.
    Credentials,
    /// `mqtt://` to another machine.
    Plaintext,
    /// `mqtts://` to an IPv6 address.
    EncryptedIpv6,
}

impl fmt::Display for BrokerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Scheme => "the broker's address must be mqtts://host:port (or mqtt://localhost:port)",
            Self::Host => "the broker's address has no proper host",
            Self::Port => "the broker's port must be 1 to 65535, with nothing behind it",
            Self::Credentials => "the broker's user name and password belong into their own files, not into the address",
            Self::Plaintext => "mqtt:// is not encrypted and is taken on the loopback interface only; use mqtts://, or say danger_plaintext = true",
            Self::EncryptedIpv6 => "mqtts:// needs a host name or an IPv4 address, as certificates are checked against it",
        })
    }
}

impl std::error::Error for BrokerError {}

impl Broker {
    /// Reads `mqtts://host[:8883]` or `mqtt://host[:1883]`; the latter for this machine alone, unless `danger_plaintext`.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(address: &str, danger_plaintext: bool) -> Result<Self, BrokerError> {
        let (scheme, rest) = address.split_once("://").ok_or(BrokerError::Scheme)?;
        let (is_encrypted, default_port) = match scheme {
            "mqtts" => (true, 8883),
            "mqtt" => (false, 1883),
            _ => return Err(BrokerError::Scheme),
        };
        if rest.contains('@') {
            return Err(BrokerError::Credentials);
        }
        let (host, port) = split(rest.strip_suffix('/').unwrap_or(rest))?;
        let port = match port {
            None => default_port,
            Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or(BrokerError::Port)?,
        };
        if is_encrypted && host.starts_with('[') {
            return Err(BrokerError::EncryptedIpv6);
        }
        if !is_encrypted && !is_loopback(host) && !danger_plaintext {
            return Err(BrokerError::Plaintext);
        }
        Ok(Self { host: host.to_owned(), port, is_encrypted })
    }

    /// Host name or address; IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is spoken to under TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }
}

/// Host and port.
fn split(rest: &str) -> Result<(&str, Option<&str>), BrokerError> {
    if rest.starts_with('[') {
        let end = rest.find(']').ok_or(BrokerError::Host)?;
        let (host, port) = rest.split_at(end + 1);
        host[1..end].parse::<Ipv6Addr>().map_err(|_| BrokerError::Host)?;
        return match port.strip_prefix(':') {
            None if port.is_empty() => Ok((host, None)),
            None => Err(BrokerError::Port),
            port => Ok((host, port)),
        };
    }
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if host.is_empty() || !host.chars().all(fits) { Err(BrokerError::Host) } else { Ok((host, port)) }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// User name and password. They are in no log and in no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
}

impl Credentials {
    /// Takes them as they are.
    #[must_use]
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// For the CONNECT packet alone.
    pub(crate) fn reveal(&self) -> (&str, &str) {
        (&self.user, &self.password)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_is_the_rule() {
        let broker = Broker::parse("mqtts://broker.example", false).unwrap();
        assert_eq!((broker.host(), broker.port(), broker.is_encrypted()), ("broker.example", 8883, true));
        for here in ["mqtt://localhost", "mqtt://127.0.0.1:1884/", "mqtt://[::1]:1884", "mqtt://127.8.8.8"] {
            assert!(!Broker::parse(here, false).unwrap().is_encrypted(), "{here}");
        }
        for elsewhere in ["mqtt://broker.example", "mqtt://10.0.0.1:1883", "mqtt://[fe80::1]", "mqtt://localhost.example", "mqtt://127.0.0.1.example"] {
            assert_eq!(Broker::parse(elsewhere, false), Err(BrokerError::Plaintext), "{elsewhere}");
            assert!(Broker::parse(elsewhere, true).is_ok(), "{elsewhere}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (wrong, error) in [
            ("broker.example:8883", BrokerError::Scheme),
            ("http://broker.example", BrokerError::Scheme),
            ("mqtts://", BrokerError::Host),
            ("mqtts://a b", BrokerError::Host),
            ("mqtts://a/b", BrokerError::Host),
            ("mqtt://[::1", BrokerError::Host),
            ("mqtt://[::1]x", BrokerError::Port),
            ("mqtts://a:0", BrokerError::Port),
            ("mqtts://a:65536", BrokerError::Port),
            ("mqtts://a:8883/x", BrokerError::Port),
            ("mqtts://[::1]", BrokerError::EncryptedIpv6),
        ] {
            assert_eq!(Broker::parse(wrong, false), Err(error), "{wrong}");
        }
        let error = Broker::parse("mqtts://user:Tr0ub4dor@a", false).unwrap_err();
        assert_eq!(error, BrokerError::Credentials);
        assert!(!error.to_string().contains("Tr0ub4dor"));
    }

    #[test]
    fn credentials_do_not_show() {
        let credentials = Credentials::new("harbor-box", "Tr0ub4dor");
        let shown = format!("{credentials:?} {credentials:#?}");
        assert!(!shown.contains("Tr0ub4dor") && !shown.contains("harbor-box"), "{shown}");
    }
}
