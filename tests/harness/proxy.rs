//! A proxy between a client and its MQTT broker that breaks what can break, by chance: one fault after the other, on the same connection
//! where that outlives it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::random::Random;

/// What a connection suffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Both sides see their connection end.
    Cut,
    /// The broker has the message, and the client's connection ends before it hears so.
    ResetBeforeAnswer,
    /// Nothing passes any more, and nobody is told for a while; then the connection ends.
    HalfOpen,
    /// Nothing passes any more, and nobody is ever told: the client must find out.
    Dead,
    /// An answer comes late, and those behind it with it.
    Stall,
    /// Every byte on its own.
    ByteByByte,
    /// One byte a second, for longer than a client has patience.
    Crawl,
    /// An answer comes twice.
    AnsweredTwice,
    /// An answer to what nobody sent.
    UnknownId,
    /// Answers in another order.
    OutOfOrder,
    /// An answer that says no (0x80, 0x83, 0x87, 0x97), or that nobody subscribes (0x10). The broker never saw the message.
    Reason(u8),
    /// The broker says that it has a session, though none was asked for.
    SessionPresent,
    /// The broker says that it takes small packets alone (maximum packet size); its successor takes all.
    SmallPackets,
    /// Another client took over the session (DISCONNECT 0x8E).
    TakenOver,
    /// The broker is shutting down (0x8B), busy (0x89), or does not say why (0x80).
    Disconnected(u8),
    /// What arrives is no MQTT.
    Garbage,
}

/// Of each kind, how many in a thousand, or so.
const MIX: [(Fault, u64); 22] = [
    (Fault::Cut, 130),
    (Fault::ResetBeforeAnswer, 160),
    (Fault::HalfOpen, 50),
    (Fault::Dead, 3),
    (Fault::Stall, 50),
    (Fault::ByteByByte, 40),
    (Fault::Crawl, 3),
    (Fault::AnsweredTwice, 100),
    (Fault::UnknownId, 100),
    (Fault::OutOfOrder, 60),
    (Fault::Reason(0x10), 10),
    (Fault::Reason(0x80), 10),
    (Fault::Reason(0x83), 10),
    (Fault::Reason(0x87), 10),
    (Fault::Reason(0x97), 10),
    (Fault::SessionPresent, 40),
    (Fault::SmallPackets, 15),
    (Fault::TakenOver, 40),
    (Fault::Disconnected(0x8b), 40),
    (Fault::Disconnected(0x89), 30),
    (Fault::Disconnected(0x80), 10),
    (Fault::Garbage, 79),
];

/// So long nothing passes where nothing should, and answers wait where they should come late.
const LULL: Duration = Duration::from_millis(150);

/// So many bytes come one a second: for longer than a client has patience.
const CRAWL: usize = 45;

/// The maximum packet size of a broker that takes small packets alone, bytes: a status goes through, a score does not.
const SMALL_PACKET: u32 = 300;

impl Fault {
    /// Of the CONNACK, and of nothing later.
    const fn is_of_beginning(self) -> bool {
        matches!(self, Self::SessionPresent | Self::SmallPackets)
    }

    /// The client takes as long as it is patient.
    const fn is_long(self) -> bool {
        matches!(self, Self::Dead | Self::Crawl)
    }

    /// Of a message on its way to the broker; else of an answer.
    const fn is_up(self) -> bool {
        matches!(self, Self::Cut | Self::ResetBeforeAnswer | Self::HalfOpen | Self::Dead | Self::Crawl | Self::ByteByByte | Self::Reason(_))
    }
}

/// The proxy. It listens for as long as the process lives.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker_port: u16,
    has_long_faults: bool,
    is_healed: AtomicBool,
    random: Mutex<Random>,
    struck: Mutex<Vec<Fault>>,
    connections: AtomicU64,
}

impl Proxy {
    /// Listens on a free port, and passes on to the broker's. Its faults follow the seed; those that last for as long as a client is patient are
    /// among them where asked for.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(broker_port: u16, seed: u64, has_long_faults: bool) -> Result<Self, Error> {
        let failed = |source| Error::new(format!("a free port: {source}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let random = Mutex::new(Random::new(seed, "faults between client and broker"));
        let is_healed = AtomicBool::new(false);
        let shared = Arc::new(Shared { broker_port, has_long_faults, is_healed, random, struck: Mutex::default(), connections: AtomicU64::new(0) });
        let listening = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                listening.connections.fetch_add(1, Ordering::Relaxed);
                if let Ok(broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, listening.broker_port)) {
                    Passage::open(&listening, client, broker);
                }
            }
        });
        Ok(Self { port, shared })
    }

    /// `mqtt://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// From now on it passes on what comes; a fault that waits for its packet is a connection's last.
    pub fn heal(&self) {
        self.shared.is_healed.store(true, Ordering::Relaxed);
    }

    /// The faults that struck so far.
    #[must_use]
    pub fn struck(&self) -> Vec<Fault> {
        self.shared.struck.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Shared {
    /// What strikes next, and at which packet of its kind from now, from 1.
    fn draw(&self, is_beginning: bool) -> Option<(Fault, u64)> {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if self.is_healed.load(Ordering::Relaxed) {
                return None;
            }
            let mut lot = random.bits() % MIX.iter().map(|(_, share)| share).sum::<u64>();
            let (fault, _) = MIX.into_iter().find(|(_, share)| {
                let is_it = lot < *share;
                lot = lot.saturating_sub(*share);
                is_it
            })?;
            if (is_beginning || !fault.is_of_beginning()) && (self.has_long_faults || !fault.is_long()) {
                return Some((fault, 1 + random.bits() % 16));
            }
        }
    }

    fn note(&self, fault: Fault) {
        self.struck.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }
}

