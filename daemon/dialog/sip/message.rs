//! A SIP message in one datagram, taken apart without copying.
//!
//! Lenient where phones are: compact names (RFC 3261 section 7.3.3), folded lines (7.3.1), a missing CR, any case, space around
//! the colon, several values in one line, empty lines in front (7.5). Every header that is not needed is stepped over unread.

use std::fmt;

/// The most bytes of one message.
const MESSAGE: usize = 64 << 10;
/// The most header lines of one message.
const HEADERS: usize = 128;
/// The most bytes of one header, folded lines included.
const LINE: usize = 8 << 10;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipFault {
    /// Neither a request line nor a status line.
    StartLine,
    /// The headers do not end: the message is cut.
    Cut,
    /// More bytes than a datagram holds.
    TooLong,
    /// More headers than any device sends.
    TooManyHeaders,
    /// A header of more than 8 KiB.
    HeaderTooLong,
    /// No Call-ID.
    CallId,
    /// No CSeq, or not a number and a method.
    CSeq,
    /// No From or no To.
    FromTo,
}

/// Where a message cannot be read, and why. It never quotes the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipError {
    /// Bytes from the message's start.
    pub offset: usize,
    /// What is wrong there.
    pub fault: SipFault,
}

impl fmt::Display for SipError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            SipFault::StartLine => "neither a request line nor a status line (RFC 3261 section 7.1)",
            SipFault::Cut => "the headers do not end (RFC 3261 section 7)",
            SipFault::TooLong => "over 64 KiB (RFC 3261 section 18.1.1)",
            SipFault::TooManyHeaders => "over 128 headers (RFC 3261 section 7.3)",
            SipFault::HeaderTooLong => "a header over 8 KiB (RFC 3261 section 7.3)",
            SipFault::CallId => "no Call-ID (RFC 3261 section 8.1.1.4)",
            SipFault::CSeq => "no usable CSeq (RFC 3261 section 8.1.1.5)",
            SipFault::FromTo => "no From or no To (RFC 3261 section 8.1.1)",
        };
        write!(formatter, "SIP, byte {}: {what}", self.offset)
    }
}

impl std::error::Error for SipError {}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// Method and Request-URI.
    Request { method: &'a [u8], uri: &'a [u8] },
    /// The status code.
    Response { code: u16 },
}

/// The parts of a message that a listener needs, as spans of the datagram. Values may hold folded lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) start: Start<'a>,
    pub(crate) call_id: &'a [u8],
    pub(crate) from: &'a [u8],
    pub(crate) to: &'a [u8],
    pub(crate) cseq: u32,
    pub(crate) method: &'a [u8],
    /// The branch of the topmost Via; empty where there is none (RFC 2543).
    pub(crate) branch: &'a [u8],
    pub(crate) asserted: Option<&'a [u8]>,
    pub(crate) content_type: Option<&'a [u8]>,
    /// Whether the body is in a coding such as gzip.
    pub(crate) encoded: bool,
    /// The body; `None` where the datagram ends before it does.
    pub(crate) body: Option<&'a [u8]>,
}

/// Whether a datagram is worth parsing as SIP: its first line begins or ends with SIP's version.
pub(crate) fn looks_like_sip(bytes: &[u8]) -> bool {
    let bytes = after_empty_lines(bytes);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.get(..line.len().min(LINE)).unwrap_or_default().trim_ascii_end();
    let is_version = |part: Option<&[u8]>| part.is_some_and(|part| part.eq_ignore_ascii_case(b"SIP/2.0"));
    is_version(line.get(..7)) || is_version(line.len().checked_sub(7).and_then(|at| line.get(at..)))
}

