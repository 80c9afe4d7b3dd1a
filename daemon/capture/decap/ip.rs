//! IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Refusal, rest};

/// Protocol numbers (IANA).
pub(super) const IPV4: u8 = 4;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const IPV6: u8 = 41;
pub(super) const GRE: u8 = 47;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Extension headers in one packet that are stepped over; no honest packet has as many.
const EXTENSIONS: usize = 16;

/// An IP packet, down to what it carries.
#[derive(Clone, Copy)]
pub(super) struct Packet<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// IPv4's; 0 in IPv6, which has one in fragments alone.
    pub(super) identification: u16,
    /// What the payload is; behind the extension headers.
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
    /// The capture did not keep all of it.
    pub(super) is_cut: bool,
    pub(super) fragment: Option<Fragment>,
}

/// Which part of a fragmented packet a payload is.
#[derive(Clone, Copy)]
pub(super) struct Fragment {
    pub(super) identification: u32,
    /// Where it lies in the whole, bytes.
    pub(super) offset: u32,
    /// Others follow.
    pub(super) more: bool,
}

pub(super) fn packet(bytes: &[u8]) -> Result<Packet<'_>, Refusal> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => ipv4(bytes),
        Some(6) => ipv6(bytes),
        Some(_) => Err(Refusal::NotIp),
        None => Err(Refusal::Malformed),
    }
}

fn ipv4(bytes: &[u8]) -> Result<Packet<'_>, Refusal> {
    let header: &[u8; 20] = bytes.first_chunk().ok_or(Refusal::Malformed)?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // A host that leaves the cutting to its network card captures 0: all there is.
    let total = if total == 0 { bytes.len() } else { total };
    if header_length < 20 || total < header_length {
        return Err(Refusal::Malformed);
    }
    let payload = bytes.get(header_length..total.min(bytes.len())).ok_or(Refusal::Malformed)?;
    let identification = u16::from_be_bytes([header[4], header[5]]);
    let position = u16::from_be_bytes([header[6], header[7]]);
    let (offset, more) = (u32::from(position & 0x1fff) * 8, position & 0x2000 != 0);
    Ok(Packet {
        source: IpAddr::V4(Ipv4Addr::new(header[12], header[13], header[14], header[15])),
        destination: IpAddr::V4(Ipv4Addr::new(header[16], header[17], header[18], header[19])),
        identification,
        protocol: header[9],
        payload,
        is_cut: total > bytes.len(),
        fragment: (offset != 0 || more).then_some(Fragment { identification: u32::from(identification), offset, more }),
    })
}

fn ipv6(bytes: &[u8]) -> Result<Packet<'_>, Refusal> {
    let header: &[u8; 40] = bytes.first_chunk().ok_or(Refusal::Malformed)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let present = bytes.len() - header.len();
    // 0 is a jumbogram (RFC 2675), or a host that leaves the cutting to its network card: all there is.
    let length = if length == 0 && header[6] != NO_NEXT_HEADER { present } else { length };
    let payload = rest(bytes, header.len())?.get(..length.min(present)).ok_or(Refusal::Malformed)?;
    let (source, destination) = (address(header, 8), address(header, 24));
    let packet =
        Packet { source, destination, identification: 0, protocol: header[6], payload, is_cut: length > present, fragment: None };
    packet.past_extensions()
}

fn address(header: &[u8; 40], offset: usize) -> IpAddr {
    let octets: [u8; 16] = header.get(offset..offset + 16).and_then(|octets| octets.try_into().ok()).unwrap_or_default();
    IpAddr::V6(Ipv6Addr::from(octets))
}

impl<'a> Packet<'a> {
    /// Steps over IPv6's extension headers (RFC 8200 section 4.1), to the transport or to a fragment.
    fn past_extensions(mut self) -> Result<Self, Refusal> {
        for _ in 0..EXTENSIONS {
            let length = match self.protocol {
                HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => (self.second()? + 1) * 8,
                // RFC 4302 section 2.2: in words of 4 bytes, less 2.
                AUTHENTICATION => (self.second()? + 2) * 4,
                FRAGMENT => {
                    let header: &[u8; 8] = self.payload.first_chunk().ok_or(Refusal::Malformed)?;
                    let position = u16::from_be_bytes([header[2], header[3]]);
                    let (offset, more) = (u32::from(position & 0xfff8), position & 1 != 0);
                    let identification = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
                    // A fragment that is the whole (RFC 6946) is taken as it is, whatever others have its identification.
                    if offset != 0 || more {
                        self.fragment = Some(Fragment { identification, offset, more });
                    }
                    8
                }
                _ => return Ok(self),
            };
            self.protocol = *self.payload.first().ok_or(Refusal::Malformed)?;
            self.payload = rest(self.payload, length)?;
            if self.fragment.is_some() {
                return Ok(self);
            }
        }
        Err(Refusal::Malformed)
    }

    fn second(&self) -> Result<usize, Refusal> {
        self.payload.get(1).map(|byte| usize::from(*byte)).ok_or(Refusal::Malformed)
    }

    /// The whole packet that this piece completed.
    pub(super) fn reassembled<'b>(&self, protocol: u8, payload: &'b [u8]) -> Result<Packet<'b>, Refusal> {
        let Packet { source, destination, identification, .. } = *self;
        let whole = Packet { source, destination, identification, protocol, payload, is_cut: false, fragment: None };
        let whole = if source.is_ipv6() { whole.past_extensions()? } else { whole };
        // Fragments of fragments are nobody's business.
        if whole.fragment.is_some() { Err(Refusal::Malformed) } else { Ok(whole) }
    }
}
