//! A live interface, through a ring of memory that is shared with the kernel (packet(7), `TPACKET_V3`).
//!
//! Promiscuous, stamped by the kernel, behind a static filter. The kernel fills blocks of 256 KiB and passes each on when it is full or 10 ms old,
//! so that no packet costs a system call and none waits longer than that. There is one ring and no fan-out: one reader keeps the order of signalling
//! and media, sees both copies of what a mirror shows twice and all pieces of a fragmented packet, and carries 2,000 calls with a small part of a core.
//!
//! - Tags: the kernel takes the outermost one off; it is put back, so that a frame is here what it is in a capture file.
//! - What the box itself sends is heard too (a PBX on the same box); on the loopback interface, where each packet shows as sent and as received,
//!   the received one counts.
//! - Frames that were joined on their way (receive or segmentation offload): a stream's are read whole, datagrams are told apart again. Before Linux
//!   6.2 the kernel cannot say where one datagram ends, and drops such frames, which is counted.
//!
//! This file and those below it are the only ones of this crate with `unsafe`: the system calls ([`socket`]) and the shared memory ([`ring`]). What is
//! in a block is read by safe code ([`block`]), which trusts none of it.

#![allow(unsafe_code)]

mod block;
mod forbidden;
mod joined;
mod ring;
mod socket;

use std::ops::RangeInclusive;
use std::time::Duration;

use sotto_private::{Private, Wall};

use crate::decap::{Counters, Decap, Link, Trust, Tunnel};
use crate::{CaptureError, Captured, Next, Progress, Source};
pub use forbidden::try_sending;

use block::{Cursor, Frame, Joint};
use joined::Joined;
use socket::{Socket, Woken};

/// After so many blocks the kernel is asked what it dropped, or after one where a frame in it says that some were.
const STATISTICS: u32 = 8;

/// So many blocks, or waits for one, may go by without anything to pass on before the caller is asked whether to go on.
const TURNS: u32 = 8;

/// How to listen.
#[derive(Clone, Debug)]
pub struct InterfaceOptions {
    /// [`Source::next`] returns after this time at the latest.
    pub timeout: Duration,
    /// Bytes of the ring: what the kernel may hold while this process is busy. 512 KiB to 256 MiB; more or less is taken for that. 2,000 calls
    /// fill 60 MB a second. Where the kernel has less memory, there is less; see [`Interface::ring_bytes`].
    pub ring_bytes: usize,
    /// The TCP ports from or to which SIP is heard, at most 64 ranges, Homer agents' ports among them. UDP is heard on all ports. TLS (5061) would
    /// only be noise.
    pub sip_ports: Vec<RangeInclusive<u16>>,
    /// Which encapsulations are followed, and from whom.
    pub trust: Trust,
}

impl InterfaceOptions {
    /// The TCP ports of which anything is wanted.
    fn tcp_ports(&self) -> Vec<RangeInclusive<u16>> {
        let agents = self.trust.hep_ports.iter().filter(|_| self.trust.tunnels.contains(&Tunnel::Hep)).map(|port| *port..=*port);
        self.sip_ports.iter().cloned().chain(agents).collect()
    }
}

impl Default for InterfaceOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(100), ring_bytes: 32 << 20, sip_ports: vec![5060..=5060, 5062..=5080, 5160..=5160], trust: Trust::default() }
    }
}

/// A live interface. It never ends; where it goes down it is tried again at every call.
#[derive(Debug)]
pub struct Interface {
    name: String,
    options: InterfaceOptions,
    socket: Option<Socket>,
    /// Where in the ring's block the next frame is; `None` between blocks.
    cursor: Option<Cursor>,
    /// The interface is down, and what it delivered before is being read.
    is_closing: bool,
    /// Read since the kernel was last asked what it dropped.
    blocks: u32,
    /// A frame said that some were dropped.
    is_losing: bool,
    joined: Joined,
    /// A frame with its tag put back. Wiped when it is dropped.
    tagged: Private<Vec<u8>>,
    decap: Decap,
    packets: u64,
    last: Wall,
}

impl Interface {
    /// Listens to an interface by its name. One that exists and is down is waited for.
    ///
    /// # Errors
    /// Where there is no such interface, it is not allowed, or its frames are not read here; the text says what to do.
    pub fn open(name: &str, options: InterfaceOptions) -> Result<Self, CaptureError> {
        let socket = Socket::open(name, &options).map_err(|(what, cause)| CaptureError::Interface { name: name.to_owned(), what, cause })?;
        Ok(Self {
            name: name.to_owned(),
            decap: Decap::new(options.trust.clone()),
            options,
            socket: Some(socket),
            cursor: None,
            is_closing: false,
            blocks: 0,
            is_losing: false,
            joined: Joined::default(),
            tagged: Private::default(),
            packets: 0,
            last: Wall::default(),
        })
    }

    /// How large the ring is that the kernel gave, bytes; 0 while the interface is down.
    #[must_use]
    pub fn ring_bytes(&self) -> usize {
        self.socket.as_ref().map_or(0, |socket| socket.ring.size())
    }