/// Takes a message apart.
///
/// # Errors
/// Where a header that identifies the dialog is missing, or a bound is exceeded.
pub(crate) fn parse<'a>(bytes: &'a [u8]) -> Result<Message<'a>, SipError> {
    if bytes.len() > MESSAGE {
        return Err(SipError { offset: MESSAGE, fault: SipFault::TooLong });
    }
    let mut lines = Lines { bytes, offset: bytes.len() - after_empty_lines(bytes).len() };
    let first = lines.offset;
    let start = start_line(lines.next()?).ok_or(SipError { offset: first, fault: SipFault::StartLine })?;
    let (mut call_id, mut from, mut to, mut cseq, mut via) = (None, None, None, None, None);
    let (mut asserted, mut content_type, mut content_length, mut encoded) = (None, None, None, false);
    let mut cseq_offset = first;
    for number in 0.. {
        let offset = lines.offset;
        let line = lines.next()?;
        if line.is_empty() {
            break;
        }
        if number == HEADERS {
            return Err(SipError { offset, fault: SipFault::TooManyHeaders });
        }
        // A line without a colon is stepped over: what matters may still follow.
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let set = |slot: &mut Option<&'a [u8]>| {
            // The first one counts; a second Call-ID or To cannot move a message into another dialog.
            if slot.is_none() {
                *slot = Some(value);
            }
        };
        match Name::of(name.trim_ascii()) {
            Some(Name::CallId) => set(&mut call_id),
            Some(Name::From) => set(&mut from),
            Some(Name::To) => set(&mut to),
            Some(Name::Via) => set(&mut via),
            Some(Name::CSeq) => {
                set(&mut cseq);
                cseq_offset = offset;
            }
            Some(Name::Asserted) => set(&mut asserted),
            Some(Name::ContentType) => set(&mut content_type),
            Some(Name::ContentLength) => set(&mut content_length),
            Some(Name::ContentEncoding) => encoded |= !value.is_empty() && !value.eq_ignore_ascii_case(b"identity"),
            None => {}
        }
    }
    let missing = |fault| SipError { offset: lines.offset, fault };
    let call_id = call_id.filter(|value| !value.is_empty()).ok_or_else(|| missing(SipFault::CallId))?;
    let (from, to) = from.zip(to).ok_or_else(|| missing(SipFault::FromTo))?;
    let cseq = cseq.ok_or_else(|| missing(SipFault::CSeq))?;
    let (cseq, method) = sequence(cseq).ok_or(SipError { offset: cseq_offset, fault: SipFault::CSeq })?;
    if let Start::Request { method: requested, .. } = start
        && requested != method
    {
        return Err(SipError { offset: cseq_offset, fault: SipFault::CSeq });
    }
    let rest = bytes.get(lines.offset..).unwrap_or_default();
    // A length that is no number says nothing; then, as without one, the datagram's end is the body's (RFC 3261 section 18.3).
    let body = match content_length.and_then(decimal) {
        Some(length) => usize::try_from(length).ok().and_then(|length| rest.get(..length)),
        None => Some(rest),
    };
    let branch = via.and_then(|via| parameter(first_value(via), b"branch")).unwrap_or_default();
    Ok(Message { start, call_id, from, to, cseq, method, branch, asserted, content_type, encoded, body })
}

impl Message<'_> {
    /// The body where it is a whole session description.
    pub(crate) fn sdp(&self) -> Option<&[u8]> {
        let kind = self.content_type?.split(|byte| *byte == b';').next()?.trim_ascii();
        (kind.eq_ignore_ascii_case(b"application/sdp") && !self.encoded).then_some(())?;
        self.body.filter(|body| !body.trim_ascii().is_empty())
    }
}

/// The headers that are read.
#[derive(Clone, Copy)]
enum Name {
    CallId,
    From,
    To,
    Via,
    CSeq,
    Asserted,
    ContentType,
    ContentLength,
    ContentEncoding,
}

