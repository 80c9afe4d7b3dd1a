//! Which call, which party, which codec.
//!
//! Datagrams go in; calls and the sound of their legs come out: SIP (RFC 3261) over UDP and TCP opens, changes and ends calls, SDP (RFC
//! 8866, 3264) says where their sound flows and in which codec, RTP (RFC 3550) is bound to them, put in order and laid on the
//! wall clock. It only listens; nothing is ever answered.
//!
//! # The one rule
//!
//! **Nothing happens between calls.** There is no clock, no thread, no socket in here. Whoever owns a [`Dialogs`] gives it what
//! arrived ([`Dialogs::datagram`], [`Dialogs::segment`], [`Dialogs::pcm`]) and how late it is ([`Dialogs::advance`]), and after each of these takes out
//! everything that came of it ([`Dialogs::poll`] until `None`). The same input at the same stamps gives the same output, live or
//! from a file. At the end of everything stands [`Dialogs::finish`].
//!
//! ```
//! use sotto_dialog::{Dialogs, Limits, Output};
//! use sotto_private::{CallEvent, Datagram, EndCause, Wall};
//!
//! let invite = "INVITE sip:1002@pbx.example SIP/2.0\r\n\
//!     Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\
//!     From: <sip:1001@pbx.example>;tag=a\r\n\
//!     To: <sip:1002@pbx.example>\r\n\
//!     Call-ID: one\r\n\
//!     CSeq: 1 INVITE\r\n\r\n";
//! let (phone, pbx) = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
//! let captured = [Datagram::new(Wall::from_micros(1_000_000), 1, phone, pbx, invite.into())];
//!
//! let mut dialogs = Dialogs::new(Limits::default());
//! let mut events = Vec::new();
//! let mut last = Wall::default();
//! let mut drain = |dialogs: &mut Dialogs| {
//!     while let Some(output) = dialogs.poll() {
//!         match output {
//!             Output::Event(event) => events.push(event),
//!             Output::Audio(audio) => assert!(!audio.payload().is_empty()),
//!         }
//!     }
//! };
//! for datagram in captured {
//!     last = datagram.at;
//!     dialogs.datagram(datagram);
//!     drain(&mut dialogs);
//! }
//! // Live, also whenever nothing came for a while:
//! dialogs.advance(last.plus(20_000));
//! drain(&mut dialogs);
//! dialogs.finish(last, EndCause::CaptureEnded);
//! drain(&mut dialogs);
//!
//! assert!(matches!(events[..], [CallEvent::Offered { .. }, CallEvent::Ended { cause: EndCause::CaptureEnded, .. }]));
//! ```
//!
//! # What to rely on
//!
//! - Each call gives `Offered`, at most one `Ringing`, at most one `Answered`, `Held` and `Resumed` in turns, and one `Ended`, the last of it.
//! - A transfer (RFC 3515, 3891) is one story in two calls: the old one ends as transferred, the new one is offered as its continuation.
//! - A BYE ends a call where both its tags, an address that the dialog knows and the sound agree. Where every leg that sounded goes on
//!   for two seconds, the call goes on, and no packet is missing; else it ended with the BYE. Until that is clear, nothing of it comes out.
//! - [`Audio`] comes between `Answered` and `Ended`. Early media (RFC 3960) is followed, so that the conversation's first
//!   packet is in place, but its sound is dropped and counted: it is announcements, no conversation.
//! - Within a leg, audio is in order, without duplicates, and never overlaps by more than a millisecond. The two legs of a
//!   call come interleaved as their packets came, within the reordering time of 100 ms, or the second and more for which a source
//!   that nobody named is on probation.
//! - A leg is the sound of one source at a time: of the side that the signalling points to. What else comes to its ports is counted as
//!   foreign. It is never mixed in, ends no call and keeps none alive.
//! - SRTP is opened where a description gives its key away (RFC 4568); what fails its authentication is no sound.
//! - Sound that no signalling claims is a call between unnamed parties, from its first packet, once it has gone on for a second. If its
//!   signalling is seen later, that call has the sound from then on, and this one ends where its own was last.
//! - Both legs of a PBX that passes payloads on as they are count as one call: the one that tells who is the agent, else the earlier one; the
//!   other one ends with [`EndCause::SameCall`], and its transfers are those of the one that counts. Legs that it encodes anew cannot be told to
//!   be one, and count twice.
//! - `start` follows the sender's clock by steps of one sample (125 us). Gaps and overlaps under a millisecond are that, and not loss.
//! - No bytes make it panic, and no stream of them makes it grow beyond [`Limits`].

