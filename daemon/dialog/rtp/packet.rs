//! The fixed header (RFC 3550 section 5.1), validated once (appendix A.1).

use std::ops::Range;

/// What a datagram with RTP's version bits is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rtp(Header),
    Rtcp,
    Neither,
}

/// The header's fields, and where the payload lies in the datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    /// From the end of the header to the end of the datagram, padding included as long as [`Header::trim`] has not been called:
    /// in SRTP its length is encrypted.
    pub(crate) payload: Range<usize>,
    pub(crate) is_padded: bool,
}

impl Header {
    /// Leaves padding out of the payload. `None` where its length lies.
    pub(crate) fn trim(mut self, bytes: &[u8]) -> Option<Self> {
        if std::mem::take(&mut self.is_padded) {
            let padding = usize::from(*bytes.get(self.payload.clone())?.last()?);
            let end = self.payload.end.checked_sub(padding).filter(|_| padding > 0)?;
            self.payload.end = Some(end).filter(|end| *end >= self.payload.start)?;
        }
        Some(self)
    }
}

/// Tells RTP, RTCP (RFC 5761 section 4: its packet types are those that RTP leaves out) and anything else apart.
pub(crate) fn kind(bytes: &[u8]) -> Kind {
    match bytes {
        [first, second, ..] if first >> 6 == 2 && (192..=223).contains(second) => {
            if bytes.len() >= 8 { Kind::Rtcp } else { Kind::Neither }
        }
        _ => header(bytes).map_or(Kind::Neither, Kind::Rtp),
    }
}

fn header(bytes: &[u8]) -> Option<Header> {
    let &[first, second, high, low, t3, t2, t1, t0, s3, s2, s1, s0] = bytes.first_chunk::<12>()?;
    if first >> 6 != 2 {
        return None;
    }
    let mut start = 12 + 4 * usize::from(first & 0x0f);
    if first & 0x10 != 0 {
        let length = bytes.get(start + 2..start + 4)?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([length[0], length[1]]));
    }
    let end = bytes.len();
    (start <= end).then_some(Header {
        payload_type: second & 0x7f,
        sequence: u16::from_be_bytes([high, low]),
        timestamp: u32::from_be_bytes([t3, t2, t1, t0]),
        ssrc: u32::from_be_bytes([s3, s2, s1, s0]),
        payload: start..end,
        is_padded: first & 0x20 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 14] = [0x80, 0x88, 0x12, 0x34, 0, 0, 0, 5, 1, 2, 3, 4, 0xaa, 0xbb];

    #[test]
    fn the_payload_is_what_lies_between_header_and_padding() {
        let Kind::Rtp(header) = kind(&PLAIN) else { panic!() };
        assert_eq!(header, Header { payload_type: 8, sequence: 0x1234, timestamp: 5, ssrc: 0x0102_0304, payload: 12..14, is_padded: false });
        // Two contributing sources, an extension of one word, three bytes of padding.
        let mut full = PLAIN[..12].to_vec();
        full[0] = 0x80 | 0x20 | 0x10 | 2;
        full.extend([9; 8]);
        full.extend([0xbe, 0xde, 0, 1, 7, 7, 7, 7]);
        full.extend([0x55, 0x55, 0, 0, 3]);
        let Kind::Rtp(header) = kind(&full) else { panic!() };
        assert_eq!((header.payload.clone(), header.trim(&full).unwrap().payload), (28..33, 28..30));
    }

    #[test]
    fn lengths_that_lie_are_refused_at_every_cut() {
        let mut full = PLAIN[..12].to_vec();
        full[0] = 0x80 | 0x20 | 0x10 | 2;
        full.extend([9; 8]);
        full.extend([0xbe, 0xde, 0, 1, 7, 7, 7, 7, 0x55, 1]);
        let trimmed = |full: &[u8]| match kind(full) {
            Kind::Rtp(header) => header.trim(full),
            _ => None,
        };
        assert!(trimmed(&full).is_some());
        for length in 0..28 {
            assert_eq!(kind(&full[..length]), Kind::Neither, "cut to {length}");
        }
        for padding in [0, 3, 255] {
            *full.last_mut().unwrap() = padding;
            assert_eq!(trimmed(&full), None, "padding of {padding}");
        }
    }

    #[test]
    fn rtcp_and_others_are_told_apart() {
        assert_eq!(kind(&[0x80, 200, 0, 1, 0, 0, 0, 1]), Kind::Rtcp);
        assert_eq!(kind(&[0x80, 200, 0]), Kind::Neither);
        assert_eq!(kind(b"\x00\x01\x00\x00 a STUN binding request"), Kind::Neither);
        assert_eq!(kind(&[]), Kind::Neither);
    }
}
