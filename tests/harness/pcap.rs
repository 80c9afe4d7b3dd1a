//! The classic capture file: a header of 24 bytes, then 16 bytes before each packet, little-endian, microseconds.

use std::net::{IpAddr, SocketAddr};

use crate::frame;

/// A packet as it was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// The Ethernet frame.
    pub frame: Vec<u8>,
}

impl Packet {
    /// What the datagram carries. The frame is one of [`frame::build`].
    ///
    /// # Panics
    /// The frame is of another make.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let (_, udp) = self.taken_apart();
        let length = usize::from(u16::from_be_bytes([self.frame[udp + 4], self.frame[udp + 5]]));
        &self.frame[udp + 8..udp + length]
    }

    /// The same datagram at the same instant with something else in it.
    ///
    /// # Panics
    /// As [`Packet::payload`], and where it does not fit into a datagram.
    #[must_use]
    pub fn with_payload(&self, payload: &[u8]) -> Self {
        let (path, _) = self.taken_apart();
        Self { at_us: self.at_us, frame: frame::build(&path, 0, payload) }
    }

    /// Whether it is signalling: the call maker marks it so.
    ///
    /// # Panics
    /// As [`Packet::payload`].
    #[must_use]
    pub fn is_signalling(&self) -> bool {
        self.taken_apart().0.dscp == frame::DSCP_SIGNALLING
    }

    /// Where it comes from and goes to.
    ///
    /// # Panics
    /// As [`Packet::payload`].
    #[must_use]
    pub fn path(&self) -> frame::Path {
        self.taken_apart().0
    }

    /// Where it goes, and where in the frame its UDP header stands.
    fn taken_apart(&self) -> (frame::Path, usize) {
        let frame = self.frame.as_slice();
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let vlan = (word(12) == 0x8100).then(|| word(14));
        let ip = if vlan.is_some() { 18 } else { 14 };
        let (udp, dscp, ips) = match frame[ip] >> 4 {
            4 => {
                let address = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&frame[ip + at..ip + at + 4]).expect("four bytes"));
                (ip + 20, frame[ip + 1] >> 2, [address(12), address(16)])
            }
            6 => {
                let address = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&frame[ip + at..ip + at + 16]).expect("sixteen bytes"));
                (ip + 40, (word(ip) >> 6) as u8 & 0x3f, [address(8), address(24)])
            }
            version => panic!("IP version {version}"),
        };
        let [source, destination] = [0, 1].map(|end| SocketAddr::new(ips[end], word(udp + 2 * end)));
        (frame::Path { source, destination, vlan, dscp }, udp)
    }
}

/// LINKTYPE_ETHERNET.
const ETHERNET: u32 = 1;

/// More than any frame holds, so none is cut.
const SNAPSHOT_LENGTH: u32 = 262_144;

/// The packets as one capture file.
#[must_use]
pub fn to_bytes(packets: &[Packet]) -> Vec<u8> {
    let size = packets
        .iter()
        .map(|packet| 16 + packet.frame.len())
        .sum::<usize>();
    let mut file = Vec::with_capacity(24 + size);
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(4_u16.to_le_bytes());
    file.extend([0; 8]);
    file.extend(SNAPSHOT_LENGTH.to_le_bytes());
    file.extend(ETHERNET.to_le_bytes());
    for packet in packets {
        let length = packet.frame.len() as u32;
        file.extend((packet.at_us.div_euclid(1_000_000) as u32).to_le_bytes());
        file.extend((packet.at_us.rem_euclid(1_000_000) as u32).to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(&packet.frame);
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_taken_apart_as_it_was_built() {
        for (source, destination) in [("192.0.2.1:5060", "198.51.100.2:5062"), ("[2001:db8::1]:5060", "[2001:db8::2]:5062")] {
            for (vlan, dscp) in [(None, frame::DSCP_MEDIA), (Some(100), frame::DSCP_SIGNALLING)] {
                let path = frame::Path { source: source.parse().unwrap(), destination: destination.parse().unwrap(), vlan, dscp };
                let packet = Packet { at_us: 7, frame: frame::build(&path, 0, b"INVITE") };
                assert_eq!(packet.payload(), b"INVITE");
                assert_eq!(packet.is_signalling(), dscp == frame::DSCP_SIGNALLING);
                assert_eq!(packet.with_payload(b"INVITE"), packet);
                assert_eq!(packet.with_payload(b"").payload(), b"");
            }
        }
    }
}
