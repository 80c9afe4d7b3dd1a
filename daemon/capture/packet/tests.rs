use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::Command;

use super::*;

fn options() -> InterfaceOptions {
    InterfaceOptions { timeout: Duration::from_millis(20), ring_bytes: 1 << 20, ..InterfaceOptions::default() }
}

/// A network of this thread's own, with a loopback interface that is down; `false`, with a word, where that is not allowed.
fn own_network() -> bool {
    // SAFETY: unshare(2) takes no pointers; it moves this thread alone, which ends with its test.
    let allowed = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 && ip(&["link", "show"]);
    if !allowed {
        writeln_skip("a network namespace and the command `ip` are needed");
    }
    allowed
}

fn writeln_skip(why: &str) {
    use std::io::Write;
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

/// Everything that comes until it is quiet twice: payloads, and whether it went down or up.
fn until_quiet(interface: &mut Interface) -> (Vec<(Vec<u8>, Wall)>, bool, bool) {
    let (mut payloads, mut down, mut up) = (Vec::new(), false, false);
    let mut quiet = 0;
    while quiet < 2 {
        match interface.next().unwrap() {
            Next::Item(Captured::Datagram(datagram)) => payloads.push((datagram.payload().to_vec(), datagram.at)),
            Next::Item(Captured::Segment(segment)) => payloads.push((segment.payload().to_vec(), segment.at)),
            Next::Item(_) | Next::End => panic!("an interface neither plays nor ends"),
            Next::Quiet => quiet += 1,
            Next::InterfaceDown => down = true,
            Next::InterfaceUp => up = true,
        }
    }
    (payloads, down, up)
}

#[test]
fn each_datagram_on_loopback_shows_once_and_with_the_kernels_stamp() {
    if !own_network() {
        return;
    }
    assert!(ip(&["link", "set", "lo", "up"]));
    let mut interface = Interface::open("lo", options()).unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..10u8 {
        sender.send_to(&[number], receiver.local_addr().unwrap()).unwrap();
    }
    let (payloads, down, up) = until_quiet(&mut interface);
    assert_eq!(payloads.iter().map(|(payload, _)| payload[0]).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert!(!down && !up);
    assert!(payloads.is_sorted_by_key(|(_, at)| *at));
    assert!(payloads[0].1.micros > 1_600_000_000_000_000, "a stamp of this century");
    assert_eq!(interface.counters().delivered, 10);
}

#[test]
fn where_the_kernel_shows_what_is_sent_it_is_left_out_here() {
    if !own_network() {
        return;
    }
    assert!(ip(&["link", "set", "lo", "up"]));
    let mut interface = Interface::open("lo", options()).unwrap();
    // As before Linux 4.20.
    set(interface.socket.as_ref().unwrap().descriptor.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.send_to(b"once", socket.local_addr().unwrap()).unwrap();
    assert_eq!(until_quiet(&mut interface).0.len(), 1);
    assert_eq!((interface.counters().delivered, interface.counters().outgoing), (1, 1));
}

#[test]
fn an_interface_that_goes_down_is_reported_and_waited_for() {
    if !own_network() {
        return;
    }
    // A loopback in a new network is down.
    let mut interface = Interface::open("lo", options()).unwrap();
    assert!(matches!(until_quiet(&mut interface), (_, true, false)));
    assert!(ip(&["link", "set", "lo", "up"]));
    assert!(matches!(until_quiet(&mut interface), (_, false, true)));
    assert!(ip(&["link", "set", "lo", "down"]));
    assert!(matches!(until_quiet(&mut interface), (_, true, false)));
    assert!(ip(&["link", "set", "lo", "up"]));
    assert!(matches!(until_quiet(&mut interface), (_, false, true)));
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender.send_to(b"again", sender.local_addr().unwrap()).unwrap();
    assert_eq!(until_quiet(&mut interface).0[0].0, b"again");
}

fn set(socket: BorrowedFd<'_>, level: i32, option: i32, value: i32) {
    // SAFETY: `value` is valid for reading its size, and the kernel keeps no reference to it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), size_of::<i32>() as _) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

/// Two interfaces with a wire between them, both up; `false`, with a word, where there can be none.
fn wire() -> bool {
    let made = own_network() && ip(&["link", "add", "near", "type", "veth", "peer", "name", "far"]);
    if !made {
        writeln_skip("this kernel has no veth");
        return false;
    }
    for name in ["near", "far"] {
        // Without an address of its own, an interface does not announce itself to its neighbours.
        assert!(ip(&["link", "set", name, "addrgenmode", "none"]) && ip(&["link", "set", name, "up"]));
    }
    true
}

/// An interface that has said what it has to say by itself.
fn listening(name: &str) -> Interface {
    let mut interface = Interface::open(name, options()).unwrap();
    until_quiet(&mut interface);
    interface
}

/// An Ethernet frame, perhaps tagged, with an IPv4 packet of one protocol in it, from port 5060 to 5062.
fn frame(tags: &[u16], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    let header = if protocol == 6 { 20 } else { 8 };
    frame.extend([8, 0, 0x45, 0, 0, 20 + header + payload.len() as u8, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend([0x13, 0xc4, 0x13, 0xc6]);
    if protocol == 6 {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0, 0, 0, 0, 0, 0]);
    } else {
        frame.extend([0, 8 + payload.len() as u8, 0, 0]);
    }
    frame.extend(payload);
    frame
}

fn send(socket: &Socket, frame: &[u8]) {
    // A frame that is sent has the kernel's offload header before it, too.
    let frame = [&[0; 10], frame].concat();
    // SAFETY: `frame` is valid for reading its length during the call.
    let sent = unsafe { libc::send(socket.descriptor.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
    assert_eq!(sent, frame.len() as isize, "{}", io::Error::last_os_error());
}

fn bytes(payloads: &[(Vec<u8>, Wall)]) -> Vec<&[u8]> {
    payloads.iter().map(|(payload, _)| payload.as_slice()).collect()
}

#[test]
fn the_kernels_filter_passes_what_may_be_of_a_call_and_nothing_else() {
    if !wire() {
        return;
    }
    let mut interface = listening("far");
    let near = Socket::open("near", &options()).unwrap();
    let mut web = frame(&[], 6, b"web");
    web[34..38].copy_from_slice(&[1, 187, 1, 188]);
    let mut fragment = frame(&[0x8100], 17, b"8 bytes.");
    fragment[24] = 0x20;
    let before = interface.counters();
    for sent in [
        frame(&[], 17, b"plain"),
        frame(&[], 6, b"SIP over TCP"),
        web,
        frame(&[], 1, b"ping"),
        frame(&[0x8100], 17, b"one tag"),
        frame(&[0x8100], 6, b"TCP behind a tag"),
        frame(&[0x88a8, 0x8100], 17, b"two tags"),
        frame(&[0x88a8, 0x8100], 6, b"TCP behind two tags"),
        fragment,
    ] {
        send(&near, &sent);
    }
    let (payloads, ..) = until_quiet(&mut interface);
    let wanted: [&[u8]; 6] = [b"plain", b"SIP over TCP", b"one tag", b"TCP behind a tag", b"two tags", b"TCP behind two tags"];
    assert_eq!(bytes(&payloads), wanted);
    let counters = interface.counters();
    assert_eq!(counters.kernel_packets - before.kernel_packets, 7, "the filter keeps web and ping away: {counters:?}");
    assert_eq!(counters.fragments - before.fragments, 1);
}

#[test]
fn a_frame_is_what_it_was_on_the_wire_with_its_outermost_tag() {
    if !wire() {
        return;
    }
    let mut interface = listening("far");
    let near = Socket::open("near", &options()).unwrap();
    for tags in [&[0x8100][..], &[0x88a8], &[0x88a8, 0x8100]] {
        let sent = frame(tags, 17, &[tags.len() as u8, tags[0] as u8]);
        send(&near, &sent);
        assert_eq!(until_quiet(&mut interface).0.len(), 1);
        assert_eq!(*interface.tagged.expose(), sent, "{tags:x?}");
    }
}

#[test]
fn datagrams_that_were_joined_are_told_apart() {
    const UDP_SEGMENT: i32 = 103;
    if !wire() {
        return;
    }
    assert!(ip(&["address", "add", "192.0.2.1/24", "dev", "near"]));
    assert!(ip(&["neighbour", "add", "192.0.2.2", "lladdr", "02:02:02:02:02:02", "dev", "near"]));
    // Both ends of the wire: what leaves at one and what arrives at the other.
    let (mut leaves, mut arrives) = (listening("near"), listening("far"));
    let sender = UdpSocket::bind("192.0.2.1:0").unwrap();
    set(sender.as_fd(), libc::SOL_UDP, UDP_SEGMENT, 172);
    let sound: Vec<u8> = (0..50 * 172 + 5).map(|at| (at / 172) as u8).collect();
    sender.send_to(&sound, "192.0.2.2:4000").unwrap();
    for interface in [&mut leaves, &mut arrives] {
        let (payloads, ..) = until_quiet(interface);
        let counters = interface.counters();
        if counters.kernel_drops == 1 && payloads.is_empty() {
            writeln_skip("before Linux 6.2 joined datagrams are dropped and counted");
            continue;
        }
        assert_eq!(bytes(&payloads), sound.chunks(172).collect::<Vec<_>>(), "{counters:?}");
        assert_eq!((counters.super_frames, counters.malformed, counters.cut_short), (1, 0, 0));
    }
}

#[test]
fn the_largest_datagram_comes_whole() {
    if !own_network() {
        return;
    }
    assert!(ip(&["link", "set", "lo", "up"]));
    let mut interface = Interface::open("lo", options()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let large: Vec<u8> = (0..65_507u32).map(|at| (at % 251) as u8).collect();
    socket.send_to(&large, socket.local_addr().unwrap()).unwrap();
    let (payloads, ..) = until_quiet(&mut interface);
    assert!(payloads.len() == 1 && payloads[0].0 == large, "{:?}", interface.counters());
}

#[test]
fn an_interface_that_is_removed_and_made_again_is_heard_again() {
    if !wire() {
        return;
    }
    let mut interface = listening("far");
    let near = Socket::open("near", &options()).unwrap();
    // What came before is not lost with it.
    send(&near, &frame(&[], 17, b"the last word"));
    drop(near);
    assert!(ip(&["link", "delete", "far"]));
    let (payloads, down, up) = until_quiet(&mut interface);
    assert_eq!((bytes(&payloads), down, up), (vec![b"the last word".as_slice()], true, false));
    assert_eq!(interface.ring_bytes(), 0, "no memory is held for nothing");
    assert!(!socket::is_up("far"));
    assert!(matches!(until_quiet(&mut interface), (_, false, false)), "it is said once");
    assert!(ip(&["link", "add", "near", "type", "veth", "peer", "name", "far"]));
    assert!(!socket::is_up("far"));
    assert!(ip(&["link", "set", "far", "up"]) && ip(&["link", "set", "near", "up"]));
    assert!(socket::is_up("far"));
    assert!(matches!(until_quiet(&mut interface), (_, false, true)));
    let near = Socket::open("near", &options()).unwrap();
    send(&near, &frame(&[], 17, b"again"));
    assert!(bytes(&until_quiet(&mut interface).0).contains(&b"again".as_slice()));
}

#[test]
fn what_came_just_before_the_interface_went_down_is_not_lost() {
    if !wire() {
        return;
    }
    let mut interface = listening("far");
    let near = Socket::open("near", &options()).unwrap();
    // Sooner than the kernel passes on the block that it is in, which a command of its own would be too slow for.
    send(&near, &frame(&[], 17, b"the last word"));
    take_down("far");
    let (payloads, down, _) = until_quiet(&mut interface);
    assert_eq!((bytes(&payloads), down), (vec![b"the last word".as_slice()], true));
}

fn take_down(name: &str) {
    // SAFETY: all zeros is a valid `ifreq`, with flags that say that the interface is down.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = from.cast_signed();
    }
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: `request` is a valid `ifreq` with a name that ends in zero, and outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut request) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[test]
fn what_is_sent_to_others_is_asked_for_as_long_as_it_listens() {
    if !wire() {
        return;
    }
    let is_promiscuous = || {
        let told = Command::new("ip").args(["-details", "link", "show", "far"]).output().unwrap().stdout;
        String::from_utf8(told).unwrap().contains("promiscuity 1")
    };
    assert!(!is_promiscuous());
    let interface = listening("far");
    assert!(is_promiscuous());
    drop(interface);
    assert!(!is_promiscuous());
}

#[test]
fn what_the_kernel_drops_is_counted_and_adds_up() {
    if !wire() {
        return;
    }
    // The smallest ring, which takes two blocks of 256 KiB.
    let mut interface = Interface::open("far", InterfaceOptions { ring_bytes: 0, ..options() }).unwrap();
    assert_eq!(interface.ring_bytes(), 512 << 10);
    until_quiet(&mut interface);
    let before = interface.counters();
    let near = Socket::open("near", &options()).unwrap();
    let mut received = 0;
    for round in 0..3u8 {
        for number in 0..3_000u16 {
            let [high, low] = number.to_be_bytes();
            send(&near, &frame(&[], 17, &[&[round, high, low][..], &[0; 200]].concat()));
        }
        received += until_quiet(&mut interface).0.len() as u64;
    }
    let counters = interface.counters();
    let drops = counters.kernel_drops - before.kernel_drops;
    assert!(drops > 0 && received > 0 && counters.kernel_freezes > 0, "{counters:?}");
    assert_eq!(received + drops, 9_000, "{counters:?}");
    assert_eq!(counters.kernel_packets - before.kernel_packets, 9_000, "{counters:?}");
    // Full once, it goes on.
    send(&near, &frame(&[], 17, b"and on"));
    assert_eq!(bytes(&until_quiet(&mut interface).0), [b"and on"]);
}

#[test]
fn a_flood_of_which_nothing_is_passed_on_does_not_hold_the_caller() {
    if !wire() {
        return;
    }
    let mut interface = Interface::open("far", InterfaceOptions { ring_bytes: 32 << 20, ..options() }).unwrap();
    until_quiet(&mut interface);
    let near = Socket::open("near", &options()).unwrap();
    // UDP lengths that contradict the packet's.
    let mut broken = frame(&[], 17, &[0; 200]);
    broken[38..40].copy_from_slice(&[0, 1]);
    let before = interface.counters();
    for _ in 0..20_000 {
        send(&near, &broken);
    }
    assert!(matches!(interface.next().unwrap(), Next::Quiet));
    let read = interface.counters().malformed - before.malformed;
    assert!(read > 0 && read < 15_000, "{read}");
    while interface.counters().malformed - before.malformed < 20_000 {
        assert!(matches!(interface.next().unwrap(), Next::Quiet));
    }
}

#[test]
fn too_many_ports_are_refused() {
    if !own_network() {
        return;
    }
    let options = InterfaceOptions { sip_ports: vec![1..=1; 65], ..options() };
    let error = Interface::open("lo", options).unwrap_err().to_string();
    assert!(error.starts_with("interface lo: there are more ranges of TCP ports than are taken"), "{error}");
}

#[test]
fn an_unknown_interface_is_refused_with_advice() {
    let error = Interface::open("no-such-if", options()).unwrap_err().to_string();
    assert!(error.starts_with("interface no-such-if: there is no such interface; `ip link` lists those there are"), "{error}");
    assert!(Interface::open("with\0zero", options()).is_err());
}
