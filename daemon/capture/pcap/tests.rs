use std::io::Cursor;

use super::*;
use crate::Captured;

/// IPv4 and UDP headers for `size` bytes of payload.
fn packet(size: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((28 + size as u16).to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 9, 0, 9]);
    packet.extend((8 + size as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.resize(28 + size, 0x55);
    packet
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}

/// A pcap of raw IP packets, one at each (seconds, fraction).
fn pcap(order: Order, magic: u32, packets: &[(u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend(order.u16(2));
    file.extend(order.u16(4));
    for word in [0, 0, 65_535, 101] {
        file.extend(order.u32(word));
    }
    for (seconds, fraction, bytes) in packets {
        for word in [*seconds, *fraction, bytes.len() as u32, bytes.len() as u32] {
            file.extend(order.u32(word));
        }
        file.extend(bytes);
    }
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(4), 0);
    let length = order.u32(padded.len() as u32 + 12);
    [order.u32(kind).as_slice(), &length, &padded, &length].concat()
}

/// A pcapng section with one raw IP interface of the given resolution.
fn section(order: Order, resolution: u8) -> Vec<u8> {
    let header = [order.u32(0x1a2b_3c4d).as_slice(), &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
    let option = [order.u16(9).as_slice(), &order.u16(1), &[resolution, 0, 0, 0], &[0; 4]].concat();
    let interface = [order.u16(101).as_slice(), &order.u16(0), &order.u32(0), &option].concat();
    [block(order, SECTION_HEADER, &header), block(order, INTERFACE_DESCRIPTION, &interface)].concat()
}

fn enhanced(order: Order, interface: u32, ticks: u64, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for word in [interface, (ticks >> 32) as u32, ticks as u32, bytes.len() as u32, bytes.len() as u32] {
        body.extend(order.u32(word));
    }
    body.extend(bytes);
    block(order, ENHANCED_PACKET, &body)
}

fn open(bytes: &[u8]) -> Result<PcapFile<Cursor<Vec<u8>>>, CaptureError> {
    PcapFile::from_reader(Path::new("test.pcap"), Cursor::new(bytes.to_vec()), Some(bytes.len() as u64))
}

/// Reads to the end: the stamps and payload lengths, and the error where there was one.
fn read(bytes: &[u8]) -> (Vec<(i64, usize)>, Option<CaptureError>, Counters) {
    let mut source = match open(bytes) {
        Ok(source) => source,
        Err(error) => return (Vec::new(), Some(error), Counters::default()),
    };
    let mut found = Vec::new();
    let error = loop {
        match source.next() {
            Ok(Next::Item(Captured::Datagram(datagram))) => found.push((datagram.at.micros, datagram.payload().len())),
            Ok(Next::End) => break None,
            Ok(other) => panic!("a file said {other:?}"),
            Err(error) => break Some(error),
        }
    };
    assert!(matches!(source.next(), Ok(Next::End)), "after its end a file is at its end");
    if error.is_none() {
        assert_eq!(source.progress().unwrap().position, bytes.len() as u64);
    }
    (found, error, source.counters())
}

#[test]
fn both_byte_orders_and_both_precisions_give_the_same_microseconds() {
    for order in [Order::Little, Order::Big] {
        for (magic, fraction) in [(0xa1b2_c3d4, 250_001), (0xa1b2_3c4d, 250_001_999)] {
            let file = pcap(order, magic, &[(1_700_000_000, fraction, packet(160)), (1_700_000_001, 0, packet(0))]);
            let (found, error, _) = read(&file);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(found, [(1_700_000_000_250_001, 160), (1_700_000_001_000_000, 0)]);
        }
        for (resolution, ticks) in [(6, 1_700_000_000_250_001), (9, 1_700_000_000_250_001_999), (0x80 | 20, 1_700_000_000u64 << 20 | 1 << 18)] {
            let file = [section(order, resolution), enhanced(order, 0, ticks, &packet(33))].concat();
            let (found, error, _) = read(&file);
            assert!(error.is_none(), "{error:?}");
            let expected = if resolution & 0x80 == 0 { 1_700_000_000_250_001 } else { 1_700_000_000_250_000 };
            assert_eq!(found, [(expected, 33)]);
        }
    }
}

#[test]
fn blocks_of_other_kinds_other_interfaces_and_a_second_section_are_taken_in_stride() {
    let order = Order::Little;
    let file = [
        section(order, 6),
        block(order, 5, &[0; 12]),
        enhanced(order, 0, 10, &packet(1)),
        enhanced(order, 9, 11, &packet(2)),
        block(order, SIMPLE_PACKET, &[order.u32(31).as_slice(), &packet(3)].concat()),
        block(order, 0x0bad, &[1, 2, 3, 4]),
        section(Order::Big, 9),
        enhanced(Order::Big, 0, 12_000, &packet(4)),
    ]
    .concat();
    let (found, error, counters) = read(&file);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, [(10, 1), (10, 3), (12, 4)]);
    assert_eq!((counters.frames, counters.unsupported_link), (4, 1));
}

#[test]
fn a_file_cut_at_any_byte_gives_what_is_whole_and_then_says_where() {
    let packets = [(1, 0, packet(160)), (2, 0, packet(20)), (3, 0, packet(7))];
    let little = pcap(Order::Little, 0xa1b2_c3d4, &packets);
    let mut ng = section(Order::Little, 6);
    for (seconds, _, bytes) in &packets {
        ng.extend(enhanced(Order::Little, 0, u64::from(*seconds) * 1_000_000, bytes));
    }
    for file in [little, ng] {
        let mut ends = 0;
        for length in 0..=file.len() {
            let (found, error, _) = read(&file[..length]);
            assert!(found.iter().zip([160, 20, 7]).all(|(found, size)| found.1 == size));
            match error {
                None => ends += 1,
                Some(CaptureError::Damaged { packet, offset, .. }) => {
                    assert!(packet <= found.len() as u64 + 1 && offset <= length as u64);
                }
                Some(CaptureError::WrongKind { .. }) => assert!(length < 4),
                Some(other) => panic!("{other}"),
            }
        }
        assert!((4..=6).contains(&ends), "only a cut between records leaves a whole file, not {ends} cuts");
    }
}

#[test]
fn a_flipped_byte_never_panics_and_the_length_is_never_believed() {
    let file = pcap(Order::Little, 0xa1b2_c3d4, &[(1, 0, packet(160)), (2, 0, packet(20))]);
    let ng = [section(Order::Little, 6), enhanced(Order::Little, 0, 1, &packet(160)), enhanced(Order::Little, 0, 2, &packet(9))].concat();
    for file in [file, ng] {
        for index in 0..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut broken = file.clone();
                broken[index] ^= flip;
                read(&broken);
            }
        }
    }
    let mut impossible = pcap(Order::Little, 0xa1b2_c3d4, &[(1, 0, packet(160))]);
    impossible[24 + 8..24 + 12].fill(0xff);
    let (_, error, _) = read(&impossible);
    assert_eq!(error.unwrap().to_string(), "test.pcap: packet 1 at byte 24: the packet's length is impossible");
}

#[test]
fn what_is_no_capture_is_refused_by_name() {
    assert_eq!(open(b"RIFF....WAVEfmt .............").unwrap_err().to_string(), "test.pcap: is not a pcap or pcapng file");
    let mut usb = pcap(Order::Little, 0xa1b2_c3d4, &[]);
    usb[20] = 220;
    assert!(open(&usb).unwrap_err().to_string().contains("byte 20: link type 220 is not read"));
    assert!(matches!(PcapFile::open(Path::new("absent.pcap")), Err(CaptureError::Open { .. })));
}

#[test]
fn a_file_larger_than_the_window_streams_through_it() {
    let packets: Vec<_> = (0..3_000).map(|second| (second, 0, packet(1_000))).collect();
    let file = pcap(Order::Little, 0xa1b2_c3d4, &packets);
    let mut source = open(&file).unwrap();
    let mut count = 0;
    while let Ok(Next::Item(_)) = source.next() {
        count += 1;
        assert!(source.window.capacity() <= crate::window::READ_SIZE);
    }
    assert_eq!(count, 3_000);
}
