//! One recording session: its streams, whose sound each is, and what its client last said.

use std::net::{IpAddr, SocketAddr};

use sotto_private::{Call, Party, Reply, Side, Wall};

use super::answer::{Flow, Offer, Preference};
use super::metadata::{Metadata, Participant};
use super::ports::Ports;
use super::request::{Arrival, Request};
use super::response::contact;
use crate::sdp::{Description, Endpoint};
use crate::sip::{Address, party};

/// A media line of the session.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Where its sound is received; 0 where it is refused.
    pub(super) port: u16,
    /// Whether the next port is for its RTCP.
    pub(super) has_rtcp_port: bool,
    label: Option<String>,
    flow: Flow,
    preference: Option<Preference>,
}

/// Whose sound a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    One(Side),
    /// Both parties in one stream.
    Both,
    /// Of neither of the two parties, or nobody's.
    Nobody,
}

/// One dialog with a recording client, which is one call.
pub(super) struct Session {
    pub(super) key: u64,
    pub(super) call: Call,
    /// The own tag in its dialog.
    pub(super) tag: String,
    /// The last number of the client's requests.
    pub(super) cseq: u32,
    /// The INVITE whose answer still waits for its ACK.
    pub(super) unacknowledged: Option<(u32, u64)>,
    pub(super) metadata: Metadata,
    pub(super) lines: Vec<Line>,
    pub(super) address: IpAddr,
    pub(super) number: u64,
    pub(super) version: u64,
    /// The description in force.
    pub(super) answer: Vec<u8>,
    pub(super) state: State,
    pub(super) parties: [Party; 2],
    /// When it is over unless it is refreshed (RFC 4028).
    pub(super) expires: Option<Wall>,
    farewell: Farewell,
}

/// What was said of the call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) is_answered: bool,
    pub(super) is_held: bool,
    pub(super) is_paused: bool,
    pub(super) is_mixed: bool,
}

/// What a BYE needs (RFC 3261 section 12.2.1.1).
struct Farewell {
    arrival: Arrival,
    target: Vec<u8>,
    routes: Vec<u8>,
    from: Vec<u8>,
    to: Vec<u8>,
    call_id: Vec<u8>,
}

impl Session {
    pub(super) fn new(key: u64, tag: String, number: u64, request: &Request<'_>, parties: ([Party; 2], Metadata)) -> Self {
        let (parties, metadata) = parties;
        Self {
            key,
            call: Call(0),
            farewell: Farewell::of(request, &tag),
            tag,
            cseq: request.message.cseq,
            unacknowledged: None,
            metadata,
            lines: Vec::new(),
            address: request.arrival.local.ip(),
            number,
            version: 0,
            answer: Vec::new(),
            state: State::default(),
            parties,
            expires: None,
        }
    }

    /// Brings lines and ports in agreement with an offer. `false` where no more ports are there for a line: then nothing changed.
    pub(super) fn arrange(&mut self, offer: &Offer<'_>, ports: &mut Ports, opened: &mut Vec<u16>, closed: &mut Vec<u16>) -> bool {
        let mut lines = Vec::with_capacity(offer.media.len());
        for (index, offered) in offer.media.iter().enumerate() {
            let before = self.lines.get(index).filter(|line| line.port > 0);
            let port = match before {
                _ if !offered.is_receivable() => 0,
                Some(line) => line.port,
                None => match ports.take() {
                    Some(port) => {
                        opened.push(port);
                        port
                    }
                    None => {
                        opened.drain(..).for_each(|port| ports.give(port));
                        return false;
                    }
                },
            };
            let has_rtcp_port = before.map_or_else(|| offered.wants_rtcp_port(), |line| line.has_rtcp_port);
            let label = offered.label.map(str::to_owned);
            lines.push(Line { port, has_rtcp_port, label, flow: offered.flow, preference: offered.preference });
        }
        let kept = |port| lines.iter().any(|line: &Line| line.port == port);
        closed.extend(self.lines.iter().map(|line| line.port).filter(|port| *port > 0 && !kept(*port)));
        self.lines = lines;
        true
    }

    /// Who speaks with whom: the participants of the metadata, else who it was before; at first, by the session's own signalling.
    /// Whether that is another than before.
    pub(super) fn identify(&mut self) -> bool {
        let sides = self.metadata.sides();
        let mut is_changed = false;
        for side in Side::BOTH {
            let named = sides[side.index()].map(Participant::party).filter(|party| !party.is_unnamed());
            if let Some(party) = named.filter(|party| party.identity() != self.parties[side.index()].identity()) {
                self.parties[side.index()] = party;
                is_changed = true;
            }
        }
        is_changed
    }

