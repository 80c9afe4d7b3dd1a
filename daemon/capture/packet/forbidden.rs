//! What the tap must not be able to do: put a frame onto a wire. `sotto doctor` tries it from where the tap runs, and wants to be refused.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A frame that nobody takes up: to a locally administered address that no card has, of the local experimental type (IEEE 802, 88-B5), long enough
/// for any Ethernet. It says what it is to whoever finds it in a trace.
const FRAME: &[u8; 60] = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\xb5sotto doctor: this should not have left\0\0\0\0\0\0\0";

/// Sends one frame through an interface, as a program that was taken over would: by a packet socket, past the queues.
///
/// # Errors
/// Where the kernel refuses, as it should: the socket, or the frame (`ENOBUFS` where nftables drops what goes out).
pub fn try_sending(interface: &str) -> io::Result<()> {
    let index = super::socket::interface_index(interface)?;
    // SAFETY: socket(2) takes no pointers.
    let descriptor = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just opened, and nobody else knows it.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // SAFETY: all zeros is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_ifindex = index;
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `FRAME` and `address` are valid for reading the lengths that are given, and the kernel keeps no reference to them.
    let sent = unsafe { libc::sendto(socket.as_raw_fd(), FRAME.as_ptr().cast(), FRAME.len(), 0, (&raw const address).cast(), length) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_sends_nothing() {
        assert_eq!(try_sending("sotto-nowhere").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn the_loopback_shows_that_a_frame_would_leave_where_nothing_forbids_it() {
        match try_sending("lo") {
            Ok(()) => {}
            Err(error) => assert!(matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::EAFNOSUPPORT | libc::ENETDOWN)), "{error}"),
        }
    }
}
