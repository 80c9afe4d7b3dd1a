//! A SIP message, taken apart without copying.
//!
//! Lenient where phones are: compact names (RFC 3261 section 7.3.3), folded lines (7.3.1), a missing CR, any case, space around
//! the colon, several values in one line, empty lines in front (7.5). Every header that is not needed is stepped over unread. What an
//! element should refuse with a 400 is read all the same where it is clear what it says: that refusal is heard, too. What would move a
//! message into another dialog is refused.

use std::fmt;

/// The most bytes of one datagram.
const DATAGRAM: usize = 64 << 10;
/// The most bytes of a message on a stream (RFC 3261 section 18.1.1 sets none); of a longer one the headers alone are read.
pub(crate) const MESSAGE: usize = 128 << 10;
/// The most header lines of one message.
const HEADERS: usize = 128;
/// The most bytes of one header, folded lines included.
const LINE: usize = 8 << 10;

/// The most parts of one body that are looked at.
const PARTS: usize = 8;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SipFault {
    /// Neither a request line nor a status line.
    StartLine,
    /// The headers do not end: the message is cut.
    Cut,
    /// More bytes than a message may have.
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
    /// A header that names the dialog comes twice and differs.
    Repeated,
    /// On a stream: no usable Content-Length, so nobody knows where the message ends.
    Length,
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
            SipFault::Repeated => "a second Call-ID, CSeq, From or To that differs (RFC 3261 section 7.3.1)",
            SipFault::Length => "no usable Content-Length on a stream (RFC 3261 section 18.3)",
        };
        write!(formatter, "SIP, byte {}: {what}", self.offset)
    }
}

impl std::error::Error for SipError {}

/// The first line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request.
    Request {
        /// The method.
        method: &'a [u8],
        /// The Request-URI.
        uri: &'a [u8],
    },
    /// A response.
    Response {
        /// The status code, 100 to 699.
        code: u16,
    },
}

/// The parts of a message that a listener needs, as spans of it. Values may hold folded lines.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The first line.
    pub start: Start<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// From, as it is written; [`Address::of`](super::Address::of) reads it.
    pub from: &'a [u8],
    /// To, as it is written.
    pub to: &'a [u8],
    /// The number in CSeq.
    pub cseq: u32,
    /// The method in CSeq.
    pub method: &'a [u8],
    /// The branch of the topmost Via; empty where there is none (RFC 2543).
    pub branch: &'a [u8],
    /// P-Asserted-Identity (RFC 3325).
    pub asserted: Option<&'a [u8]>,
    /// Contact.
    pub contact: Option<&'a [u8]>,
    /// Refer-To (RFC 3515).
    pub refer_to: Option<&'a [u8]>,
    /// Replaces (RFC 3891).
    pub replaces: Option<&'a [u8]>,
    /// Target-Dialog (RFC 4538).
    pub target_dialog: Option<&'a [u8]>,
    /// Session-Expires (RFC 4028), seconds.
    pub session_expires: Option<u32>,
    /// Content-Type.
    pub content_type: Option<&'a [u8]>,
    /// Content-Length, where it is a number, and one.
    pub content_length: Option<u64>,
    /// Whether the body is in a coding such as gzip.
    pub encoded: bool,
    /// First line and headers as they stand.
    pub lines: &'a [u8],
    /// Bytes up to the body.
    pub head: usize,
    /// The body; `None` where the message is cut before its end, or nobody can say where that is.
    pub body: Option<&'a [u8]>,
}

impl fmt::Debug for Start<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request { .. } => formatter.write_str("Request"),
            Self::Response { code } => write!(formatter, "Response({code})"),
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Message").field("start", &self.start).finish_non_exhaustive()
    }
}

/// Whether a datagram is worth parsing as SIP: its first line begins or ends with SIP's version.
pub(crate) fn looks_like_sip(bytes: &[u8]) -> bool {
    let bytes = after_empty_lines(bytes);
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.get(..line.len().min(LINE)).unwrap_or_default().trim_ascii_end();
    let is_version = |part: Option<&[u8]>| part.is_some_and(|part| part.eq_ignore_ascii_case(b"SIP/2.0"));
    is_version(line.get(..7)) || is_version(line.len().checked_sub(7).and_then(|at| line.get(at..)))
}

/// Takes the message in a datagram apart.
///
/// # Errors
/// Where a header that identifies the dialog is missing, or a bound is exceeded.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, SipError> {
    if bytes.len() > DATAGRAM {
        return Err(SipError { offset: DATAGRAM, fault: SipFault::TooLong });
    }
    let (mut message, is_contradictory) = head(bytes)?;
    let rest = bytes.get(message.head..).unwrap_or_default();
    message.body = match message.content_length {
        _ if is_contradictory => None,
        Some(length) => usize::try_from(length).ok().and_then(|length| rest.get(..length)),
        // A length that is no number says nothing; then, as without one, the datagram's end is the body's (RFC 3261 section 18.3).
        None => Some(rest),
    };
    Ok(message)
}

