//! A proxy between a client and its MQTT broker that breaks what can break, one fault a connection, by chance.

use std::io::{Read, Write};
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
    /// Answers come late, all at once.
    Stall,
    /// Every byte on its own.
    ByteByByte,
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
    /// Another client took over the session (DISCONNECT 0x8E).
    TakenOver,
    /// The broker is shutting down (0x8B), busy (0x89), or does not say why (0x80).
    Disconnected(u8),
    /// What arrives is no MQTT.
    Garbage,
}

/// Of each kind, how many in a hundred connections, or so.
const MIX: [(Fault, u64); 18] = [
    (Fault::Cut, 14),
    (Fault::ResetBeforeAnswer, 16),
    (Fault::HalfOpen, 5),
    (Fault::Stall, 5),
    (Fault::ByteByByte, 3),
    (Fault::AnsweredTwice, 10),
    (Fault::UnknownId, 10),
    (Fault::OutOfOrder, 6),
    (Fault::Reason(0x10), 1),
    (Fault::Reason(0x80), 1),
    (Fault::Reason(0x83), 1),
    (Fault::Reason(0x87), 1),
    (Fault::Reason(0x97), 1),
    (Fault::SessionPresent, 6),
    (Fault::TakenOver, 4),
    (Fault::Disconnected(0x8b), 4),
    (Fault::Disconnected(0x89), 4),
    (Fault::Garbage, 8),
];

/// So long nothing passes where nothing should, and answers wait where they should come late.
const LULL: Duration = Duration::from_millis(150);

/// The proxy. It listens for as long as the process lives.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker_port: u16,
    is_healed: AtomicBool,
    random: Mutex<Random>,
    struck: Mutex<Vec<Fault>>,
    connections: AtomicU64,
}

