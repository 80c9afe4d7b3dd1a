//! Datagrams that were joined into one frame on their way here (UDP generic receive or segmentation offload), told apart again.

use sotto_private::Private;

/// A frame that is many, and which of them is next. The memory is kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Joined {
    /// The headers, then the payloads one after the other. Wiped when it is dropped.
    whole: Private<Vec<u8>>,
    piece: Private<Vec<u8>>,
    network: usize,
    /// Where the first payload starts.
    payload: usize,
    size: usize,
    next: usize,
}

impl Joined {
    /// Takes a frame to be told apart into payloads of `size` bytes. `false` where it does not look like what it is said to be.
    pub(super) fn take(&mut self, frame: &[u8], network: usize, transport: usize, size: usize) -> bool {
        let payload = transport.saturating_add(8);
        let is_ip = matches!(frame.get(network).map(|first| first >> 4), Some(4 | 6));
        if !is_ip || size == 0 || transport < network.saturating_add(20) || payload >= frame.len() {
            return false;
        }
        let whole = self.whole.expose_mut();
        whole.clear();
        self.whole.append(frame);
        (self.network, self.payload, self.size, self.next) = (network, payload, size, payload);
        true
    }

    /// The next datagram in a frame of its own; `None` where there is none left.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let whole = self.whole.expose();
        let payload = whole.get(self.next..).filter(|rest| !rest.is_empty())?;
        let payload = payload.get(..self.size).unwrap_or(payload);
        let headers = whole.get(..self.payload)?;
        self.next = self.next.checked_add(payload.len())?;
        self.piece.expose_mut().clear();
        self.piece.append(headers);
        self.piece.append(payload);
        let piece = self.piece.expose_mut();
        // A piece is never longer than the whole, whose lengths fit.
        let from_network = u16::try_from(piece.len().checked_sub(self.network)?).ok()?;
        let from_transport = u16::try_from(payload.len() + 8).ok()?;
        let is_ipv6 = piece.get(self.network)? >> 4 == 6;
        let (at, length) = if is_ipv6 { (self.network + 4, from_network.checked_sub(40)?) } else { (self.network + 2, from_network) };
        piece.get_mut(at..at + 2)?.copy_from_slice(&length.to_be_bytes());
        let at = self.payload.checked_sub(4)?;
        piece.get_mut(at..at + 2)?.copy_from_slice(&from_transport.to_be_bytes());
        Some(self.piece.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Captured;
    use crate::decap::{Decap, Link};
    use sotto_private::Wall;

    fn payloads(frame: &[u8], network: usize, transport: usize, size: usize) -> Vec<Vec<u8>> {
        let (mut joined, mut decap) = (Joined::default(), Decap::default());
        assert!(joined.take(frame, network, transport, size));
        let mut payloads = Vec::new();
        while let Some(piece) = joined.next() {
            match decap.frame(Link::Ethernet, piece, Wall::default(), 1) {
                Some(Captured::Datagram(datagram)) => payloads.push(datagram.payload().to_vec()),
                other => panic!("{other:?} {:?}", decap.counters),
            }
        }
        assert_eq!(decap.counters.cut_short, 0);
        payloads
    }

    #[test]
    fn each_datagram_has_its_own_lengths_again() {
        let mut ipv4 = vec![2; 12];
        ipv4.extend([8, 0, 0x45, 0, 0, 28 + 7, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        ipv4.extend([0x13, 0xc4, 0x13, 0xc6, 0, 8 + 7, 0, 0]);
        ipv4.extend(b"abcdefg");
        assert_eq!(payloads(&ipv4, 14, 34, 3), [b"abc".as_slice(), b"def", b"g"]);

        let mut ipv6 = vec![2; 12];
        ipv6.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8 + 4, 17, 64]);
        ipv6.extend([1; 32]);
        ipv6.extend([0x13, 0xc4, 0x13, 0xc6, 0, 8 + 4, 0, 0]);
        ipv6.extend(b"abcd");
        assert_eq!(payloads(&ipv6, 14, 54, 2), [b"ab", b"cd"]);
    }

    #[test]
    fn nonsense_is_refused_and_never_panics() {
        let mut joined = Joined::default();
        let frame: Vec<u8> = (0..90u8).map(|byte| if byte == 14 { 0x60 } else { byte }).collect();
        assert!(!joined.take(&frame, 14, 54, 0), "no size");
        assert!(!joined.take(&frame, 15, 54, 3), "no IP header");
        assert!(!joined.take(&frame, 14, 20, 3), "the transport inside the network's header");
        assert!(!joined.take(&frame, 14, 82, 3), "no payload");
        assert!(!joined.take(&frame, usize::MAX, usize::MAX, 3));
        for network in 0..100 {
            for transport in 0..100 {
                for size in [1, 7, usize::MAX] {
                    if joined.take(&frame, network, transport, size) {
                        let mut pieces = 0;
                        while joined.next().is_some() {
                            pieces += 1;
                        }
                        assert!(pieces <= frame.len());
                    }
                }
            }
        }
    }
}