/// Takes the first message on a stream apart. Its body is `None` as long as it is not all there.
///
/// # Errors
/// As [`parse`]; and where there is no Content-Length, without which a message on a stream has no end.
pub(crate) fn parse_on_stream(bytes: &[u8]) -> Result<Message<'_>, SipError> {
    let (mut message, is_contradictory) = head(bytes)?;
    let length = message.content_length.filter(|_| !is_contradictory);
    let length = length.ok_or(SipError { offset: message.head, fault: SipFault::Length })?;
    message.body = usize::try_from(length).ok().and_then(|length| bytes.get(message.head..message.head.checked_add(length)?));
    Ok(message)
}

/// First line and headers; and whether the message says two different lengths of itself.
fn head(bytes: &[u8]) -> Result<(Message<'_>, bool), SipError> {
    let mut lines = Lines { bytes, offset: bytes.len() - after_empty_lines(bytes).len() };
    let first = lines.offset;
    let start = start_line(lines.next()?).ok_or(SipError { offset: first, fault: SipFault::StartLine })?;
    let mut values: [Option<&[u8]>; Name::COUNT] = [None; Name::COUNT];
    let (mut is_contradictory, mut encoded, mut cseq_offset) = (false, false, first);
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
        let Some(name) = Name::of(name.trim_ascii()) else { continue };
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        match name {
            Name::ContentEncoding => encoded |= !value.is_empty() && !value.eq_ignore_ascii_case(b"identity"),
            Name::CSeq => cseq_offset = offset,
            _ => {}
        }
        match values[name as usize].replace(value) {
            None => {}
            Some(before) if before == value => {}
            // It could move the message into another dialog.
            Some(_) if name.is_identity() => return Err(SipError { offset, fault: SipFault::Repeated }),
            Some(before) => {
                is_contradictory |= name == Name::ContentLength;
                values[name as usize] = Some(before);
            }
        }
    }
    let value = |name: Name| values[name as usize];
    let missing = |fault| SipError { offset: lines.offset, fault };
    let call_id = value(Name::CallId).filter(|value| !value.is_empty()).ok_or_else(|| missing(SipFault::CallId))?;
    let (from, to) = value(Name::From).zip(value(Name::To)).ok_or_else(|| missing(SipFault::FromTo))?;
    let cseq = value(Name::CSeq).ok_or_else(|| missing(SipFault::CSeq))?;
    let (cseq, method) = sequence(cseq).ok_or(SipError { offset: cseq_offset, fault: SipFault::CSeq })?;
    if let Start::Request { method: requested, .. } = start
        && requested != method
    {
        return Err(SipError { offset: cseq_offset, fault: SipFault::CSeq });
    }
    let seconds = |value: &[u8]| u32::try_from(decimal(value.split(|byte| *byte == b';').next()?.trim_ascii())?).ok();
    let message = Message {
        start,
        call_id,
        from,
        to,
        cseq,
        method,
        branch: value(Name::Via).and_then(|via| parameter(first_value(via), b"branch")).unwrap_or_default(),
        asserted: value(Name::Asserted),
        contact: value(Name::Contact),
        refer_to: value(Name::ReferTo),
        replaces: value(Name::Replaces),
        target_dialog: value(Name::TargetDialog),
        session_expires: value(Name::SessionExpires).and_then(seconds),
        content_type: value(Name::ContentType),
        content_length: value(Name::ContentLength).and_then(decimal),
        encoded,
        lines: bytes.get(first..lines.offset).unwrap_or_default(),
        head: lines.offset,
        body: None,
    };
    Ok((message, is_contradictory))
}

