//! What a server says (RFC 3261 section 8.2.6), and where it says it (section 18.2.2, RFC 3581).

use std::net::{IpAddr, SocketAddr};

use sotto_private::{Reply, Transport};

use super::request::{Arrival, Headers, Request, first_value};
use crate::sip::parameter;

/// Methods that are answered (RFC 3261 section 20.5).
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE";
/// Extensions that are known: RFC 7866, RFC 4028.
pub(super) const SUPPORTED: [&[u8]; 4] = [b"siprec", b"timer", b"record-aware", b"100rel"];

/// A status and what goes with it.
#[derive(Debug, Default)]
pub(super) struct Response<'a> {
    pub(super) code: u16,
    /// The tag that To gets, where it has none yet.
    pub(super) tag: Option<&'a str>,
    /// Further lines, each with its end.
    pub(super) lines: String,
    /// Whether it opens or changes a dialog: it then repeats the route and says where this end is.
    pub(super) is_dialog: bool,
    pub(super) sdp: Option<&'a [u8]>,
}

impl<'a> Response<'a> {
    pub(super) fn new(code: u16) -> Self {
        Self { code, ..Self::default() }
    }

    pub(super) fn tagged(self, tag: &'a str) -> Self {
        Self { tag: Some(tag), ..self }
    }

    pub(super) fn line(mut self, line: &str) -> Self {
        self.lines.push_str(line);
        self.lines.push_str("\r\n");
        self
    }

    /// The reply to a request.
    pub(super) fn to(&self, request: &Request<'_>) -> Reply {
        self.to_headers(request.arrival, &request.headers)
    }

    /// The reply to a request of which nothing but its headers could be read.
    pub(super) fn to_headers(&self, arrival: Arrival, headers: &Headers<'_>) -> Reply {
        let mut out = format!("SIP/2.0 {} {}\r\n", self.code, reason(self.code)).into_bytes();
        let mut put = |name: &str, parts: &[&[u8]]| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            for part in parts {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(b"\r\n");
        };
        let mut destination = arrival.remote;
        for (index, via) in headers.via.iter().enumerate() {
            if index == 0 {
                let top = first_value(via);
                let rest = via.get(top.len()..).unwrap_or_default();
                destination = self::destination(top, arrival);
                put("Via", &[&stamped(top, arrival.remote), rest]);
            } else {
                put("Via", &[via]);
            }
        }
        for route in headers.record_route.iter().filter(|_| self.is_dialog) {
            put("Record-Route", &[route]);
        }
        put("From", &[headers.from.unwrap_or_default()]);
        let to = headers.to.unwrap_or_default();
        match self.tag.filter(|_| parameter(first_value(to), b"tag").is_none()) {
            Some(tag) => put("To", &[to, b";tag=", tag.as_bytes()]),
            None => put("To", &[to]),
        }
        put("Call-ID", &[headers.call_id.unwrap_or_default()]);
        put("CSeq", &[headers.cseq.unwrap_or_default()]);
        if self.is_dialog {
            put("Contact", &[contact(arrival).as_bytes()]);
        }
        out.extend_from_slice(self.lines.as_bytes());
        if let Some(sdp) = self.sdp {
            out.extend_from_slice(b"Content-Type: application/sdp\r\n");
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", sdp.len()).as_bytes());
            out.extend_from_slice(sdp);
        } else {
            out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        }
        Reply::new(arrival.local, destination, arrival.transport, out)
    }
}

/// This end, marked as a recording server (RFC 7866 section 6.2.1).
pub(super) fn contact(arrival: Arrival) -> String {
    let transport = match arrival.transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
    };
    format!("<sip:sotto@{}{transport}>;+sip.srs", arrival.local)
}

/// Over UDP to where the topmost Via says, but never to another host than the one that asked; over TCP on the same connection.
fn destination(via: &[u8], arrival: Arrival) -> SocketAddr {
    if arrival.transport == Transport::Tcp || parameter(via, b"rport").is_some() {
        return arrival.remote;
    }
    SocketAddr::new(arrival.remote.ip(), sent_by(via).1.unwrap_or(5060))
}

/// Host and port of a Via value: `SIP/2.0/UDP host:port;branch=...`.
fn sent_by(via: &[u8]) -> (&[u8], Option<u16>) {
    let before = via.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let name = before.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
    let is_bracketed_whole = name.last() == Some(&b']');
    match name.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !is_bracketed_whole => {
            let port = name.get(colon + 1..).and_then(|port| std::str::from_utf8(port).ok()).and_then(|port| port.parse().ok());
            (name.get(..colon).unwrap_or_default(), port)
        }
        _ => (name, None),
    }
}

/// The topmost Via with where the request really came from.
fn stamped(via: &[u8], remote: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(via.len() + 48);
    let mut wants_received = true;
    let mut is_asked = false;
    for (index, item) in via.split(|byte| *byte == b';').enumerate() {
        if index > 0 {
            out.push(b';');
        }
        let name = item.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        wants_received &= !name.eq_ignore_ascii_case(b"received");
        if name.eq_ignore_ascii_case(b"rport") {
            is_asked = true;
            out.extend_from_slice(format!("rport={}", remote.port()).as_bytes());
        } else {
            out.extend_from_slice(item);
        }
    }
    let host = sent_by(via).0;
    let host = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    let named = std::str::from_utf8(host).ok().and_then(|host| host.parse::<IpAddr>().ok());
    if wants_received && (is_asked || named != Some(remote.ip())) {
        out.extend_from_slice(format!(";received={}", remote.ip()).as_bytes());
    }
    out
}

const fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        415 => "Unsupported Media Type",
        420 => "Bad Extension",
        481 => "Call/Transaction Does Not Exist",
        486 => "Busy Here",
        488 => "Not Acceptable Here",
        _ => "Server Internal Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sotto_private::Wall;

    #[test]
    fn via_says_where_it_came_from_and_the_answer_goes_no_other_host() {
        let remote: SocketAddr = "192.0.2.9:40000".parse().unwrap();
        let arrival = |transport| Arrival { at: Wall::default(), number: 1, local: "192.0.2.1:5060".parse().unwrap(), remote, transport };
        let cases: [(&[u8], &str, u16); 6] = [
            (b"SIP/2.0/UDP 192.0.2.9:5070;branch=z", "SIP/2.0/UDP 192.0.2.9:5070;branch=z", 5070),
            (b"SIP/2.0/UDP 192.0.2.9;branch=z", "SIP/2.0/UDP 192.0.2.9;branch=z", 5060),
            (b"SIP/2.0/UDP sbc:5070 ;rport;branch=z", "SIP/2.0/UDP sbc:5070 ;rport=40000;branch=z;received=192.0.2.9", 40000),
            (b"SIP/2.0/UDP 203.0.113.1:7;branch=z", "SIP/2.0/UDP 203.0.113.1:7;branch=z;received=192.0.2.9", 7),
            (b"SIP/2.0/UDP [2001:db8::1];branch=z", "SIP/2.0/UDP [2001:db8::1];branch=z;received=192.0.2.9", 5060),
            (b"", ";received=192.0.2.9", 5060),
        ];
        for (via, stamp, port) in cases {
            assert_eq!(String::from_utf8(stamped(via, remote)).unwrap(), stamp);
            assert_eq!(destination(via, arrival(Transport::Udp)), SocketAddr::new(remote.ip(), port));
            assert_eq!(destination(via, arrival(Transport::Tcp)), remote);
        }
    }
}
