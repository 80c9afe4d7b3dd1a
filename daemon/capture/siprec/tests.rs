use std::time::Instant;

use super::*;

fn recorder(allow: &[&str]) -> (Recorder, Outlet) {
    let here = "127.0.0.1:0".parse().unwrap();
    let options = RecorderOptions {
        listen: vec![(Transport::Udp, "0.0.0.0:0".parse().unwrap()), (Transport::Tcp, here)],
        allow: allow.iter().map(|text| text.parse().unwrap()).collect(),
        sockets: 2,
        connections: 1,
        timeout: Duration::from_millis(20),
        clock: || Wall::from_micros(7),
    };
    Recorder::open(options).unwrap()
}

fn next(recorder: &mut Recorder) -> Option<Captured> {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(2) {
        if let Next::Item(item) = recorder.next().unwrap() {
            return Some(item);
        }
    }
    None
}

fn quiet(recorder: &mut Recorder) -> bool {
    (0..5).all(|_| matches!(recorder.next().unwrap(), Next::Quiet))
}

/// The UDP and the TCP address.
fn addresses(recorder: &Recorder) -> [SocketAddr; 2] {
    let found = recorder.addresses();
    let of = |unspecified: bool| SocketAddr::new("127.0.0.1".parse().unwrap(), found.iter().find(|address| address.ip().is_unspecified() == unspecified).unwrap().port());
    [of(true), of(false)]
}

#[test]
fn a_datagram_is_stamped_and_answered_from_where_it_came_to() {
    let (mut recorder, outlet) = recorder(&["127.0.0.0/8"]);
    let [udp, _] = addresses(&recorder);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    client.send_to(b"hello", udp).unwrap();
    let Some(Captured::Datagram(datagram)) = next(&mut recorder) else { panic!() };
    assert_eq!((datagram.payload(), datagram.source, datagram.destination), (&b"hello"[..], client.local_addr().unwrap(), udp));
    assert!(datagram.at.micros > 1_700_000_000_000_000, "stamped by the kernel: {:?}", datagram.at);
    let reply = Reply::new(datagram.destination, datagram.source, Transport::Udp, b"there".to_vec());
    outlet.send(&reply).unwrap();
    let mut buffer = [0; 16];
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"there"[..], udp));
}

#[test]
fn who_is_not_allowed_is_not_heard() {
    let (mut recorder, _outlet) = recorder(&["192.0.2.1"]);
    let [udp, tcp] = addresses(&recorder);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"hello", udp).unwrap();
    let mut stream = TcpStream::connect(tcp).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert!(quiet(&mut recorder));
    assert_eq!((recorder.counters().not_allowed, recorder.counters().delivered), (2, 0));
    assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0, "the connection was closed");
}

#[test]
fn sockets_of_sound_come_and_go() {
    let (mut recorder, outlet) = recorder(&["127.0.0.1"]);
    let free = || UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let addresses = [free(), free(), free()];
    outlet.listen(addresses[0]).unwrap();
    outlet.listen(addresses[0]).unwrap();
    outlet.listen(addresses[1]).unwrap();
    assert!(matches!(outlet.listen(addresses[2]), Err(OutletError::Listen(_))), "there may be two");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"sound", addresses[0]).unwrap();
    let Some(Captured::Datagram(datagram)) = next(&mut recorder) else { panic!() };
    assert_eq!((datagram.payload(), datagram.destination), (&b"sound"[..], addresses[0]));
    outlet.close(addresses[0]);
    client.send_to(b"sound", addresses[0]).unwrap();
    assert!(quiet(&mut recorder));
    outlet.listen(addresses[2]).unwrap();
    // No way leads out of a socket of sound.
    let reply = Reply::new(addresses[1], client.local_addr().unwrap(), Transport::Udp, b"x".to_vec());
    assert!(matches!(outlet.send(&reply), Err(OutletError::Send(_))));
}

#[test]
fn a_connection_carries_both_ways_and_is_bounded() {
    let (mut recorder, outlet) = recorder(&["127.0.0.1"]);
    let [_, tcp] = addresses(&recorder);
    let mut stream = TcpStream::connect(tcp).unwrap();
    let local = stream.local_addr().unwrap();
    let Some(Captured::Segment(opened)) = next(&mut recorder) else { panic!() };
    assert!(opened.flags.syn && opened.source == local && opened.destination == tcp);
    stream.write_all(b"hello").unwrap();
    let Some(Captured::Segment(segment)) = next(&mut recorder) else { panic!() };
    assert_eq!((segment.payload(), segment.at), (&b"hello"[..], Wall::from_micros(7)));

    let second = TcpStream::connect(tcp).unwrap();
    assert!(quiet(&mut recorder), "one connection at a time");
    drop(second);

    // A client that does not read: what waits for it is bounded; one that does gets all in order.
    let piece = vec![b'a'; 10_000];
    let mut sent = 0;
    while outlet.send(&Reply::new(tcp, local, Transport::Tcp, piece.clone())).is_ok() {
        sent += piece.len();
        assert!(sent < 64 << 20, "it never ends");
    }
    let gone = outlet.send(&Reply::new(tcp, local, Transport::Tcp, piece)).unwrap_err();
    assert!(gone.to_string().starts_with("an answer could not be sent"), "{gone}");

    let mut stream = TcpStream::connect(tcp).unwrap();
    let local = stream.local_addr().unwrap();
    while !matches!(next(&mut recorder), Some(Captured::Segment(segment)) if segment.source == local) {}
    for number in 0..200_u8 {
        outlet.send(&Reply::new(tcp, local, Transport::Tcp, vec![number; 1_000])).unwrap();
    }
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut all = Vec::new();
    let mut buffer = [0; 4_096];
    while all.len() < 200_000 {
        recorder.next().unwrap();
        let length = stream.read(&mut buffer).unwrap_or(0);
        all.extend_from_slice(&buffer[..length]);
    }
    assert!(all.chunks(1_000).zip(0..).all(|(chunk, number)| chunk.iter().all(|byte| *byte == number)));
    drop(stream);
    let closed = |item: Option<Captured>| matches!(item, Some(Captured::Segment(segment)) if segment.flags.fin);
    assert!(closed(next(&mut recorder)));
}
