use std::io::Cursor;

use super::section::{ENHANCED_PACKET, INTERFACE_DESCRIPTION, SIMPLE_PACKET};
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

/// Packets of 11 sizes, one a second.
fn eleven() -> Vec<(u32, u32, Vec<u8>)> {
    (0..11).map(|index| (1_700_000_000 + index, index, packet(20 + index as usize))).collect()
}

fn sizes(found: &[(i64, usize)]) -> Vec<usize> {
    found.iter().map(|(_, size)| *size).collect()
}

#[test]
fn behind_damage_the_rest_is_read_and_the_damage_is_said_at_the_end() {
    let but_the_sixth: Vec<usize> = (20..31).filter(|size| *size != 25).collect();
    for order in [Order::Little, Order::Big] {
        let whole = pcap(order, 0xa1b2_c3d4, &eleven());
        let start: usize = 24 + (20..25).map(|size| 16 + 28 + size).sum::<usize>();
        // An impossible length; one that reaches beyond the file; all of the header; everything up to the next.
        for damage in [(8, vec![0x7f; 4]), (8, order.u32(250_000).to_vec()), (0, vec![0xff; 16]), (0, vec![0xa5; 16 + 28 + 25])] {
            let mut file = whole.clone();
            file[start + damage.0..start + damage.0 + damage.1.len()].copy_from_slice(&damage.1);
            let (found, error, counters) = read(&file);
            assert_eq!(sizes(&found), but_the_sixth, "{error:?}");
            assert_eq!(counters.frames, 10);
            match error {
                Some(CaptureError::Damaged { packet, offset, .. }) => assert_eq!((packet, offset), (6, start as u64)),
                other => panic!("{other:?}"),
            }
        }
        // Some bytes are missing, and some are too many.
        let mut file = whole.clone();
        file.drain(start + 5..start + 30);
        file.splice(start + 60..start + 60, [9; 33]);
        let (found, error, _) = read(&file);
        assert!(error.is_some() && found.len() >= 8, "{found:?}");

        let blocks: Vec<_> = eleven().iter().map(|(seconds, _, bytes)| enhanced(order, 0, u64::from(*seconds) * 1_000_000, bytes)).collect();
        let start = section(order, 6).len() + blocks[..5].iter().map(Vec::len).sum::<usize>();
        let whole = [vec![section(order, 6)], blocks].concat().concat();
        for damage in [(4, vec![0x7f; 4]), (4, vec![0; 4]), (20, vec![0xff; 4]), (0, vec![0xa5; 30])] {
            let mut file = whole.clone();
            file[start + damage.0..start + damage.0 + damage.1.len()].copy_from_slice(&damage.1);
            let (found, error, _) = read(&file);
            assert_eq!(sizes(&found), but_the_sixth, "{error:?}");
            match error {
                Some(CaptureError::Damaged { packet, offset, .. }) => assert_eq!((packet, offset), (6, start as u64)),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_block_that_lies_about_its_packet_is_skipped_with_what_is_in_it() {
    let order = Order::Little;
    let bait = enhanced(order, 0, 1, &packet(99));
    let mut liar = enhanced(order, 0, 1, &bait);
    liar[20..24].fill(0xff);
    let file = [section(order, 6), liar, enhanced(order, 0, 2, &packet(7))].concat();
    let (found, error, _) = read(&file);
    assert_eq!((sizes(&found), error.is_some()), (vec![7], true));
}

#[test]
fn a_header_that_nothing_sensible_follows_is_no_packet() {
    let mut bait = packet(200);
    bait[40..56].copy_from_slice(&[1_700_000_001_u32, 7, 60, 60].map(u32::to_le_bytes).concat());
    bait[56..116].copy_from_slice(&packet(32));
    let mut file = pcap(Order::Little, 0xa1b2_c3d4, &[(1_700_000_000, 0, packet(3)), (1_700_000_001, 0, bait), (1_700_000_002, 0, packet(4))]);
    let second = 24 + 16 + packet(3).len();
    file[second + 8..second + 12].fill(0x7f);
    let (found, error, _) = read(&file);
    assert_eq!((sizes(&found), error.is_some()), (vec![3, 4], true));
}

#[test]
fn looking_for_the_next_packet_takes_no_longer_than_the_file_is_long() {
    // Every fourth byte could begin a packet of 200 KiB that the next one then belies.
    let mut file = pcap(Order::Little, 0xa1b2_c3d4, &[(0x0003_0000, 0, packet(9))]);
    file.extend([0xff; 16]);
    file.extend([0, 0, 3, 0].repeat(1 << 19));
    let (found, error, _) = read(&file);
    assert_eq!((sizes(&found), error.is_some()), (vec![9], true));
}

#[test]
fn each_interface_has_its_link_its_clock_and_its_offset() {
    for order in [Order::Little, Order::Big] {
        let header = [order.u32(0x1a2b_3c4d).as_slice(), &order.u16(1), &order.u16(0), &[0xff; 8]].concat();
        let offset = |seconds: i64| match order {
            Order::Little => seconds.to_le_bytes(),
            Order::Big => seconds.to_be_bytes(),
        };
        let interface = |link: u16, resolution: u8, seconds: i64| {
            let options = [
                order.u16(9).as_slice(),
                &order.u16(1),
                &[resolution, 0, 0, 0],
                &order.u16(14),
                &order.u16(8),
                &offset(seconds),
                &[0; 4],
            ]
            .concat();
            block(order, INTERFACE_DESCRIPTION, &[order.u16(link).as_slice(), &order.u16(0), &order.u32(65_535), &options].concat())
        };
        let ether = [&[2; 12][..], &[8, 0], &packet(2)].concat();
        let cooked = [&[0; 14][..], &[8, 0], &packet(3)].concat();
        let file = [
            block(order, SECTION_HEADER, &header),
            interface(101, 6, 100),
            interface(1, 9, 0),
            interface(113, 3, -1),
            interface(147, 6, 0),
            enhanced(order, 0, 5, &packet(1)),
            enhanced(order, 1, 5_999, &ether),
            enhanced(order, 2, 7_001, &cooked),
            enhanced(order, 3, 8, &packet(4)),
        ]
        .concat();
        let (found, error, counters) = read(&file);
        assert!(error.is_none(), "{error:?}");
        assert_eq!(found, [(100_000_005, 1), (5, 2), (6_001_000, 3)]);
        assert_eq!((counters.frames, counters.unsupported_link), (4, 1));
    }
}

#[test]
fn what_a_snapshot_length_cut_off_is_passed_on_and_counted() {
    let short = packet(160)[..100].to_vec();
    let order = Order::Little;
    let mut classic = pcap(order, 0xa1b2_c3d4, &[(1, 0, short.clone())]);
    classic[24 + 12..24 + 16].copy_from_slice(&188_u32.to_le_bytes());
    let mut block = enhanced(order, 0, 1_000_000, &short);
    block[24..28].copy_from_slice(&188_u32.to_le_bytes());
    for file in [classic, [section(order, 6), block].concat()] {
        let (found, error, counters) = read(&file);
        assert!(error.is_none());
        assert_eq!((found, counters.cut_short, counters.delivered), (vec![(1_000_000, 72)], 1, 1));
    }
}

#[test]
fn options_behind_a_packet_and_other_peoples_blocks_are_no_packet() {
    let order = Order::Little;
    let mut body = Vec::new();
    for word in [0, 0, 77, packet(5).len() as u32, packet(5).len() as u32] {
        body.extend(order.u32(word));
    }
    body.extend(packet(5));
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend([order.u16(1).as_slice(), &order.u16(4), b"note", &[0; 4]].concat());
    let file = [section(order, 6), block(order, ENHANCED_PACKET, &body)].concat();
    let (found, error, _) = read(&file);
    assert_eq!((found, error.is_none()), (vec![(77, 5)], true));
}

/// A file of Network Monitor 2.0 with Ethernet frames, each at so many microseconds from the start.
fn netmon(frames: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"GMBU\0\x02\x01\0".to_vec();
    // Thursday, 29 February 2024, 23:59:58.250.
    file.extend([2024_u16, 2, 4, 29, 23, 59, 58, 250].map(u16::to_le_bytes).concat());
    let size: usize = frames.iter().map(|(_, frame)| 16 + frame.len()).sum();
    file.extend((128 + size as u32).to_le_bytes());
    file.extend((frames.len() as u32 * 4).to_le_bytes());
    file.resize(128, 0);
    for (micros, frame) in frames {
        file.extend(micros.to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(frame);
    }
    file
}

#[test]
fn network_monitors_files_are_read_up_to_their_table() {
    let frame = |size: usize| [&[2; 12][..], &[8, 0], &packet(size)].concat();
    let whole = netmon(&[(0, frame(30)), (1_750_001, frame(31))]);
    let table = [whole.as_slice(), &[128, 0, 0, 0, 202, 0, 0, 0]].concat();
    let mut source = open(&table).unwrap();
    let mut found = Vec::new();
    while let Next::Item(Captured::Datagram(datagram)) = source.next().unwrap() {
        found.push((datagram.at.micros, datagram.payload().len()));
    }
    assert_eq!(found, [(1_709_251_198_250_000, 30), (1_709_251_200_000_001, 31)]);
    for length in 0..whole.len() {
        match open(&whole[..length]) {
            Ok(mut source) => while matches!(source.next(), Ok(Next::Item(_))) {},
            Err(error) => assert!(length < 128, "{error}"),
        }
    }
    let mut later = whole;
    later[4] = 3;
    assert!(open(&later).unwrap_err().to_string().contains("byte 4: this version of Network Monitor is not read"));
}
