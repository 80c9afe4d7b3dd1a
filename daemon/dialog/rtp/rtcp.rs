//! Report blocks (RFC 3550 sections 6.4.1 and 6.4.2), and nothing else of RTCP.
//!
//! A datagram is a compound of packets (section 6.1), or a single one (RFC 5506). Source descriptions, BYE, extended reports (RFC
//! 3611) and feedback are stepped over: names are nobody's business here, and a BYE of RTCP ends no call, since anybody can send it.

/// What a receiver says of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// The SSRC of who reports.
    pub(crate) from: u32,
    /// The SSRC that the report is about.
    pub(crate) about: u32,
    /// Packets lost since the start, a signed number of 24 bits.
    pub(crate) lost: i32,
    /// The highest sequence number received, with the count of its cycles in the upper half.
    pub(crate) highest: u32,
}

/// Sender report and receiver report.
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// Bytes of a report block.
const BLOCK: usize = 24;

/// All report blocks of a datagram, up to the first packet whose length lies.
pub(crate) fn reports(datagram: &[u8]) -> impl Iterator<Item = Report> + '_ {
    packets(datagram).flat_map(|packet| {
        let blocks = match packet.get(1) {
            Some(&SENDER_REPORT) => packet.get(28..),
            Some(&RECEIVER_REPORT) => packet.get(8..),
            _ => None,
        };
        let count = packet.first().map_or(0, |first| usize::from(first & 0x1f));
        let from = word(packet, 4);
        let blocks = blocks.unwrap_or_default().chunks_exact(BLOCK).take(count);
        blocks.filter_map(move |block| {
            // Sign-extended from 24 bits; before them stands the fraction lost since the report before.
            let lost = (word(block, 4)? << 8) as i32 >> 8;
            Some(Report { from: from?, about: word(block, 0)?, lost, highest: word(block, 8)? })
        })
    })
}

fn packets(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let &[first, _, high, low] = rest.first_chunk::<4>()?;
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let (packet, after) = (first >> 6 == 2).then(|| rest.split_at_checked(length))??;
        rest = after;
        Some(packet)
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|word| u32::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(about: u32, lost: u32, highest: u32) -> Vec<u8> {
        let words = [about, 0xff00_0000 | lost, highest, 7, 8, 9];
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    fn packet(kind: u8, count: u8, body: &[u8]) -> Vec<u8> {
        let words = (body.len() / 4) as u16;
        [&[0x80 | count, kind][..], &words.to_be_bytes(), body].concat()
    }

    fn compound() -> Vec<u8> {
        let sender = [&5u32.to_be_bytes()[..], &[0; 20], &block(6, 3, 70_000), &block(7, 0x00ff_fffe, 12)].concat();
        let described = [&5u32.to_be_bytes()[..], b"\x01\x03who\x00\x00\x00"].concat();
        [
            packet(200, 2, &sender),
            packet(202, 1, &described),
            packet(207, 0, &[0; 12]),
            packet(203, 1, &5u32.to_be_bytes()),
            packet(201, 1, &[&5u32.to_be_bytes()[..], &block(8, 0, 1)].concat()),
        ]
        .concat()
    }

    #[test]
    fn report_blocks_are_found_in_a_compound_and_alone() {
        let found: Vec<_> = reports(&compound()).collect();
        let expected = [(6, 3, 70_000), (7, -2, 12), (8, 0, 1)].map(|(about, lost, highest)| Report { from: 5, about, lost, highest });
        assert_eq!(found, expected);
        let alone = packet(201, 1, &[&9u32.to_be_bytes()[..], &block(1, 2, 3)].concat());
        assert_eq!(reports(&alone).collect::<Vec<_>>(), [Report { from: 9, about: 1, lost: 2, highest: 3 }]);
    }

    #[test]
    fn lengths_and_counts_that_lie_find_nothing_beyond() {
        let whole = compound();
        let all = reports(&whole).count();
        for length in 0..whole.len() {
            assert!(reports(&whole[..length]).count() <= all, "cut to {length}");
        }
        // More blocks promised than there are bytes.
        let short = packet(201, 31, &[&9u32.to_be_bytes()[..], &block(1, 2, 3)].concat());
        assert_eq!(reports(&short).count(), 1);
        let mut longer = packet(201, 1, &[&9u32.to_be_bytes()[..], &block(1, 2, 3)].concat());
        longer[3] += 1;
        assert_eq!(reports(&longer).count(), 0, "longer than the datagram");
        assert_eq!(reports(&[0x80, 201, 0, 0]).count(), 0);
        assert_eq!(reports(&[0; 64]).count(), 0, "another version");
    }
}
