//! Homer agents that send over TCP: one HEP3 message behind the other, each with its length in front, cut into segments anyhow.
//!
//! Segments are put in order as far as a mirror shows them. Where one is missing for good, reading goes on at the next message that is whole
//! and sound. Everything is bounded: streams, bytes that wait for a missing one, and a message is at most as long as its length field can say.

use std::collections::VecDeque;
use std::net::SocketAddr;

use sotto_private::Private;

use super::hep;
use super::transport::Tcp;

/// Streams at once; the one that was silent for longest goes.
pub(super) const STREAMS: usize = 32;
/// Segments of a stream that wait for an earlier one, and their bytes.
const AHEAD: usize = 32;
const AHEAD_BYTES: usize = 128 << 10;
/// A step in sequence numbers beyond this is another stream at the same ports.
const WINDOW: i32 = 1 << 20;

/// One direction of a connection.
type Path = (SocketAddr, SocketAddr);

/// All agents' streams. Those that spoke last stand at the end.
#[derive(Debug, Default)]
pub(super) struct Agents {
    streams: Vec<(Path, Stream)>,
}

#[derive(Debug, Default)]
struct Stream {
    /// The sequence number that is due.
    due: u32,
    /// In order, and not yet a whole message.
    pending: Private<Vec<u8>>,
    /// `pending` may begin inside a message.
    is_lost: bool,
    /// Behind a gap, by sequence number.
    ahead: VecDeque<(u32, Private<Vec<u8>>)>,
}

impl Agents {
    /// Takes in a segment. Which messages are whole by it, in order.
    pub(super) fn segment(&mut self, path: Path, tcp: &Tcp<'_>) -> Vec<Private<Vec<u8>>> {
        let known = self.streams.iter().position(|(known, _)| *known == path).map(|place| self.streams.remove(place).1);
        if tcp.flags.rst {
            return Vec::new();
        }
        let start = tcp.sequence.wrapping_add(u32::from(tcp.flags.syn));
        // One that was running already is joined wherever it is.
        let begun = Stream { due: start, is_lost: !tcp.flags.syn, ..Stream::default() };
        let mut stream = known.filter(|_| !tcp.flags.syn).unwrap_or(begun);
        let messages = stream.segment(start, tcp.payload);
        if !tcp.flags.fin {
            if self.streams.len() == STREAMS {
                self.streams.remove(0);
            }
            self.streams.push((path, stream));
        }
        messages
    }

    /// Streams, and bytes that are kept of them.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let bytes = |stream: &Stream| stream.pending.expose().len() + stream.ahead_bytes();
        (self.streams.len(), self.streams.iter().map(|(_, stream)| bytes(stream)).sum())
    }
}

impl Stream {
    fn segment(&mut self, start: u32, payload: &[u8]) -> Vec<Private<Vec<u8>>> {
        let step = start.wrapping_sub(self.due) as i32;
        if !(-WINDOW..WINDOW).contains(&step) {
            *self = Self { due: start, is_lost: true, ..Self::default() };
        } else if step > 0 && !payload.is_empty() {
            self.wait(start, payload);
        }
        let mut messages = Vec::new();
        self.take(start, payload, &mut messages);
        self.catch_up(&mut messages);
        while self.ahead.len() > AHEAD || self.ahead_bytes() > AHEAD_BYTES {
            // What is missing will not come any more.
            let Some((next, _)) = self.ahead.front() else { break };
            self.due = *next;
            self.pending = Private::default();
            self.is_lost = true;
            self.catch_up(&mut messages);
        }
        messages
    }

    /// Keeps what came before its turn.
    fn wait(&mut self, start: u32, payload: &[u8]) {
        let due = self.due;
        let place = self.ahead.partition_point(|(known, _)| known.wrapping_sub(due) < start.wrapping_sub(due));
        self.ahead.insert(place, (start, Private::new(payload.to_vec())));
    }

    fn ahead_bytes(&self) -> usize {
        self.ahead.iter().map(|(_, bytes)| bytes.expose().len()).sum()
    }

    fn catch_up(&mut self, messages: &mut Vec<Private<Vec<u8>>>) {
        while let Some((start, bytes)) = self.ahead.pop_front_if(|(start, _)| start.wrapping_sub(self.due) as i32 <= 0) {
            self.take(start, bytes.expose(), messages);
        }
    }

    /// Takes the bytes that are due, of those from `start` on.
    fn take(&mut self, start: u32, bytes: &[u8], messages: &mut Vec<Private<Vec<u8>>>) {
        let step = start.wrapping_sub(self.due) as i32;
        let Some(fresh) = bytes.get(step.unsigned_abs() as usize..).filter(|fresh| step <= 0 && !fresh.is_empty()) else { return };
        self.due = self.due.wrapping_add(fresh.len() as u32);
        self.pending.append(fresh);
        let mut done = 0;
        loop {
            let rest = self.pending.expose().get(done..).unwrap_or_default();
            match next(rest, self.is_lost) {
                Next::Message(length) => {
                    messages.push(Private::new(rest.get(..length).unwrap_or_default().to_vec()));
                    done += length;
                    self.is_lost = false;
                }
                Next::Noise(length) => {
                    done += length;
                    self.is_lost = true;
                }
                Next::Unfinished => break,
            }
        }
        if done > 0 {
            self.pending = Private::new(self.pending.expose().get(done..).unwrap_or_default().to_vec());
        }
    }
}

/// What bytes begin with.
enum Next {
    /// A message of so many bytes.
    Message(usize),
    /// So many bytes of none.
    Noise(usize),
    /// More is needed to tell.
    Unfinished,
}

fn next(bytes: &[u8], is_lost: bool) -> Next {
    let Some(header) = bytes.first_chunk::<{ hep::HEADER }>() else { return Next::Unfinished };
    let length = hep::length(header).filter(|length| *length >= hep::HEADER);
    match length {
        Some(length) if bytes.len() < length => Next::Unfinished,
        // The same letters may stand in what a message carries.
        Some(length) if !is_lost || hep::is_sound(bytes.get(..length).unwrap_or_default()) => Next::Message(length),
        _ => Next::Noise(bytes.windows(hep::MAGIC.len()).skip(1).position(|window| window == hep::MAGIC).map_or(bytes.len() - hep::HEADER + 1, |place| place + 1)),
    }
}
