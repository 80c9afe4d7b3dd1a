//! The recording server (RFC 7866): a user agent server that accepts every stream, sends none, and gives calls.
//!
//! Requests come in; replies, addresses to listen at, and what happened to a call go out. A recording session is one call; whose
//! sound a stream is, its metadata says (RFC 7865). Lenient where clients differ: without metadata, or with some that cannot be
//! read, a session is a call all the same, and only its label is lost.
//!
//! Every request is answered at once, so there is no 100 (RFC 3261 section 17.2.1).

mod answer;
mod metadata;
mod multipart;
mod ports;
mod request;
mod response;
mod session;
mod transactions;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use sotto_private::{CallEvent, Datagram, EndCause, Private, Reply, Said, Segment, Transport, Wall};

pub use metadata::{MetadataError, MetadataFault};
pub use multipart::{MultipartError, MultipartFault};

use crate::calls::Calls;
use crate::sip::{self, Address, Message, SipFault, parameter};
use crate::{FaultKind, sdp};
use answer::{Offer, Terms, answer};
use metadata::Metadata;
use multipart::{Part, parts};
use ports::Ports;
use request::{Arrival, Headers, Request};
use response::{ALLOW, Response, SUPPORTED};
use session::Session;
use transactions::Transactions;

/// How a recording server behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The ports at which sound is received; even ones, each with the next for RTCP.
    pub ports: RangeInclusive<u16>,
    /// Recording sessions at once; a further one is answered 486.
    pub sessions: usize,
    /// Connections of which an unfinished message is kept; what comes on a further one is not read.
    pub connections: usize,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { ports: 20_000..=29_999, sessions: 4_000, connections: 256 }
    }
}

/// What a recording server wants done.
#[derive(Debug)]
pub enum Errand {
    /// From now on, datagrams that come to this address are wanted.
    Listen(SocketAddr),
    /// From now on, they are not.
    Close(SocketAddr),
    /// This is to be sent.
    Send(Reply),
}

/// All recording sessions that are open.
pub(crate) struct Server {
    options: ServerOptions,
    sessions: HashMap<u64, Session>,
    transactions: Transactions,
    ports: Ports,
    streams: HashMap<(SocketAddr, SocketAddr), Private<Vec<u8>>>,
    /// Keyed with random numbers of this run: tags cannot be guessed, and a Call-ID cannot be made to collide.
    hasher: RandomState,
    next: u64,
    next_scan: Option<Wall>,
    errands: std::collections::VecDeque<Errand>,
}

/// What a request wants.
struct Wish<'a> {
    description: Option<&'a [u8]>,
    metadata: Option<&'a [u8]>,
}

/// How often time-outs of sessions are looked at, microseconds.
const SCAN: i64 = 1_000_000;

impl Server {
    pub(crate) fn new(options: ServerOptions) -> Self {
        Self {
            ports: Ports::new(options.ports.clone()),
            options,
            sessions: HashMap::new(),
            transactions: Transactions::default(),
            streams: HashMap::new(),
            hasher: RandomState::new(),
            next: 1,
            next_scan: None,
            errands: std::collections::VecDeque::new(),
        }
    }

    pub(crate) fn errand(&mut self) -> Option<Errand> {
        self.errands.pop_front()
    }

    /// A datagram that looks like SIP.
    pub(crate) fn datagram(&mut self, datagram: &Datagram, calls: &mut Calls) {
        let Datagram { at, number, source, destination, .. } = *datagram;
        let arrival = Arrival { at, number, local: destination, remote: source, transport: Transport::Udp };
        match sip::parse(datagram.payload()) {
            Ok(message) => self.message(arrival, &message, Headers::of(datagram.payload()), calls),
            Err(error) => {
                self.unreadable(arrival, FaultKind::Sip(error), calls);
                self.refuse_unread(arrival, datagram.payload());
            }
        }
    }

