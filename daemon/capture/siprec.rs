//! The sockets of a recording server (RFC 7866): signalling over UDP and TCP, and a socket for each stream of sound.
//!
//! What comes goes on like what an interface captures, stamped by the kernel. What goes back is signalling alone, through an
//! [`Outlet`]: there is no way to send from a socket of sound. Whoever is not on the list of allowed addresses is not heard: their
//! datagrams are dropped and their connections closed, and both are counted.

mod network;
mod receive;

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use sotto_private::{Datagram, Private, Reply, Segment, SegmentFlags, Transport, Wall};

use crate::{CaptureError, Captured, Counters, Next, Progress, Source};

pub use network::Network;
use receive::{Received, receive};

/// The largest datagram.
const DATAGRAM: usize = 64 << 10;
/// What is read of a connection at once.
const PIECE: usize = 16 << 10;
/// Datagrams that are read of one socket before the others have their turn.
const TURN: usize = 64;
/// Bytes that wait for a client that does not read; beyond them its connection is closed.
const UNREAD: usize = 256 << 10;

/// Where and to whom a recording server listens.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// Where signalling is awaited.
    pub listen: Vec<(Transport, SocketAddr)>,
    /// Who is heard.
    pub allow: Vec<Network>,
    /// Sockets of sound at once; a further one is not opened.
    pub sockets: usize,
    /// Connections at once; a further one is closed.
    pub connections: usize,
    /// [`Source::next`] returns after this time at the latest.
    pub timeout: Duration,
    /// The wall clock, for what the kernel does not stamp: connections.
    pub clock: fn() -> Wall,
}

/// The receiving end. It never ends.
pub struct Recorder {
    sockets: Arc<Sockets>,
    timeout: Duration,
    clock: fn() -> Wall,
    /// Read, and not yet handed on.
    ready: VecDeque<Captured>,
    /// Wiped when it is dropped.
    buffer: Private<Vec<u8>>,
    counters: Counters,
    latest: Wall,
}

/// The answering end: signalling goes out, sockets of sound come and go.
#[derive(Clone)]
pub struct Outlet {
    sockets: Arc<Sockets>,
}

/// What could not be done; it is counted, and the server goes on.
#[derive(Debug)]
pub enum OutletError {
    /// The address cannot be listened at.
    Listen(io::Error),
    /// The message could not be sent.
    Send(io::Error),
}

struct Sockets {
    epoll: Epoll,
    allow: Vec<Network>,
    most: usize,
    connections: usize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    held: HashMap<u64, Arc<Held>>,
    sound: HashMap<SocketAddr, u64>,
    connections: HashMap<(SocketAddr, SocketAddr), u64>,
    signalling: Vec<u64>,
    next: u64,
}

enum Held {
    /// Signalling over UDP.
    Signalling(Ear),
    Listener(TcpListener),
    Connection(Connection),
    /// A stream of sound.
    Sound(Ear),
}

/// A UDP socket.
struct Ear {
    socket: UdpSocket,
    /// Where it is bound.
    address: SocketAddr,
    /// What the kernel had dropped of it when it was last asked.
    drops: AtomicU32,
}

struct Connection {
    stream: TcpStream,
    local: SocketAddr,
    remote: SocketAddr,
    /// What the client has not read yet.
    unread: Mutex<Private<Vec<u8>>>,
}

