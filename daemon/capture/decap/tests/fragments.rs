//! Fragmented packets: RFC 791, RFC 8200 section 4.5, RFC 5722, RFC 6946.

use super::super::fragments::{BYTES, PACKETS};
use super::*;

/// Offset, whether more follow, bytes.
type Piece = (usize, bool, Vec<u8>);

/// A datagram of `size` bytes of payload, in pieces of `step` bytes at most.
fn pieces(size: usize, step: usize) -> (Vec<u8>, Vec<Piece>) {
    let payload: Vec<u8> = (0..size).map(|index| (index * 7 % 251) as u8).collect();
    let datagram = udp(&payload);
    let count = datagram.len().div_ceil(step);
    let cut = datagram.chunks(step).enumerate().map(|(index, bytes)| (index * step, index + 1 < count, bytes.to_vec())).collect();
    (payload, cut)
}

fn v4_piece(identification: u16, (offset, more, bytes): &Piece) -> Vec<u8> {
    ipv4(identification, (offset / 8) as u16 | u16::from(*more) << 13, 17, bytes)
}

fn v6_piece(identification: u32, (offset, more, bytes): &Piece) -> Vec<u8> {
    let mut packet = vec![17, 0];
    packet.extend((*offset as u16 | u16::from(*more)).to_be_bytes());
    packet.extend(identification.to_be_bytes());
    packet.extend(bytes);
    // Before it, a header that each piece repeats.
    ipv6(0, &[&[44, 0, 1, 4, 0, 0, 0, 0], packet.as_slice()].concat())
}

/// All pieces in order, one millisecond apart from `start` on; what came of them.
fn feed(decap: &mut Decap, start: i64, frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<Seen> {
    let mut at = start;
    let mut seen = Vec::new();
    for frame in frames {
        at += 1_000;
        seen.extend(decap.frame(Link::Ip, &frame, Wall::from_micros(at), 1).map(Seen::from));
        decap.fragments.size();
        assert!(adds_up(&decap.counters), "{:?}", decap.counters);
    }
    seen
}

#[test]
fn pieces_in_any_order_come_together_once() {
    let (payload, cut) = pieces(4_000, 1_480);
    assert_eq!(cut.len(), 3);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for v6 in [false, true] {
            let mut decap = Decap::default();
            let frames = order.map(|index| if v6 { v6_piece(7, &cut[index]) } else { v4_piece(7, &cut[index]) });
            let seen = feed(&mut decap, 0, frames);
            assert_eq!(seen.len(), 1, "{:?}", decap.counters);
            assert_eq!((&seen[0].payload, seen[0].at.micros, seen[0].source.port()), (&payload, 3_000, 5060));
            assert_eq!((decap.counters.fragments, decap.counters.reassembled, decap.counters.delivered), (2, 1, 1));
            assert_eq!(decap.fragments.size(), (0, 0));
        }
    }
}

#[test]
fn packets_in_pieces_are_told_apart() {
    let (payload, cut) = pieces(2_000, 1_480);
    let mut decap = Decap::default();
    let mut other_protocol = v4_piece(1, &cut[1]);
    other_protocol[9] = 6;
    let mut other_source = v4_piece(1, &cut[1]);
    other_source[15] = 9;
    let frames = [v4_piece(1, &cut[0]), v4_piece(2, &cut[1]), other_protocol, other_source, v6_piece(1, &cut[1]), v4_piece(1, &cut[1])];
    let seen = feed(&mut decap, 0, frames);
    // The sixth frame completes it, and none of the others does.
    assert_eq!(seen.iter().map(|seen| (&seen.payload, seen.at.micros)).collect::<Vec<_>>(), [(&payload, 6_000)]);
    assert_eq!(decap.fragments.size().0, 4);
}

