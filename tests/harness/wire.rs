//! Frames onto an interface, many with one call of the system: sendmmsg(2) on a packet socket (packet(7)).
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Frames that are handed to the kernel at once, at most.
const TOGETHER: usize = 64;
/// Room for the frames on their way, bytes: without it, a burst waits for the wire.
const SEND_BUFFER: i32 = 8 << 20;

/// An interface that frames are sent on.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
}

impl Wire {
    /// Opens an interface by its name. It takes `CAP_NET_RAW` in the interface's network namespace.
    ///
    /// # Errors
    /// Where there is no such interface, or it may not be sent on.
    pub fn open(interface: &str) -> io::Result<Self> {
        let name = CString::new(interface)?;
        // SAFETY: `name` is a string that ends in zero and outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        // Protocol 0: it sends, and receives nothing.
        // SAFETY: socket(2) takes no pointers.
        let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just opened, and nobody else knows it.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        set(&socket, libc::SOL_SOCKET, libc::SO_SNDBUF, SEND_BUFFER)?;
        // A virtual cable has no queue to be kept; where one is, it is not this test's.
        set(&socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
        // SAFETY: all zeros is a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: `address` is valid for reading `size` bytes during the call.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), std::ptr::from_ref(&address).cast(), size) };
        if bound == 0 { Ok(Self { socket }) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends frames in their order, and waits where the interface is busy.
    ///
    /// # Errors
    /// Where the interface takes one no more; those before it are sent.
    pub fn send(&self, frames: &[Vec<u8>]) -> io::Result<()> {
        frames.chunks(TOGETHER).try_for_each(|frames| self.send_some(frames))
    }

    fn send_some(&self, frames: &[Vec<u8>]) -> io::Result<()> {
        // The kernel reads frames and writes none, so that casting `const` away changes nothing.
        let pieces: Vec<libc::iovec> =
            frames.iter().map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() }).collect();
        let mut messages: Vec<libc::mmsghdr> = pieces
            .iter()
            .map(|piece| {
                // SAFETY: all zeros is a valid `mmsghdr`: no address, no pieces, no control data.
                let mut message: libc::mmsghdr = unsafe { zeroed() };
                message.msg_hdr.msg_iov = std::ptr::from_ref(piece).cast_mut();
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        let mut sent = 0;
        while let Some(left) = messages.get_mut(sent..).filter(|left| !left.is_empty()) {
            let count = u32::try_from(left.len()).map_err(io::Error::other)?;
            // SAFETY: `left` holds `count` messages, each with one piece of `pieces`, which points to a frame of `frames`: all of them
            // outlive the call. Of what is pointed to, the kernel writes `msg_len` alone, which lies in `left`.
            match unsafe { libc::sendmmsg(self.socket.as_raw_fd(), left.as_mut_ptr(), count, 0) } {
                taken if taken > 0 => sent += usize::try_from(taken).unwrap_or_default(),
                _ => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::Interrupted => {}
                    // Without a queue in between, a busy interface says so instead of making the sender wait.
                    error if error.raw_os_error() == Some(libc::ENOBUFS) => std::thread::yield_now(),
                    error => return Err(error),
                },
            }
        }
        Ok(())
    }
}

fn set(socket: &OwnedFd, level: i32, option: i32, value: i32) -> io::Result<()> {
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` is valid for reading `size` bytes, and the kernel keeps no reference to it.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, std::ptr::from_ref(&value).cast(), size) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::frame::{self, Path};

    /// More than one call of the system takes, over loopback to a socket that counts them. IPv6, as IPv4 takes no frame of its own host's for true.
    #[test]
    fn every_frame_arrives_once_and_in_order() {
        const FRAMES: u32 = 3 * TOGETHER as u32 + 5;
        let receiver = UdpSocket::bind("[::1]:0").expect("loopback has ports");
        receiver.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out can be set");
        let wire = match Wire::open("lo") {
            Ok(wire) => wire,
            Err(error) => return crate::process::skip(&format!("a packet socket takes CAP_NET_RAW: {error}")),
        };
        let path = Path { source: "[::1]:9".parse().expect("an address"), destination: receiver.local_addr().expect("it is bound"), vlan: None, dscp: 0 };
        let frames: Vec<Vec<u8>> = (0..FRAMES).map(|number| frame::build(&path, number as u16, &number.to_be_bytes())).collect();
        // The kernel takes an Ethernet frame on loopback for this host's only without a destination address.
        let frames: Vec<Vec<u8>> = frames.into_iter().map(|mut frame| {
            frame[..12].fill(0);
            frame
        }).collect();
        wire.send(&frames).expect("loopback takes frames");
        for number in 0..FRAMES {
            let mut payload = [0; 4];
            receiver.recv(&mut payload).expect("each frame arrives");
            assert_eq!(u32::from_be_bytes(payload), number);
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_refused() {
        assert!(Wire::open("no such cable").is_err());
    }
}