impl Recorder {
    /// Listens.
    ///
    /// # Errors
    /// Where an address cannot be listened at: it is in use, or not this machine's.
    pub fn open(options: RecorderOptions) -> Result<(Self, Outlet), CaptureError> {
        let RecorderOptions { listen, allow, sockets: most, connections, timeout, clock } = options;
        let failed = |transport: Transport, address: SocketAddr| move |cause: io::Error| CaptureError::Listen { transport, address, cause };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|error| CaptureError::Listen {
            transport: Transport::Udp,
            address: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
            cause: error.into(),
        })?;
        let sockets = Arc::new(Sockets { epoll, allow, most, connections, table: Mutex::default() });
        for (transport, address) in listen {
            let held = match transport {
                Transport::Udp => Ear::bind(address).map(Held::Signalling),
                Transport::Tcp => TcpListener::bind(address).and_then(|listener| listener.set_nonblocking(true).map(|()| Held::Listener(listener))),
            };
            let mut table = sockets.table();
            let token = held.and_then(|held| sockets.add(&mut table, held)).map_err(failed(transport, address))?;
            table.signalling.push(token);
        }
        let recorder = Self {
            sockets: Arc::clone(&sockets),
            timeout,
            clock,
            ready: VecDeque::new(),
            buffer: Private::new(vec![0; DATAGRAM]),
            counters: Counters::default(),
            latest: Wall::default(),
        };
        Ok((recorder, Outlet { sockets }))
    }

    /// Where it listens for signalling; for addresses that left the port to the system.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let table = self.sockets.table();
        let addresses = table.held.values().filter_map(|held| match &**held {
            Held::Signalling(ear) => Some(ear.address),
            Held::Listener(listener) => listener.local_addr().ok(),
            Held::Connection(_) | Held::Sound(_) => None,
        });
        addresses.collect()
    }

    fn wait(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        let timeout = EpollTimeout::try_from(self.timeout).unwrap_or(EpollTimeout::ZERO);
        let Ok(count) = self.sockets.epoll.wait(&mut events, timeout) else { return };
        for event in events.iter().take(count) {
            let token = event.data();
            let held = self.sockets.table().held.get(&token).cloned();
            match held.as_deref() {
                Some(Held::Signalling(ear) | Held::Sound(ear)) => self.datagrams(ear),
                Some(Held::Listener(listener)) => self.accept(listener),
                Some(Held::Connection(connection)) => {
                    if event.events().contains(EpollFlags::EPOLLOUT) {
                        self.sockets.flush(token, connection);
                    }
                    self.pieces(token, connection);
                }
                None => {}
            }
        }
    }

    fn datagrams(&mut self, ear: &Ear) {
        for _ in 0..TURN {
            let Ok(Received { length, at, source, local, drops }) = receive(&ear.socket, self.buffer.expose_mut()) else { return };
            self.counters.frames += 1;
            if let Some(drops) = drops {
                // The kernel counts from the socket's beginning, and says it with each datagram.
                let before = ear.drops.swap(drops, Ordering::Relaxed);
                self.counters.kernel_drops += u64::from(drops.wrapping_sub(before));
            }
            let bound = ear.address;
            if !self.sockets.allows(source.ip()) {
                self.counters.not_allowed += 1;
                continue;
            }
            let at = at.unwrap_or_else(self.clock);
            self.latest = self.latest.max(at);
            let local = local.filter(|_| bound.ip().is_unspecified()).unwrap_or_else(|| bound.ip());
            let destination = SocketAddr::new(local.to_canonical(), bound.port());
            let payload = self.buffer.expose().get(..length).unwrap_or_default().to_vec();
            let number = self.counters.frames;
            self.counters.delivered += 1;
            self.ready.push_back(Captured::Datagram(Datagram::new(at, number, source, destination, payload)));
        }
    }

    fn accept(&mut self, listener: &TcpListener) {
        while let Ok((stream, remote)) = listener.accept() {
            let remote = canonical(remote);
            if !self.sockets.allows(remote.ip()) {
                self.counters.not_allowed += 1;
                continue;
            }
            let Ok(local) = stream.local_addr().map(canonical) else { continue };
            // Answers are short and waited for.
            if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
                continue;
            }
            let mut table = self.sockets.table();
            if table.connections.len() >= self.sockets.connections {
                self.counters.not_allowed += 1;
                continue;
            }
            let connection = Connection { stream, local, remote, unread: Mutex::default() };
            if let Ok(token) = self.sockets.add(&mut table, Held::Connection(connection)) {
                table.connections.insert((local, remote), token);
                drop(table);
                self.segment(local, remote, SegmentFlags { syn: true, ..SegmentFlags::default() }, Vec::new());
            }
        }
    }

    fn pieces(&mut self, token: u64, connection: &Connection) {
        for _ in 0..TURN {
            let buffer = self.buffer.expose_mut();
            let piece = buffer.len().min(PIECE);
            match (&connection.stream).read(&mut buffer[..piece]) {
                Ok(length) if length > 0 => {
                    let payload = self.buffer.expose().get(..length).unwrap_or_default().to_vec();
                    self.segment(connection.local, connection.remote, SegmentFlags::default(), payload);
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
                _ => {
                    self.sockets.hang_up(token, connection);
                    let flags = SegmentFlags { fin: true, ..SegmentFlags::default() };
                    return self.segment(connection.local, connection.remote, flags, Vec::new());
                }
            }
        }
    }

    /// A stream that the system has put in order needs no numbers.
    fn segment(&mut self, local: SocketAddr, remote: SocketAddr, flags: SegmentFlags, payload: Vec<u8>) {
        let at = (self.clock)();
        self.counters.frames += 1;
        self.counters.delivered += 1;
        self.counters.segments += 1;
        self.ready.push_back(Captured::Segment(Segment::new(at, self.counters.frames, remote, local, 0, flags, payload)));
    }
}

impl Source for Recorder {
    fn next(&mut self) -> Result<Next, CaptureError> {
        if self.ready.is_empty() {
            self.wait();
        }
        Ok(self.ready.pop_front().map_or(Next::Quiet, Next::Item))
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn progress(&self) -> Option<Progress> {
        None
    }
}

impl Outlet {
    /// From now on, what comes to this address is heard.
    ///
    /// # Errors
    /// The address is in use, or as many sockets are open as may be.
    pub fn listen(&self, address: SocketAddr) -> Result<(), OutletError> {
        let mut table = self.sockets.table();
        if table.sound.contains_key(&address) {
            return Ok(());
        }
        if table.sound.len() >= self.sockets.most {
            return Err(OutletError::Listen(io::Error::other("as many sockets are open as may be")));
        }
        let ear = Ear::bind(address).map_err(OutletError::Listen)?;
        let token = self.sockets.add(&mut table, Held::Sound(ear)).map_err(OutletError::Listen)?;
        table.sound.insert(address, token);
        Ok(())
    }

