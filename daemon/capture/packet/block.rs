//! One block of the ring, read without trust: whatever bytes it holds, nothing is read outside of it and the walk ends.
//!
//! The layout is that of `struct tpacket_block_desc` and `struct tpacket3_hdr` in linux/if_packet.h; numbers are in this machine's order.

use std::ops::Range;

use sotto_private::Wall;

/// `sizeof(struct tpacket_block_desc)`: where the first frame can begin at the earliest.
pub(super) const BLOCK_HEADER: usize = 48;
/// Where the block's status is: to whom it belongs.
pub(super) const STATUS: usize = 8;
/// `sizeof(struct tpacket3_hdr)`, and with it the place of the `sockaddr_ll` behind it.
const FRAME_HEADER: usize = 48;
/// `sizeof(struct sockaddr_ll)`.
const LINK_ADDRESS: usize = 20;
/// `sizeof(struct virtio_net_hdr)`: what stands straight before a frame, as `PACKET_VNET_HDR` asks for.
const OFFLOAD: usize = 10;

/// A block whose numbers contradict each other. It is counted and handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn;

/// Where in a block the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    offset: usize,
    left: u32,
}

/// One frame of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where its bytes are in the block, from the link's header on.
    pub(super) bytes: Range<usize>,
    /// Where the network header is, in bytes from the frame's start.
    pub(super) network: usize,
    /// When the kernel got it.
    pub(super) at: Wall,
    /// The tag that the kernel took off, as it was on the wire: which kind of tag, and what is in it.
    pub(super) tag: Option<[u16; 2]>,
    /// The kernel has dropped frames since it was last asked how many.
    pub(super) is_losing: bool,
    /// What became of it: for us, for somebody else, sent by this box, and so on (`sll_pkttype`).
    pub(super) kind: u8,
    /// What its network card, or the kernel, left undone or joined.
    pub(super) offload: Offload,
}

/// `struct virtio_net_hdr`, as far as it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offload {
    /// Of what kind the frame is that several were joined into; `None` where nothing was joined.
    pub(super) joined: Option<Joint>,
    /// Where the transport's header is, in bytes from the frame's start, where it is told.
    pub(super) transport: Option<usize>,
}

/// How several packets were joined into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// UDP payloads of this size in a row, the last may be shorter.
    Datagrams(usize),
    /// One stream's bytes, or one datagram's fragments: whole as they are.
    Whole,
}

impl Cursor {
    /// At the first frame of a block.
    pub(super) fn new(block: &[u8]) -> Result<Self, Torn> {
        Ok(Self { offset: usize::try_from(u32_at(block, 16)?).map_err(|_| Torn)?, left: u32_at(block, 12)? })
    }

    /// The next frame; `None` at the end. After [`Torn`], the block holds nothing more that can be found.
    pub(super) fn next(&mut self, block: &[u8]) -> Result<Option<Frame>, Torn> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let header = block.get(self.offset..).ok_or(Torn)?;
        let frame = frame(header, self.offset, block.len())?;
        let step = usize::try_from(u32_at(header, 0)?).map_err(|_| Torn)?;
        if self.left > 0 {
            // Each step takes a header's length at least: this bounds the walk whatever number of frames is claimed.
            if step < FRAME_HEADER {
                return Err(Torn);
            }
            self.offset = self.offset.checked_add(step).ok_or(Torn)?;
        }
        Ok(Some(frame))
    }
}

/// `header` begins with a frame's header, `place` bytes into the block.
fn frame(header: &[u8], place: usize, end: usize) -> Result<Frame, Torn> {
    const TAGGED: u32 = libc::TP_STATUS_VLAN_VALID;
    const KIND_OF_TAG: u32 = libc::TP_STATUS_VLAN_TPID_VALID;
    let status = u32_at(header, 20)?;
    let (link, network) = (usize::from(u16_at(header, 24)?), usize::from(u16_at(header, 26)?));
    // The address and the offload header lie between the frame's header and the frame.
    if link < FRAME_HEADER + LINK_ADDRESS + OFFLOAD {
        return Err(Torn);
    }
    let start = place.checked_add(link).ok_or(Torn)?;
    let stop = start.checked_add(u32_at(header, 12)? as usize).filter(|stop| *stop <= end).ok_or(Torn)?;
    let (seconds, nanoseconds) = (i64::from(u32_at(header, 4)?), i64::from(u32_at(header, 8)?));
    let tag = if status & TAGGED == 0 {
        None
    } else {
        let kind = if status & KIND_OF_TAG == 0 { 0x8100 } else { u16_at(header, 36)? };
        Some([kind, (u32_at(header, 32)? & 0xffff) as u16])
    };
    Ok(Frame {
        bytes: start..stop,
        network: network.checked_sub(link).ok_or(Torn)?,
        at: Wall::from_micros(seconds * 1_000_000 + nanoseconds / 1_000),
        tag,
        is_losing: status & libc::TP_STATUS_LOSING != 0,
        kind: *header.get(FRAME_HEADER + 10).ok_or(Torn)?,
        offload: offload(header.get(link - OFFLOAD..link).ok_or(Torn)?)?,
    })
}

fn offload(header: &[u8]) -> Result<Offload, Torn> {
    // VIRTIO_NET_HDR_F_NEEDS_CSUM: where the checksum starts is where the transport's header does.
    const NEEDS_CHECKSUM: u8 = 1;
    const NOTHING_JOINED: u8 = 0;
    const DATAGRAMS: u8 = 5;
    // An explicit congestion notification rides on the kind of the joint.
    const CONGESTION: u8 = 0x80;
    let [flags, kind, ..] = header else { return Err(Torn) };
    let joined = match kind & !CONGESTION {
        NOTHING_JOINED => None,
        DATAGRAMS => Some(Joint::Datagrams(usize::from(u16_at(header, 4)?))),
        _ => Some(Joint::Whole),
    };
    let transport = (flags & NEEDS_CHECKSUM != 0).then_some(usize::from(u16_at(header, 6)?));
    Ok(Offload { joined, transport })
}

fn u16_at(bytes: &[u8], offset: usize) -> Result<u16, Torn> {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map(|bytes| u16::from_ne_bytes(*bytes)).ok_or(Torn)
}

fn u32_at(bytes: &[u8], offset: usize) -> Result<u32, Torn> {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map(|bytes| u32::from_ne_bytes(*bytes)).ok_or(Torn)
}

#[cfg(test)]
mod tests;
