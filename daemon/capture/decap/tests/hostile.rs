//! Bytes that nobody sends in good faith. None makes it panic, and each frame is counted once.

use super::super::fragments::{BYTES, PACKETS};
use super::layers::encapsulations;
use super::*;

/// Every kind of frame that the other tests write.
fn kinds() -> Vec<(Link, Vec<u8>)> {
    let v4 = [ipv4(1, 0, 17, &udp(b"hello")), ipv4(1, 0x2000, 17, &[7; 64]), ipv4(1, 8, 6, &tcp(1, 0x18, b"INVITE"))];
    let v6 = [ipv6(17, &udp(b"hello")), ipv6(44, &[17, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8]), ipv6(0, &[6, 0, 1, 4, 0, 0, 0, 0])];
    let hep = hep::message(&hep::chunks(17, 1, b"OPTIONS"));
    let mut kinds: Vec<_> = v4.iter().flat_map(|packet| encapsulations(packet, 0x0800)).collect();
    kinds.extend(v6.iter().flat_map(|packet| encapsulations(packet, 0x86dd)));
    kinds.extend(encapsulations(&ipv4(1, 0, 17, &udp_to(9060, &hep)), 0x0800));
    kinds.into_iter().map(|(_, link, frame)| (link, frame)).collect()
}

#[test]
fn a_frame_cut_anywhere_does_not_panic() {
    for (_, frame) in kinds() {
        let mut decap = Decap::default();
        for link in Link::ALL {
            for length in 0..=frame.len() {
                decap.frame(link, &frame[..length], Wall::default(), 1);
            }
        }
        assert!(adds_up(&decap.counters));
    }
}

#[test]
fn two_hundred_thousand_mutations_do_not_panic_and_memory_stays_bounded() {
    let kinds = kinds();
    let mut random = Random(2);
    let mut decap = Decap::default();
    for round in 0..200_000_i64 {
        let (link, frame) = &kinds[random.below(kinds.len())];
        let mut frame = frame.clone();
        for _ in 0..=random.below(6) {
            let place = random.below(frame.len());
            match random.below(6) {
                0 => frame[place] = random.bits() as u8,
                1 => frame[place] ^= 1 << random.below(8),
                2 => frame[place] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                3 => frame.truncate(place.max(1)),
                4 => {
                    let more = random.below(40);
                    frame.extend(random.bytes(more));
                }
                _ => {
                    let (_, other) = &kinds[random.below(kinds.len())];
                    frame.truncate(place.max(1));
                    frame.extend(&other[random.below(other.len())..]);
                }
            }
        }
        // Most as the link says, some not; time runs, and sometimes jumps.
        let link = if random.below(8) == 0 { Link::ALL[random.below(5)] } else { *link };
        let at = if random.below(100) == 0 { random.bits().cast_signed() } else { round * 100 };
        decap.frame(link, &frame, Wall::from_micros(at), 1);
        if round % 1_000 == 0 {
            let (packets, bytes) = decap.fragments.size();
            assert!(packets <= PACKETS && bytes <= BYTES);
        }
    }
    assert!(adds_up(&decap.counters), "{:?}", decap.counters);
    let c = decap.counters;
    assert!([c.delivered, c.tunnelled, c.hep, c.fragments, c.duplicates].iter().all(|count| *count > 100), "the mutations reach all: {c:?}");
}

#[test]
fn a_hundred_thousand_random_frames_do_not_panic() {
    let mut random = Random(3);
    let mut decap = Decap::default();
    for round in 0..100_000 {
        let length = random.below(200);
        let mut frame = random.bytes(length);
        // Half of them get past the first layer.
        if random.below(2) == 0 && frame.len() > 24 {
            frame[12..14].copy_from_slice(&[[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0x47]][random.below(4)]);
            frame[14] = [0x45, 0x60][random.below(2)];
            frame[23] = [17, 6, 47, 4, 41, 44][random.below(6)];
        }
        decap.frame(Link::ALL[random.below(5)], &frame, Wall::from_micros(round), 1);
    }
    assert!(adds_up(&decap.counters));
    assert_eq!(decap.counters.frames, 100_000);
}

/// Another reader of the same standards: whatever it finds without reproach is found here, byte for byte.
#[test]
fn what_another_parser_takes_for_a_datagram_is_the_same_datagram_here() {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    let mut random = Random(4);
    let mut found = [0; 2];
    for round in 0..100_000 {
        let length = random.below(60);
        let payload = random.bytes(length);
        let transport = if round % 2 == 0 { (17, udp(&payload)) } else { (6, tcp(random.bits() as u32, random.bits() as u8, &payload)) };
        let (ether_type, packet) = match random.below(3) {
            0 => (0x0800, ipv4(random.bits() as u16, 0x4000, transport.0, &transport.1)),
            1 => (0x86dd, ipv6(transport.0, &transport.1)),
            _ => (0x86dd, ipv6(60, &[&[transport.0, 0, 1, 4, 0, 0, 0, 0][..], &transport.1].concat())),
        };
        let mut frame = ethernet(&[0x8100, 0x88a8][..random.below(3)], ether_type, &packet);
        for _ in 0..random.below(3) {
            let place = 12 + random.below(frame.len() - 12);
            frame[place] = if random.below(2) == 0 { random.bits() as u8 } else { frame[place].wrapping_add(1) };
        }
        let Ok(sliced) = SlicedPacket::from_ethernet(&frame) else { continue };
        let (source, destination): (IpAddr, IpAddr) = match &sliced.net {
            Some(NetSlice::Ipv4(it)) => (it.header().source_addr().into(), it.header().destination_addr().into()),
            Some(NetSlice::Ipv6(it)) => (it.header().source_addr().into(), it.header().destination_addr().into()),
            _ => continue,
        };
        let (ports, payload, sequence) = match &sliced.transport {
            Some(TransportSlice::Udp(it)) if ![4789, 8472, 6081, 9060].contains(&it.destination_port()) => {
                ((it.source_port(), it.destination_port()), it.payload(), None)
            }
            Some(TransportSlice::Tcp(it)) if !it.payload().is_empty() || it.syn() || it.fin() || it.rst() => {
                ((it.source_port(), it.destination_port()), it.payload(), Some(it.sequence_number()))
            }
            _ => continue,
        };
        let (seen, counters) = once(Link::Ethernet, &frame);
        let seen = seen.unwrap_or_else(|| panic!("round {round}: {counters:?}"));
        let ends = (SocketAddr::new(source.to_canonical(), ports.0), SocketAddr::new(destination.to_canonical(), ports.1));
        assert_eq!((seen.source, seen.destination), ends, "round {round}");
        assert_eq!((seen.payload.as_slice(), seen.sequence), (payload, sequence), "round {round}");
        found[usize::from(sequence.is_some())] += 1;
    }
    assert!(found.iter().all(|count| *count > 20_000), "{found:?}");
}
