//! Which encapsulations are followed, and from whom.

use super::hep::{chunks, message};
use super::*;

/// The same datagram from 192.0.2.1 within each encapsulation, between the same addresses.
fn carried() -> [(Tunnel, Vec<u8>); 6] {
    let inside = ipv4(1, 0, 17, &udp(b"INVITE"));
    let framed = ethernet(&[], 0x0800, &inside);
    let gre = [&[0, 0, 0x08, 0], inside.as_slice()].concat();
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0], framed.as_slice()].concat();
    let geneve = [&[0, 0, 0x65, 0x58, 0, 0, 1, 0], framed.as_slice()].concat();
    let hep = message(&chunks(17, 1, b"INVITE"));
    let mut over_tcp = tcp(1, 16, &hep);
    over_tcp[2..4].copy_from_slice(&9060_u16.to_be_bytes());
    [
        (Tunnel::Gre, ipv4(2, 0, 47, &gre)),
        (Tunnel::IpInIp, ipv4(2, 0, 4, &inside)),
        (Tunnel::Vxlan, ipv4(2, 0, 17, &udp_to(4789, &vxlan))),
        (Tunnel::Geneve, ipv4(2, 0, 17, &udp_to(6081, &geneve))),
        (Tunnel::Hep, ipv4(2, 0, 17, &udp_to(9060, &hep))),
        (Tunnel::Hep, ipv4(2, 0, 6, &over_tcp)),
    ]
}

fn read(trust: Trust, frame: &[u8]) -> (Option<Vec<u8>>, Counters) {
    let mut decap = Decap::new(trust);
    let seen = decap.frame(Link::Ip, frame, Wall::from_micros(5), 1).map(|captured| Seen::from(captured).payload);
    assert!(adds_up(&decap.counters), "{:?}", decap.counters);
    (seen, decap.counters)
}

#[test]
fn a_site_follows_what_it_names_and_no_more() {
    for (tunnel, frame) in carried() {
        assert_eq!(read(Trust::default(), &frame).0.unwrap(), b"INVITE", "{tunnel:?}");
        let alone = Trust { tunnels: vec![tunnel], ..Trust::default() };
        assert_eq!(read(alone, &frame).0.unwrap(), b"INVITE", "{tunnel:?}");
        let others = Tunnel::ALL.into_iter().filter(|other| *other != tunnel).collect();
        let (seen, counters) = read(Trust { tunnels: others, ..Trust::default() }, &frame);
        assert_eq!((seen, counters.untrusted), (None, 1), "{tunnel:?}");
    }
}

#[test]
fn a_tunnel_from_a_stranger_forges_nothing() {
    let trusts = |network: &str| Trust { peers: Some(vec![network.parse().unwrap()]), ..Trust::default() };
    for (tunnel, frame) in carried() {
        assert_eq!(read(trusts("192.0.2.0/24"), &frame).0.unwrap(), b"INVITE", "{tunnel:?}");
        let (seen, counters) = read(trusts("198.51.100.0/24"), &frame);
        assert_eq!((seen, counters.untrusted), (None, 1), "{tunnel:?}");
        assert_eq!(read(Trust { peers: Some(Vec::new()), ..Trust::default() }, &frame).1.untrusted, 1, "{tunnel:?}");
    }
    // Inside a trusted tunnel, a further one is held to the same.
    let mut stranger = ipv4(2, 0, 4, &ipv4(1, 0, 17, &udp(b"BYE")));
    stranger[12..16].copy_from_slice(&[203, 0, 113, 66]);
    let (seen, counters) = read(trusts("192.0.2.0/24"), &ipv4(3, 0, 47, &[&[0, 0, 0x08, 0], stranger.as_slice()].concat()));
    assert_eq!((seen, counters.untrusted), (None, 1));
}

#[test]
fn homers_ports_are_the_sites() {
    let [.., (_, over_udp), (_, over_tcp)] = carried();
    let elsewhere = || Trust { hep_ports: vec![9061, 9062], ..Trust::default() };
    for frame in [&over_udp, &over_tcp] {
        assert!(read(elsewhere(), frame).0.unwrap().starts_with(b"HEP3"), "a datagram or segment like others");
    }
    let mut moved = over_tcp;
    moved[22..24].copy_from_slice(&9062_u16.to_be_bytes());
    assert_eq!(read(elsewhere(), &moved).0.unwrap(), b"INVITE");
}
