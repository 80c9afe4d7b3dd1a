//! One UDP datagram as an Ethernet frame: IEEE 802.3 and 802.1Q, RFC 791, RFC 8200, RFC 768, with right checksums.

use std::net::{IpAddr, SocketAddr};

/// Differentiated services code point "expedited forwarding" (RFC 3246), for media.
pub const DSCP_MEDIA: u8 = 46;

/// Class selector 3 (RFC 4594 section 4.2), for signalling.
pub const DSCP_SIGNALLING: u8 = 24;

/// Where a datagram comes from and goes to. Both addresses are of one family.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// IEEE 802.1Q VLAN id.
    pub vlan: Option<u16>,
    /// Differentiated services code point.
    pub dscp: u8,
}

/// Builds the frame; `identification` is that of the IPv4 header.
///
/// # Panics
/// The addresses are of two families, or the payload does not fit into one datagram.
#[must_use]
pub fn build(path: &Path, identification: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a datagram holds at most 65,527 bytes");
    let mut udp = Vec::with_capacity(usize::from(length));
    udp.extend(path.source.port().to_be_bytes());
    udp.extend(path.destination.port().to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);

    // Locally administered addresses that tell the direction.
    let mut frame = Vec::with_capacity(udp.len() + 58);
    let (from, to) = if path.source.ip() < path.destination.ip() {
        (1, 2)
    } else {
        (2, 1)
    };
    frame.extend([0x02, 0, 0, 0, 0, to, 0x02, 0, 0, 0, 0, from]);
    if let Some(vlan) = path.vlan {
        frame.extend(0x8100_u16.to_be_bytes());
        frame.extend((vlan & 0x0fff).to_be_bytes());
    }
    match (path.source.ip(), path.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let addresses = [source.octets(), destination.octets()].concat();
            seal(&mut udp, &addresses);
            frame.extend(0x0800_u16.to_be_bytes());
            let mut header = vec![0x45, path.dscp << 2];
            header.extend((20 + length).to_be_bytes());
            header.extend(identification.to_be_bytes());
            header.extend([0x40, 0, 64, 17, 0, 0]);
            header.extend(&addresses);
            let checksum = !sum(0, &header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            frame.extend(header);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let addresses = [source.octets(), destination.octets()].concat();
            seal(&mut udp, &addresses);
            frame.extend(0x86dd_u16.to_be_bytes());
            frame.extend((0x6000_0000_u32 | u32::from(path.dscp) << 22).to_be_bytes());
            frame.extend(length.to_be_bytes());
            frame.extend([17, 64]);
            frame.extend(&addresses);
        }
        _ => panic!("a datagram's addresses are of one family"),
    }
    frame.extend(udp);
    // Ethernet's least frame is 60 bytes without its check sequence; the rest is padding.
    frame.resize(frame.len().max(60), 0);
    frame
}

/// Puts the checksum into a UDP datagram (RFC 768; RFC 8200 section 8.1). The length is in the pseudo header as well.
fn seal(udp: &mut [u8], addresses: &[u8]) {
    let pseudo = sum(17_u32 + udp.len() as u32, addresses);
    let checksum = match !sum(u32::from(pseudo), udp) {
        0 => 0xffff,
        checksum => checksum,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
}

/// The one's complement sum of 16-bit words (RFC 1071), folded.
fn sum(start: u32, bytes: &[u8]) -> u16 {
    let mut total = start;
    for pair in bytes.chunks(2) {
        total += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The IPv4 header of RFC 1071's usual worked example: its checksum is b861.
    #[test]
    fn header_checksum_of_a_known_header() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(!sum(0, &header), 0xb861);
    }

    /// A receiver sums everything, checksum included, and finds all ones.
    #[test]
    fn a_receiver_finds_all_ones() {
        for (source, destination, header) in [
            ("192.0.2.1:5060", "198.51.100.2:5062", 20),
            ("[2001:db8::1]:5060", "[2001:db8::2]:5062", 40),
        ] {
            for payload in [&b"odd"[..], b"even", b"", &[0xff; 160]] {
                for vlan in [None, Some(100)] {
                    let path = Path {
                        source: source.parse().unwrap(),
                        destination: destination.parse().unwrap(),
                        vlan,
                        dscp: DSCP_MEDIA,
                    };
                    let frame = build(&path, 7, payload);
                    let ip = 14 + if vlan.is_some() { 4 } else { 0 };
                    let udp = &frame[ip + header..ip + header + 8 + payload.len()];
                    let addresses =
                        &frame[ip + header - if header == 20 { 8 } else { 32 }..ip + header];
                    assert_eq!(
                        sum(u32::from(sum(17 + udp.len() as u32, addresses)), udp),
                        0xffff
                    );
                    if header == 20 {
                        assert_eq!(sum(0, &frame[ip..ip + 20]), 0xffff);
                    }
                }
            }
        }
    }
}
