//! TCP (RFC 9293) put in order again, as far as SIP needs it (RFC 3261 section 18.3).
//!
//! A listener gets segments as the mirror shows them: late, twice, overlapping, some never. What comes first of each byte counts, as with
//! most receivers. A gap that nobody fills is given up: where a message's length is known, reading goes on right behind that message,
//! else at the next first line. A stream that was running already is joined in the same way.
//!
//! Streams that begin with TLS (RFC 8446) or a WebSocket (RFC 7118) are counted and not read.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use sotto_private::{Private, Segment, Wall};

use crate::limits::{Limits, TcpCounters};
use crate::sip::{MESSAGE, Message, SipError, SipFault, looks_like_sip, parse_on_stream};

/// A step in sequence numbers beyond this, forwards or backwards, is another stream at the same ports.
const WINDOW: i32 = 1 << 20;
/// Segments of one stream that wait for an earlier one.
const AHEAD: usize = 64;
/// The most bytes of a first line that is looked for.
const LINE: usize = 8 << 10;

/// Where a stream comes from and goes to.
pub(crate) type Path = (SocketAddr, SocketAddr);

/// All TCP streams, one for each direction.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: HashMap<Path, Stream>,
    /// In the order in which they were opened; some are gone since.
    order: VecDeque<Path>,
    /// Bytes that are kept of all streams together.
    bytes: usize,
    counters: TcpCounters,
}

#[derive(Debug, Default)]
struct Stream {
    state: State,
    /// The sequence number that is due; none before the first byte.
    due: Option<u32>,
    /// In order, and not yet a whole message.
    pending: Private<Vec<u8>>,
    /// How far `pending` was searched for the end of the headers.
    searched: usize,
    /// How long the message is that `pending` begins; 0 where that is not known.
    needed: usize,
    /// Segments behind a gap, by sequence number.
    ahead: VecDeque<Ahead>,
    /// The sequence number behind the last byte.
    fin: Option<u32>,
    last: Wall,
    /// Number in the capture of its latest segment.
    number: u64,
}

/// A segment that came before its turn.
#[derive(Debug)]
struct Ahead {
    sequence: u32,
    at: Wall,
    bytes: Private<Vec<u8>>,
}

/// Which stream a message came on, in which segment, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whole {
    pub(crate) path: Path,
    pub(crate) number: u64,
    pub(crate) at: Wall,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing came yet.
    #[default]
    Fresh,
    /// Reading messages.
    Reading,
    /// Inside a message that is not read: so many bytes are left of it.
    Skipping(u64),
    /// Looking for the next first line.
    Lost,
    /// No SIP.
    Foreign,
}

impl Streams {
    pub(crate) const fn counters(&self) -> TcpCounters {
        self.counters
    }

