//! What a mirror shows twice is dropped once; what was sent twice is not.

use super::layers::encapsulations;
use super::*;

/// RTP with this sequence number and 160 bytes of sound.
fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend(vec![sequence as u8; 160]);
    packet
}

/// Whether each of these frames, at these microseconds, is passed on.
fn passed(frames: &[(i64, Vec<u8>)]) -> Vec<bool> {
    let mut decap = Decap::default();
    let passed: Vec<bool> =
        frames.iter().map(|(at, frame)| decap.frame(Link::Ethernet, frame, Wall::from_micros(*at), 1).is_some()).collect();
    assert_eq!(decap.counters.duplicates, passed.iter().filter(|passed| !**passed).count() as u64);
    passed
}

const START: i64 = 1_700_000_000_000_000;

fn frame(tags: &[u16], identification: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(tags, 0x0800, &ipv4(identification, 0, 17, &udp(payload)))
}

#[test]
fn the_second_copy_is_dropped_whatever_changed_on_its_way() {
    let first = frame(&[], 77, &rtp(1));
    let tagged = frame(&[0x8100], 77, &rtp(1));
    let mut routed = frame(&[0x88a8, 0x8100], 77, &rtp(1));
    routed[..12].fill(9);
    // One hop less, another class of service, both checksums.
    routed[22 + 8] -= 1;
    routed[22 + 1] = 0xb8;
    routed[22 + 10..22 + 12].fill(0x31);
    routed[22 + 26..22 + 28].fill(0x77);
    let frames = [(START, first.clone()), (START + 900, tagged), (START + 99_000, routed), (START - 50_000, first)];
    assert_eq!(passed(&frames), [true, false, false, false]);
}

#[test]
fn a_packet_seen_bare_and_in_every_tunnel_is_one_packet() {
    let packet = ipv4(77, 0, 17, &udp(&rtp(1)));
    let mut decap = Decap::default();
    let frames = encapsulations(&packet, 0x0800);
    let passed = frames.iter().filter(|(_, link, frame)| decap.frame(*link, frame, Wall::from_micros(START), 1).is_some()).count();
    assert_eq!((passed, decap.counters.duplicates), (1, frames.len() as u64 - 1));
}

#[test]
fn what_was_sent_twice_is_passed_on_twice() {
    let invite = b"INVITE sip:1001@pbx.example SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n";
    // A retransmission after 500 ms, its sender leaving the identification 0; and one after 20 ms with an identification of its own.
    assert_eq!(passed(&[(START, frame(&[], 0, invite)), (START + 500_000, frame(&[], 0, invite))]), [true; 2]);
    assert_eq!(passed(&[(START, frame(&[], 1, invite)), (START + 20_000, frame(&[], 2, invite))]), [true; 2]);
    // Just outside the window, and what repeats for ever is let through every 100 ms.
    assert_eq!(passed(&[(START, frame(&[], 0, invite)), (START + 102_000, frame(&[], 0, invite))]), [true; 2]);
    let often: Vec<_> = (0..6).map(|index| (START + index * 60_000, frame(&[], 0, invite))).collect();
    assert_eq!(passed(&often), [true, false, true, false, true, false]);
}

#[test]
fn every_byte_that_tells_packets_apart_counts() {
    let base = || ipv4(0, 0, 17, &udp(&rtp(1)));
    // Source, destination, ports, and of RTP: payload type, number, time stamp, source; the last byte of sound.
    let v4 = [12, 15, 16, 19, 20, 21, 22, 23, 29, 30, 31, 32, 35, 36, 39, 199];
    let message = || ipv6(17, &udp(&[b'A'; 200]));
    let v6 = [8, 23, 24, 39, 40, 41, 42, 43, 48, 100, 150, 247];
    let stream = || ipv4(0, 0, 6, &tcp(1, 0x18, &[b'A'; 200]));
    let segment = [20, 24, 27, 33, 44, 150, 243];
    let mut frames: Vec<_> = [(0x0800, base()), (0x86dd, message()), (0x0800, stream())]
        .map(|(ether_type, packet)| (START, ethernet(&[], ether_type, &packet)))
        .into();
    for (ether_type, packet, places) in
        [(0x0800, &base as &dyn Fn() -> Vec<u8>, v4.as_slice()), (0x86dd, &message, &v6), (0x0800, &stream, &segment)]
    {
        for place in places {
            let mut other = packet();
            other[*place] ^= 1;
            frames.push((START + 1_000, ethernet(&[], ether_type, &other)));
        }
    }
    // Short ones, and one that is another with a zero behind it.
    for payload in [&b""[..], b"\0", b"\0\0", b"\r\n\r\n", b"\r\n\r\n\0"] {
        frames.push((START + 2_000, ethernet(&[], 0x0800, &ipv4(0, 0, 17, &udp(payload)))));
    }
    let count = frames.len();
    assert_eq!(passed(&frames), vec![true; count]);
}

#[test]
fn a_mirror_of_two_thousand_calls_both_ways_is_halved_exactly() {
    let mut decap = Decap::default();
    let mut frame = frame(&[], 0, &rtp(0));
    let mut passed = 0;
    // 200,000 packets a second, each copy 3 ms (600 packets) behind.
    let mut mirrored = |number: u32| {
        frame[26..30].copy_from_slice(&(0x0a00_0000 + number % 4_000).to_be_bytes());
        frame[18..20].copy_from_slice(&((number / 4_000) as u16).to_be_bytes());
        frame[44..46].copy_from_slice(&((number / 4_000) as u16).to_be_bytes());
        frame.clone()
    };
    for number in 0..400_000_u32 {
        let at = Wall::from_micros(START + i64::from(number) * 5);
        passed += u32::from(decap.frame(Link::Ethernet, &mirrored(number), at, 1).is_some());
        if number >= 600 {
            passed += u32::from(decap.frame(Link::Ethernet, &mirrored(number - 600), at, 1).is_some());
        }
    }
    assert_eq!((passed, decap.counters.duplicates), (400_000, 399_400));
}

#[test]
fn the_mirrors_copies_of_fragments_leave_nothing_behind() {
    let datagram = udp(&[7; 2_000]);
    let piece = |offset: usize, more: bool, end: usize| {
        ethernet(&[], 0x0800, &ipv4(5, (offset / 8) as u16 | u16::from(more) << 13, 17, &datagram[offset..end]))
    };
    let (first, last) = (piece(0, true, 1_480), piece(1_480, false, 2_008));
    let mut decap = Decap::default();
    let mut seen = 0;
    for frame in [&first, &first, &last, &last] {
        seen += u32::from(decap.frame(Link::Ethernet, frame, Wall::from_micros(START), 1).is_some());
    }
    assert_eq!((seen, decap.counters.duplicates, decap.counters.reassembled, decap.fragments.size()), (1, 2, 1, (0, 0)));
}