/// One connection, in both directions.
struct Passage {
    shared: Arc<Shared>,
    client: TcpStream,
    broker: TcpStream,
    /// What strikes next, and how many packets of its kind are left until then.
    next: Mutex<Option<(Fault, u64)>>,
    /// Nothing passes any more.
    is_dead: AtomicBool,
}

impl Passage {
    fn open(shared: &Arc<Shared>, client: TcpStream, broker: TcpStream) {
        for stream in [&client, &broker] {
            drop(stream.set_nodelay(true));
        }
        let next = Mutex::new(shared.draw(true));
        let passage = Arc::new(Self { shared: Arc::clone(shared), client, broker, next, is_dead: AtomicBool::new(false) });
        let down = Arc::clone(&passage);
        thread::spawn(move || passage.pass(&passage.client, &passage.broker, true));
        thread::spawn(move || down.pass(&down.broker, &down.client, false));
    }

    fn pass(&self, mut from: &TcpStream, to: &TcpStream, is_up: bool) {
        let mut buffer = Vec::new();
        let mut chunk = [0; 16 << 10];
        // An answer that waits for the one behind it.
        let mut held: Option<Vec<u8>> = None;
        loop {
            drop(from.set_read_timeout(held.is_some().then_some(LULL)));
            match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => buffer.extend_from_slice(&chunk[..read]),
                // None came: it was late, no more.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.shared.note(Fault::Stall);
                    if !held.take().is_none_or(|answer| write(to, &answer)) {
                        break;
                    }
                }
                Err(_) => break,
            }
            while let Some(((first, _), length)) = packet(&buffer) {
                let whole: Vec<u8> = buffer.drain(..length).collect();
                if self.is_dead.load(Ordering::Relaxed) {
                    continue;
                }
                // Of the kind that matters: messages up, answers down, and the beginning.
                let matters = first >> 4 == if is_up { 3 } else { 4 } || first >> 4 == 2;
                let fault = if matters { self.strike(is_up, first >> 4 == 2) } else { None };
                let goes_on = if is_up { self.up(&whole, to, fault) } else { self.down(&whole, to, fault, &mut held) };
                if !goes_on {
                    self.end();
                    return;
                }
            }
        }
        self.end();
    }

    /// The fault whose turn it is at this packet.
    fn strike(&self, is_up: bool, is_beginning: bool) -> Option<Fault> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, left) = next.as_mut()?;
        if fault.is_up() != is_up || fault.is_of_beginning() != is_beginning {
            return None;
        }
        *left = if is_beginning { 0 } else { *left - 1 };
        if *left > 0 {
            return None;
        }
        let fault = *fault;
        // A broker that takes scores no more has nothing else to do.
        *next = if fault == Fault::SmallPackets { Some((Fault::HalfOpen, 1)) } else { self.shared.draw(false) };
        if fault != Fault::OutOfOrder {
            self.shared.note(fault);
        }
        Some(fault)
    }

    /// A packet to the broker; `false` ends the connection.
    fn up(&self, whole: &[u8], to: &TcpStream, fault: Option<Fault>) -> bool {
        match fault {
            Some(Fault::Cut) => false,
            Some(Fault::HalfOpen) => {
                self.is_dead.store(true, Ordering::Relaxed);
                thread::sleep(LULL);
                false
            }
            Some(Fault::Dead) => {
                self.is_dead.store(true, Ordering::Relaxed);
                true
            }
            Some(Fault::ResetBeforeAnswer) => {
                // The broker gets it; what it answers meets a connection that is gone.
                drop(self.client.shutdown(Shutdown::Both));
                write(to, whole);
                thread::sleep(LULL / 4);
                false
            }
            // The answer is ours, and the broker never sees the message.
            Some(Fault::Reason(reason)) => match packet_id(whole) {
                Some(id) => write(&self.client, &[0x40, 3, id[0], id[1], reason]),
                None => write(to, whole),
            },
            Some(Fault::ByteByByte) => whole.iter().all(|byte| write(to, &[*byte])),
            Some(Fault::Crawl) => {
                let crawls = whole.iter().take(CRAWL).all(|byte| {
                    thread::sleep(Duration::from_secs(1));
                    write(to, &[*byte])
                });
                crawls && whole.len() <= CRAWL
            }
            _ => write(to, whole),
        }
    }

    /// A packet to the client; `false` ends the connection. `held` is an answer that waits.
    fn down(&self, whole: &[u8], to: &TcpStream, fault: Option<Fault>, held: &mut Option<Vec<u8>>) -> bool {
        let waited = held.take();
        if waited.is_some() {
            self.shared.note(Fault::OutOfOrder);
        }
        let goes_on = match fault {
            Some(Fault::SessionPresent) => write(to, &begin_with_session(whole)),
            Some(Fault::SmallPackets) => write(to, &begin_small(whole)),
            Some(Fault::AnsweredTwice) => write(to, &[whole, whole].concat()),
            Some(Fault::UnknownId) => write(to, whole) && write(to, &[0x40, 2, 0x7f, 0x17]),
            Some(Fault::Stall) => {
                thread::sleep(LULL);
                write(to, whole)
            }
            Some(Fault::OutOfOrder) if waited.is_none() => {
                *held = Some(whole.to_vec());
                true
            }
            Some(Fault::TakenOver) => {
                write(to, &[0xe0, 2, 0x8e, 0]);
                false
            }
            Some(Fault::Disconnected(reason)) => {
                write(to, &[0xe0, 2, reason, 0]);
                false
            }
            Some(Fault::Garbage) => {
                write(to, b"HTTP/1.1 400 Bad Request\r\n\r\n");
                thread::sleep(LULL / 4);
                false
            }
            _ => write(to, whole),
        };
        goes_on && waited.is_none_or(|answer| write(to, &answer))
    }

    fn end(&self) {
        drop(self.client.shutdown(Shutdown::Both));
        drop(self.broker.shutdown(Shutdown::Both));
    }
}