    /// Takes in a segment; each message that is whole by it goes to `deliver`, in order.
    pub(crate) fn push(&mut self, segment: &Segment, limits: &Limits, mut deliver: impl FnMut(Whole, Result<Message<'_>, SipError>)) {
        let path = (segment.source, segment.destination);
        let payload = segment.payload();
        self.counters.segments += u64::from(!payload.is_empty());
        let flags = segment.flags;
        if flags.rst || flags.syn {
            self.close(path);
        }
        if flags.rst || (payload.is_empty() && !flags.syn && !(flags.fin && self.streams.contains_key(&path))) {
            return;
        }
        if !self.streams.contains_key(&path) {
            self.open(path, limits);
        }
        let Some(stream) = self.streams.get_mut(&path) else { return };
        let before = stream.bytes();
        (stream.last, stream.number) = (stream.last.max(segment.at), segment.number);
        let start = segment.sequence.wrapping_add(u32::from(flags.syn));
        if flags.syn {
            stream.due = Some(start);
        }
        if flags.fin {
            stream.fin = Some(start.wrapping_add(payload.len() as u32));
        }
        let whole = Whole { path, number: segment.number, at: segment.at };
        let mut reader = Reader { stream, counters: &mut self.counters, deliver: &mut |message| deliver(whole, message) };
        if !payload.is_empty() {
            reader.segment(start, payload, segment.at, limits);
        }
        let is_over = stream.fin.is_some() && stream.fin == stream.due;
        let after = stream.bytes();
        self.bytes = (self.bytes + after).saturating_sub(before);
        if self.bytes > limits.stream_bytes {
            // All of them together keep too much: this one begins anew.
            self.counters.overflows += 1;
            self.close(path);
        } else if is_over {
            self.close(path);
        }
    }

    /// Lets time pass: gaps that nobody fills are given up, streams of which nothing came for long are forgotten.
    pub(crate) fn advance(&mut self, now: Wall, limits: &Limits, mut deliver: impl FnMut(Whole, Result<Message<'_>, SipError>)) {
        if self.streams.is_empty() {
            return;
        }
        let has_gap = |stream: &Stream| stream.ahead.front().is_some_and(|ahead| now.since(ahead.at) >= limits.gap_micros);
        let mut late: Vec<(u64, Path)> = self.streams.iter().filter(|(_, stream)| has_gap(stream)).map(|(path, stream)| (stream.number, *path)).collect();
        late.sort_unstable();
        for (number, path) in late {
            let Some(stream) = self.streams.get_mut(&path) else { continue };
            let whole = Whole { path, number, at: now };
            Reader { stream, counters: &mut self.counters, deliver: &mut |message| deliver(whole, message) }.patience(now, limits);
        }
        let (mut bytes, mut expired) = (0, 0);
        self.streams.retain(|_, stream| {
            let keep = now.since(stream.last) < limits.stream_micros;
            expired += u64::from(!keep);
            bytes += if keep { stream.bytes() } else { 0 };
            keep
        });
        (self.bytes, self.counters.expired) = (bytes, self.counters.expired + expired);
        if expired > 0 {
            self.order.retain(|path| self.streams.contains_key(path));
        }
    }

    fn open(&mut self, path: Path, limits: &Limits) {
        while self.streams.len() >= limits.streams.max(1) {
            self.evict();
        }
        // Paths that are gone stay in the order until their turn comes.
        if self.order.len() > 2 * limits.streams.max(1) {
            self.order.retain(|path| self.streams.contains_key(path));
        }
        self.streams.insert(path, Stream::default());
        self.order.push_back(path);
        self.counters.streams += 1;
    }

    /// The oldest one goes; one that carried SIP gets a second chance, for a few turns.
    fn evict(&mut self) {
        for turn in 0.. {
            let Some(path) = self.order.pop_front() else {
                self.streams.clear();
                self.bytes = 0;
                return;
            };
            let Some(stream) = self.streams.get(&path) else { continue };
            if turn < 8 && matches!(stream.state, State::Reading | State::Skipping(_)) {
                self.order.push_back(path);
                continue;
            }
            self.counters.evicted += 1;
            self.close(path);
            return;
        }
    }

    fn close(&mut self, path: Path) {
        if let Some(stream) = self.streams.remove(&path) {
            self.bytes = self.bytes.saturating_sub(stream.bytes());
        }
    }
}

impl Stream {
    fn bytes(&self) -> usize {
        self.pending.expose().capacity() + self.ahead.iter().map(|ahead| ahead.bytes.expose().capacity()).sum::<usize>()
    }

    /// Gives up what was kept of a message.
    fn drop_pending(&mut self) {
        self.pending = Private::default();
        (self.searched, self.needed) = (0, 0);
    }
}

/// A stream while a segment of it is taken in.
struct Reader<'a> {
    stream: &'a mut Stream,
    counters: &'a mut TcpCounters,
    deliver: &'a mut dyn FnMut(Result<Message<'_>, SipError>),
}

