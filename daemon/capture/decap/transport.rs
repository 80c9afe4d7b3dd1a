//! UDP (RFC 768) and TCP (RFC 9293 section 3.1).

use sotto_private::SegmentFlags;

use super::Refusal;
use super::ip::Packet;

pub(super) struct Udp<'a> {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) payload: &'a [u8],
    pub(super) is_cut: bool,
    /// Of the header, what is the same in every copy: all but the checksum, which may be filled in on the way.
    pub(super) identity: u128,
}

pub(super) fn udp<'a>(packet: &Packet<'a>) -> Result<Udp<'a>, Refusal> {
    let (header, payload) = packet.payload.split_first_chunk::<8>().ok_or(Refusal::Malformed)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let length = match length {
        // More than fits into the field (RFC 2675 section 4).
        0 => payload.len(),
        1..8 => return Err(Refusal::Malformed),
        _ => length - header.len(),
    };
    // Its receiver drops what claims more than its IP packet holds; only the capture's own cut may do so.
    if length > payload.len() && !packet.is_cut {
        return Err(Refusal::Malformed);
    }
    Ok(Udp {
        source: u16::from_be_bytes([header[0], header[1]]),
        destination: u16::from_be_bytes([header[2], header[3]]),
        payload: payload.get(..length).unwrap_or(payload),
        is_cut: length > payload.len(),
        identity: u128::from(u64::from_be_bytes(*header) >> 16),
    })
}

pub(super) struct Tcp<'a> {
    pub(super) source: u16,
    pub(super) destination: u16,
    pub(super) sequence: u32,
    pub(super) flags: SegmentFlags,
    pub(super) payload: &'a [u8],
    /// Of the header, what is the same in every copy.
    pub(super) identity: u128,
}

pub(super) fn tcp<'a>(packet: &Packet<'a>) -> Result<Tcp<'a>, Refusal> {
    let header: &[u8; 20] = packet.payload.first_chunk().ok_or(Refusal::Malformed)?;
    let header_length = usize::from(header[12] >> 4) * 4;
    if header_length < header.len() {
        return Err(Refusal::Malformed);
    }
    let flag = |bit: u8| header[13] & bit != 0;
    Ok(Tcp {
        source: u16::from_be_bytes([header[0], header[1]]),
        destination: u16::from_be_bytes([header[2], header[3]]),
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        flags: SegmentFlags { syn: flag(2), fin: flag(1), rst: flag(4) },
        payload: packet.payload.get(header_length..).ok_or(Refusal::Malformed)?,
        identity: packet.payload.first_chunk().map_or(0, |start| u128::from_be_bytes(*start)),
    })
}
