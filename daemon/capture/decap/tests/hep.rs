//! Homer encapsulation, version 3.

use super::*;

fn chunk(vendor: u16, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = vendor.to_be_bytes().to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((6 + value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes
}

pub(super) fn message(chunks: &[Vec<u8>]) -> Vec<u8> {
    let chunks = chunks.concat();
    let mut bytes = b"HEP3".to_vec();
    bytes.extend((6 + chunks.len() as u16).to_be_bytes());
    bytes.extend(chunks);
    bytes
}

const SECONDS: u32 = 1_700_000_000;

/// The chunks that every agent sends, for a packet from 198.51.100.1:5080 to 198.51.100.2:5090.
pub(super) fn chunks(transport: u8, kind: u8, payload: &[u8]) -> Vec<Vec<u8>> {
    vec![
        chunk(0, 1, &[2]),
        chunk(0, 2, &[transport]),
        chunk(0, 3, &[198, 51, 100, 1]),
        chunk(0, 4, &[198, 51, 100, 2]),
        chunk(0, 7, &5080_u16.to_be_bytes()),
        chunk(0, 8, &5090_u16.to_be_bytes()),
        chunk(0, 9, &SECONDS.to_be_bytes()),
        chunk(0, 10, &250_001_u32.to_be_bytes()),
        chunk(0, 11, &[kind]),
        chunk(0, 12, &2001_u32.to_be_bytes()),
        chunk(0, 14, b"myHep"),
        chunk(0, 15, payload),
        chunk(0, 17, b"correlation"),
        chunk(8, 15, b"another vendor's"),
    ]
}

fn sent(message: &[u8]) -> Vec<u8> {
    ethernet(&[0x8100], 0x0800, &ipv4(1, 0, 17, &udp_to(9060, message)))
}

fn read(frame: &[u8], arrived: i64) -> (Option<Seen>, Counters) {
    let mut decap = Decap::default();
    let seen = decap.frame(Link::Ethernet, frame, Wall::from_micros(arrived), 1).map(Seen::from);
    assert!(adds_up(&decap.counters));
    (seen, decap.counters)
}

const AT: i64 = SECONDS as i64 * 1_000_000 + 250_001;

#[test]
fn sip_and_media_come_out_with_their_own_addresses_and_time() {
    // SIP whatever carried it (UDP, TCP, TLS seen by the proxy itself, SCTP); RTP and RTCP over UDP.
    for (transport, kind) in [(17, 1), (6, 1), (22, 1), (132, 1), (17, 4), (17, 5)] {
        let (seen, counters) = read(&sent(&message(&chunks(transport, kind, b"OPTIONS"))), AT + 70_000);
        assert_eq!(
            seen.unwrap_or_else(|| panic!("{transport} {kind}: {counters:?}")),
            Seen {
                payload: b"OPTIONS".to_vec(),
                source: address("198.51.100.1", 5080),
                destination: address("198.51.100.2", 5090),
                at: Wall::from_micros(AT),
                sequence: None,
            }
        );
        assert_eq!((counters.hep, counters.delivered), (1, 1));
    }
    let mut v6 = chunks(17, 1, b"OPTIONS");
    v6[2] = chunk(0, 5, &"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    v6[3] = chunk(0, 6, &"2001:db8::8".parse::<Ipv6Addr>().unwrap().octets());
    let seen = read(&sent(&message(&v6)), AT).0.unwrap();
    assert_eq!((seen.source, seen.destination), (address("2001:db8::7", 5080), address("2001:db8::8", 5090)));
}

#[test]
fn a_wrong_clock_is_not_believed() {
    let frame = sent(&message(&chunks(17, 1, b"OPTIONS")));
    for (arrived, expected) in [(AT + 10_000_000, AT), (AT - 10_000_000, AT), (AT + 10_000_001, AT + 10_000_001), (0, 0)] {
        assert_eq!(read(&frame, arrived).0.unwrap().at.micros, expected);
    }
    let mut timeless = chunks(17, 1, b"OPTIONS");
    timeless.drain(6..8);
    assert_eq!(read(&sent(&message(&timeless)), 5).0.unwrap().at.micros, 5);
}

#[test]
fn what_is_neither_sip_nor_media_is_counted() {
    let mut compressed = chunks(17, 1, b"x");
    compressed[11] = chunk(0, 16, b"x");
    for chunks in [chunks(17, 100, b"a log line"), chunks(6, 4, b"half a packet"), chunks(17, 34, b"{}"), compressed, Vec::new()] {
        let (seen, counters) = read(&sent(&message(&chunks)), AT);
        assert_eq!((seen, counters.other_hep), (None, 1), "{counters:?}");
    }
}

#[test]
fn a_caller_cannot_send_it_to_a_media_port() {
    let bytes = message(&chunks(17, 1, b"BYE sip:victim SIP/2.0"));
    let (seen, counters) = read(&ethernet(&[], 0x0800, &ipv4(1, 0, 17, &udp_to(20_000, &bytes))), AT);
    assert_eq!((seen.unwrap().payload, counters.hep), (bytes, 0));
}

#[test]
fn two_agents_that_heard_the_same_packet_tell_of_one() {
    let mut decap = Decap::default();
    let first = sent(&message(&chunks(17, 1, b"OPTIONS")));
    let mut second = chunks(17, 1, b"OPTIONS");
    second[7] = chunk(0, 10, &251_000_u32.to_be_bytes());
    second[9] = chunk(0, 12, &2002_u32.to_be_bytes());
    let second = sent(&message(&second));
    assert!(decap.frame(Link::Ethernet, &first, Wall::from_micros(AT), 1).is_some());
    assert!(decap.frame(Link::Ethernet, &second, Wall::from_micros(AT + 2_000), 2).is_none());
    assert_eq!(decap.counters.duplicates, 1);
}

#[test]
fn a_damaged_message_is_malformed_wherever_it_is_cut() {
    let whole = message(&chunks(17, 1, b"OPTIONS"));
    for length in 4..whole.len() {
        let (seen, counters) = read(&sent(&whole[..length]), AT);
        assert_eq!((seen, counters.malformed), (None, 1), "cut at {length}");
    }
    // A chunk that is shorter than its own header would never end.
    let mut endless = whole.clone();
    endless[10..12].fill(0);
    assert_eq!(read(&sent(&endless), AT).1.malformed, 1);
    // A port of 3 bytes; no addresses.
    let mut odd = chunks(17, 1, b"OPTIONS");
    odd[4] = chunk(0, 7, &[1, 2, 3]);
    assert_eq!(read(&sent(&message(&odd)), AT).1.malformed, 1);
    let mut nowhere = chunks(17, 1, b"OPTIONS");
    nowhere.remove(2);
    assert_eq!(read(&sent(&message(&nowhere)), AT).1.malformed, 1);
}

/// TCP from port 5060 to Homer's.
fn segment(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = tcp(sequence, flags, payload);
    segment[2..4].copy_from_slice(&9060_u16.to_be_bytes());
    ethernet(&[], 0x0800, &ipv4(sequence as u16, 0, 6, &segment))
}

/// What an agent's segments come to, each with its sequence number and flags.
fn streamed(decap: &mut Decap, segments: &[(u32, u8, &[u8])]) -> Vec<Vec<u8>> {
    let mut seen = Vec::new();
    for (number, (sequence, flags, payload)) in segments.iter().enumerate() {
        let at = Wall::from_micros(AT + 1_000 * number as i64);
        seen.extend(decap.frame(Link::Ethernet, &segment(*sequence, *flags, payload), at, 1).map(Seen::from));
        while let Some(captured) = decap.more() {
            seen.push(captured.into());
        }
        assert!(adds_up(&decap.counters), "{:?}", decap.counters);
    }
    assert!(seen.iter().all(|seen| seen.source == address("198.51.100.1", 5080) && seen.at.micros == AT && seen.sequence.is_none()));
    seen.into_iter().map(|seen| seen.payload).collect()
}

const SYN: u8 = 2;
const FIN: u8 = 1;
const ACK: u8 = 16;

/// Three messages one behind the other, and where each ends.
fn three() -> (Vec<u8>, Vec<Vec<u8>>) {
    let payloads = [&b"INVITE"[..], b"HEP3 in what is carried", b"BYE"].map(<[u8]>::to_vec);
    let bytes = payloads.iter().flat_map(|payload| message(&chunks(6, 1, payload))).collect();
    (bytes, payloads.to_vec())
}

#[test]
fn over_tcp_messages_come_out_however_they_are_cut() {
    let (bytes, payloads) = three();
    for size in 1..=bytes.len() {
        let mut decap = Decap::default();
        let mut segments: Vec<(u32, u8, &[u8])> = vec![(99, SYN, b"")];
        segments.extend(bytes.chunks(size).enumerate().map(|(index, piece)| (100 + (index * size) as u32, ACK, piece)));
        segments.push((100 + bytes.len() as u32, FIN | ACK, b""));
        assert_eq!(streamed(&mut decap, &segments), payloads, "{size}");
        assert_eq!((decap.counters.hep, decap.counters.segments, decap.agents.size()), (3, 0, (0, 0)), "{size}");
    }
}

#[test]
fn over_tcp_the_order_is_restored_and_what_was_repeated_counts_once() {
    let (bytes, payloads) = three();
    let pieces: Vec<(u32, u8, &[u8])> = bytes.chunks(40).enumerate().map(|(index, piece)| ((u32::MAX - 60).wrapping_add((index * 40) as u32), ACK, piece)).collect();
    let mut turned = vec![(u32::MAX - 61, SYN, &b""[..])];
    for pair in pieces.chunks(2) {
        turned.extend(pair.iter().rev());
    }
    // From the middle of one piece to the middle of the next, when both were there.
    turned.push((u32::MAX - 60 + 20, ACK, &bytes[20..60]));
    let mut decap = Decap::default();
    assert_eq!(streamed(&mut decap, &turned), payloads);
    assert_eq!(decap.agents.size(), (1, 0));
}

#[test]
fn over_tcp_reading_goes_on_behind_what_is_missing_and_in_a_stream_that_was_running() {
    let (bytes, payloads) = three();
    let first = message(&chunks(6, 1, &payloads[0])).len();
    // A stream that is joined inside its first message.
    let mut decap = Decap::default();
    assert_eq!(streamed(&mut decap, &[(500, ACK, &bytes[30..])]), payloads[1..]);
    // A piece of the first message never comes; after 32 segments nobody waits for it any more.
    let others = (0..36u8).flat_map(|number| message(&chunks(6, 1, &[number; 20])));
    let rest: Vec<u8> = bytes[first..].iter().copied().chain(others).collect();
    let mut segments = vec![(0, SYN, &b""[..]), (1, ACK, &bytes[..30])];
    segments.extend(rest.chunks(50).enumerate().map(|(index, piece)| ((1 + first + 50 * index) as u32, ACK, piece)));
    assert!(segments.len() > 40, "{}", segments.len());
    let seen = streamed(&mut Decap::default(), &segments);
    assert_eq!((seen.len(), &seen[..2]), (2 + 36, &payloads[1..]));
}

#[test]
fn over_tcp_nothing_grows_beyond_its_bounds() {
    let mut decap = Decap::default();
    let noise = vec![b'H'; 1_400];
    for number in 0..20_000_u32 {
        let mut frame = segment(number.wrapping_mul(2_654_435_761), if number.is_multiple_of(3) { SYN } else { ACK }, &noise);
        // A thousand agents, whose numbers jump.
        frame[28..30].copy_from_slice(&(number as u16 % 1_000).to_be_bytes());
        drop(decap.frame(Link::Ethernet, &frame, Wall::from_micros(AT + i64::from(number) * 200_000), 1));
        while decap.more().is_some() {}
        let (streams, bytes) = decap.agents.size();
        assert!(streams <= super::super::agents::STREAMS && bytes <= streams * (256 << 10), "{streams} {bytes}");
        assert!(adds_up(&decap.counters));
    }
}
