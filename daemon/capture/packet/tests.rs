use std::net::UdpSocket;
use std::process::Command;

use super::*;
use crate::Captured;

fn options() -> InterfaceOptions {
    InterfaceOptions { timeout: Duration::from_millis(20), receive_buffer: 1 << 20 }
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
            Next::Item(Captured::Segment(_) | Captured::Pcm(_)) | Next::End => panic!("an interface neither plays nor ends, and nobody spoke TCP"),
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
    interface.socket.as_ref().unwrap().set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &0i32).unwrap();
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

/// An Ethernet frame, perhaps tagged, with an IPv4 packet of one protocol in it.
fn frame(tags: &[u16], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for tag in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend([0, 7]);
    }
    frame.extend([8, 0, 0x45, 0, 0, 28 + payload.len() as u8, 0, 1, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend([0x13, 0xc4, 0x13, 0xc6, 0, 8 + payload.len() as u8, 0, 0]);
    frame.extend(payload);
    frame
}

fn send(socket: &Socket, frame: &[u8]) {
    // SAFETY: `frame` is valid for reading its length during the call.
    let sent = unsafe { libc::send(socket.descriptor.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
    assert_eq!(sent, frame.len() as isize);
}

#[test]
fn tagged_datagrams_come_through_and_tcp_stays_in_the_kernel() {
    if !own_network() {
        return;
    }
    if !ip(&["link", "add", "near", "type", "veth", "peer", "name", "far"]) {
        writeln_skip("this kernel has no veth");
        return;
    }
    assert!(ip(&["link", "set", "far", "up"]) && ip(&["link", "set", "near", "up"]));
    let mut interface = Interface::open("far", options()).unwrap();
    until_quiet(&mut interface);
    let near = Socket::open("near", &options()).unwrap();
    send(&near, &frame(&[], 17, b"plain"));
    send(&near, &frame(&[], 6, b"TCP"));
    send(&near, &frame(&[0x8100], 17, b"one tag"));
    send(&near, &frame(&[0x88a8, 0x8100], 17, b"two tags"));
    let (payloads, ..) = until_quiet(&mut interface);
    let payloads: Vec<_> = payloads.iter().map(|(payload, _)| payload.as_slice()).collect();
    assert_eq!(payloads, [b"plain".as_slice(), b"one tag", b"two tags"]);
    assert_eq!(interface.counters().segments, 0, "the filter keeps TCP away");
}

#[test]
fn what_the_kernel_drops_is_counted_and_adds_up() {
    if !own_network() {
        return;
    }
    assert!(ip(&["link", "set", "lo", "up"]));
    let mut interface = Interface::open("lo", InterfaceOptions { receive_buffer: 4_096, ..options() }).unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut received = 0;
    for _ in 0..2 {
        for _ in 0..500 {
            sender.send_to(&[0; 1_000], receiver.local_addr().unwrap()).unwrap();
        }
        received += until_quiet(&mut interface).0.len() as u64;
    }
    let counters = interface.counters();
    assert!(counters.kernel_drops > 0 && received < 1_000, "{counters:?}");
    // Where the kernel does not leave out what is sent, it counts those too.
    let (once, twice) = (received + counters.kernel_drops, received + counters.kernel_drops + counters.outgoing);
    assert!(once == 1_000 || twice == 2_000, "{counters:?}");
}

#[test]
fn an_unknown_interface_is_refused_with_advice() {
    let error = Interface::open("no-such-if", options()).unwrap_err().to_string();
    assert!(error.starts_with("interface no-such-if: there is no such interface; `ip link` lists those there are"), "{error}");
    assert!(Interface::open("with\0zero", options()).is_err());
}