#[test]
fn a_reassembled_packet_may_hold_extension_headers_a_tunnel_or_a_segment() {
    let mut decap = Decap::default();
    // Destination options lie in the fragmentable part.
    let part = [&[17, 0, 1, 4, 0, 0, 0, 0], udp(&[5; 64]).as_slice()].concat();
    let v6 = |offset: usize, more: bool, bytes: &[u8]| {
        let mut frame = v6_piece(3, &(offset, more, bytes.to_vec()));
        // Inside the fragment header: what the first piece begins with.
        frame[48] = 60;
        frame
    };
    let seen = feed(&mut decap, 0, [v6(0, true, &part[..40]), v6(40, false, &part[40..])]);
    assert_eq!(seen[0].payload, [5; 64]);
    let inside = ipv4(5, 0, 6, &tcp(77, 0x18, &[6; 1_000]));
    let seen = feed(&mut decap, 0, [ipv4(6, 0x2000, 4, &inside[..800]), ipv4(6, 100, 4, &inside[800..])]);
    assert_eq!((seen[0].sequence, seen[0].payload.len(), decap.counters.tunnelled), (Some(77), 1_000, 1));
    // A tunnel's packets may be in pieces while what they carry is in pieces as well.
    let (payload, cut) = pieces(2_000, 1_480);
    let outer: Vec<_> = cut
        .iter()
        .enumerate()
        .flat_map(|(index, piece)| {
            let inside = v4_piece(9, piece);
            let (first, second) = inside.split_at(400);
            let identification = 20 + index as u16;
            [ipv4(identification, 0x2000, 4, first), ipv4(identification, 50, 4, second)]
        })
        .collect();
    let seen = feed(&mut decap, 0, outer);
    assert_eq!(seen[0].payload, payload);
}

#[test]
fn an_exact_copy_of_a_piece_is_no_overlap_and_anything_else_is() {
    for v6 in [false, true] {
        let (payload, cut) = pieces(3_000, 1_480);
        let frame = |piece: &Piece| if v6 { v6_piece(1, piece) } else { v4_piece(1, piece) };
        // A copy that comes too late for the mirror's second one.
        let mut decap = Decap::default();
        feed(&mut decap, 0, [frame(&cut[0])]);
        let seen = feed(&mut decap, 200_000, [frame(&cut[0]), frame(&cut[1]), frame(&cut[2])]);
        assert_eq!((seen[0].payload.as_slice(), decap.counters.duplicates), (payload.as_slice(), 0));

        let shifted = (cut[1].0 - 8, true, cut[1].2.clone());
        let inside = (8, true, cut[0].2[8..16].to_vec());
        let mut changed = cut[0].clone();
        changed.2[100] ^= 1;
        let around = (0, true, vec![1; 2_960]);
        let early_end = (1_480, false, cut[1].2[..800].to_vec());
        for (name, bad) in [("shifted", shifted), ("inside", inside), ("changed", changed), ("around", around), ("ends twice", early_end)] {
            let mut decap = Decap::default();
            // The rest comes late: it must not begin the packet anew.
            let seen = feed(&mut decap, 0, [frame(&cut[0]), frame(&cut[2]), frame(&bad), frame(&cut[1]), frame(&cut[0])]);
            assert!(seen.is_empty(), "{name}");
            assert_eq!(decap.counters.fragments_overlapping, 1, "{name}: {:?}", decap.counters);
            assert_eq!(decap.fragments.size(), (1, 0), "{name}: what is void holds nothing");
        }
    }
}

#[test]
fn an_atomic_fragment_leaves_others_of_its_number_alone() {
    let (payload, cut) = pieces(2_000, 1_480);
    let mut decap = Decap::default();
    let atomic = v6_piece(1, &(0, false, udp(b"hello")));
    let seen = feed(&mut decap, 0, [v6_piece(1, &cut[0]), atomic, v6_piece(1, &cut[1])]);
    assert_eq!(seen.iter().map(|seen| seen.payload.as_slice()).collect::<Vec<_>>(), [b"hello".as_slice(), &payload]);
    assert_eq!((decap.counters.reassembled, decap.counters.fragments_overlapping), (1, 0));
}

#[test]
fn pieces_that_no_sender_makes_are_malformed() {
    let mut decap = Decap::default();
    let frames = [
        // Not a multiple of 8, and more to come.
        v4_piece(1, &(0, true, vec![0; 13])),
        // Empty.
        v4_piece(2, &(8, false, Vec::new())),
        // Beyond the largest packet.
        v4_piece(3, &(65_528, false, vec![0; 16])),
        v6_piece(4, &(65_528, false, vec![0; 16])),
        // Cut by the capture.
        v4_piece(5, &(0, true, vec![0; 64]))[..60].to_vec(),
        // A fragment of a fragment.
        ipv6(44, &[&[44, 0, 0, 1, 0, 0, 0, 9][..], &[17, 0, 0, 1, 0, 0, 0, 9]].concat()),
        ipv6(44, &[&[44, 0, 0, 8, 0, 0, 0, 9][..], &[0; 8]].concat()),
    ];
    assert!(feed(&mut decap, 0, frames).is_empty());
    assert_eq!((decap.counters.malformed, decap.counters.fragments), (6, 1), "{:?}", decap.counters);
    assert_eq!(decap.fragments.size(), (0, 0));
}