impl Reader<'_> {
    fn segment(&mut self, sequence: u32, payload: &[u8], at: Wall, limits: &Limits) {
        let due = *self.stream.due.get_or_insert_with(|| {
            self.counters.joined += 1;
            sequence
        });
        let step = sequence.wrapping_sub(due) as i32;
        if self.stream.state == State::Foreign && (-WINDOW..WINDOW).contains(&step) {
            self.stream.due = Some(sequence.wrapping_add(payload.len() as u32));
            return;
        }
        if !(-WINDOW..WINDOW).contains(&step) {
            self.counters.gaps += 1;
            *self.stream = Stream { due: Some(sequence), last: at, number: self.stream.number, ..Stream::default() };
            self.in_order(payload);
            return;
        }
        if step > 0 {
            self.ahead(sequence, payload, at);
            self.patience(at, limits);
            return;
        }
        let Some(fresh) = payload.get(step.unsigned_abs() as usize..).filter(|fresh| !fresh.is_empty()) else {
            self.counters.repeated += 1;
            return;
        };
        self.in_order(fresh);
        self.catch_up();
        self.patience(at, limits);
    }

    /// Keeps a segment that came before its turn.
    fn ahead(&mut self, sequence: u32, payload: &[u8], at: Wall) {
        let due = self.stream.due.unwrap_or(sequence);
        let place = self.stream.ahead.partition_point(|known| known.sequence.wrapping_sub(due) < sequence.wrapping_sub(due));
        if self.stream.ahead.get(place).is_some_and(|known| known.sequence == sequence && known.bytes.expose().len() >= payload.len()) {
            self.counters.repeated += 1;
            return;
        }
        self.counters.reordered += 1;
        self.stream.ahead.insert(place, Ahead { sequence, at, bytes: Private::new(payload.to_vec()) });
    }

    /// Gives up a gap that is too old, or too much waits behind.
    fn patience(&mut self, at: Wall, limits: &Limits) {
        while let Some(next) = self.stream.ahead.front() {
            if at.since(next.at) < limits.gap_micros && self.stream.ahead.len() <= AHEAD {
                return;
            }
            let sequence = next.sequence;
            let missing = sequence.wrapping_sub(self.stream.due.unwrap_or(sequence));
            self.stream.due = Some(sequence);
            self.counters.gaps += 1;
            self.skip(u64::from(missing));
            self.catch_up();
        }
    }

    /// What waited and is due now.
    fn catch_up(&mut self) {
        while let (Some(due), Some(next)) = (self.stream.due, self.stream.ahead.front()) {
            let step = next.sequence.wrapping_sub(due) as i32;
            if step > 0 {
                return;
            }
            let Some(next) = self.stream.ahead.pop_front() else { return };
            match next.bytes.expose().get(step.unsigned_abs() as usize..) {
                Some(fresh) if !fresh.is_empty() => self.in_order(fresh),
                _ => self.counters.repeated += 1,
            }
        }
    }

    /// Bytes that are not going to come.
    fn skip(&mut self, missing: u64) {
        match self.stream.state {
            State::Skipping(left) if left >= missing => self.stream.state = State::Skipping(left - missing),
            State::Reading if self.stream.needed > 0 => {
                // The message's end is known. Its headers are all there, its body is not.
                let left = (self.stream.needed - self.stream.pending.expose().len()) as u64;
                self.deliver_headers();
                self.stream.state = left.checked_sub(missing).map_or(State::Lost, State::Skipping);
                self.counters.messages_cut += 1;
            }
            State::Foreign => {}
            State::Fresh | State::Lost => {
                self.stream.drop_pending();
                self.stream.state = State::Lost;
            }
            State::Reading | State::Skipping(_) => {
                self.counters.messages_cut += u64::from(!self.stream.pending.expose().is_empty());
                self.stream.drop_pending();
                self.stream.state = State::Lost;
            }
        }
    }

    /// Bytes whose turn it is.
    fn in_order(&mut self, bytes: &[u8]) {
        self.stream.due = self.stream.due.map(|due| due.wrapping_add(bytes.len() as u32));
        let mut bytes = bytes;
        if let State::Skipping(left) = self.stream.state {
            let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            bytes = bytes.get(skipped..).unwrap_or_default();
            let left = left - skipped as u64;
            self.stream.state = if left == 0 { State::Reading } else { State::Skipping(left) };
        }
        if bytes.is_empty() || self.stream.state == State::Foreign {
            return;
        }
        if self.stream.pending.expose().is_empty() {
            // Most segments hold whole messages: nothing is copied.
            let used = self.read(bytes);
            let rest = bytes.get(used..).unwrap_or_default();
            if self.stream.state != State::Foreign && !rest.is_empty() {
                self.stream.pending.append(rest);
            }
            return;
        }
        self.stream.pending.append(bytes);
        let mut pending = std::mem::take(&mut self.stream.pending);
        if self.stream.needed > pending.expose().len() {
            self.stream.pending = pending;
            return;
        }
        let used = self.read(pending.expose());
        if self.stream.state == State::Foreign || used >= pending.expose().len() {
            return;
        }
        if used > 0 {
            pending = Private::new(pending.expose().get(used..).unwrap_or_default().to_vec());
        }
        self.stream.pending = pending;
    }

    /// Reads what is whole; returns how many bytes are done with.
    fn read(&mut self, bytes: &[u8]) -> usize {
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return bytes.len();
            }
            let step = match self.stream.state {
                State::Fresh => self.recognise(rest),
                State::Lost => self.resynchronise(rest),
                State::Reading => self.message(rest),
                State::Skipping(left) => {
                    let skipped = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    let left = left - skipped as u64;
                    self.stream.state = if left == 0 { State::Reading } else { State::Skipping(left) };
                    Some(skipped)
                }
                State::Foreign => return bytes.len(),
            };
            match step {
                Some(done) => used += done,
                None => return used,
            }
        }
    }

    /// What a stream carries, by its first bytes. `None`: too few to tell.
    fn recognise(&mut self, bytes: &[u8]) -> Option<usize> {
        match bytes {
            // A record of TLS, of whatever version (RFC 8446 section 5.1).
            [0x14..=0x17, 3, 0..=4, ..] => {
                self.counters.tls += 1;
                self.stream.state = State::Foreign;
            }
            [0x14..=0x17] | [0x14..=0x17, 3] => return None,
            _ => {
                let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let is_whole = line.len() < bytes.len();
                if is_whole && (line.starts_with(b"GET ") || line.starts_with(b"HTTP/1.1 101")) && line.windows(7).any(|part| part == b"HTTP/1.") {
                    self.counters.websocket += 1;
                    self.stream.state = State::Foreign;
                } else if looks_like_sip(bytes) || line.trim_ascii().is_empty() {
                    self.stream.state = State::Reading;
                } else if !is_whole && bytes.len() < LINE && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' '..=b'~' | 0x80..)) {
                    return None;
                } else {
                    // The middle of a message, or nothing of ours: the next first line will tell.
                    self.stream.state = State::Lost;
                }
            }
        }
        Some(0)
    }

    /// Looks for the next first line.
    fn resynchronise(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(length) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n')) {
            let line = bytes.get(at..=at + length).unwrap_or_default();
            let after = bytes.get(at + length + 1..).unwrap_or_default();
            // Two first lines in a row: the former was the quotation that a body ends with (RFC 3420).
            if line.len() > 8 && looks_like_sip(line) && !(after.contains(&b'\n') && looks_like_sip(after)) {
                self.stream.state = State::Reading;
                return Some(at + first_line(line));
            }
            at += length + 1;
        }
        // The beginning of a line is kept, for what it may become.
        let rest = bytes.len() - at;
        if rest > LINE {
            return Some(bytes.len());
        }
        if at > 0 { Some(at) } else { None }
    }

    /// The next message, where it is whole.
    fn message(&mut self, bytes: &[u8]) -> Option<usize> {
        // Empty lines between messages keep the connection open (RFC 5626 section 3.5.1).
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            self.counters.keep_alives += 1;
            return Some(empty);
        }
        let Some(head) = end_of_headers(bytes, self.stream.searched) else {
            self.stream.searched = bytes.len();
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let is_line = line.len() < bytes.len();
            if (is_line && !looks_like_sip(bytes)) || (!is_line && bytes.len() > LINE) || bytes.len() > MESSAGE {
                return Some(self.lose(bytes, SipError { offset: 0, fault: if is_line { SipFault::TooLong } else { SipFault::StartLine } }));
            }
            return None;
        };
        self.stream.searched = 0;
        let message = match parse_on_stream(bytes) {
            Ok(message) => message,
            Err(error) => {
                // Its headers are left behind; whether a body follows, the next first line will tell.
                (self.deliver)(Err(error));
                self.counters.lost += 1;
                (self.stream.state, self.stream.needed) = (State::Lost, 0);
                return Some(head);
            }
        };
        let length = message.content_length.unwrap_or(0);
        let whole = usize::try_from(length).ok().and_then(|length| message.head.checked_add(length)).filter(|whole| *whole <= MESSAGE);
        match whole {
            Some(whole) if whole <= bytes.len() => {
                self.stream.needed = 0;
                (self.deliver)(Ok(message));
                Some(whole)
            }
            Some(whole) => {
                self.stream.needed = whole;
                None
            }
            None => {
                self.counters.messages_cut += 1;
                let head = message.head;
                (self.deliver)(Ok(message));
                (self.stream.state, self.stream.needed) = (State::Skipping(length), 0);
                Some(head)
            }
        }
    }

    /// Delivers the headers of the pending message, whose body will not be whole.
    fn deliver_headers(&mut self) {
        let pending = std::mem::take(&mut self.stream.pending);
        self.stream.drop_pending();
        if let Ok(message) = parse_on_stream(pending.expose()) {
            (self.deliver)(Ok(message));
        }
    }

    fn lose(&mut self, bytes: &[u8], error: SipError) -> usize {
        (self.deliver)(Err(error));
        self.counters.lost += 1;
        self.stream.state = State::Lost;
        (self.stream.searched, self.stream.needed) = (0, 0);
        bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1)
    }
}

/// Where in a line that ends as a first line does it begins: a body may end without a line's end before it.
fn first_line(line: &[u8]) -> usize {
    const VERSION: &[u8] = b"SIP/2.0 ";
    if let Some(at) = line.windows(VERSION.len()).position(|part| part.eq_ignore_ascii_case(VERSION)) {
        return at;
    }
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let letters = method.iter().rev().take_while(|byte| byte.is_ascii_uppercase()).count();
    if letters == 0 { 0 } else { method.len() - letters }
}

/// Where the headers end: behind the first empty line. `from`: up to here it was searched before.
fn end_of_headers(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(3);
    loop {
        let newline = at + bytes.get(at..)?.iter().position(|byte| *byte == b'\n')?;
        match bytes.get(newline + 1..)? {
            [b'\n', ..] => return Some(newline + 2),
            [b'\r', b'\n', ..] => return Some(newline + 3),
            _ => at = newline + 1,
        }
    }
}

#[cfg(test)]
mod tests;