    /// A piece of a TCP stream, in order: the system has put it so.
    pub(crate) fn segment(&mut self, segment: &Segment, calls: &mut Calls) {
        let Segment { at, number, source, destination, flags, .. } = *segment;
        let path = (destination, source);
        if flags.syn || flags.fin || flags.rst {
            self.streams.remove(&path);
        }
        if segment.payload().is_empty() || (self.streams.len() >= self.options.connections && !self.streams.contains_key(&path)) {
            return;
        }
        let arrival = Arrival { at, number, local: destination, remote: source, transport: Transport::Tcp };
        let mut bytes = self.streams.remove(&path).unwrap_or_else(|| Private::new(Vec::new()));
        bytes.append(segment.payload());
        let mut done = 0;
        loop {
            let rest = bytes.expose().get(done..).unwrap_or_default();
            // Empty lines between messages keep the connection alive (RFC 5626 section 3.5.1).
            let blank = rest.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
            let rest = rest.get(blank..).unwrap_or_default();
            done += blank;
            if rest.is_empty() {
                break;
            }
            match sip::parse_on_stream(rest) {
                Ok(message) => {
                    let Some(body) = message.body else { break };
                    let length = message.head + body.len();
                    self.message(arrival, &message, Headers::of(rest), calls);
                    done += length;
                }
                Err(error) if error.fault == SipFault::Cut => break,
                // Where the next one begins, nobody knows.
                Err(error) => {
                    self.unreadable(arrival, FaultKind::Sip(error), calls);
                    self.refuse_unread(arrival, rest);
                    done = bytes.expose().len();
                }
            }
        }
        let rest = bytes.expose().get(done..).unwrap_or_default();
        if rest.len() > sip::MESSAGE {
            calls.output().1.sip_malformed += 1;
        } else if !rest.is_empty() {
            self.streams.insert(path, Private::new(rest.to_vec()));
        }
    }

    /// Lets time pass: what waits for an ACK is said again, sessions that nobody refreshes end, and so do those whose call ended.
    pub(crate) fn advance(&mut self, now: Wall, calls: &mut Calls) {
        self.transactions.advance(now, &mut self.errands);
        if self.next_scan.is_some_and(|next| now < next) {
            return;
        }
        self.next_scan = Some(now.plus(SCAN));
        let is_over = |session: &Session| session.expires.is_some_and(|expires| now >= expires) || !calls.is_session(session.key, session.call);
        let over: Vec<u64> = self.sessions.iter().filter(|(_, session)| is_over(session)).map(|(key, _)| *key).collect();
        for key in over {
            self.leave(key, now, EndCause::SilenceTimeout, calls);
        }
    }

    /// Takes leave of every client.
    pub(crate) fn finish(&mut self, at: Wall, cause: EndCause, calls: &mut Calls) {
        let mut keys: Vec<(u64, u64)> = self.sessions.iter().map(|(key, session)| (session.number, *key)).collect();
        keys.sort_unstable();
        for (_, key) in keys {
            self.leave(key, at, cause, calls);
        }
    }

    fn message(&mut self, arrival: Arrival, message: &Message<'_>, headers: Headers<'_>, calls: &mut Calls) {
        calls.output().1.sip_messages += 1;
        // A response answers the BYE by which this end left; nothing hangs on it.
        let Some(request) = Request::of(arrival, message, headers) else { return };
        if request.headers.via.is_empty() {
            calls.output().1.sip_strays += 1;
            return;
        }
        let key = self.hash([message.call_id, Address::of(message.from).tag]);
        if request.method == b"ACK" {
            return self.acknowledged(&request, key);
        }
        let transaction = self.transaction(&request, request.method);
        if let Some(reply) = self.transactions.again(transaction) {
            calls.output().1.siprec_repeated += 1;
            self.errands.push_back(Errand::Send(reply));
            return;
        }
        let response = match request.method {
            b"INVITE" | b"UPDATE" | b"BYE" => self.dialog(&request, key, transaction, calls),
            b"CANCEL" => {
                // The INVITE was answered when it came: cancelling it changes nothing (RFC 3261 section 9.2).
                let invite = self.transaction(&request, b"INVITE");
                Err(Response::new(if self.transactions.again(invite).is_some() { 200 } else { 481 }))
            }
            b"OPTIONS" => Err(Response::new(200).line(&format!("Allow: {ALLOW}")).line(ACCEPT).line("Supported: siprec, timer")),
            _ => Err(Response::new(405).line(&format!("Allow: {ALLOW}"))),
        };
        let reply = match response {
            Ok(reply) => reply,
            Err(response) => {
                calls.output().1.siprec_refused += u64::from(response.code >= 300);
                let tag = self.tag(transaction);
                response.tagged(&tag).to(&request)
            }
        };
        let is_invite = request.method == b"INVITE";
        self.transactions.answered(transaction, arrival.at, reply.clone(), is_invite);
        self.errands.push_back(Errand::Send(reply));
    }