    /// Whose sound each line is.
    pub(super) fn voices(&self) -> Vec<Voice> {
        let received = self.lines.iter().filter(|line| line.port > 0).count();
        let mut ordinal = 0;
        let mut voices = Vec::new();
        for line in &self.lines {
            if line.port == 0 {
                voices.push(Voice::Nobody);
                continue;
            }
            voices.push(self.metadata.voice(line.label.as_deref(), ordinal, received));
            ordinal += 1;
        }
        voices
    }

    /// What each side hears and is heard by, from the client's description and the own one, line by line.
    pub(super) fn endpoints(&self, offer: &Description, answer: &Description, is_audio: &[bool]) -> [Vec<Endpoint>; 2] {
        let mut media = [Vec::new(), Vec::new()];
        let mut audio = offer.audio.iter().zip(&answer.audio);
        for (voice, _) in self.voices().into_iter().zip(is_audio).filter(|(_, is_audio)| **is_audio) {
            let Some((sent, received)) = audio.next() else { break };
            let side = match voice {
                Voice::One(side) => side,
                Voice::Both => Side::Calling,
                Voice::Nobody => continue,
            };
            if received.address.is_some() {
                media[side.index()].push(sent.clone());
                media[side.other().index()].push(received.clone());
            }
        }
        media
    }

    /// Whether some line of the session carries both parties.
    pub(super) fn is_mixed(&self) -> bool {
        self.voices().contains(&Voice::Both)
    }

    /// What the lines say of the call: whether sound is to flow, and may be analysed.
    pub(super) fn flow(&self) -> (bool, bool) {
        let mut received = self.lines.iter().filter(|line| line.port > 0).peekable();
        let flows = received.peek().is_none() || received.any(|line| line.flow == Flow::Sends);
        let is_paused = self.lines.iter().any(|line| matches!(line.preference, Some(Preference::Off | Preference::Pause)));
        (flows, is_paused)
    }

    /// All ports that it holds.
    pub(super) fn ports(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.port > 0)
    }

    /// The addresses at which it listens for a line.
    pub(super) fn addresses(&self, line: &Line) -> impl Iterator<Item = SocketAddr> {
        let rtcp = line.has_rtcp_port.then(|| line.port.saturating_add(1));
        let address = self.address;
        std::iter::once(line.port).chain(rtcp).map(move |port| SocketAddr::new(address, port))
    }

    /// The BYE by which this end leaves (RFC 3261 section 15.1.1): where it must stop, the client may turn to another recorder.
    pub(super) fn bye(&self) -> Reply {
        let Farewell { arrival, target, routes, from, to, call_id } = &self.farewell;
        let transport = if arrival.transport == sotto_private::Transport::Udp { "UDP" } else { "TCP" };
        let mut out = Vec::new();
        let branch = format!("\r\nVia: SIP/2.0/{transport} {};branch=z9hG4bK{};rport\r\nMax-Forwards: 70\r\n", arrival.local, self.tag);
        let contact = format!("\r\nContact: {}\r\nContent-Length: 0\r\n\r\n", contact(*arrival));
        let parts: [&[u8]; 12] = [
            b"BYE ", target, b" SIP/2.0", branch.as_bytes(), routes, b"From: ", from, b"\r\nTo: ", to, b"\r\nCall-ID: ", call_id, b"\r\nCSeq: 1 BYE",
        ];
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.extend_from_slice(contact.as_bytes());
        Reply::new(arrival.local, arrival.remote, arrival.transport, out)
    }
}

impl Farewell {
    /// From the INVITE: its Contact is the target, its Record-Route the way, in the order in which it stands (section 12.1.1).
    fn of(request: &Request<'_>, tag: &str) -> Self {
        let headers = &request.headers;
        let contact = headers.contact.map(|contact| Address::of(contact).uri).filter(|uri| !uri.is_empty());
        let mut routes = Vec::new();
        for route in &headers.record_route {
            routes.extend_from_slice(b"Route: ");
            routes.extend_from_slice(route);
            routes.extend_from_slice(b"\r\n");
        }
        Self {
            arrival: request.arrival,
            target: contact.unwrap_or_else(|| Address::of(request.message.from).uri).to_vec(),
            routes,
            from: [request.message.to, b";tag=", tag.as_bytes()].concat(),
            to: request.message.from.to_vec(),
            call_id: request.message.call_id.to_vec(),
        }
    }
}

impl Metadata {
    /// The calling and the called participant.
    fn sides(&self) -> [Option<&Participant>; 2] {
        self.seats.each_ref().map(|seat| seat.as_ref().and_then(|id| self.participants.iter().find(|known| known.id.expose() == id.expose())))
    }

