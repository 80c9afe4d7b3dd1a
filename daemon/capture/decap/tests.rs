use super::*;

/// An IPv4 UDP packet from 192.0.2.1:5060 to 192.0.2.2:5062.
fn ipv4(payload: &[u8]) -> Vec<u8> {
    let total = (28 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(udp_header(payload));
    packet.extend(payload);
    packet
}

/// An IPv6 UDP packet behind a hop-by-hop header.
fn ipv6(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((16 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 64]);
    packet.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    packet.extend("2001:db8::2".parse::<std::net::Ipv6Addr>().unwrap().octets());
    packet.extend([17, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend(udp_header(payload));
    packet.extend(payload);
    packet
}

fn udp_header(payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0x13, 0xc4, 0x13, 0xc6];
    header.extend((8 + payload.len() as u16).to_be_bytes());
    header.extend([0, 0]);
    header
}

fn ethernet(tags: &[u16], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 100]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(packet);
    frame
}

fn decap(link: Link, frame: &[u8]) -> (Option<Datagram>, Counters) {
    let mut decap = Decap::default();
    let datagram = decap.datagram(link, frame, Wall::from_micros(5), 7);
    (datagram, decap.counters)
}

#[test]
fn udp_is_found_behind_every_link_and_any_number_of_tags() {
    let (v4, v6) = (ipv4(b"hello"), ipv6(b"hello"));
    let mut sll = vec![0; 14];
    sll.extend([8, 0]);
    sll.extend(&v4);
    let mut sll2 = vec![0x86, 0xdd];
    sll2.extend([0; 18]);
    sll2.extend(&v6);
    let mut padded = ethernet(&[], 0x0800, &v4);
    padded.resize(60, 0xee);
    let cases = [
        (Link::Ethernet, padded),
        (Link::Ethernet, ethernet(&[], 0x86dd, &v6)),
        (Link::Ethernet, ethernet(&[0x8100], 0x0800, &v4)),
        (Link::Ethernet, ethernet(&[0x88a8, 0x8100, 0x8100, 0x9100, 0x8100], 0x86dd, &v6)),
        (Link::Sll, sll),
        (Link::Sll2, sll2),
        (Link::Ip, v4.clone()),
        (Link::Ip, v6),
        (Link::Loopback, [&[30, 0, 0, 0], v4.as_slice()].concat()),
    ];
    for (index, (link, frame)) in cases.iter().enumerate() {
        let (datagram, counters) = decap(*link, frame);
        let datagram = datagram.unwrap_or_else(|| panic!("case {index}: {counters:?}"));
        assert_eq!((datagram.payload(), datagram.at.micros, datagram.number), (b"hello".as_slice(), 5, 7));
        assert_eq!((datagram.source.port(), datagram.destination.port()), (5060, 5062));
        assert_eq!((counters.delivered, counters.cut_short), (1, 0), "case {index}");
    }
}

#[test]
fn what_is_not_udp_is_counted_by_kind() {
    let mut fragment = ipv4(b"hello");
    fragment[6] = 0x20;
    let mut later_fragment = ipv4(b"hello");
    later_fragment[7] = 9;
    let mut tcp = ipv4(&[0; 20]);
    tcp[9] = 6;
    let mut icmp = ipv4(&[0; 20]);
    icmp[9] = 1;
    type Count = fn(&Counters) -> u64;
    let cases: [(Vec<u8>, Count); 7] = [
        (ethernet(&[], 0x0800, &fragment), |c| c.fragments),
        (ethernet(&[], 0x0800, &later_fragment), |c| c.fragments),
        (ethernet(&[], 0x0800, &tcp), |c| c.tcp),
        (ethernet(&[], 0x0800, &icmp), |c| c.other_ip),
        (ethernet(&[], 0x0806, &[0; 28]), |c| c.not_ip),
        (ethernet(&[0x8100], 0x0800, &[])[..15].to_vec(), |c| c.malformed),
        (ethernet(&[], 0x0800, &ipv4(b"hello")[..12]), |c| c.malformed),
    ];
    for (index, (frame, count)) in cases.iter().enumerate() {
        let (datagram, counters) = decap(Link::Ethernet, frame);
        assert!(datagram.is_none(), "case {index}");
        assert_eq!((count(&counters), counters.frames, counters.delivered), (1, 1, 0), "case {index}: {counters:?}");
    }
}

#[test]
fn a_snapshot_length_is_told() {
    let whole = ipv4(b"hello");
    let (datagram, counters) = decap(Link::Ip, &whole[..whole.len() - 2]);
    assert_eq!(datagram.unwrap().payload(), b"hel");
    assert_eq!(counters.cut_short, 1);
}

#[test]
fn a_frame_cut_anywhere_does_not_panic() {
    let frame = ethernet(&[0x8100], 0x86dd, &ipv6(b"hello"));
    for link in [Link::Ethernet, Link::Sll, Link::Sll2, Link::Ip, Link::Loopback] {
        for length in 0..=frame.len() {
            let (_, counters) = decap(link, &frame[..length]);
            assert_eq!(counters.frames, 1);
        }
    }
}