mod calls;
mod consent;
mod keys;
mod limits;
mod line;
mod media;
mod recording;
mod rtp;
mod sdp;
pub mod sip;
mod stream;
mod siprec;

use std::fmt;

pub use sotto_private::EndCause;
use sotto_private::{Audio, Call, CallEvent, Datagram, Party, Pcm, Segment, Side, Wall};

pub use consent::ConsentHeader;
pub use keys::Keys;
pub use limits::{Counters, Limits, TcpCounters};
pub use sdp::SdpError;
pub use sip::{SipError, SipFault};
pub use siprec::{Errand, MetadataError, MetadataFault, MultipartError, MultipartFault, ServerOptions};

use calls::Calls;
use line::Line;
use recording::Recording;
use siprec::Server;

/// Whether a party is an agent, by the rules of the site.
pub type IsAgent = Box<dyn Fn(&Party) -> bool + Send>;

/// What comes out.
#[derive(Debug)]
pub enum Output {
    /// Something happened to a call.
    Event(CallEvent),
    /// A packet's worth of a leg's sound.
    Audio(Audio),
}

/// A message that could not be read: where, and which rule it broke. Never what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The datagram's number in the capture.
    pub packet: u64,
    /// What was wrong.
    pub kind: FaultKind,
}

/// Which parser refused a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The SIP message itself.
    Sip(SipError),
    /// The session description in it.
    Sdp(SdpError),
    /// A recording client's body of several parts.
    Multipart(MultipartError),
    /// A recording's metadata.
    Metadata(MetadataError),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::Sip(error) => write!(formatter, "packet {}: {error}", self.packet),
            FaultKind::Sdp(error) => write!(formatter, "packet {}: {error}", self.packet),
            FaultKind::Multipart(error) => write!(formatter, "packet {}: {error}", self.packet),
            FaultKind::Metadata(error) => write!(formatter, "packet {}: {error}", self.packet),
        }
    }
}

/// All calls that are open, and the sound on its way out. See [the one rule](crate#the-one-rule).
pub struct Dialogs {
    calls: Calls,
    recording: Option<Recording>,
    line: Line,
    limits: Limits,
    server: Option<Box<Server>>,
    now: Option<Wall>,
    leap: Option<Wall>,
}

impl Dialogs {
    /// A stamp this far ahead of all others is believed once a second one agrees: a damaged file must not time out every call.
    const LEAP: i64 = 600 * 1_000_000;

