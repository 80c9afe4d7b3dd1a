use super::*;

/// What the kernel does with a program: how much of the frame passes. A load beyond the frame's end rejects it.
fn run(program: &[Instruction], frame: &[u8]) -> u32 {
    let load = |at: u32, size: usize| {
        let bytes = frame.get(at as usize..)?.get(..size)?;
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    };
    let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
    loop {
        let Instruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let mut compare = |holds: bool| at += usize::from(if holds { jump_true } else { jump_false });
        let loaded = match code {
            LOAD_HALF => load(k, 2),
            LOAD_BYTE => load(k, 1),
            LOAD_HALF_AT => load(x + k, 2),
            LOAD_BYTE_AT => load(x + k, 1),
            AND => Some(a & k),
            SHIFT_LEFT => Some(a << k),
            ADD => Some(a + k),
            ADD_INDEX => Some(a + x),
            FROM_INDEX => Some(x),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return REJECT };
        a = loaded;
        match code {
            SET_INDEX => x = k,
            TO_INDEX => x = a,
            EQUAL => compare(a == k),
            AT_LEAST => compare(a >= k),
            ABOVE => compare(a > k),
            ANY_BIT => compare(a & k != 0),
            JUMP => at += k as usize,
            RETURN => return k,
            _ => {}
        }
    }
}

fn ports() -> Vec<RangeInclusive<u16>> {
    vec![5060..=5060, 5062..=5080]
}

fn passes(frame: &[u8]) -> bool {
    let whole = run(&program(Link::Ethernet, &ports()).unwrap(), frame);
    assert!(whole == ACCEPT || whole == REJECT);
    // The same packet on an interface without Ethernet.
    if frame[12..14] == [8, 0] || frame[12..14] == [0x86, 0xdd] {
        assert_eq!(run(&program(Link::Ip, &ports()).unwrap(), &frame[14..]), whole);
    }
    whole == ACCEPT
}

fn ethernet(tags: &[u16], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend(ether_type.to_be_bytes());
    frame.extend(packet);
    frame
}

/// `options` are words of IPv4 options; `fragment` the flags and the offset.
fn ipv4(protocol: u8, options: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45 + options, 0, 0, 20 + 4 * options + payload.len() as u8, 0, 1];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.resize(20 + 4 * usize::from(options), 1);
    packet.extend(payload);
    packet
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, payload.len() as u8, next, 64];
    packet.extend([1; 32]);
    packet.extend(payload);
    packet
}

fn from_to(source: u16, destination: u16) -> Vec<u8> {
    let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    header.resize(20, 0);
    header
}

#[test]
fn udp_passes_whatever_its_ports_and_tags() {
    for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100], &[0x9100, 0x8100], &[0x88a8, 0x88a8, 0x8100]] {
        assert!(passes(&ethernet(tags, 0x0800, &ipv4(17, 0, 0, &from_to(1, 2)))), "{tags:x?}");
        assert!(passes(&ethernet(tags, 0x86dd, &ipv6(17, &from_to(1, 2)))), "{tags:x?}");
    }
}

#[test]
fn tcp_passes_with_a_sip_port_at_either_end_alone() {
    for (source, destination, wanted) in [
        (5060, 40_000, true),
        (40_000, 5060, true),
        (5061, 40_000, false),
        (40_000, 5061, false),
        (5062, 1, true),
        (1, 5080, true),
        (5059, 5081, false),
        (443, 50_000, false),
        (0, 65_535, false),
    ] {
        let tcp = from_to(source, destination);
        for tags in [&[][..], &[0x8100], &[0x88a8, 0x8100]] {
            for options in [0, 1, 10] {
                assert_eq!(passes(&ethernet(tags, 0x0800, &ipv4(6, options, 0, &tcp))), wanted, "{source} {destination} {tags:x?} {options}");
            }
            assert_eq!(passes(&ethernet(tags, 0x86dd, &ipv6(6, &tcp))), wanted, "{source} {destination} {tags:x?}");
        }
        // Do not fragment says nothing about fragments.
        assert_eq!(passes(&ethernet(&[], 0x0800, &ipv4(6, 0, 0x4000, &tcp))), wanted);
    }
}

#[test]
fn fragments_and_tunnels_pass_and_the_rest_does_not() {
    let web = from_to(443, 50_000);
    for fragment in [0x2000, 0x2001, 0x0001, 0x1fff] {
        assert!(passes(&ethernet(&[], 0x0800, &ipv4(6, 0, fragment, &web))));
        assert!(passes(&ethernet(&[], 0x0800, &ipv4(17, 0, fragment, &web))));
        assert!(!passes(&ethernet(&[], 0x0800, &ipv4(1, 0, fragment, &web))), "a large ping");
    }
    for tunnel in [4, 41, 47] {
        assert!(passes(&ethernet(&[], 0x0800, &ipv4(tunnel, 0, 0, &[0; 20]))), "{tunnel}");
        assert!(passes(&ethernet(&[], 0x86dd, &ipv6(tunnel, &[0; 20]))), "{tunnel}");
    }
    for extension in [0, 43, 44, 51, 60, 135] {
        assert!(passes(&ethernet(&[], 0x86dd, &ipv6(extension, &[0; 20]))), "{extension}");
    }
    for label in [0x8847, 0x8848] {
        assert!(passes(&ethernet(&[0x8100], label, &[0; 20])));
    }
    for other in [1, 2, 50, 58, 59, 89, 132] {
        assert!(!passes(&ethernet(&[], 0x0800, &ipv4(other, 0, 0, &web))), "{other}");
        assert!(!passes(&ethernet(&[], 0x86dd, &ipv6(other, &web))), "{other}");
    }
    for link in [0x0806, 0x88cc, 0x0026, 0x8863] {
        assert!(!passes(&ethernet(&[], link, &[0; 40])));
    }
}

#[test]
fn a_frame_that_is_cut_anywhere_is_judged_without_reading_beyond_it() {
    for whole in [ethernet(&[0x88a8, 0x8100], 0x0800, &ipv4(6, 3, 0, &from_to(1, 5060))), ethernet(&[0x8100], 0x86dd, &ipv6(6, &from_to(1, 5060)))] {
        let needed = whole.len() - 16;
        for length in 0..=whole.len() {
            let passed = run(&program(Link::Ethernet, &ports()).unwrap(), &whole[..length]) == ACCEPT;
            assert_eq!(passed, length >= needed, "{length}");
        }
    }
}

#[test]
fn the_list_of_ports_is_bounded_and_may_be_empty() {
    let tcp = ethernet(&[], 0x0800, &ipv4(6, 0, 0, &from_to(5060, 64)));
    assert_eq!(run(&program(Link::Ethernet, &[]).unwrap(), &tcp), REJECT);
    let many: Vec<_> = (1..=64).map(|port| port..=port).collect();
    let program_of_many = program(Link::Ethernet, &many).unwrap();
    assert!(program_of_many.len() < 4_096);
    assert_eq!(run(&program_of_many, &tcp), ACCEPT);
    assert_eq!(program(Link::Ethernet, &vec![1..=1; 65]), None);
    assert_eq!(program(Link::Sll, &[]), None);
}
