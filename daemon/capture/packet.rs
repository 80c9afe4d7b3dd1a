//! A live interface, through a plain AF_PACKET socket (packet(7)).
//!
//! Promiscuous, stamped by the kernel, with a large buffer, behind a static filter that lets UDP through. What the box itself
//! sends is not listened to. On the loopback interface, where each packet shows as sent and as received, the received one counts.
//! The kernel takes the outermost VLAN tag off a frame before it gets here; as [`Decap`] steps over tags anyway, none is put back.
//!
//! This is the one file of this crate with `unsafe`: the calls that the standard library has no name for.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use sotto_private::{Private, Wall};

use crate::decap::{Counters, Decap, Link};
use crate::{CaptureError, Next, Progress, Source};

/// The largest frame that comes: the kernel may join segments up to 64 KiB.
const FRAME: usize = 64 << 10;
/// After so many packets the kernel is asked what it dropped.
const STATISTICS: u64 = 4_096;

/// How to listen.
#[derive(Clone, Copy, Debug)]
pub struct InterfaceOptions {
    /// [`Source::next`] returns after this time at the latest.
    pub timeout: Duration,
    /// Bytes that the kernel may hold while this process is busy. More than `net.core.rmem_max` needs CAP_NET_ADMIN; without it,
    /// the most that is allowed is taken.
    pub receive_buffer: usize,
}

impl Default for InterfaceOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(100), receive_buffer: 64 << 20 }
    }
}

/// A live interface. It never ends; where it goes down it is tried again at every call.
#[derive(Debug)]
pub struct Interface {
    name: String,
    options: InterfaceOptions,
    socket: Option<Socket>,
    /// Wiped when it is dropped.
    frame: Private<Vec<u8>>,
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
            options,
            socket: Some(socket),
            frame: Private::new(vec![0; FRAME]),
            decap: Decap::default(),
            packets: 0,
            last: Wall::default(),
        })
    }

    /// Tries to listen again. It takes one time-out where that fails, so that the caller's loop does not spin.
    fn reopen(&mut self) -> Next {
        match Socket::open(&self.name, &self.options) {
            Ok(socket) if socket.pending_error().is_none() => {
                self.socket = Some(socket);
                Next::InterfaceUp
            }
            _ => {
                std::thread::sleep(self.options.timeout);
                Next::Quiet
            }
        }
    }

    fn count_drops(&mut self) {
        if let Some(drops) = self.socket.as_ref().and_then(Socket::drops) {
            self.decap.counters.kernel_drops += drops;
        }
    }
}

impl Source for Interface {
    fn next(&mut self) -> Result<Next, CaptureError> {
        loop {
            let Some(socket) = &self.socket else { return Ok(self.reopen()) };
            let received = match socket.receive(self.frame.expose_mut()) {
                Ok(received) => received,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    self.count_drops();
                    return Ok(Next::Quiet);
                }
                // Down, removed, or anything else that a new socket may cure.
                Err(_) => {
                    self.count_drops();
                    self.socket = None;
                    return Ok(Next::InterfaceDown);
                }
            };
            self.packets += 1;
            if self.packets.is_multiple_of(STATISTICS) {
                self.count_drops();
            }
            if received.outgoing {
                self.decap.counters.outgoing += 1;
                continue;
            }
            let link = self.socket.as_ref().map_or(Link::Ethernet, |socket| socket.link);
            let at = received.at.unwrap_or(self.last);
            self.last = at;
            let frame = self.frame.expose().get(..received.length).unwrap_or_default();
            if let Some(item) = self.decap.frame(link, frame, at, self.packets) {
                return Ok(Next::Item(item));
            }
        }
    }

    fn counters(&self) -> Counters {
        self.decap.counters
    }

    fn progress(&self) -> Option<Progress> {
        None
    }
}

struct Received {
    length: usize,
    at: Option<Wall>,
    outgoing: bool,
}

#[derive(Debug)]
struct Socket {
    descriptor: OwnedFd,
    link: Link,
}

