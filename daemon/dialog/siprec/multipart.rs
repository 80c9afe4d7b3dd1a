//! The parts of a body (RFC 2046 section 5.1), as an INVITE of a recording session carries them (RFC 7866 section 9.1).

use std::fmt;

/// Parts that are read of one body; one more, and the body is refused.
const PARTS: usize = 8;
/// Header lines of one part.
const HEADERS: usize = 16;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MultipartFault {
    /// No line begins with the boundary.
    Boundary,
    /// More parts than any client sends.
    TooManyParts,
    /// The headers of a part do not end, or are more than any client sends.
    Headers,
}

/// Where a body cannot be taken apart, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultipartError {
    /// Bytes from the body's start.
    pub offset: usize,
    /// What is wrong there.
    pub fault: MultipartFault,
}

impl fmt::Display for MultipartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            MultipartFault::Boundary => "no boundary (RFC 2046 section 5.1.1)",
            MultipartFault::TooManyParts => "over 8 parts (RFC 2046 section 5.1)",
            MultipartFault::Headers => "the headers of a part do not end (RFC 2046 section 5.1)",
        };
        write!(formatter, "body, byte {}: {what}", self.offset)
    }
}

impl std::error::Error for MultipartError {}

/// One part. A part that is itself of several is not opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The media type, without parameters; empty where there is none.
    pub(crate) kind: &'a [u8],
    /// The disposition type, without parameters.
    pub(crate) disposition: &'a [u8],
    pub(crate) body: &'a [u8],
}

impl Part<'_> {
    /// Whether it is a session description.
    pub(crate) const fn is_sdp(&self) -> bool {
        self.kind.eq_ignore_ascii_case(b"application/sdp")
    }

    /// Whether it is a recording's metadata. Clients name it `application/rs-metadata`, `application/rs-metadata+xml` as the drafts
    /// did, or by its disposition alone.
    pub(crate) fn is_metadata(&self) -> bool {
        let names = |kind: &[u8]| self.kind.eq_ignore_ascii_case(kind);
        names(b"application/rs-metadata")
            || names(b"application/rs-metadata+xml")
            || (!self.is_sdp() && self.disposition.eq_ignore_ascii_case(b"recording-session"))
    }
}

/// Takes a body apart. Without a boundary parameter, the first line that begins as a delimiter does is taken for one.
///
/// # Errors
/// Where there is no delimiter, or a bound is exceeded.
pub(crate) fn parts<'a>(boundary: Option<&[u8]>, body: &'a [u8]) -> Result<Vec<Part<'a>>, MultipartError> {
    let named = boundary.filter(|boundary| !boundary.is_empty());
    let mut lines = Lines { bytes: body, offset: 0 };
    let mut guessed = None;
    let mut parts = Vec::new();
    // Where the part that is being read begins.
    let mut open = None;
    while let Some((start, line)) = lines.next() {
        let Some(rest) = line.strip_prefix(b"--") else { continue };
        let boundary = match named.or(guessed) {
            Some(boundary) => boundary,
            None if rest.is_empty() => continue,
            None => *guessed.insert(rest),
        };
        let Some(tail) = rest.strip_prefix(boundary) else { continue };
        let is_last = tail.starts_with(b"--");
        if !is_last && !tail.is_empty() {
            continue;
        }
        if let Some(begin) = open.take() {
            if parts.len() == PARTS {
                return Err(MultipartError { offset: start, fault: MultipartFault::TooManyParts });
            }
            parts.push(part(body, begin, start)?);
        }
        if is_last {
            return Ok(parts);
        }
        open = Some(lines.offset);
    }
    match open {
        // The closing delimiter is missing: the body's end is the last part's.
        Some(begin) if parts.len() < PARTS => parts.push(part(body, begin, body.len())?),
        Some(begin) => return Err(MultipartError { offset: begin, fault: MultipartFault::TooManyParts }),
        None if parts.is_empty() => return Err(MultipartError { offset: 0, fault: MultipartFault::Boundary }),
        None => {}
    }
    Ok(parts)
}