impl<'a> Message<'a> {
    /// The session description: the body, or the part of several that is one (RFC 5621 section 3.1).
    pub(crate) fn sdp(&self) -> Option<&'a [u8]> {
        self.body_of(b"application/sdp").or_else(|| self.sdp_among_parts())
    }

    /// Of a body of several parts, such as an INVITE that came from the telephone network has (RFC 3372).
    fn sdp_among_parts(&self) -> Option<&'a [u8]> {
        const RECORDING: &[u8] = b"application/rs-metadata";
        let body = self.body_of(b"multipart/mixed")?;
        let boundary = parameter(self.content_type?, b"boundary")?;
        let boundary = boundary.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(boundary);
        let mut parts = Vec::new();
        let (mut offset, mut open) = (0, None);
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            let start = offset;
            offset += line.len();
            let Some(rest) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary)) else { continue };
            if let Some(begin) = open.replace(offset) {
                parts.push(part(body.get(begin..start)?));
            }
            if rest.starts_with(b"--") || parts.len() == PARTS {
                break;
            }
        }
        let kind = |(kind, _): &(&[u8], &[u8]), wanted: &[u8]| kind.get(..wanted.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(wanted));
        // What a recording client describes is a copy of a call, and no call (RFC 7866).
        let is_recording = parts.iter().any(|part| kind(part, RECORDING));
        let found = parts.iter().find(|part| kind(part, b"application/sdp"));
        found.filter(|(_, body)| !is_recording && !body.is_empty()).map(|(_, body)| *body)
    }

    /// The first header of this name, as it stands: one that this listener does not know by itself.
    pub(crate) fn header(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        let mut lines = Lines { bytes: self.lines, offset: 0 };
        lines.next().ok()?;
        while let Ok(line) = lines.next() {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = line.split_at(colon);
            if name.trim_ascii().eq_ignore_ascii_case(wanted) {
                return Some(value.get(1..).unwrap_or_default().trim_ascii());
            }
        }
        None
    }

    /// The body where it is whole, uncoded and of this type (RFC 3261 section 20.15).
    pub(crate) fn body_of(&self, kind: &[u8]) -> Option<&'a [u8]> {
        let own = self.content_type?.split(|byte| *byte == b';').next()?.trim_ascii();
        (own.eq_ignore_ascii_case(kind) && !self.encoded).then_some(())?;
        self.body.filter(|body| !body.trim_ascii().is_empty())
    }
}

/// The content type and the body of a part of a body (RFC 2046 section 5.1).
fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut lines = Lines { bytes, offset: 0 };
    let mut kind: &[u8] = b"";
    while let Ok(line) = lines.next() {
        if line.is_empty() {
            return (kind, bytes.get(lines.offset..).unwrap_or_default());
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if matches!(Name::of(name.trim_ascii()), Some(Name::ContentType)) {
            kind = value.get(1..).unwrap_or_default().trim_ascii();
        }
    }
    (kind, b"")
}

/// The headers that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    CallId,
    From,
    To,
    Via,
    CSeq,
    Asserted,
    Contact,
    ReferTo,
    Replaces,
    TargetDialog,
    SessionExpires,
    ContentType,
    ContentLength,
    ContentEncoding,
}

impl Name {
    const COUNT: usize = Self::ContentEncoding as usize + 1;

    /// By its name, long or compact (RFC 3261 section 7.3.3, RFC 3515 section 2.1, RFC 4028 section 4).
    fn of(name: &[u8]) -> Option<Self> {
        let known: &[(&[u8], Self)] = match name.len() {
            1 => &[
                (b"v", Self::Via),
                (b"f", Self::From),
                (b"t", Self::To),
                (b"i", Self::CallId),
                (b"m", Self::Contact),
                (b"c", Self::ContentType),
                (b"l", Self::ContentLength),
                (b"e", Self::ContentEncoding),
                (b"r", Self::ReferTo),
                (b"x", Self::SessionExpires),
            ],
            2 => &[(b"To", Self::To)],
            3 => &[(b"Via", Self::Via)],
            4 => &[(b"From", Self::From), (b"CSeq", Self::CSeq)],
            7 => &[(b"Call-ID", Self::CallId), (b"Contact", Self::Contact)],
            8 => &[(b"Refer-To", Self::ReferTo), (b"Replaces", Self::Replaces)],
            12 => &[(b"Content-Type", Self::ContentType)],
            13 => &[(b"Target-Dialog", Self::TargetDialog)],
            14 => &[(b"Content-Length", Self::ContentLength)],
            15 => &[(b"Session-Expires", Self::SessionExpires)],
            16 => &[(b"Content-Encoding", Self::ContentEncoding)],
            19 => &[(b"P-Asserted-Identity", Self::Asserted)],
            _ => &[],
        };
        known.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, name)| *name)
    }

    /// Whether it names the dialog or the transaction.
    const fn is_identity(self) -> bool {
        matches!(self, Self::CallId | Self::From | Self::To | Self::CSeq)
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

/// The status code of a response that is quoted in a body (RFC 3420).
pub(crate) fn status(body: &[u8]) -> Option<u16> {
    let line = after_empty_lines(body).split(|byte| *byte == b'\n').next()?;
    match start_line(line.trim_ascii_end())? {
        Start::Response { code } => Some(code),
        Start::Request { .. } => None,
    }
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
pub(crate) fn parameter<'a>(value: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
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
