//! TLS: rustls with ring, TLS 1.2 and 1.3. The broker's certificate is always checked; there is no way to say otherwise.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::trial::end_of;

/// How the broker is believed, and how we show who we are.
#[derive(Clone)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// When our own certificate ends; seconds since 1970.
    own_ends_s: Option<i64>,
    broker_ends_s: Arc<AtomicI64>,
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
        let broker_ends_s = Arc::new(AtomicI64::new(UNKNOWN));
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(store(roots)?), Arc::clone(&provider)).build().map_err(|_| TlsError::NoRoots)?;
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|_| TlsError::Provider)?;
        // What rustls calls dangerous is to judge otherwise: ours asks its own judge, and writes down until when.
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Noting { judge, ends_s: Arc::clone(&broker_ends_s) }));
        let mut own_ends_s = None;
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificates = read(identity.certificates)?;
                if certificates.is_empty() {
                    return Err(TlsError::Certificate);
                }
                own_ends_s = certificates.iter().filter_map(end_of).min();
                let key = PrivateKeyDer::from_pem_slice(identity.key).map_err(|_| TlsError::Key)?;
                builder.with_client_auth_cert(certificates, key).map_err(|_| TlsError::Identity)?
            }
        };
        Ok(Self { config: Arc::new(config), own_ends_s, broker_ends_s })
    }

    /// When the first certificate ends that the connection rests on, seconds since 1970: ours, or the broker's once it has shown it.
    #[must_use]
    pub fn ends_s(&self) -> Option<i64> {
        let broker = self.broker_ends_s.load(Ordering::Relaxed);
        self.own_ends_s.into_iter().chain((broker != UNKNOWN).then_some(broker)).min()
    }
}

/// No broker has shown its certificate yet.
const UNKNOWN: i64 = i64::MAX;

/// Judges as rustls does, and notes when what it believed ends.
#[derive(Debug)]
struct Noting {
    judge: Arc<WebPkiServerVerifier>,
    ends_s: Arc<AtomicI64>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.judge.verify_server_cert(end_entity, intermediates, name, ocsp, now)?;
        if let Some(ends_s) = [end_entity].into_iter().chain(intermediates).filter_map(end_of).min() {
            self.ends_s.store(ends_s, Ordering::Relaxed);
        }
        Ok(verified)
    }

    fn verify_tls12_signature(&self, message: &[u8], certificate: &CertificateDer<'_>, signed: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(&self, message: &[u8], certificate: &CertificateDer<'_>, signed: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
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
