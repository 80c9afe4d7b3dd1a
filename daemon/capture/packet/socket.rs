//! The AF_PACKET socket (packet(7)): the calls that the standard library has no name for.

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::InterfaceOptions;
use super::ring::Ring;
use crate::decap::Link;
use crate::filter;

/// A block holds the largest frame that there is (64 KiB of joined segments) three times.
const BLOCK: usize = 256 << 10;
/// Bounds of the ring, bytes. One block fills while another is read.
const RING: std::ops::RangeInclusive<usize> = 2 * BLOCK..=256 << 20;
/// A block that is not full is passed on after this time, milliseconds.
pub(super) const RETIRE_MS: u32 = 10;

/// A socket that listens to one interface, and its ring.
#[derive(Debug)]
pub(super) struct Socket {
    // Unmapped before the socket is closed: fields are dropped in this order.
    pub(super) ring: Ring,
    pub(super) descriptor: OwnedFd,
    /// What its frames start with.
    pub(super) link: Link,
    /// On this interface each packet shows as sent and as received.
    pub(super) is_loopback: bool,
}

/// What failed, and what the system said.
pub(super) type Refusal = (&'static str, io::Error);

/// What the kernel did since it was last asked: asking sets its counters to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    /// Frames that passed the filter, those dropped among them.
    pub(super) packets: u32,
    /// Of these, dropped because no block was free.
    pub(super) drops: u32,
    /// How often no block was free.
    pub(super) freezes: u32,
}

/// Why [`Socket::wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// There may be a block.
    Ready,
    /// The time is over.
    Late,
    /// The interface is down or gone, or whatever a new socket may cure.
    Broken,
}

impl Socket {
    /// Listens to an interface by its name.
    pub(super) fn open(name: &str, options: &InterfaceOptions) -> Result<Self, Refusal> {
        let index = interface_index(name).map_err(|error| ("there is no such interface; `ip link` lists those there are", error))?;
        let set = |what: &'static str| move |error: io::Error| (what, error);
        // Protocol 0: nothing is received before everything is set.
        // SAFETY: socket(2) takes no pointers.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if descriptor < 0 {
            return Err(("a packet socket is not allowed; it takes CAP_NET_RAW, which the unit sotto-tap has", io::Error::last_os_error()));
        }
        // SAFETY: the descriptor was just opened, and nobody else knows it.
        let socket = Bare(unsafe { OwnedFd::from_raw_fd(descriptor) });
        // Bound for nothing yet, the socket can say what kind of interface it is.
        socket.bind(index, 0).map_err(set("it cannot be bound"))?;
        let kind = socket.hardware().map_err(set("its kind cannot be told"))?;
        let is_loopback = kind == libc::ARPHRD_LOOPBACK;
        let link = match kind {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => Link::Ethernet,
            libc::ARPHRD_NONE | libc::ARPHRD_PPP => Link::Ip,
            _ => return Err(("its frames are not read here; Ethernet and plain IP are", io::ErrorKind::Unsupported.into())),
        };
        if is_loopback {
            // Since Linux 4.20; without it, what the box sends is left out one by one.
            let _ = socket.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1i32);
        }
        let program = filter::program(link, &options.tcp_ports()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
        socket.filter(&program.map_err(set("there are more ranges of TCP ports than are taken"))?).map_err(set("the filter was refused"))?;
        let ring = socket.ring(options.ring_bytes)?;
        socket.promiscuous(index).map_err(set("it does not become promiscuous"))?;
        socket.bind(index, libc::ETH_P_ALL as u16).map_err(set("it cannot be bound"))?;
        Ok(Self { ring, descriptor: socket.0, link, is_loopback })
    }

    /// Waits until there is a block, at most for this time.
    pub(super) fn wait(&self, timeout: Duration) -> Woken {
        let mut wanted = libc::pollfd { fd: self.descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = timeout.as_millis().clamp(1, 60_000) as i32;
        // SAFETY: `wanted` is valid for reading and writing, and it is the one that is announced.
        match unsafe { libc::poll(&raw mut wanted, 1, millis) } {
            0 => Woken::Late,
            1 if wanted.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 => Woken::Broken,
            1 => Woken::Ready,
            // Interrupted by a signal: the caller looks whether it should stop.
            _ => Woken::Late,
        }
    }

    /// The error that the interface has left, such as that it is down. Asking takes it away.
    pub(super) fn take_error(&self) -> Option<i32> {
        // SAFETY: an integer is what the kernel writes, and any bytes are one.
        unsafe { get::<i32>(&self.descriptor, libc::SOL_SOCKET, libc::SO_ERROR) }.ok().filter(|error| *error != 0)
    }

    /// What was received and dropped since it was last asked.
    pub(super) fn take_statistics(&self) -> Option<Statistics> {
        // SAFETY: three integers are what the kernel writes (struct tpacket_stats_v3), and any bytes are such.
        let taken = unsafe { get::<[u32; 3]>(&self.descriptor, libc::SOL_PACKET, libc::PACKET_STATISTICS) };
        taken.ok().map(|[packets, drops, freezes]| Statistics { packets, drops, freezes })
    }
}