    /// From now on, it is not.
    pub fn close(&self, address: SocketAddr) {
        let mut table = self.sockets.table();
        if let Some(token) = table.sound.remove(&address) {
            self.sockets.remove(&mut table, token);
        }
    }

    /// Sends signalling, and nothing else can be sent. It does not wait for the client.
    ///
    /// # Errors
    /// The way back is gone: the connection is closed, or the system refuses.
    pub fn send(&self, reply: &Reply) -> Result<(), OutletError> {
        let sent = match reply.transport {
            Transport::Udp => self.sockets.send_datagram(reply),
            Transport::Tcp => self.sockets.send_on_connection(reply),
        };
        sent.map_err(OutletError::Send)
    }
}

impl Sockets {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|network| network.contains(address))
    }

    fn add(&self, table: &mut Table, held: Held) -> io::Result<u64> {
        table.next += 1;
        let token = table.next;
        self.epoll.add(held.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        table.held.insert(token, Arc::new(held));
        Ok(token)
    }

    fn remove(&self, table: &mut Table, token: u64) {
        if let Some(held) = table.held.remove(&token) {
            // The reader may hold it for another moment; it must not be woken by it any more.
            let _ = self.epoll.delete(held.as_fd());
        }
    }

    fn hang_up(&self, token: u64, connection: &Connection) {
        let mut table = self.table();
        table.connections.remove(&(connection.local, connection.remote));
        self.remove(&mut table, token);
    }

    fn send_datagram(&self, reply: &Reply) -> io::Result<()> {
        let table = self.table();
        let ears = table.signalling.iter().filter_map(|token| match table.held.get(token).map(|held| &**held) {
            Some(Held::Signalling(ear)) => Some(ear),
            _ => None,
        });
        let is_own = |ear: &&Ear| {
            let bound = ear.address;
            bound.port() == reply.source.port() && (bound.ip() == reply.source.ip() || bound.ip().is_unspecified())
        };
        let mut ears = ears.filter(is_own);
        let Ear { socket, address, .. } = ears.next().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
        let is_ipv6 = address.is_ipv6();
        let destination = match reply.destination {
            SocketAddr::V4(address) if is_ipv6 => SocketAddr::new(address.ip().to_ipv6_mapped().into(), address.port()),
            address => address,
        };
        socket.send_to(reply.payload(), destination).map(drop)
    }

    fn send_on_connection(&self, reply: &Reply) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        let (token, held) = {
            let table = self.table();
            let token = *table.connections.get(&(reply.source, reply.destination)).ok_or_else(gone)?;
            (token, table.held.get(&token).cloned().ok_or_else(gone)?)
        };
        let Held::Connection(connection) = &*held else { return Err(gone()) };
        let is_too_much = {
            let mut unread = connection.unread.lock().unwrap_or_else(PoisonError::into_inner);
            unread.append(reply.payload());
            unread.expose().len() > UNREAD
        };
        if is_too_much {
            self.hang_up(token, connection);
            return Err(io::Error::from(io::ErrorKind::OutOfMemory));
        }
        self.flush(token, connection);
        Ok(())
    }

    /// Writes what the client will take now; the rest when it reads on.
    fn flush(&self, token: u64, connection: &Connection) {
        let mut unread = connection.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = 0;
        while let Some(rest) = unread.expose().get(done..).filter(|rest| !rest.is_empty()) {
            match (&connection.stream).write(rest) {
                Ok(length) if length > 0 => done += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What is broken is found out by reading.
                _ => break,
            }
        }
        let rest = unread.expose().get(done..).unwrap_or_default().to_vec();
        let wanted = if rest.is_empty() { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT };
        *unread = Private::new(rest);
        let _ = self.epoll.modify(connection.stream.as_fd(), &mut EpollEvent::new(wanted, token));
    }
}

impl Ear {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = receive::bind(address)?;
        Ok(Self { address: socket.local_addr()?, socket, drops: AtomicU32::new(0) })
    }
}

impl AsFd for Held {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Signalling(ear) | Self::Sound(ear) => ear.socket.as_fd(),
            Self::Listener(listener) => listener.as_fd(),
            Self::Connection(connection) => connection.stream.as_fd(),
        }
    }
}

impl std::fmt::Display for OutletError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listen(cause) => write!(formatter, "a stream's port cannot be listened at: {cause}"),
            Self::Send(cause) => write!(formatter, "an answer could not be sent: {cause}"),
        }
    }
}

impl std::error::Error for OutletError {}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;
