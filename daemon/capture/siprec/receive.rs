//! A datagram with all that the kernel knows of it.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;
use sotto_private::Wall;

/// A datagram that lies in the buffer.
pub(super) struct Received {
    pub(super) length: usize,
    /// The kernel's stamp.
    pub(super) at: Option<Wall>,
    pub(super) source: SocketAddr,
    /// To which of the box's addresses it came.
    pub(super) local: Option<IpAddr>,
    /// What the kernel dropped of this socket so far.
    pub(super) drops: Option<u32>,
}

/// A socket that tells when each datagram came, and to which address. It does not block.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(socket)
}

/// The next datagram, if one is there.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = nix::cmsg_space!(TimeSpec, [u32; 8], u32, [u64; 8]);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT)?;
    let source = message.address.as_ref().and_then(socket_address).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut received = Received { length: message.bytes, at: None, source, local: None, drops: None };
    for part in message.cmsgs().into_iter().flatten() {
        match part {
            ControlMessageOwned::ScmTimestampns(time) => {
                received.at = Some(Wall::from_micros(time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_nsec() / 1_000)));
            }
            ControlMessageOwned::Ipv4PacketInfo(info) => received.local = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes())),
            ControlMessageOwned::Ipv6PacketInfo(info) => received.local = Some(IpAddr::from(info.ipi6_addr.s6_addr)),
            ControlMessageOwned::RxqOvfl(drops) => received.drops = Some(drops),
            _ => {}
        }
    }
    Ok(received)
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddr::new(address.ip().into(), address.port()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddr::new(IpAddr::from(address.ip()).to_canonical(), address.port())))
}
