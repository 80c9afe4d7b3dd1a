//! TLS: rustls with ring, TLS 1.2 and 1.3. The broker's certificate is always checked; there is no way to say otherwise.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// How the broker is believed, and how we show who we are.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
}

/// The certificate authorities that are believed.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// Those of the operating system.
    System,
    /// Those of this PEM text alone.
    Pem(&'a [u8]),
}

/// Our own certificate, for brokers that ask for one.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The chain, PEM, our own first.
    pub certificates: &'a [u8],
    /// Its private key, PEM.
    pub key: &'a [u8],
}

/// Why TLS cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// The system has no certificate authorities.
    NoSystemRoots,
    /// The PEM text holds no certificate authority.
    NoRoots,
    /// A certificate that cannot be read.
    Certificate,
    /// A private key that cannot be read.
    Key,
    /// The private key does not belong to the certificate.
    Identity,
    /// The provider lacks a protocol version.
    Provider,
}

impl fmt::Display for TlsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSystemRoots => "the system has no certificate authorities; install ca-certificates, or name a CA file",
            Self::NoRoots => "the CA file holds no certificate (PEM)",
            Self::Certificate => "a certificate cannot be read (PEM)",
            Self::Key => "the private key cannot be read (PEM: PKCS#8, PKCS#1 or SEC1)",
            Self::Identity => "the private key does not belong to the client certificate",
            Self::Provider => "TLS 1.2 and 1.3 are not available",
        })
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Builds it from the bytes of PEM files.
    ///
    /// # Errors
    /// Files that hold no certificate or key, or that do not belong together.
    pub fn new(roots: Roots<'_>, identity: Option<Identity<'_>>) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|_| TlsError::Provider)?;
        let builder = builder.with_root_certificates(store(roots)?);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificates = read(identity.certificates)?;
                if certificates.is_empty() {
                    return Err(TlsError::Certificate);
                }
                let key = PrivateKeyDer::from_pem_slice(identity.key).map_err(|_| TlsError::Key)?;
                builder.with_client_auth_cert(certificates, key).map_err(|_| TlsError::Identity)?
            }
        };
        Ok(Self { config: Arc::new(config) })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls(..)")
    }
}

fn store(roots: Roots<'_>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            // The system's list may hold a few that rustls cannot read; the others do.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() { Err(TlsError::NoSystemRoots) } else { Ok(store) }
        }
        Roots::Pem(text) => {
            for certificate in read(text)? {
                store.add(certificate).map_err(|_| TlsError::Certificate)?;
            }
            if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
        }
    }
}

fn read(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|_| TlsError::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert_eq!(Tls::new(Roots::Pem(b""), None).unwrap_err(), TlsError::NoRoots);
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(Tls::new(Roots::Pem(broken), None).unwrap_err(), TlsError::Certificate);
    }
}