impl Proxy {
    /// Listens on a free port, and passes on to the broker's. Its faults follow the seed.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(broker_port: u16, seed: u64) -> Result<Self, Error> {
        let failed = |source| Error::new(format!("a free port: {source}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let random = Mutex::new(Random::new(seed, "faults between client and broker"));
        let shared = Arc::new(Shared { broker_port, is_healed: AtomicBool::new(false), random, struck: Mutex::default(), connections: AtomicU64::new(0) });
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

    /// From now on it passes on what comes, and nothing else.
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
    fn draw(&self) -> Option<(Fault, u64)> {
        if self.is_healed.load(Ordering::Relaxed) {
            return None;
        }
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lot = random.bits() % MIX.iter().map(|(_, share)| share).sum::<u64>();
        let (fault, _) = MIX.into_iter().find(|(_, share)| {
            let is_it = lot < *share;
            lot = lot.saturating_sub(*share);
            is_it
        })?;
        Some((fault, 1 + random.bits() % 12))
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
    fault: Option<Fault>,
    /// The packet at which it strikes, by its direction's own count.
    strikes_at: u64,
    has_struck: AtomicBool,
}

impl Passage {
    fn open(shared: &Arc<Shared>, client: TcpStream, broker: TcpStream) {
        for stream in [&client, &broker] {
            drop(stream.set_nodelay(true));
        }
        let (fault, strikes_at) = shared.draw().map_or((None, 0), |(fault, at)| (Some(fault), at));
        let passage = Arc::new(Self { shared: Arc::clone(shared), client, broker, fault, strikes_at, has_struck: AtomicBool::new(false) });
        let down = Arc::clone(&passage);
        thread::spawn(move || passage.pass(&passage.client, &passage.broker, true));
        thread::spawn(move || down.pass(&down.broker, &down.client, false));
    }

    fn pass(&self, from: &TcpStream, to: &TcpStream, is_up: bool) {
        let mut buffer = Vec::new();
        let mut chunk = [0; 16 << 10];
        // Of the kind that matters: messages up, answers down.
        let mut counted = 0;
        let mut kept: Vec<Vec<u8>> = Vec::new();
        while let Some(read) = { from }.read(&mut chunk).ok().filter(|read| *read > 0) {
            buffer.extend_from_slice(&chunk[..read]);
            while let Some(((first, _), length)) = packet(&buffer) {
                let whole: Vec<u8> = buffer.drain(..length).collect();
                counted += u64::from(first >> 4 == if is_up { 3 } else { 4 });
                let is_its_turn = counted >= self.strikes_at && !self.has_struck.load(Ordering::Relaxed);
                let goes_on = if is_up { self.up(&whole, to, is_its_turn) } else { self.down(&whole, to, is_its_turn, &mut kept) };
                if !goes_on {
                    self.end();
                    return;
                }
            }
        }
        self.end();
    }

    /// A packet to the broker; `false` ends the connection.
    fn up(&self, whole: &[u8], to: &TcpStream, is_its_turn: bool) -> bool {
        let is_message = whole[0] >> 4 == 3;
        match self.fault {
            Some(fault @ Fault::Cut) if is_its_turn && is_message => {
                self.strike(fault);
                false
            }
            Some(fault @ Fault::HalfOpen) if is_its_turn && is_message => {
                self.strike(fault);
                thread::sleep(LULL);
                false
            }
            Some(fault @ Fault::ResetBeforeAnswer) if is_its_turn && is_message => {
                self.strike(fault);
                // The broker gets it; what it answers meets a connection that is gone.
                drop(self.client.shutdown(Shutdown::Both));
                write(to, whole);
                thread::sleep(LULL / 4);
                false
            }
            // The answer is ours, and the broker never sees the message.
            Some(fault @ Fault::Reason(reason)) if is_its_turn && is_message => {
                let Some(id) = packet_id(whole) else { return write(to, whole) };
                self.strike(fault);
                write(&self.client, &[0x40, 3, id[0], id[1], reason])
            }
            Some(fault @ Fault::ByteByByte) if is_its_turn => {
                self.strike(fault);
                whole.iter().all(|byte| write(to, &[*byte]))
            }
            _ => write(to, whole),
        }
    }

    /// A packet to the client; `false` ends the connection. `kept` holds answers that wait.
    fn down(&self, whole: &[u8], to: &TcpStream, is_its_turn: bool, kept: &mut Vec<Vec<u8>>) -> bool {
        let kind = whole[0] >> 4;
        match self.fault {
            Some(fault @ Fault::SessionPresent) if kind == 2 && whole.len() > 3 => {
                self.strike(fault);
                let mut flipped = whole.to_vec();
                flipped[2] |= 1;
                write(to, &flipped)
            }
            _ if kind != 4 || !is_its_turn => write(to, whole),
            Some(fault @ Fault::AnsweredTwice) => {
                self.strike(fault);
                write(to, &[whole, whole].concat())
            }
            Some(fault @ Fault::UnknownId) => {
                self.strike(fault);
                write(to, whole) && write(to, &[0x40, 2, 0x7f, 0x17])
            }
            Some(fault @ (Fault::Stall | Fault::OutOfOrder)) => {
                kept.push(whole.to_vec());
                // Nothing more may come: the window can be as small as one.
                if kept.len() == 1 {
                    thread::sleep(LULL);
                    return true;
                }
                self.strike(fault);
                if fault == Fault::OutOfOrder {
                    kept.reverse();
                }
                kept.drain(..).all(|answer| write(to, &answer))
            }
            Some(fault @ Fault::TakenOver) => {
                self.strike(fault);
                write(to, &[0xe0, 2, 0x8e, 0]);
                false
            }
            Some(fault @ Fault::Disconnected(reason)) => {
                self.strike(fault);
                write(to, &[0xe0, 2, reason, 0]);
                false
            }
            Some(fault @ Fault::Garbage) => {
                self.strike(fault);
                write(to, b"HTTP/1.1 400 Bad Request\r\n\r\n");
                thread::sleep(LULL / 4);
                false
            }
            _ => write(to, whole),
        }
    }

    fn strike(&self, fault: Fault) {
        if !self.has_struck.swap(true, Ordering::Relaxed) {
            self.shared.note(fault);
        }
    }

    fn end(&self) {
        drop(self.client.shutdown(Shutdown::Both));
        drop(self.broker.shutdown(Shutdown::Both));
    }
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
}