#[test]
fn what_stays_in_pieces_is_given_up_after_half_a_minute() {
    let (payload, cut) = pieces(2_000, 1_480);
    let mut decap = Decap::default();
    feed(&mut decap, 0, [v4_piece(1, &cut[0])]);
    assert_eq!(feed(&mut decap, 29_000_000, [v4_piece(1, &cut[1])]).len(), 1, "30 s are not over");
    feed(&mut decap, 40_000_000, [v4_piece(2, &cut[0])]);
    // Its other piece comes too late, and waits for the first in vain.
    assert!(feed(&mut decap, 71_000_000, [v4_piece(2, &cut[1])]).is_empty());
    assert_eq!((decap.counters.fragments_timed_out, decap.fragments.size().0), (1, 1));
    let seen = feed(&mut decap, 200_000_000, [v4_piece(3, &cut[0]), v4_piece(3, &cut[1])]);
    assert_eq!((seen[0].payload.as_slice(), decap.counters.fragments_timed_out, decap.fragments.size()), (payload.as_slice(), 2, (0, 0)));
}

#[test]
fn a_million_packets_in_pieces_stay_bounded_and_whole_ones_come_through() {
    let (payload, cut) = pieces(2_000, 1_480);
    let mut decap = Decap::default();
    let mut random = Random(1);
    let mut whole = 0;
    for number in 0..1_000_000_u32 {
        let size = 8 * (1 + random.below(180));
        let frame = v6_piece(number | 1 << 31, &(8 * random.below(4_000), true, vec![number as u8; size]));
        let at = Wall::from_micros(i64::from(number) * 5);
        assert!(decap.frame(Link::Ip, &frame, at, 1).is_none());
        if number % 10_000 == 0 {
            let (packets, bytes) = decap.fragments.size();
            assert!(packets <= PACKETS && bytes <= BYTES, "{packets} packets, {bytes} bytes");
            // A real one in between: its second piece comes 100 packets later.
            decap.frame(Link::Ip, &v4_piece(number as u16, &cut[0]), at, 1);
        }
        if number % 10_000 == 100
            && let Some(captured) = decap.frame(Link::Ip, &v4_piece((number - 100) as u16, &cut[1]), at, 1)
        {
            assert_eq!(Seen::from(captured).payload, payload);
            whole += 1;
        }
    }
    assert_eq!(whole, 100);
    let counters = decap.counters;
    assert_eq!(counters.fragments_at_cap + decap.fragments.size().0 as u64, 1_000_000, "{counters:?}");
    assert!(adds_up(&counters));
}

#[test]
fn large_pieces_are_bounded_by_their_bytes() {
    let mut decap = Decap::default();
    let frames = (0..200).map(|number| v6_piece(number, &(0, true, vec![number as u8; 60_000])));
    assert!(feed(&mut decap, 0, frames).is_empty());
    let (packets, bytes) = decap.fragments.size();
    assert!(bytes <= BYTES && packets == BYTES / 60_128, "{packets} packets, {bytes} bytes");
    assert_eq!(decap.counters.fragments_at_cap + packets as u64, 200);
}

#[test]
fn one_packet_in_a_thousand_pieces_is_given_up_and_its_bytes_let_go() {
    let mut decap = Decap::default();
    let frames = (0..1_000).map(|index| v4_piece(1, &(index * 16, true, vec![index as u8; 8])));
    assert!(feed(&mut decap, 0, frames).is_empty());
    assert_eq!((decap.counters.fragments_at_cap, decap.fragments.size()), (1, (1, 0)));
}

#[test]
fn what_waits_is_not_printed() {
    let mut decap = Decap::default();
    feed(&mut decap, 0, [v4_piece(1, &(0, true, vec![0x41; 64]))]);
    let printed = format!("{decap:?}");
    assert!(!printed.contains("192") && !printed.contains("65, 65"), "{printed}");
}