    /// The next thing in the block that is next.
    fn look(&mut self) -> Look {
        loop {
            if let Some(captured) = self.decap.more() {
                return Look::Captured(captured);
            }
            while let Some(piece) = self.joined.next() {
                let link = self.socket.as_ref().map_or(Link::Ethernet, |socket| socket.link);
                if let Some(captured) = self.decap.frame(link, piece, self.last, self.packets) {
                    return Look::Captured(captured);
                }
            }
            let Some(socket) = &mut self.socket else { return Look::NoBlock };
            let Some(block) = socket.ring.block() else { return Look::NoBlock };
            let next = match self.cursor.as_mut() {
                Some(cursor) => cursor.next(block),
                None => Cursor::new(block).and_then(|cursor| self.cursor.insert(cursor).next(block)),
            };
            let Ok(Some(frame)) = next else {
                self.decap.counters.torn_blocks += u64::from(next.is_err());
                self.cursor = None;
                socket.ring.hand_back();
                self.blocks += 1;
                if self.blocks >= STATISTICS || self.is_losing {
                    self.count_statistics();
                }
                return Look::BlockRead;
            };
            self.packets += 1;
            if socket.is_loopback && frame.kind == libc::PACKET_OUTGOING {
                self.decap.counters.outgoing += 1;
                continue;
            }
            self.last = frame.at;
            self.is_losing |= frame.is_losing;
            let link = socket.link;
            let Some(bytes) = block.get(frame.bytes.clone()) else { continue };
            let (bytes, network, transport) = with_tag(&mut self.tagged, bytes, &frame);
            let captured = match frame.offload.joined {
                Some(Joint::Datagrams(size)) => {
                    self.decap.counters.super_frames += 1;
                    if !transport.is_some_and(|transport| self.joined.take(bytes, network, transport, size)) {
                        self.decap.counters.frames += 1;
                        self.decap.counters.malformed += 1;
                    }
                    None
                }
                joined => {
                    self.decap.counters.super_frames += u64::from(joined.is_some());
                    self.decap.frame(link, bytes, frame.at, self.packets)
                }
            };
            if let Some(captured) = captured {
                return Look::Captured(captured);
            }
        }
    }

    /// The one place that asks the kernel what it dropped, as asking sets its counters to zero.
    fn count_statistics(&mut self) {
        self.blocks = 0;
        self.is_losing = false;
        if let Some(taken) = self.socket.as_ref().and_then(Socket::take_statistics) {
            self.decap.counters.kernel_packets += u64::from(taken.packets);
            self.decap.counters.kernel_drops += u64::from(taken.drops);
            self.decap.counters.kernel_freezes += u64::from(taken.freezes);
        }
    }

    /// Tries to listen again. It takes one time-out where that fails, so that the caller's loop does not spin.
    fn reopen(&mut self) -> Next {
        // A ring is not made again and again for an interface that is down.
        if socket::is_up(&self.name) && let Ok(socket) = Socket::open(&self.name, &self.options) && socket.take_error().is_none() {
            self.socket = Some(socket);
            return Next::InterfaceUp;
        }
        std::thread::sleep(self.options.timeout);
        Next::Quiet
    }
}

/// What a look at the ring brought.
enum Look {
    Captured(Captured),
    /// A block is at its end, and the kernel has it back.
    BlockRead,
    /// The next block is the kernel's.
    NoBlock,
}

impl Source for Interface {
    fn next(&mut self) -> Result<Next, CaptureError> {
        // Bounded, so that the caller can stop whatever comes.
        for _ in 0..TURNS {
            match self.look() {
                Look::Captured(captured) => return Ok(Next::Item(captured)),
                Look::BlockRead => continue,
                Look::NoBlock => {}
            }
            let Some(socket) = &self.socket else { return Ok(self.reopen()) };
            // The block that was open when the interface went down comes when its time is over.
            let timeout = if self.is_closing { Duration::from_millis(u64::from(2 * socket::RETIRE_MS)) } else { self.options.timeout };
            match socket.wait(timeout) {
                Woken::Ready => {}
                Woken::Broken => {
                    socket.take_error();
                    self.is_closing = true;
                }
                Woken::Late if self.is_closing => {
                    self.count_statistics();
                    self.socket = None;
                    self.is_closing = false;
                    return Ok(Next::InterfaceDown);
                }
                Woken::Late => {
                    self.count_statistics();
                    return Ok(Next::Quiet);
                }
            }
        }
        Ok(Next::Quiet)
    }

    fn counters(&self) -> Counters {
        self.decap.counters
    }

    fn progress(&self) -> Option<Progress> {
        None
    }
}

/// The frame as it was on the wire, and where its network and transport headers are.
fn with_tag<'a>(tagged: &'a mut Private<Vec<u8>>, bytes: &'a [u8], frame: &Frame) -> (&'a [u8], usize, Option<usize>) {
    /// The link's two addresses, behind which the tag was.
    const ADDRESSES: usize = 12;
    const TAG: usize = 4;
    let (network, transport) = (frame.network, frame.offload.transport);
    let (Some([kind, content]), Some((addresses, rest))) = (frame.tag, bytes.split_at_checked(ADDRESSES)) else {
        return (bytes, network, transport);
    };
    tagged.expose_mut().clear();
    tagged.append(addresses);
    tagged.append(&kind.to_be_bytes());
    tagged.append(&content.to_be_bytes());
    tagged.append(rest);
    (tagged.expose(), network + TAG, transport.map(|transport| transport + TAG))
}

#[cfg(test)]
mod tests;