    /// Whose sound the `ordinal`-th of `received` streams is, by its label.
    fn voice(&self, label: Option<&str>, ordinal: usize, received: usize) -> Voice {
        let by_order = || match (ordinal, received) {
            // One stream and nothing that says whose: both are in it.
            (_, 0 | 1) => Voice::Both,
            (0, _) => Voice::One(Side::Calling),
            (1, _) => Voice::One(Side::Called),
            _ => Voice::Nobody,
        };
        let sides = self.sides();
        let side_of = |id: &str| Side::BOTH.into_iter().find(|side| sides[side.index()].is_some_and(|known| known.id.expose() == id));
        let labelled = label.and_then(|label| self.streams.iter().find(|stream| stream.label.expose() == label));
        let Some(stream) = labelled.or_else(|| self.streams.get(ordinal)) else { return by_order() };
        if !self.participants.iter().any(|known| known.is_associated) {
            return by_order();
        }
        let sends = |known: &&Participant| known.sends.iter().any(|send| send.expose() == stream.id.expose());
        let senders: Vec<&Participant> = self.participants.iter().filter(|known| !known.has_left).filter(sends).collect();
        match senders[..] {
            [] => Voice::Nobody,
            [one] => side_of(one.id.expose()).map_or(Voice::Nobody, Voice::One),
            _ => Voice::Both,
        }
    }
}

impl Participant {
    /// As the site's patterns know parties: an address without a scheme is a SIP one.
    fn party(&self) -> Party {
        let address = self.address.expose().trim();
        let has_scheme = address.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(|byte| byte.is_ascii_alphabetic()));
        let text = if has_scheme || address.is_empty() { address.to_owned() } else { format!("sip:{address}") };
        let text = sotto_private::Private::new(text);
        party(Address::of(text.expose().as_bytes()).uri, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(rest: &str) -> Metadata {
        let mut metadata = Metadata::default();
        let people = "<participant participant_id='p1'><nameID aor='sip:1001@pbx'/></participant><participant participant_id='p2'><nameID aor='0771121212@pbx'/></participant>";
        let streams = "<stream stream_id='s1'><label>a</label></stream><stream stream_id='s2'><label>b</label></stream>";
        metadata.update(format!("<recording>{people}{streams}{rest}</recording>").as_bytes()).unwrap();
        metadata
    }

    #[test]
    fn streams_are_their_senders_else_in_order() {
        let plain = metadata("");
        let voice = |metadata: &Metadata, label, ordinal, received| metadata.voice(label, ordinal, received);
        assert_eq!([0, 1, 2].map(|ordinal| voice(&plain, None, ordinal, 3)), [Voice::One(Side::Calling), Voice::One(Side::Called), Voice::Nobody]);
        assert_eq!(voice(&plain, Some("a"), 0, 1), Voice::Both);
        let crossed = metadata(
            "<participantstreamassoc participant_id='p1'><send>s2</send><recv>s1</recv></participantstreamassoc>\
             <participantstreamassoc participant_id='p2'><send>s1</send></participantstreamassoc>",
        );
        assert_eq!([Some("a"), Some("b")].map(|label| voice(&crossed, label, 0, 2)), [Voice::One(Side::Called), Voice::One(Side::Calling)]);
        let mixed = metadata(
            "<participantstreamassoc participant_id='p1'><send>s1</send></participantstreamassoc>\
             <participantstreamassoc participant_id='p2'><send>s1</send></participantstreamassoc>",
        );
        assert_eq!((voice(&mixed, Some("a"), 0, 1), voice(&mixed, Some("b"), 1, 2)), (Voice::Both, Voice::Nobody));
    }

    #[test]
    fn parties_are_those_who_are_there() {
        let mut metadata = metadata("");
        let names = |metadata: &Metadata| metadata.sides().map(|side| side.map(|known| known.party().identity().to_owned()));
        assert_eq!(names(&metadata), [Some("sip:1001@pbx".into()), Some("sip:0771121212@pbx".into())]);
        let update = "<recording><datamode>partial</datamode><participantsessionassoc participant_id='p1'><disassociate-time>x</disassociate-time>\
            </participantsessionassoc><participant participant_id='p3'><nameID aor='tel:+1'/></participant></recording>";
        metadata.update(update.as_bytes()).unwrap();
        assert_eq!(names(&metadata), [Some("tel:+1".into()), Some("sip:0771121212@pbx".into())], "who comes takes the place of who left");
        assert_eq!(metadata.voice(Some("b"), 1, 2), Voice::One(Side::Called), "who stays keeps the side");
    }
}
