use super::*;

/// What the kernel writes for one frame.
#[derive(Clone)]
struct Written {
    bytes: Vec<u8>,
    at: (u32, u32),
    status: u32,
    tag: [u16; 2],
    kind: u8,
    offload: [u8; OFFLOAD],
}

impl Written {
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), at: (1_700_000_000, 123_456_789), status: libc::TP_STATUS_USER, tag: [0; 2], kind: 0, offload: [0; OFFLOAD] }
    }
}

/// A block as the kernel lays it out.
fn block(frames: &[Written]) -> Vec<u8> {
    let mut block = vec![0; BLOCK_HEADER];
    block[0] = 1;
    block[STATUS..STATUS + 4].copy_from_slice(&libc::TP_STATUS_USER.to_ne_bytes());
    block[12..16].copy_from_slice(&(frames.len() as u32).to_ne_bytes());
    block[16..20].copy_from_slice(&(BLOCK_HEADER as u32).to_ne_bytes());
    for (index, frame) in frames.iter().enumerate() {
        // The network header is aligned to 16, the frame ends up 14 before it, and the offload header before that.
        let network = 96 + 16u16;
        let link = network - 14;
        let length = (usize::from(link) + frame.bytes.len()).next_multiple_of(8);
        let mut header = vec![0; length];
        let step = if index + 1 == frames.len() { 0 } else { length as u32 };
        for (at, value) in [
            (0, step),
            (4, frame.at.0),
            (8, frame.at.1),
            (12, frame.bytes.len() as u32),
            (16, frame.bytes.len() as u32),
            (20, frame.status),
            (32, u32::from(frame.tag[1])),
        ] {
            header[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        header[24..26].copy_from_slice(&link.to_ne_bytes());
        header[26..28].copy_from_slice(&network.to_ne_bytes());
        header[36..38].copy_from_slice(&frame.tag[0].to_ne_bytes());
        header[FRAME_HEADER + 10] = frame.kind;
        let link = usize::from(link);
        header[link - OFFLOAD..link].copy_from_slice(&frame.offload);
        header[link..link + frame.bytes.len()].copy_from_slice(&frame.bytes);
        block.extend(header);
    }
    block
}

/// Walks to the end, as a reader does.
fn walk(block: &[u8]) -> (Vec<Frame>, bool) {
    let mut frames = Vec::new();
    let Ok(mut cursor) = Cursor::new(block) else { return (frames, true) };
    loop {
        match cursor.next(block) {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) => return (frames, false),
            Err(Torn) => return (frames, true),
        }
    }
}

fn three() -> Vec<u8> {
    let tagged = Written {
        status: libc::TP_STATUS_USER | libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID,
        tag: [0x88a8, 0x2007],
        ..Written::new(&[2; 80])
    };
    let joined = Written {
        status: libc::TP_STATUS_USER | libc::TP_STATUS_LOSING | libc::TP_STATUS_CSUMNOTREADY,
        kind: 4,
        offload: {
            let mut offload = [1, 5, 0, 0, 0, 0, 0, 0, 0, 0];
            offload[4..6].copy_from_slice(&172u16.to_ne_bytes());
            offload[6..8].copy_from_slice(&34u16.to_ne_bytes());
            offload
        },
        ..Written::new(&[3; 1_000])
    };
    block(&[Written::new(&[1; 61]), tagged, joined])
}

#[test]
fn every_frame_is_read_as_it_was_written() {
    let block = three();
    let (frames, torn) = walk(&block);
    assert!(!torn);
    let [plain, tagged, joined] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!(block[plain.bytes.clone()], [1; 61]);
    assert_eq!(block[tagged.bytes.clone()], [2; 80]);
    assert_eq!(block[joined.bytes.clone()], [3; 1_000]);
    assert_eq!(plain.at.micros, 1_700_000_000_123_456);
    assert_eq!((plain.network, plain.tag, plain.kind, plain.is_losing), (14, None, 0, false));
    assert_eq!(plain.offload, Offload { joined: None, transport: None });
    assert_eq!((tagged.tag, tagged.is_losing), (Some([0x88a8, 0x2007]), false));
    assert_eq!((joined.kind, joined.is_losing), (4, true));
    assert_eq!(joined.offload, Offload { joined: Some(Joint::Datagrams(172)), transport: Some(34) });
    // A tag of whose kind the kernel says nothing is 802.1Q's.
    let untold = Written { status: libc::TP_STATUS_VLAN_VALID, tag: [0, 7], ..Written::new(&[1; 60]) };
    assert_eq!(walk(&super::tests::block(&[untold])).0[0].tag, Some([0x8100, 7]));
    assert_eq!(walk(&super::tests::block(&[])), (Vec::new(), false));
}

#[test]
fn kinds_of_joints() {
    for (kind, joined) in [(0, None), (1, Some(Joint::Whole)), (4, Some(Joint::Whole)), (0x81, Some(Joint::Whole)), (3, Some(Joint::Whole)), (5, Some(Joint::Datagrams(0)))] {
        assert_eq!(offload(&[0, kind, 0, 0, 0, 0, 34, 0, 6, 0]), Ok(Offload { joined, transport: None }), "{kind}");
    }
}

/// Reading stays inside, ends, and gives no more frames than there is room for.
fn holds(block: &[u8]) {
    let (frames, _) = walk(block);
    assert!(frames.len() <= block.len() / FRAME_HEADER);
    for frame in frames {
        assert!(frame.bytes.start <= frame.bytes.end && frame.bytes.end <= block.len());
    }
}

#[test]
fn numbers_that_lead_astray_are_seen() {
    let whole = three();
    let changed = |at: usize, value: u32| {
        let mut block = whole.clone();
        block[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        walk(&block)
    };
    assert!(changed(12, u32::MAX).1, "more frames than there is room for");
    assert!(changed(12, 4).1, "one more than there are");
    assert!(changed(16, u32::MAX).1);
    assert!(changed(BLOCK_HEADER, 0).1, "a step of nothing");
    assert!(changed(BLOCK_HEADER, u32::MAX).1, "a step beyond the block");
    assert!(changed(BLOCK_HEADER + 12, u32::MAX).1, "a frame longer than the block");
    assert!(changed(BLOCK_HEADER + 24, 0).1, "a frame in its own header");
    assert!(changed(BLOCK_HEADER + 24, u32::from_ne_bytes([0xff; 4])).1);
    // The last frame ends six bytes before the block, which is padded.
    for length in 0..whole.len() - 6 {
        assert!(walk(&whole[..length]).1, "cut at {length}");
    }
}

#[test]
fn no_bytes_lead_outside() {
    // xorshift64*, so that a failure can be run again.
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    };
    let whole = three();
    const ROUNDS: usize = if cfg!(miri) { 50 } else { 200_000 };
    for round in 0..ROUNDS {
        let mut block = whole.clone();
        if round % 4 == 0 {
            block.iter_mut().for_each(|byte| *byte = random() as u8);
        }
        for _ in 0..random() % 12 {
            let at = random() as usize % block.len();
            block[at] = [0, 1, 48, 0x7f, 0x80, 0xff, random() as u8][random() as usize % 7];
        }
        if round % 3 == 0 {
            block.truncate(random() as usize % (block.len() + 1));
        }
        holds(&block);
    }
}