impl Name {
    const ALL: [(&'static [u8], Self); 16] = [
        (b"Call-ID", Self::CallId),
        (b"i", Self::CallId),
        (b"From", Self::From),
        (b"f", Self::From),
        (b"To", Self::To),
        (b"t", Self::To),
        (b"Via", Self::Via),
        (b"v", Self::Via),
        (b"CSeq", Self::CSeq),
        (b"P-Asserted-Identity", Self::Asserted),
        (b"Content-Type", Self::ContentType),
        (b"c", Self::ContentType),
        (b"Content-Length", Self::ContentLength),
        (b"l", Self::ContentLength),
        (b"Content-Encoding", Self::ContentEncoding),
        (b"e", Self::ContentEncoding),
    ];

    fn of(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, name)| *name)
    }
}

/// Header lines, each with the lines folded into it; an empty one ends the headers.
struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a [u8], SipError> {
        let start = self.offset;
        let mut end = start;
        loop {
            let rest = self.bytes.get(end..).unwrap_or_default();
            let Some(length) = rest.iter().take(LINE).position(|byte| *byte == b'\n') else {
                let fault = if rest.len() > LINE { SipFault::HeaderTooLong } else { SipFault::Cut };
                return Err(SipError { offset: start, fault });
            };
            let empty = rest.get(..length).is_none_or(|line| line.trim_ascii().is_empty());
            end += length + 1;
            if end - start > LINE {
                return Err(SipError { offset: start, fault: SipFault::HeaderTooLong });
            }
            self.offset = end;
            // An empty line is never continued: what follows it is the body.
            let folded = matches!(self.bytes.get(end), Some(b' ' | b'\t')) && !empty;
            if !folded {
                return Ok(self.bytes.get(start..end).unwrap_or_default().trim_ascii());
            }
        }
    }
}

fn after_empty_lines(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

fn start_line(line: &[u8]) -> Option<Start<'_>> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let first = words.next()?;
    if first.eq_ignore_ascii_case(b"SIP/2.0") {
        let code = decimal(words.next()?)?;
        return (100..700).contains(&code).then_some(Start::Response { code: code as u16 });
    }
    let last = words.next_back()?;
    let is_method = first.iter().all(|byte| byte.is_ascii_graphic());
    (last.eq_ignore_ascii_case(b"SIP/2.0") && is_method).then_some(())?;
    let uri = line.get(first.len()..line.len() - last.len())?.trim_ascii();
    (!uri.is_empty()).then_some(Start::Request { method: first, uri })
}

/// `314159 INVITE` (RFC 3261 section 20.16).
fn sequence(value: &[u8]) -> Option<(u32, &[u8])> {
    let mut words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let number = u32::try_from(decimal(words.next()?)?).ok()?;
    Some((number, words.next()?))
}

/// A number of ASCII digits alone; `None` also where it is too large to mean anything.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

/// The first of several values separated by commas that stand outside quotes and angle brackets.
pub(super) fn first_value(value: &[u8]) -> &[u8] {
    let end = position_outside(value, b',').unwrap_or(value.len());
    value.get(..end).unwrap_or_default().trim_ascii()
}

/// The value of `;name=value` outside quotes and angle brackets; empty for `;name` alone.
pub(super) fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = value;
    while let Some(semicolon) = position_outside(rest, b';') {
        rest = rest.get(semicolon + 1..).unwrap_or_default();
        let end = position_outside(rest, b';').unwrap_or(rest.len());
        let item = rest.get(..end).unwrap_or_default();
        let equals = item.iter().position(|byte| *byte == b'=').unwrap_or(item.len());
        let (key, text) = item.split_at(equals);
        if key.trim_ascii().eq_ignore_ascii_case(name) {
            return Some(text.get(1..).unwrap_or_default().trim_ascii());
        }
    }
    None
}

/// Where a byte stands outside quotes and angle brackets.
pub(super) fn position_outside(value: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut escaped, mut angle) = (false, false, false);
    for (index, byte) in value.iter().copied().enumerate() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if !angle && byte == wanted {
            return Some(index);
        } else {
            match byte {
                b'"' => quoted = true,
                b'<' => angle = true,
                b'>' => angle = false,
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
