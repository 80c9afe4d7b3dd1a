//! The headers that a server answers with or decides by, beside those that every listener reads (RFC 3261 section 20).

use std::net::SocketAddr;

use sotto_private::{Transport, Wall};

use crate::sip::{Message, Start};

/// Header lines that are looked at.
const HEADERS: usize = 128;

/// How a message came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) at: Wall,
    /// Its number in the capture.
    pub(super) number: u64,
    /// The address that it came to.
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) transport: Transport,
}

/// A request with all that its answer repeats.
pub(super) struct Request<'a> {
    pub(super) arrival: Arrival,
    pub(super) message: &'a Message<'a>,
    pub(super) method: &'a [u8],
    pub(super) headers: Headers<'a>,
}

impl<'a> Request<'a> {
    /// `None` for a response.
    pub(super) fn of(arrival: Arrival, message: &'a Message<'a>, headers: Headers<'a>) -> Option<Self> {
        let Start::Request { method, .. } = message.start else { return None };
        Some(Self { arrival, message, method, headers })
    }
}

/// Header values as they stand, folded lines and all.
#[derive(Debug, Default)]
pub(super) struct Headers<'a> {
    pub(super) via: Vec<&'a [u8]>,
    pub(super) record_route: Vec<&'a [u8]>,
    pub(super) require: Vec<&'a [u8]>,
    pub(super) supported: Vec<&'a [u8]>,
    pub(super) from: Option<&'a [u8]>,
    pub(super) to: Option<&'a [u8]>,
    pub(super) call_id: Option<&'a [u8]>,
    pub(super) cseq: Option<&'a [u8]>,
    pub(super) contact: Option<&'a [u8]>,
    pub(super) content_length: Option<&'a [u8]>,
    pub(super) session_expires: Option<&'a [u8]>,
}

impl<'a> Headers<'a> {
    /// Reads what stands before the empty line. What cannot be read is not there.
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        let mut headers = Self::default();
        let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
        let mut rest = bytes.get(start..).unwrap_or_default();
        // The first line is the request's.
        take_line(&mut rest);
        for _ in 0..HEADERS {
            let Some(line) = take_line(&mut rest) else { break };
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            headers.put(name.trim_ascii(), value.get(1..).unwrap_or_default().trim_ascii());
        }
        headers
    }

    fn put(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |long: &[u8], short: &[u8]| name.eq_ignore_ascii_case(long) || (!short.is_empty() && name.eq_ignore_ascii_case(short));
        let one = match () {
            () if is(b"Via", b"v") => return self.via.push(value),
            () if is(b"Record-Route", b"") => return self.record_route.push(value),
            () if is(b"Require", b"") => return self.require.push(value),
            () if is(b"Supported", b"k") => return self.supported.push(value),
            () if is(b"From", b"f") => &mut self.from,
            () if is(b"To", b"t") => &mut self.to,
            () if is(b"Call-ID", b"i") => &mut self.call_id,
            () if is(b"CSeq", b"") => &mut self.cseq,
            () if is(b"Contact", b"m") => &mut self.contact,
            () if is(b"Content-Length", b"l") => &mut self.content_length,
            () if is(b"Session-Expires", b"x") => &mut self.session_expires,
            () => return,
        };
        one.get_or_insert(value);
    }

    /// Whether the client says that it knows an extension.
    pub(super) fn supports(&self, tag: &[u8]) -> bool {
        tags(&self.supported).any(|known| known.eq_ignore_ascii_case(tag))
    }

    /// The extensions that must be known and are not.
    pub(super) fn unsupported(&self, known: &[&[u8]]) -> Vec<&'a [u8]> {
        tags(&self.require).filter(|tag| !known.iter().any(|known| known.eq_ignore_ascii_case(tag))).collect()
    }
}

/// The first of several values that stand apart by commas outside quotes and angle brackets.
pub(super) fn first_value(value: &[u8]) -> &[u8] {
    let (mut quoted, mut angle) = (false, false);
    let end = value.iter().position(|byte| {
        match byte {
            b'"' => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            _ => {}
        }
        *byte == b',' && !quoted && !angle
    });
    value.get(..end.unwrap_or(value.len())).unwrap_or_default().trim_ascii_end()
}

fn tags<'a>(values: &[&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    values.iter().flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty())
}

/// The next header line with the lines folded into it (RFC 3261 section 7.3.1). Takes one byte at least.
fn take_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let whole = *rest;
    if whole.is_empty() {
        return None;
    }
    let mut end = 0;
    loop {
        let tail = whole.get(end..).unwrap_or_default();
        let Some(length) = tail.iter().position(|byte| *byte == b'\n') else {
            end = whole.len();
            break;
        };
        let is_empty = end == 0 && tail.get(..length).unwrap_or_default().trim_ascii().is_empty();
        end += length + 1;
        if is_empty || !matches!(whole.get(end), Some(b' ' | b'\t')) {
            break;
        }
    }
    let (line, after) = whole.split_at(end);
    *rest = after;
    Some(line.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_folded_compact_and_many() {
        let text = b"\r\nINVITE sip:a SIP/2.0\r\nv: one;branch=1,\r\n two\r\nVia: three\r\nk: timer\r\nRequire: siprec , x,,y\r\nm: <sip:b>\r\n\r\nVia: body";
        let headers = Headers::of(text);
        assert_eq!(headers.via, [&b"one;branch=1,\r\n two"[..], b"three"]);
        assert!(headers.supports(b"TIMER") && !headers.supports(b"siprec"));
        assert_eq!(headers.unsupported(&[b"siprec"]), [b"x", b"y"]);
        assert_eq!(headers.contact, Some(&b"<sip:b>"[..]));
        assert!(Headers::of(b"").via.is_empty() && Headers::of(b"x\nVia").via.is_empty());
    }
}