    /// INVITE, UPDATE and BYE.
    fn dialog(&mut self, request: &Request<'_>, key: u64, transaction: u64, calls: &mut Calls) -> Result<Reply, Response<'static>> {
        let unsupported = request.headers.unsupported(&SUPPORTED);
        if !unsupported.is_empty() {
            let tags: Vec<_> = unsupported.into_iter().map(String::from_utf8_lossy).collect();
            return Err(Response::new(420).line(&format!("Unsupported: {}", tags.join(", ").replace(['\r', '\n'], " "))));
        }
        let to_tag = Address::of(request.message.to).tag;
        let at = request.arrival.at;
        let Some(session) = self.sessions.get_mut(&key) else {
            return match request.method {
                b"INVITE" if to_tag.is_empty() => self.open(request, key, transaction, calls),
                _ => Err(Response::new(481)),
            };
        };
        // A second INVITE under the names of a dialog, without its tag, is a merged one (RFC 3261 section 8.2.2.2).
        if to_tag != session.tag.as_bytes() {
            return Err(Response::new(481));
        }
        if request.message.cseq < session.cseq {
            return Err(Response::new(500));
        }
        session.cseq = request.message.cseq;
        calls.touch_session(key, at);
        if request.method == b"BYE" {
            if let Some(session) = self.sessions.remove(&key) {
                let reply = Response::new(200).to(request);
                self.close(&session);
                calls.end_session(key, session.call, at, EndCause::HungUp);
                return Ok(reply);
            }
        }
        self.change(request, key, transaction, calls)
    }

    /// The first INVITE of a session.
    fn open(&mut self, request: &Request<'_>, key: u64, transaction: u64, calls: &mut Calls) -> Result<Reply, Response<'static>> {
        let wish = self.wish(request, calls)?;
        if wish.description.is_none() {
            // The client offers (RFC 7866 section 7.1.1).
            return Err(Response::new(488));
        }
        if self.sessions.len() >= self.options.sessions {
            return Err(Response::new(486).line("Retry-After: 60"));
        }
        let mut metadata = Metadata::default();
        self.read_metadata(&mut metadata, &wish, request.arrival, calls);
        let (from, to) = (Address::of(request.message.from), Address::of(request.message.to));
        let parties = [sip::party(from.uri, request.message.asserted), sip::party(to.uri, None)];
        let number = self.next;
        self.next += 1;
        let mut session = Session::new(key, self.tag(transaction), number, request, (parties, metadata));
        session.identify();
        let reply = self.negotiate(&mut session, request, &wish, transaction, calls, true)?;
        self.sessions.insert(key, session);
        Ok(reply)
    }

    /// A re-INVITE or UPDATE.
    fn change(&mut self, request: &Request<'_>, key: u64, transaction: u64, calls: &mut Calls) -> Result<Reply, Response<'static>> {
        let wish = self.wish(request, calls)?;
        // Out of the table, so that it can be changed beside the rest; it goes back whatever happens.
        let Some(mut session) = self.sessions.remove(&key) else { return Err(Response::new(481)) };
        let mut metadata = std::mem::take(&mut session.metadata);
        self.read_metadata(&mut metadata, &wish, request.arrival, calls);
        session.metadata = metadata;
        if session.identify() {
            let (call, at, [calling, called]) = (session.call, request.arrival.at, session.parties.clone());
            calls.session_event(key, CallEvent::Identified { call, at, calling, called });
        }
        let reply = self.negotiate(&mut session, request, &wish, transaction, calls, false);
        self.sessions.insert(key, session);
        reply
    }

    /// Answers the offer, and brings the call in line with it.
    fn negotiate(
        &mut self,
        session: &mut Session,
        request: &Request<'_>,
        wish: &Wish<'_>,
        transaction: u64,
        calls: &mut Calls,
        is_first: bool,
    ) -> Result<Reply, Response<'static>> {
        let at = request.arrival.at;
        if let Some(body) = wish.description {
            let text = String::from_utf8_lossy(body);
            let offer = Offer::of(&text).map_err(|error| {
                calls.output().1.sdp_malformed += 1;
                calls.note(request.arrival.number, FaultKind::Sdp(error));
                Response::new(488).line("Warning: 399 sotto \"the session description cannot be read\"")
            })?;
            if !offer.media.iter().any(answer::Offered::is_receivable) && is_first {
                return Err(Response::new(488).line("Warning: 305 sotto \"no audio stream that can be received\""));
            }
            let (mut opened, mut closed) = (Vec::new(), Vec::new());
            if !session.arrange(&offer, &mut self.ports, &mut opened, &mut closed) {
                return Err(Response::new(486).line("Retry-After: 60"));
            }
            session.version += 1;
            let ports: Vec<u16> = session.lines.iter().map(|line| line.port).collect();
            let terms = Terms { address: session.address, session: session.number, version: session.version, ports: &ports, key: &self.key(transaction) };
            let text = answer(&offer, &terms);
            for line in session.ports().filter(|line| opened.contains(&line.port)) {
                self.errands.extend(session.addresses(line).map(Errand::Listen));
            }
            for port in closed {
                let addresses = [port, port.saturating_add(1)].map(|port| SocketAddr::new(session.address, port));
                self.errands.extend(addresses.map(Errand::Close));
                self.ports.give(port);
            }
            session.answer = text.into_bytes();
            if is_first {
                session.call = calls.open_session(session.key, at, session.parties.clone());
            }
            let is_audio = offer.audio_lines();
            if let Ok(own) = sdp::parse(&session.answer) {
                let media = session.endpoints(&offer.description, &own, &is_audio);
                calls.describe_session(session.key, media);
            }
        }
        calls.consented_session(session.key, at, request.message);
        report(session, at, calls);
        let mut response = Response::new(200).line(&format!("Allow: {ALLOW}"));
        session.expires = self.refresh(request, &mut response);
        if request.method == b"INVITE" {
            session.unacknowledged = Some((request.message.cseq, transaction));
        }
        response.is_dialog = true;
        // An INVITE without an offer gets one: the state as it is (RFC 3264 section 8).
        response.sdp = (wish.description.is_some() || request.method == b"INVITE").then_some(&session.answer[..]);
        let tag = session.tag.clone();
        let response = Response { tag: Some(&tag), ..response };
        Ok(response.to(request))
    }

    /// The session's time (RFC 4028 section 9): the client refreshes.
    fn refresh(&self, request: &Request<'_>, response: &mut Response<'_>) -> Option<Wall> {
        let value = request.headers.session_expires?;
        let digits = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let seconds = std::str::from_utf8(digits).ok()?.parse::<u32>().ok()?.clamp(90, 86_400);
        // One that would have this end refresh is not promised anything.
        if parameter(value, b"refresher").is_some_and(|who| who.eq_ignore_ascii_case(b"uas")) || !request.headers.supports(b"timer") {
            return None;
        }
        response.lines.push_str(&format!("Session-Expires: {seconds};refresher=uac\r\nRequire: timer\r\n"));
        // Half a minute of grace, or a third where that is less, is the client's already (RFC 4028 section 10).
        Some(request.arrival.at.plus(i64::from(seconds) * 1_000_000))
    }

    /// What a request's body holds.
    fn wish<'a>(&mut self, request: &Request<'a>, calls: &mut Calls) -> Result<Wish<'a>, Response<'static>> {
        let message = request.message;
        let (mut description, mut metadata) = (None, None);
        if message.encoded {
            return Err(Response::new(415).line("Accept-Encoding: identity"));
        }
        let Some(body) = message.body else { return Err(Response::new(400)) };
        if body.trim_ascii().is_empty() {
            return Ok(Wish { description, metadata });
        }
        let value = message.content_type.unwrap_or(b"application/sdp");
        let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is_multipart = kind.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"));
        let parts = if is_multipart {
            let boundary = parameter(value, b"boundary").map(|boundary| boundary.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(boundary));
            parts(boundary, body).map_err(|error| {
                calls.output().1.siprec_bodies_malformed += 1;
                calls.note(request.arrival.number, FaultKind::Multipart(error));
                Response::new(400)
            })?
        } else {
            vec![Part { kind, disposition: b"", body }]
        };
        for part in &parts {
            if part.is_sdp() {
                description = description.or(Some(part.body.trim_ascii_start()));
            } else if part.is_metadata() {
                metadata = metadata.or(Some(part.body));
            }
        }
        if description.is_none() && metadata.is_none() {
            return Err(Response::new(415).line(ACCEPT));
        }
        Ok(Wish { description, metadata })
    }

    /// Metadata that cannot be read costs the label, never the call.
    fn read_metadata(&mut self, metadata: &mut Metadata, wish: &Wish<'_>, arrival: Arrival, calls: &mut Calls) {
        let Some(document) = wish.metadata else { return };
        if let Err(error) = metadata.update(document) {
            calls.output().1.siprec_bodies_malformed += 1;
            calls.note(arrival.number, FaultKind::Metadata(error));
        }
    }

    /// An ACK ends the repetition of what it acknowledges: a 200 by its dialog, a refusal by its transaction.
    fn acknowledged(&mut self, request: &Request<'_>, key: u64) {
        let transaction = self.transaction(request, b"INVITE");
        self.transactions.acknowledged(transaction);
        if let Some(session) = self.sessions.get_mut(&key)
            && let Some((cseq, invite)) = session.unacknowledged
            && cseq == request.message.cseq
        {
            session.unacknowledged = None;
            self.transactions.acknowledged(invite);
        }
    }

    /// A request that cannot be read, but answered (RFC 3261 section 8.2): 400.
    fn refuse_unread(&mut self, arrival: Arrival, bytes: &[u8]) {
        let headers = Headers::of(bytes);
        let is_whole = [headers.from, headers.to, headers.call_id, headers.cseq].iter().all(Option::is_some) && !headers.via.is_empty();
        let is_method = |method: &[u8]| bytes.trim_ascii_start().get(..method.len()).is_some_and(|start| start.eq_ignore_ascii_case(method));
        if is_whole && !is_method(b"ACK ") && !is_method(b"SIP/") {
            self.errands.push_back(Errand::Send(Response::new(400).to_headers(arrival, &headers)));
        }
    }

    fn unreadable(&self, arrival: Arrival, kind: FaultKind, calls: &mut Calls) {
        calls.output().1.sip_malformed += 1;
        calls.note(arrival.number, kind);
    }

    /// Ends a session from this end.
    fn leave(&mut self, key: u64, at: Wall, cause: EndCause, calls: &mut Calls) {
        let Some(session) = self.sessions.remove(&key) else { return };
        self.close(&session);
        calls.end_session(key, session.call, at, cause);
        self.errands.push_back(Errand::Send(session.bye()));
    }

    fn close(&mut self, session: &Session) {
        for line in session.ports() {
            self.errands.extend(session.addresses(line).map(Errand::Close));
            self.ports.give(line.port);
        }
        if let Some((_, invite)) = session.unacknowledged {
            self.transactions.acknowledged(invite);
        }
    }

    /// The name of a request's transaction (RFC 3261 section 17.2.3), and, for those of RFC 2543, of its dialog and number.
    fn transaction(&self, request: &Request<'_>, method: &[u8]) -> u64 {
        let Message { branch, call_id, from, cseq, .. } = request.message;
        self.hash([branch, method, call_id, Address::of(from).tag, &cseq.to_be_bytes()])
    }

    fn tag(&self, transaction: u64) -> String {
        format!("{:016x}", self.hash([b"tag", &transaction.to_be_bytes()]))
    }

    fn key(&self, transaction: u64) -> [u8; 44] {
        let mut key = [0; 44];
        for (index, part) in key.chunks_mut(8).enumerate() {
            let word = self.hash([&b"key"[..], &transaction.to_be_bytes(), &index.to_be_bytes()]).to_be_bytes();
            part.copy_from_slice(word.get(..part.len()).unwrap_or_default());
        }
        key
    }

    fn hash<const N: usize>(&self, parts: [&[u8]; N]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        hasher.finish()
    }
}

const ACCEPT: &str = "Accept: application/sdp, application/rs-metadata, application/rs-metadata+xml, multipart/mixed";

/// What the session's lines say of the call, where it changed.
fn report(session: &mut Session, at: Wall, calls: &mut Calls) {
    let (flows, is_paused) = session.flow();
    let (call, key, is_mixed) = (session.call, session.key, session.is_mixed());
    let state = &mut session.state;
    if is_mixed && !std::mem::replace(&mut state.is_mixed, true) {
        calls.session_event(key, CallEvent::Mixed { call, at });
    }
    if std::mem::replace(&mut state.is_paused, is_paused) != is_paused {
        calls.session_event(key, if is_paused { CallEvent::Paused { call, at, said: Said::Recording } } else { CallEvent::Continued { call, at, said: Said::Recording } });
    }
    if !state.is_answered && flows {
        // A session may be set up before the parties speak: only when sound is to flow has anybody answered.
        state.is_answered = true;
        calls.answer_session(key, at);
    } else if state.is_answered && state.is_held == flows {
        state.is_held = !flows;
        calls.hold_session(key, !flows, at);
    }
}

#[cfg(test)]
mod tests;