/// A CONNACK (MQTT 5, 3.2) that speaks of a session.
fn begin_with_session(whole: &[u8]) -> Vec<u8> {
    let mut flipped = whole.to_vec();
    if let Some(flags) = flipped.get_mut(2) {
        *flags |= 1;
    }
    flipped
}

/// A CONNACK with a maximum packet size (MQTT 5, 3.2.2.3.6). As it was where it is longer than any that a broker sends.
fn begin_small(whole: &[u8]) -> Vec<u8> {
    let mut small = whole.to_vec();
    let Some(((_, body), length)) = packet(whole) else { return small };
    if length != body.len() + 2 || body.len() < 3 || body.len() > 100 {
        return small;
    }
    small[1] += 5;
    small[4] += 5;
    small.push(0x27);
    small.extend(SMALL_PACKET.to_be_bytes());
    small
}

fn write(mut to: &TcpStream, bytes: &[u8]) -> bool {
    to.write_all(bytes).is_ok()
}

/// The packet id of a PUBLISH with QoS 1.
fn packet_id(whole: &[u8]) -> Option<[u8; 2]> {
    let ((first, body), _) = packet(whole)?;
    let topic = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    (first & 0x06 == 0x02).then(|| Some([*body.get(2 + topic)?, *body.get(3 + topic)?]))?
}

/// The first whole control packet (MQTT 5, 2.1): its first byte and its body, and its length.
#[must_use]
pub fn packet(buffer: &[u8]) -> Option<((u8, &[u8]), usize)> {
    let (length, bytes) = variable(buffer.get(1..)?)?;
    let begin = 1 + bytes;
    Some(((buffer[0], buffer.get(begin..begin + length)?), begin + length))
}

/// A variable byte integer (MQTT 5, 1.5.5), and how many bytes it takes.
#[must_use]
pub fn variable(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_cut_where_they_end() {
        assert_eq!(packet(&[0x40, 2, 0, 7, 0x40]), Some(((0x40, &[0, 7][..]), 4)));
        assert_eq!(packet(&[0x40, 2, 0]), None);
        let mut long = vec![0x30, 0x80, 1];
        long.extend([0; 128]);
        assert_eq!(packet(&long).map(|(_, length)| length), Some(131));
        assert_eq!(packet_id(&[0x32, 6, 0, 1, b'a', 1, 2, 0]), Some([1, 2]));
        assert_eq!(packet_id(&[0x30, 6, 0, 1, b'a', 1, 2, 0]), None);
    }

    #[test]
    fn a_broker_begins_small_or_with_a_session() {
        // Topic alias maximum 10, as mosquitto's.
        let connack = [0x20, 6, 0, 0, 3, 0x22, 0, 10];
        assert_eq!(begin_with_session(&connack), [0x20, 6, 1, 0, 3, 0x22, 0, 10]);
        assert_eq!(begin_small(&connack), [0x20, 11, 0, 0, 8, 0x22, 0, 10, 0x27, 0, 0, 1, 44]);
    }
}
