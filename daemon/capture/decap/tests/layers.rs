//! Links, tags, IP, transports and tunnels.

use sotto_private::SegmentFlags;

use super::*;

fn gre(flags: u16, protocol: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = flags.to_be_bytes().to_vec();
    bytes.extend(protocol.to_be_bytes());
    // Checksum, key, sequence number.
    for (option, value) in [(0x8000, 0xaaaa_0000_u32), (0x2000, 0xbbbb_bbbb), (0x1000, 0xcccc_cccc)] {
        if flags & option != 0 {
            bytes.extend(value.to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// What lies in every encapsulation below.
fn inner(is_v6: bool) -> Vec<u8> {
    if is_v6 { ipv6(17, &udp(b"hello")) } else { ipv4(1, 0, 17, &udp(b"hello")) }
}

/// Every encapsulation that is read, by name, around `packet`, whose EtherType is given.
pub(super) fn encapsulations(packet: &[u8], ether_type: u16) -> Vec<(&'static str, Link, Vec<u8>)> {
    let plain = ethernet(&[], ether_type, packet);
    let kind = ether_type.to_be_bytes();
    // A tunnel's outer packet, in either version of IP.
    let over4 = |protocol: u8, payload: &[u8]| ethernet(&[], 0x0800, &ipv4(9, 0x4000, protocol, payload));
    let over6 = |protocol: u8, payload: &[u8]| ethernet(&[0x8100], 0x86dd, &ipv6(protocol, payload));
    let in_ip = if ether_type == 0x0800 { 4 } else { 41 };
    let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &plain]);
    let mut padded = plain.clone();
    padded.resize(padded.len().max(90), 0xee);
    vec![
        ("Ethernet", Link::Ethernet, plain.clone()),
        ("Ethernet, padded", Link::Ethernet, padded),
        ("802.1Q", Link::Ethernet, ethernet(&[0x8100], ether_type, packet)),
        ("802.1ad QinQ", Link::Ethernet, ethernet(&[0x88a8, 0x8100], ether_type, packet)),
        ("QinQ 9100", Link::Ethernet, ethernet(&[0x9100, 0x8100], ether_type, packet)),
        ("five tags", Link::Ethernet, ethernet(&[0x88a8, 0x8100, 0x8100, 0x9100, 0x8100], ether_type, packet)),
        ("MPLS", Link::Ethernet, ethernet(&[], 0x8847, &join(&[&[0, 1, 0, 64, 0, 2, 1, 64], packet]))),
        ("MPLS pseudowire", Link::Ethernet, ethernet(&[], 0x8847, &join(&[&[0, 1, 1, 64, 0, 0, 0, 0], &plain]))),
        ("Linux cooked", Link::Sll, join(&[&[0; 14], &kind, packet])),
        ("Linux cooked 2", Link::Sll2, join(&[&kind, &[0; 18], packet])),
        ("Linux cooked, 802.1Q", Link::Sll, join(&[&[0; 14], &[0x81, 0, 0, 5], &kind, packet])),
        ("raw IP", Link::Ip, packet.to_vec()),
        ("BSD loopback", Link::Loopback, join(&[&[30, 0, 0, 0], packet])),
        ("IP in IPv4", Link::Ethernet, over4(in_ip, packet)),
        ("IP in IPv6", Link::Ethernet, over6(in_ip, packet)),
        ("GRE", Link::Ethernet, over4(47, &gre(0, ether_type, packet))),
        ("GRE, all options", Link::Ethernet, over6(47, &gre(0xb000, ether_type, packet))),
        ("GRE, key", Link::Ethernet, over4(47, &gre(0x2000, ether_type, packet))),
        ("GRE, bridged and tagged", Link::Ethernet, over4(47, &gre(0, 0x6558, &ethernet(&[0x8100], ether_type, packet)))),
        ("ERSPAN I", Link::Ethernet, over4(47, &gre(0, 0x88be, &plain))),
        ("ERSPAN II", Link::Ethernet, over4(47, &gre(0x1000, 0x88be, &join(&[&[0x10, 5, 0, 1, 0, 0, 0, 0], &plain])))),
        ("ERSPAN III", Link::Ethernet, over4(47, &gre(0x1000, 0x22eb, &join(&[&[0x20, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], &plain])))),
        (
            "ERSPAN III, subheader",
            Link::Ethernet,
            over6(47, &gre(0x1000, 0x22eb, &join(&[&[0x20, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 8, 7, 6, 5, 4, 3, 2, 1], &plain]))),
        ),
        ("ERSPAN III, IP", Link::Ethernet, over4(47, &gre(0x1000, 0x22eb, &join(&[&[0x20, 5, 0, 1, 0, 0, 0, 0, 0, 0, 8, 0], packet])))),
        ("VXLAN", Link::Ethernet, over4(17, &udp_to(4789, &vxlan))),
        ("VXLAN over IPv6", Link::Ethernet, over6(17, &udp_to(4789, &vxlan))),
        ("VXLAN, Linux' port", Link::Ethernet, over4(17, &udp_to(8472, &vxlan))),
        ("GENEVE", Link::Ethernet, over4(17, &udp_to(6081, &join(&[&[0, 0, 0x65, 0x58, 0, 0, 7, 0], &plain])))),
        ("GENEVE, options, IP", Link::Ethernet, over4(17, &udp_to(6081, &join(&[&[1, 0x40], &kind, &[0, 0, 7, 0, 1, 2, 3, 0], packet])))),
        ("ERSPAN over VXLAN", Link::Ethernet, {
            let erspan = over4(47, &gre(0x1000, 0x88be, &join(&[&[0x10, 5, 0, 1, 0, 0, 0, 0], &plain])));
            over4(17, &udp_to(4789, &join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &erspan])))
        }),
    ]
}