/// Whether an interface is there and up.
pub(super) fn is_up(name: &str) -> bool {
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: all zeros is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    let bytes = name.as_bytes();
    // The last byte stays zero.
    let Some(place) = request.ifr_name.get_mut(..bytes.len()).filter(|_| bytes.len() < libc::IF_NAMESIZE) else { return false };
    for (to, from) in place.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    // A packet socket, as the unit may open no other kind.
    // SAFETY: socket(2) takes no pointers.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return false;
    }
    // SAFETY: the descriptor was just opened, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: `request` is a valid `ifreq` with a name that ends in zero; the kernel writes within it.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut request) } != 0 {
        return false;
    }
    // SAFETY: SIOCGIFFLAGS has written this member of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    i32::from(flags) & libc::IFF_UP != 0
}

/// A socket before it has its ring.
struct Bare(OwnedFd);

impl Bare {
    fn set<T: Copy>(&self, level: i32, option: i32, value: &T) -> io::Result<()> {
        let size = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is valid for reading `size` bytes, and the kernel keeps no reference to it.
        let result = unsafe { libc::setsockopt(self.0.as_raw_fd(), level, option, std::ptr::from_ref(value).cast(), size) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    fn bind(&self, index: i32, protocol: u16) -> io::Result<()> {
        // SAFETY: all zeros is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol.to_be();
        address.sll_ifindex = index;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is valid for reading `size` bytes during the call.
        let result = unsafe { libc::bind(self.0.as_raw_fd(), std::ptr::from_ref(&address).cast(), size) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// The hardware type of the bound interface.
    fn hardware(&self) -> io::Result<u16> {
        // SAFETY: all zeros is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is valid for writing `size` bytes, and the kernel writes no more than that.
        let result = unsafe { libc::getsockname(self.0.as_raw_fd(), std::ptr::from_mut(&mut address).cast(), &raw mut size) };
        if result == 0 { Ok(address.sll_hatype) } else { Err(io::Error::last_os_error()) }
    }

    fn filter(&self, program: &[filter::Instruction]) -> io::Result<()> {
        let line = |line: &filter::Instruction| libc::sock_filter { code: line.code, jt: line.jump_true, jf: line.jump_false, k: line.k };
        let mut program: Vec<_> = program.iter().map(line).collect();
        let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        // The kernel copies the program that this points to; it lives until the call is done.
        let filter = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
    }

    /// Asks for a ring of so many bytes, and takes half of it again and again where the kernel has not so much memory in one go.
    fn ring(&self, bytes: usize) -> Result<Ring, Refusal> {
        const REFUSED: &str = "the kernel gives no TPACKET_V3 ring";
        let fault = |error: io::Error| (REFUSED, error);
        self.set(libc::SOL_PACKET, libc::PACKET_VERSION, &(libc::tpacket_versions::TPACKET_V3 as i32)).map_err(fault)?;
        self.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1i32).map_err(fault)?;
        let mut blocks = bytes.clamp(*RING.start(), *RING.end()) / BLOCK;
        loop {
            match self.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request(blocks)) {
                Ok(()) => break,
                Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && blocks > RING.start() / BLOCK => blocks /= 2,
                Err(error) => return Err(fault(error)),
            }
        }
        Ring::map(self.0.as_fd(), BLOCK, blocks).map_err(fault)
    }

    fn promiscuous(&self, index: i32) -> io::Result<()> {
        let request =
            libc::packet_mreq { mr_ifindex: index, mr_type: libc::PACKET_MR_PROMISC as u16, mr_alen: 0, mr_address: [0; 8] };
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
    }
}

/// What the kernel is asked for. Frames of this version have no fixed size; the kernel wants one that divides a block nevertheless.
const fn request(blocks: usize) -> libc::tpacket_req3 {
    const FRAME: usize = 2_048;
    libc::tpacket_req3 {
        tp_block_size: BLOCK as u32,
        tp_block_nr: blocks as u32,
        tp_frame_size: FRAME as u32,
        tp_frame_nr: (blocks * (BLOCK / FRAME)) as u32,
        tp_retire_blk_tov: RETIRE_MS,
        tp_sizeof_priv: 0,
        tp_feature_req_word: 0,
    }
}

/// # Safety
/// Any bytes must be a valid `T`.
unsafe fn get<T: Copy + Default>(descriptor: &OwnedFd, level: i32, option: i32) -> io::Result<T> {
    let mut value = T::default();
    let mut size = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is valid for writing `size` bytes, and the kernel writes no more than that; any bytes are a `T`, says the caller.
    let result = unsafe { libc::getsockopt(descriptor.as_raw_fd(), level, option, std::ptr::from_mut(&mut value).cast(), &raw mut size) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

pub(super) fn interface_index(name: &str) -> io::Result<i32> {
    let name = CString::new(name).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: `name` is a string that ends in zero and outlives the call.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => i32::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidData)),
    }
}