    /// Empty, with its bounds.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { calls: Calls::new(limits), recording: None, line: Line::default(), limits, server: None, now: None, leap: None }
    }

    /// The other way to hear: as the recording server of an SBC or PBX (RFC 7866), which is sent each call instead of overhearing it.
    /// Signalling is then answered; take out what is to be done with [`Dialogs::errand`], as with [`Dialogs::poll`].
    #[must_use]
    pub fn recording_server(limits: Limits, options: ServerOptions) -> Self {
        // All sound that comes was asked for: what no session names is a stream of nobody's, and no call.
        Self { server: Some(Box::new(Server::new(options))), ..Self::new(Limits { sound_alone: 0, ..limits }) }
    }

    /// Listens for the charter's own keys in calls, by telephone events (RFC 4733) and INFO (RFC 6086); for no others.
    #[must_use]
    pub fn with_keys(mut self, keys: Keys) -> Self {
        self.calls.listen_for(keys);
        self
    }

    /// Knows an agent by the site's rules: of two legs with one conversation, the one that tells who is the agent counts.
    #[must_use]
    pub fn with_agents(mut self, is_agent: IsAgent) -> Self {
        self.calls.tell_agents_by(is_agent);
        self
    }

    /// Looks in signalling for the header in which the PBX says what the customer said.
    #[must_use]
    pub fn with_consent_header(mut self, header: ConsentHeader) -> Self {
        self.calls.look_for(header);
        self
    }

    /// Another charter and site are in force: their keys for calls that begin from now on, their agents and their header for whatever is said
    /// from now on.
    pub fn renew(&mut self, keys: Keys, is_agent: IsAgent, header: ConsentHeader) {
        self.calls.listen_for(keys);
        self.calls.tell_agents_by(is_agent);
        self.calls.look_for(header);
    }

    /// From now on packets of sound are counted and not looked at, or are again: for a box that cannot keep up. Calls begin and end as before,
    /// and none ends for want of sound that nobody listened to.
    pub const fn be_deaf(&mut self, is_deaf: bool) {
        self.calls.be_deaf(is_deaf);
    }

    /// Takes in one UDP payload. Any bytes will do.
    pub fn datagram(&mut self, mut datagram: Datagram) {
        datagram.at = self.believe(datagram.at);
        self.advance(datagram.at);
        match &mut self.server {
            Some(server) if sip::looks_like_sip(datagram.payload()) => server.datagram(&datagram, &mut self.calls),
            _ => self.calls.datagram(datagram),
        }
    }

    /// Brings what the next datagrams will need close to the processor, and says whose sound each seems to be, so that later stages can do the same.
    /// It changes nothing. Each packet is of another leg than the one before: without this, most of its time is waiting for memory; and what is
    /// looked for together is waited for once.
    pub fn expect<const SOON: usize>(&self, soon: [Option<&Datagram>; SOON]) -> [Option<(Call, Side)>; SOON] {
        self.calls.expect(soon)
    }

    /// Takes in a piece of a TCP stream; its signalling counts from when it is whole.
    pub fn segment(&mut self, mut segment: Segment) {
        segment.at = self.believe(segment.at);
        self.advance(segment.at);
        match &mut self.server {
            Some(server) => server.segment(&segment, &mut self.calls),
            None => self.calls.segment(segment),
        }
    }

    /// Takes in sound of a source without signalling. It is one call: channel 0 is the calling side, channel 1 the called one,
    /// offered and answered at the first sample, between parties without a name (the source itself says who is who).
    pub fn pcm(&mut self, pcm: Pcm) {
        if self.recording.is_none() {
            self.recording = Some(Recording::new(self.calls.open_recording(pcm.at, pcm.at)));
        }
        let (out, counters) = self.calls.output();
        if let Some(recording) = &mut self.recording {
            recording.pcm(&pcm, out, counters);
        }
    }

    /// Takes in sound of a line that goes on for ever: calls begin and end in it by who is heard. Channels are as with [`Dialogs::pcm`],
    /// or both parties are in one.
    pub fn line(&mut self, pcm: Pcm) {
        self.line.pcm(pcm, &self.limits, &mut self.calls);
    }

    /// Lets time pass: what waits too long is let go, calls that are silent for too long end. Cheap; call it often.
    pub fn advance(&mut self, now: Wall) {
        let now = self.now.map_or(now, |before| before.max(now));
        self.now = Some(now);
        self.calls.advance(now);
        self.line.advance(now, &self.limits, &mut self.calls);
        if let Some(server) = &mut self.server {
            server.advance(now, &mut self.calls);
        }
    }

    /// Ends every open call at `at`, or where its last sound was, with [`EndCause::CaptureEnded`] or [`EndCause::Stopped`].
    ///
    /// A recording that was read to its end is a whole call: it ends as [`EndCause::HungUp`] where the capture ended, at its last
    /// sample. A challenged, failed or cancelled INVITE that waits for its sequel ends as what it is.
    pub fn finish(&mut self, at: Wall, cause: EndCause) {
        if let Some(server) = &mut self.server {
            server.finish(at, cause, &mut self.calls);
        }
        self.calls.finish(at, cause);
        if let Some(recording) = self.recording.take() {
            let (out, counters) = self.calls.output();
            recording.finish(cause, out, counters);
        }
        self.line.finish(cause, &mut self.calls);
        (self.now, self.leap) = (None, None);
    }

    /// The next thing that came of it all, in order; `None` when there is no more for now.
    pub fn poll(&mut self) -> Option<Output> {
        self.calls.output().0.pop_front()
    }

    /// The next thing that the recording server wants done, in order. None where there is no server.
    pub fn errand(&mut self) -> Option<Errand> {
        self.server.as_mut().and_then(|server| server.errand())
    }

    /// What came in so far, and what was turned away.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.calls.counters()
    }

    /// The last message that could not be read.
    #[must_use]
    pub const fn last_fault(&self) -> Option<Fault> {
        self.calls.last_fault()
    }

    fn believe(&mut self, at: Wall) -> Wall {
        let Some(now) = self.now else { return at };
        if at.since(now) <= Self::LEAP {
            self.leap = None;
            return at;
        }
        match self.leap.replace(at) {
            Some(before) if at.since(before).abs() <= Self::LEAP => at,
            _ => now,
        }
    }
}

impl fmt::Debug for Dialogs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dialogs").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod scenes;