/// What failed, and what the system said.
type Refusal = (&'static str, io::Error);

impl Socket {
    fn open(name: &str, options: &InterfaceOptions) -> Result<Self, Refusal> {
        let index = interface_index(name).map_err(|error| ("there is no such interface; `ip link` lists those there are", error))?;
        // Protocol 0: nothing is received before everything is set.
        // SAFETY: socket(2) takes no pointers.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if descriptor < 0 {
            return Err(("a packet socket is not allowed; it takes CAP_NET_RAW, which the unit sotto-tap has", io::Error::last_os_error()));
        }
        // SAFETY: the descriptor was just opened, and nobody else knows it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let mut socket = Self { descriptor, link: Link::Ethernet };
        let set = |what: &'static str| move |error: io::Error| (what, error);
        socket.set(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1i32).map_err(set("the kernel gives no time stamps"))?;
        socket.set(libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeval(options.timeout)).map_err(set("no time-out can be set"))?;
        socket.enlarge(options.receive_buffer);
        // Since Linux 4.20; without it, what the box sends is left out one by one.
        let _ = socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32);
        socket.bind(index).map_err(set("it cannot be bound"))?;
        socket.link = socket.hardware().map_err(set("its kind cannot be told"))?;
        if socket.link == Link::Ethernet {
            socket.filter().map_err(set("the filter was refused"))?;
        }
        socket.promiscuous(index).map_err(set("it does not become promiscuous"))?;
        Ok(socket)
    }

    fn set<T: Copy>(&self, level: i32, option: i32, value: &T) -> io::Result<()> {
        let size = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is valid for reading `size` bytes, and the kernel keeps no reference to it.
        let result = unsafe { libc::setsockopt(self.descriptor.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// For option values of integers alone, of which any bytes are valid.
    fn get<T: Copy + Default>(&self, level: i32, option: i32) -> io::Result<T> {
        let mut value = T::default();
        let mut size = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is valid for writing `size` bytes, and the kernel writes no more than that.
        let result =
            unsafe { libc::getsockopt(self.descriptor.as_raw_fd(), level, option, std::ptr::from_mut(&mut value).cast(), &raw mut size) };
        if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
    }

    fn enlarge(&self, bytes: usize) {
        let bytes = i32::try_from(bytes).unwrap_or(i32::MAX);
        if self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes).is_err() {
            // The kernel cuts it to what is allowed.
            let _ = self.set(libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes);
        }
    }

    fn bind(&self, index: i32) -> io::Result<()> {
        // SAFETY: all zeros is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is valid for reading `size` bytes during the call.
        let result = unsafe { libc::bind(self.descriptor.as_raw_fd(), std::ptr::from_ref(&address).cast(), size) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// What its frames start with, by the hardware type of the bound interface.
    fn hardware(&self) -> io::Result<Link> {
        // SAFETY: all zeros is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is valid for writing `size` bytes, and the kernel writes no more than that.
        let result =
            unsafe { libc::getsockname(self.descriptor.as_raw_fd(), std::ptr::from_mut(&mut address).cast(), &raw mut size) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        match address.sll_hatype {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Ok(Link::Ethernet),
            libc::ARPHRD_NONE | libc::ARPHRD_PPP => Ok(Link::Ip),
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    /// UDP over IPv4; IPv6 but TCP straight behind its header; everything with a tag. The rest is the kernel's to drop.
    fn filter(&self) -> io::Result<()> {
        const HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
        const BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
        const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
        const fn line(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
            libc::sock_filter { code, jt, jf, k }
        }
        let mut program = [
            line(HALF, 12, 0, 0),
            line(EQUAL, 0x0800, 0, 2),
            line(BYTE, 23, 0, 0),
            line(EQUAL, 17, 5, 6),
            line(EQUAL, 0x86dd, 0, 2),
            line(BYTE, 20, 0, 0),
            line(EQUAL, 6, 3, 2),
            line(EQUAL, 0x8100, 1, 0),
            line(EQUAL, 0x88a8, 0, 1),
            line(RETURN, u32::MAX, 0, 0),
            line(RETURN, 0, 0, 0),
        ];
        let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // The kernel copies the program that `filter` points to; it lives until the call is done.
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
    }

    fn promiscuous(&self, index: i32) -> io::Result<()> {
        let request =
            libc::packet_mreq { mr_ifindex: index, mr_type: libc::PACKET_MR_PROMISC as u16, mr_alen: 0, mr_address: [0; 8] };
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }

    /// The error that a bound interface has left, such as that it is down.
    fn pending_error(&self) -> Option<i32> {
        self.get::<i32>(libc::SOL_SOCKET, libc::SO_ERROR).ok().filter(|error| *error != 0)
    }

    /// What the kernel dropped since it was last asked: asking sets its counter to zero, so there is one place that asks.
    fn drops(&self) -> Option<u64> {
        // struct tpacket_stats: packets, drops.
        self.get::<[u32; 2]>(libc::SOL_PACKET, libc::PACKET_STATISTICS).ok().map(|[_, drops]| u64::from(drops))
    }

    fn receive(&self, frame: &mut [u8]) -> io::Result<Received> {
        // SAFETY: all zeros is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        // Words, so that the control messages in it are aligned.
        let mut control = [0u64; 16];
        let mut part = libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() };
        // SAFETY: all zeros is a valid `msghdr`.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_name = std::ptr::from_mut(&mut address).cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<[u64; 16]>() as _;
        // SAFETY: every pointer in `message` is to a buffer of the length beside it, and all of them outlive the call.
        let length = unsafe { libc::recvmsg(self.descriptor.as_raw_fd(), &raw mut message, 0) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        Ok(Received { length: length.min(frame.len()), at: stamp(&message), outgoing: address.sll_pkttype == libc::PACKET_OUTGOING })
    }
}

/// The kernel's stamp among a received message's control messages.
fn stamp(message: &libc::msghdr) -> Option<Wall> {
    // SAFETY: `message` was filled in by recvmsg(2), and its control buffer is still alive in the caller.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !control.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a header that lies wholly in the buffer.
        let header = unsafe { &*control };
        // SCM_TIMESTAMPNS has the number of SO_TIMESTAMPNS.
        if header.cmsg_level == libc::SOL_SOCKET && header.cmsg_type == libc::SO_TIMESTAMPNS {
            let mut time = MaybeUninit::<libc::timespec>::uninit();
            // SAFETY: the kernel put a `timespec` behind this header; it is copied byte by byte, as its alignment is not promised.
            let time = unsafe {
                std::ptr::copy_nonoverlapping(libc::CMSG_DATA(control), time.as_mut_ptr().cast::<u8>(), size_of::<libc::timespec>());
                time.assume_init()
            };
            return Some(Wall::from_micros(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)));
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        control = unsafe { libc::CMSG_NXTHDR(message, control) };
    }
    None
}

fn interface_index(name: &str) -> io::Result<i32> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: `name` is a string that ends in zero and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => i32::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidData)),
    }
}

fn timeval(duration: Duration) -> libc::timeval {
    // Zero would mean for ever.
    let micros = duration.as_micros().clamp(1_000, 60_000_000) as i64;
    libc::timeval { tv_sec: micros / 1_000_000, tv_usec: micros % 1_000_000 }
}

#[cfg(test)]
mod tests;