#[test]
fn udp_is_found_behind_every_encapsulation() {
    for (is_v6, ether_type) in [(false, 0x0800), (true, 0x86dd)] {
        let ends = if is_v6 { ["2001:db8::1", "2001:db8::2"] } else { ["192.0.2.1", "192.0.2.2"] };
        let (source, destination) = (address(ends[0], 5060), address(ends[1], 5062));
        let mut tunnels = 0;
        for (name, link, frame) in encapsulations(&inner(is_v6), ether_type) {
            let (seen, counters) = once(link, &frame);
            let seen = seen.unwrap_or_else(|| panic!("{name}: {counters:?}"));
            assert_eq!(seen, Seen { payload: b"hello".to_vec(), source, destination, at: Wall::from_micros(5), sequence: None }, "{name}");
            assert_eq!((counters.delivered, counters.cut_short), (1, 0), "{name}");
            tunnels += counters.tunnelled;
        }
        assert_eq!(tunnels, 17);
    }
}

#[test]
fn extension_headers_are_stepped_over_and_atomic_fragments_are_whole() {
    let headers: [(&str, u8, Vec<u8>); 6] = [
        ("hop by hop", 0, vec![17, 0, 1, 4, 0, 0, 0, 0]),
        ("routing", 43, vec![17, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("destination options", 60, vec![17, 0, 1, 4, 0, 0, 0, 0]),
        ("authentication", 51, [&[17, 4, 0, 0][..], &[1; 20]].concat()),
        ("atomic fragment", 44, vec![17, 0, 0, 0, 1, 2, 3, 4]),
        ("two", 0, vec![60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]),
    ];
    for (name, next, header) in headers {
        let (seen, counters) = once(Link::Ip, &ipv6(next, &[header, udp(b"hello")].concat()));
        assert_eq!(seen.unwrap_or_else(|| panic!("{name}: {counters:?}")).payload, b"hello", "{name}");
        assert_eq!(counters.fragments, 0);
    }
    for (count, is_read) in [(15, true), (16, false), (200, false)] {
        let mut many = [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
        many[count * 8 - 8] = 17;
        many.extend(udp(b"hello"));
        assert_eq!(once(Link::Ip, &ipv6(60, &many)).0.is_some(), is_read, "{count} headers");
    }
    assert_eq!(once(Link::Ip, &ipv6(59, b"")).1.other_ip, 1);
}

#[test]
fn a_tcp_segment_has_its_place_and_its_flags() {
    let frame = |sequence, flags, payload: &[u8]| ipv4(1, 0, 6, &tcp(sequence, flags, payload));
    const ACK: u8 = 0x10;
    for (flags, payload, expected) in [
        (ACK, b"INVITE".as_slice(), SegmentFlags::default()),
        (0x02, b"", SegmentFlags { syn: true, ..SegmentFlags::default() }),
        (0x02 | ACK, b"", SegmentFlags { syn: true, ..SegmentFlags::default() }),
        (0x01 | ACK, b"bye", SegmentFlags { fin: true, ..SegmentFlags::default() }),
        (0x04, b"", SegmentFlags { rst: true, ..SegmentFlags::default() }),
    ] {
        let mut decap = Decap::default();
        let Some(Captured::Segment(segment)) = decap.frame(Link::Ip, &frame(0xffff_fff0, flags, payload), Wall::from_micros(5), 7) else {
            panic!("{:?}", decap.counters);
        };
        assert_eq!((segment.sequence, segment.flags, segment.payload()), (0xffff_fff0, expected, payload));
        assert_eq!((segment.source, segment.destination), (address("192.0.2.1", 5060), address("192.0.2.2", 5062)));
        assert_eq!((segment.at.micros, segment.number, decap.counters.segments), (5, 7, 1));
    }
    let (seen, counters) = once(Link::Ip, &frame(1, ACK, b""));
    assert_eq!((seen, counters.acknowledgements), (None, 1));
    let mut short = tcp(1, ACK, b"x");
    short[12] = 0x40;
    assert_eq!(once(Link::Ip, &ipv4(1, 0, 6, &short)).1.malformed, 1);
    short[12] = 0xf0;
    assert_eq!(once(Link::Ip, &ipv4(1, 0, 6, &short)).1.malformed, 1);
    // Ethernet pads a short frame; the padding is no part of the stream.
    let mut padded = ethernet(&[], 0x0800, &frame(1, ACK, b""));
    padded.resize(60, 0);
    assert_eq!(once(Link::Ethernet, &padded).1.acknowledgements, 1);
}

#[test]
fn what_is_dropped_is_counted_by_its_reason() {
    type Count = fn(&Counters) -> u64;
    let hello = || udp(b"hello");
    let mut long = udp(b"hello");
    long[5] += 1;
    let mut short = udp(b"hello");
    short[5] = 7;
    let mut header = ipv4(1, 0, 17, &hello());
    header[0] = 0x44;
    let mut total = ipv4(1, 0, 17, &hello());
    total[3] = 19;
    let arp_in_vxlan = join(&[&[8, 0, 0, 0, 0, 0, 7, 0], &ethernet(&[], 0x0806, &[0; 28])]);
    let cases: [(&str, Vec<u8>, Count); 14] = [
        ("a first fragment", ethernet(&[], 0x0800, &ipv4(1, 0x2000, 17, &[0; 16])), |c| c.fragments),
        ("a later fragment", ethernet(&[], 0x0800, &ipv4(1, 9, 17, &hello())), |c| c.fragments),
        ("ICMP", ethernet(&[], 0x0800, &ipv4(1, 0, 1, &[0; 20])), |c| c.other_ip),
        ("ESP", ethernet(&[], 0x86dd, &ipv6(50, &[0; 20])), |c| c.other_ip),
        ("PPTP's GRE", ethernet(&[], 0x0800, &ipv4(1, 0, 47, &gre(0x2001, 0x880b, &[0; 20]))), |c| c.other_ip),
        ("ARP", ethernet(&[], 0x0806, &[0; 28]), |c| c.not_ip),
        ("spanning tree", ethernet(&[], 38, &[0x42; 38]), |c| c.not_ip),
        ("ARP in VXLAN", ethernet(&[], 0x0800, &ipv4(1, 0, 17, &udp_to(4789, &arp_in_vxlan))), |c| c.not_ip),
        ("a tag and no more", ethernet(&[0x8100], 0x0800, &[])[..15].to_vec(), |c| c.malformed),
        ("half an IP header", ethernet(&[], 0x0800, &ipv4(1, 0, 17, &hello())[..12]), |c| c.malformed),
        ("UDP longer than its packet", ethernet(&[], 0x0800, &ipv4(1, 0, 17, &long)), |c| c.malformed),
        ("UDP shorter than its header", ethernet(&[], 0x0800, &ipv4(1, 0, 17, &short)), |c| c.malformed),
        ("an IP header of 16 bytes", ethernet(&[], 0x0800, &header), |c| c.malformed),
        ("IP shorter than its header", ethernet(&[], 0x0800, &total), |c| c.malformed),
    ];
    for (name, frame, count) in cases {
        let (seen, counters) = once(Link::Ethernet, &frame);
        assert!(seen.is_none(), "{name}");
        assert_eq!((count(&counters), counters.frames, counters.delivered), (1, 1, 0), "{name}: {counters:?}");
    }
}

#[test]
fn lengths_that_the_network_card_fills_in_are_taken_from_the_frame() {
    let mut v4 = ipv4(1, 0, 6, &tcp(1, 0x10, b"INVITE"));
    v4[2..4].fill(0);
    let mut v6 = ipv6(17, &udp(b"hello"));
    v6[4..6].fill(0);
    let mut jumbo = ipv4(1, 0, 17, &udp(b"hello"));
    jumbo[24..26].fill(0);
    for (frame, payload) in [(v4, b"INVITE".as_slice()), (v6, b"hello"), (jumbo, b"hello")] {
        assert_eq!(once(Link::Ip, &frame).0.unwrap().payload, payload);
    }
    // Less than the packet holds: the rest is nobody's.
    let mut less = ipv4(1, 0, 17, &udp(b"hello"));
    less[25] -= 2;
    assert_eq!(once(Link::Ip, &less).0.unwrap().payload, b"hel");
}

#[test]
fn tunnels_are_followed_four_deep() {
    let nested = |depth: usize| (0..depth).fold(inner(false), |packet, _| ipv4(1, 0, 4, &packet));
    for depth in 0..=4 {
        let (seen, counters) = once(Link::Ip, &nested(depth));
        assert_eq!(seen.unwrap().payload, b"hello");
        assert_eq!(counters.tunnelled, u64::from(depth > 0));
    }
    for depth in [5, 6, 1_000] {
        let (seen, counters) = once(Link::Ip, &nested(depth));
        assert_eq!((seen, counters.too_deep), (None, 1));
    }
}

#[test]
fn media_on_a_tunnels_port_stays_media() {
    for port in [4789, 8472, 6081] {
        for payload in [&[0x80, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 0xff, 0xff][..], b"OPTIONS sip:a SIP/2.0\r\n", b"\r\n\r\n", &[0x80, 200, 0, 6]] {
            let (seen, counters) = once(Link::Ip, &ipv4(1, 0, 17, &udp_to(port, payload)));
            assert_eq!(seen.map(|seen| seen.payload), Some(payload.to_vec()), "port {port}: {counters:?}");
            assert_eq!(counters.tunnelled, 0);
        }
    }
}

#[test]
fn a_snapshot_length_is_told() {
    let whole = ipv4(1, 0, 17, &udp(b"hello"));
    let (seen, counters) = once(Link::Ip, &whole[..whole.len() - 2]);
    assert_eq!((seen.unwrap().payload, counters.cut_short), (b"hel".to_vec(), 1));
    let whole = ipv6(6, &tcp(1, 0x18, b"INVITE"));
    let (seen, counters) = once(Link::Ip, &whole[..whole.len() - 3]);
    assert_eq!((seen.unwrap().payload, counters.cut_short), (b"INV".to_vec(), 1));
    // Inside a tunnel: ERSPAN cuts as well.
    let tunnelled = ipv4(1, 0, 4, &ipv4(2, 0, 17, &udp(b"hello"))[..30]);
    let (seen, counters) = once(Link::Ip, &tunnelled);
    assert_eq!((seen.unwrap().payload, counters.cut_short), (b"he".to_vec(), 1));
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
    let mut packet = ipv6(17, &udp(b"hello"));
    packet[8..24].copy_from_slice(&"192.0.2.7".parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped().octets());
    assert_eq!(once(Link::Ip, &packet).0.unwrap().source, address("192.0.2.7", 5060));
}