fn part(whole: &[u8], begin: usize, end: usize) -> Result<Part<'_>, MultipartError> {
    let bytes = whole.get(begin..end).unwrap_or_default();
    let mut part = Part::default();
    let mut lines = Lines { bytes, offset: 0 };
    for number in 0.. {
        let Some((offset, line)) = lines.next() else {
            // Nothing but empty space between two delimiters is an empty part; headers without an end are a mistake.
            if number == 0 {
                return Ok(part);
            }
            return Err(MultipartError { offset: begin + bytes.len(), fault: MultipartFault::Headers });
        };
        if line.is_empty() {
            break;
        }
        if number == HEADERS {
            return Err(MultipartError { offset: begin + offset, fault: MultipartFault::Headers });
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let name = name.trim_ascii();
        if name.eq_ignore_ascii_case(b"Content-Type") || name.eq_ignore_ascii_case(b"c") {
            part.kind = value;
        } else if name.eq_ignore_ascii_case(b"Content-Disposition") {
            part.disposition = value;
        }
    }
    part.body = bytes.get(lines.offset..).unwrap_or_default();
    Ok(part)
}

/// Lines with their offsets, without the white space at their ends. Each step takes one byte at least.
struct Lines<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let start = self.offset;
        let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        self.offset = start + length;
        Some((start, rest.get(..length).unwrap_or_default().trim_ascii_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "preamble\r\n--x\r\nContent-Type: application/sdp; charset=utf-8\r\n\r\nv=0\r\n\r\n--x\r\n\
        content-disposition : recording-session;handling=required\r\nContent-Type:application/rs-metadata\r\n\r\n<recording/>\r\n--x--\r\nrest";

    #[test]
    fn parts_have_types_and_bodies_whatever_ends_their_lines() {
        for body in [BODY.to_owned(), BODY.replace("\r\n", "\n"), BODY.replace("--x--\r\nrest", "")] {
            let parts = parts(Some(b"x"), body.as_bytes()).unwrap();
            assert_eq!(parts.len(), 2, "{body:?}");
            assert!(parts[0].is_sdp() && !parts[0].is_metadata());
            assert_eq!(parts[0].body.trim_ascii(), b"v=0");
            assert!(parts[1].is_metadata());
            assert_eq!(parts[1].body.trim_ascii(), b"<recording/>");
        }
        assert_eq!(parts(None, BODY.as_bytes()).unwrap().len(), 2, "a boundary that nobody named is the first delimiter");
        assert_eq!(parts(Some(b"x"), b"--x\r\n--x\r\n--x--").unwrap(), [Part::default(); 2], "empty parts");
        assert!(Part { kind: b"application/ +xml", disposition: b"Recording-Session", body: b"" }.is_metadata());
    }

    #[test]
    fn what_cannot_be_taken_apart_is_refused_at_its_place() {
        let error = |body: &str| parts(Some(b"x"), body.as_bytes()).unwrap_err();
        assert_eq!(error("no delimiter"), MultipartError { offset: 0, fault: MultipartFault::Boundary });
        assert_eq!(error(""), MultipartError { offset: 0, fault: MultipartFault::Boundary });
        assert_eq!(error("--xyz\r\n\r\n--xyz--"), MultipartError { offset: 0, fault: MultipartFault::Boundary });
        let many = "--x\r\n\r\n".repeat(9) + "--x--";
        assert_eq!(error(&many), MultipartError { offset: 7 * 9, fault: MultipartFault::TooManyParts });
        let headers = format!("--x\r\n{}\r\n--x--", "a: b\r\n".repeat(17));
        assert_eq!(error(&headers), MultipartError { offset: 5 + 16 * 6, fault: MultipartFault::Headers });
        assert_eq!(error("--x\nContent-Type: a\n--x--"), MultipartError { offset: 20, fault: MultipartFault::Headers });
    }
}
