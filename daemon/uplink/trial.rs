//! Whether the broker would take us: tried once, beside the uplink that may be running, and nothing is published.

use std::fmt;
use std::io;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event as Happening};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConnection};

use crate::event::Loss;
use crate::mqtt;
use crate::{Broker, Credentials, Tls};

/// For each step.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far it came.
#[derive(Debug)]
pub struct Trial {
    /// Where the broker's name leads; empty where it leads nowhere.
    pub addresses: Vec<IpAddr>,
    /// The connection by TCP to the first of them that answers; `None` where it was not tried.
    pub reached: Option<io::Result<()>>,
    /// TLS, and when the broker's own certificate ends, seconds since 1970; `None` where it was not tried.
    pub secured: Option<Result<i64, TlsFault>>,
    /// The CONNACK; `None` where it was not tried.
    pub accepted: Option<Result<(), Loss>>,
}

/// Why TLS failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The broker's certificate has ended.
    Expired,
    /// The broker's certificate does not hold yet: by this machine's clock.
    NotYet,
    /// Nobody whom we believe signed it.
    UnknownIssuer,
    /// It is for another name.
    OtherName,
    /// It does not hold for another reason.
    Certificate,
    /// The broker does not believe our own certificate, or wants one.
    OurCertificate,
    /// No TLS came of it: another protocol at this port, or none in common.
    NoTls,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Expired => "the broker's certificate has ended",
            Self::NotYet => "the broker's certificate does not hold yet, by this machine's clock",
            Self::UnknownIssuer => "nobody whom this box believes signed the broker's certificate",
            Self::OtherName => "the broker's certificate is for another name",
            Self::Certificate => "the broker's certificate does not hold",
            Self::OurCertificate => "the broker does not believe this box's own certificate, or wants one",
            Self::NoTls => "no TLS is spoken at this port, or none in common",
        })
    }
}

/// Connects once, under a client id that no box has, so that an uplink that runs keeps its session. Takes a few times five seconds at most.
pub async fn try_broker(broker: &Broker, credentials: Option<&Credentials>, tls: Option<&Tls>, client_id: String) -> Trial {
    let mut trial = Trial { addresses: Vec::new(), reached: None, secured: None, accepted: None };
    let host = broker.host().trim_start_matches('[').trim_end_matches(']');
    let Ok(found) = (host, broker.port()).to_socket_addrs() else { return trial };
    let found: Vec<_> = found.collect();
    trial.addresses = found.iter().map(|address| address.ip()).collect();
    let mut stream = Err(io::ErrorKind::AddrNotAvailable.into());
    for address in &found {
        stream = TcpStream::connect_timeout(address, PATIENCE);
        if stream.is_ok() {
            break;
        }
    }
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => return Trial { reached: Some(Err(error)), ..trial },
    };
    trial.reached = Some(Ok(()));
    if let Some(tls) = tls.filter(|_| broker.is_encrypted()) {
        let secured = secure(stream, host, tls);
        let is_secure = secured.is_ok();
        trial.secured = Some(secured);
        if !is_secure {
            return trial;
        }
    }
    let mut options = mqtt::options(broker, credentials, tls, client_id);
    options.set_clean_start(true);
    let (client, mut events) = AsyncClient::new(options, 1);
    let asked = async {
        loop {
            match events.poll().await {
                Ok(Happening::Incoming(Packet::ConnAck(_))) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(mqtt::loss(&error)),
            }
        }
    };
    let accepted = tokio::time::timeout(2 * PATIENCE, asked).await.unwrap_or(Err(Loss::Timeout));
    if accepted.is_ok() && client.try_disconnect().is_ok() {
        // Until it has been written; what comes then is nobody's business.
        let said = async { while events.poll().await.is_ok() {} };
        drop(tokio::time::timeout(Duration::from_secs(1), said).await);
    }
    Trial { accepted: Some(accepted), ..trial }
}

/// When each certificate of a PEM text ends, seconds since 1970, in their order; those that cannot be read are left out.
#[must_use]
pub fn ends_of(pem: &[u8]) -> Vec<i64> {
    CertificateDer::pem_slice_iter(pem).flatten().filter_map(|certificate| end_of(&certificate)).collect()
}

/// The handshake alone.
fn secure(mut stream: TcpStream, host: &str, tls: &Tls) -> Result<i64, TlsFault> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsFault::OtherName)?;
    let mut connection = ClientConnection::new(Arc::clone(&tls.config), name).map_err(|_| TlsFault::NoTls)?;
    let timed = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    timed.map_err(|_| TlsFault::NoTls)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| fault(&error))?;
    }
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    certificate.and_then(end_of).ok_or(TlsFault::Certificate)
}

/// When a certificate ends (RFC 5280, 4.1.2.5), seconds since 1970; `None` where it cannot be read.
pub(crate) fn end_of(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn fault(error: &io::Error) -> TlsFault {
    let Some(error) = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>()) else { return TlsFault::NoTls };
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => TlsFault::Expired,
        rustls::Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => TlsFault::NotYet,
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => TlsFault::UnknownIssuer,
        rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => TlsFault::OtherName,
        rustls::Error::InvalidCertificate(_) => TlsFault::Certificate,
        rustls::Error::AlertReceived(_) => TlsFault::OurCertificate,
        _ => TlsFault::NoTls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_at(port: u16) -> Trial {
        let broker = Broker::parse(&format!("mqtt://127.0.0.1:{port}"), false).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(try_broker(&broker, None, None, "sotto-trial".to_owned()))
    }

    #[test]
    fn who_does_not_listen_is_not_reached() {
        // Bound and let go again: nobody listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let trial = try_at(port);
        assert_eq!(trial.addresses, [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(trial.reached.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(trial.accepted.is_none());
    }

    #[test]
    fn a_refusal_comes_back_in_its_own_words() {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let broker = std::thread::spawn(move || {
            // The first connection only looks whether somebody is there.
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut connect = [0; 256];
            assert!(stream.read(&mut connect).unwrap() > 0);
            // CONNACK (MQTT 5, 3.2): reason code 0x86, no property.
            stream.write_all(&[0x20, 3, 0, 0x86, 0]).unwrap();
        });
        let trial = try_at(port);
        broker.join().unwrap();
        assert_eq!(trial.accepted, Some(Err(Loss::BadCredentials)));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        assert!(ends_of(b"").is_empty());
        assert!(ends_of(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_empty());
    }
}
