//! One call: what its two sides have said so far.

use std::net::{IpAddr, SocketAddr};

use sotto_private::{Call, EndCause, Side, Wall};

use super::hangup::Hangup;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::rtp::{Leg, Session};
use crate::sdp::{Coding, Description, Direction, Endpoint, static_coding};

/// Branches (RFC 3261 section 8.1.1.7) tell apart the forks and retries of one INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    /// Hash of the Via branch.
    pub(super) hash: u64,
    pub(super) state: BranchState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BranchState {
    /// No final answer yet.
    Open,
    /// Cancelled, and not yet answered with 487.
    Cancelled,
    /// Answered with 300 to 699.
    Failed,
}

/// A request with a session description is a transaction: its answer is matched by number and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transaction {
    /// Who sent the request: each side counts its own (RFC 3261 section 12.2.1.1).
    pub(super) requester: Side,
    pub(super) cseq: u32,
    /// UPDATE (RFC 3311) rather than INVITE.
    pub(super) update: bool,
}

/// What one side has said of its media.
#[derive(Debug, Default)]
pub(super) struct SideState {
    /// In force.
    pub(super) media: Vec<Endpoint>,
    /// The transaction that brought it.
    pub(super) origin: Option<Transaction>,
    /// Offered, and not yet answered. Sound may follow it already (RFC 3264 section 5.1).
    pub(super) offer: Option<(Transaction, Description)>,
    /// The CSeq of its last offer that was answered, one way or the other: what comes again of that or before is a copy.
    pub(super) settled: Option<u32>,
    direction: Option<Direction>,
    /// It has put the other side on hold.
    holding: bool,
}

#[derive(Debug)]
pub(crate) struct CallState {
    pub(super) id: Call,
    /// Its entry in the table of keys.
    pub(super) key: u64,
    pub(super) called_tag: Option<u64>,
    /// Of the INVITE that opened it, or of its latest retry.
    pub(super) cseq: u32,
    pub(super) offered: Wall,
    pub(super) ringing: bool,
    pub(super) answered: Option<Wall>,
    pub(super) branches: Vec<Branch>,
    /// What forks said of their media before the answer, by the hash of their tag (RFC 3261 section 12.1).
    pub(super) early: Vec<(u64, Description)>,
    /// How and when a branch of it failed, while others are open or the caller may try again.
    pub(super) ending: Option<(EndCause, Wall)>,
    pub(super) sides: [SideState; 2],
    pub(super) held: bool,
    /// The CSeq of each side's latest INFO: what comes again of it is a copy.
    pub(super) info: [Option<u32>; 2],
    pub(super) signalled: Wall,
    /// When the session expires unless it is refreshed (RFC 4028 section 10).
    pub(super) expires: Option<Wall>,
    /// Where its signalling was seen to come from and go to, or said that it would: a BYE from elsewhere is nobody's.
    pub(super) peers: Vec<IpAddr>,
    /// The other side has answered something to the INVITE.
    pub(super) responded: bool,
    /// A BYE was seen, and whether it is true is not known yet.
    pub(super) hangup: Option<Box<Hangup>>,
    /// Its conversation goes on in another call.
    pub(super) transferred: bool,
    /// The call whose story it continues.
    pub(super) continues: Option<(usize, Call)>,
    /// The call that is over once this one is answered (RFC 3891).
    pub(super) replaces: Option<(usize, Call)>,
    /// The charter's keys, once one was pressed.
    pub(super) keys: Option<Box<Keys>>,
    /// What its signalling last said of the customer's consent.
    pub(super) said: Option<bool>,
    pub(super) claimed: Vec<(Side, SocketAddr)>,
    pub(super) legs: [Option<Box<Leg>>; 2],
    /// It is in the list of calls with packets that wait.
    pub(super) waiting: bool,
    /// The last payload type of each side's sound, its coding, and whether it is encrypted: packets are many, and descriptions are few.
    pub(super) known: [Option<(u8, Coding, bool)>; 2],
    /// What opens each side's SRTP.
    pub(super) secrets: [Option<Box<Session>>; 2],
    /// Nothing but its sound is known.
    pub(super) is_sound_alone: bool,
    /// Its conversation is heard on that other call; this one is over for everybody else.
    pub(super) twin: Option<(usize, Call)>,
    /// Which of its sides are agents by the site's rules, as far as is known.
    pub(super) agents: [bool; 2],
}

impl CallState {
    pub(super) fn new(id: Call, key: u64, cseq: u32, at: Wall) -> Self {
        Self {
            id,
            key,
            called_tag: None,
            cseq,
            offered: at,
            ringing: false,
            answered: None,
            branches: Vec::new(),
            early: Vec::new(),
            ending: None,
            sides: Default::default(),
            held: false,
            info: [None; 2],
            signalled: at,
            expires: None,
            peers: Vec::new(),
            responded: false,
            hangup: None,
            transferred: false,
            continues: None,
            replaces: None,
            keys: None,
            said: None,
            claimed: Vec::new(),
            legs: [None, None],
            waiting: false,
            known: [None; 2],
            secrets: [None, None],
            is_sound_alone: false,
            twin: None,
            agents: [false; 2],
        }
    }

    /// Whether it is known which party is the agent.
    pub(super) fn is_labelled(&self) -> bool {
        self.agents[0] != self.agents[1]
    }

    /// The last sign of life.
    pub(super) fn last(&self) -> Wall {
        self.last_sound().map_or(self.signalled, |sound| sound.max(self.signalled))
    }

    pub(super) fn legs_heard(&self) -> usize {
        self.legs.iter().flatten().filter(|leg| leg.is_heard()).count()
    }

    /// Whether nobody has answered to its INVITE; or, where that was not seen, nothing was heard of it.
    pub(super) fn is_hearsay(&self) -> bool {
        let is_running = self.branches.is_empty();
        if is_running { self.legs_heard() == 0 } else { !self.responded && self.answered.is_none() }
    }

    fn last_sound(&self) -> Option<Wall> {
        self.legs.iter().flatten().filter_map(|leg| leg.last()).max()
    }

    /// When and why it will have ended, unless the caller tries again: every branch has failed or was cancelled. As long as another
    /// one may ring, those say nothing of the call.
    pub(super) fn foregone(&self) -> Option<(Wall, EndCause)> {
        let open = self.branches.iter().any(|branch| branch.state == BranchState::Open);
        self.ending.filter(|_| !open).map(|(cause, at)| (at, cause))
    }

    /// When and why it is over for want of anything happening. Up to `deaf_until` nobody listened, so that silence says nothing.
    pub(super) fn overdue(&self, now: Wall, deaf_until: Option<Wall>, limits: &Limits) -> Option<(Wall, EndCause)> {
        if self.answered.is_none() {
            let over = self.offered.plus(limits.unanswered_micros);
            if let Some((at, cause)) = self.foregone() {
                return (now.since(at) >= limits.transaction_micros).then_some((at, cause));
            }
            let (at, cause) = self.ending.map_or((over, EndCause::SilenceTimeout), |(cause, at)| (at, cause));
            return (now >= over).then_some((at, cause));
        }
        let sound = self.last_sound().map(|sound| deaf_until.map_or(sound, |deaf| deaf.max(sound)));
        let (end, limit) = match sound {
            None => (self.signalled, limits.signalling_only_micros),
            Some(sound) if self.held => (sound, limits.held_call_micros),
            Some(sound) => (sound, limits.silence_micros),
        };
        // A session that nobody refreshed is over (RFC 4028 section 10), unless it is still heard: then the refresh was missed here.
        let expired = self.expires.is_some_and(|expires| now.since(expires) >= limits.transaction_micros);
        let limit = if expired { limit.min(limits.silence_micros) } else { limit };
        let last = sound.map_or(self.signalled, |sound| sound.max(self.signalled));
        (now.since(last) >= limit).then_some((end, EndCause::SilenceTimeout))
    }

    /// An address that the dialog's signalling comes from, goes to or names.
    pub(super) fn meet(&mut self, ip: IpAddr) {
        const PEERS: usize = 8;
        if !self.peers.contains(&ip) && self.peers.len() < PEERS {
            self.peers.push(ip);
        }
    }

    /// Whether a message from there may be one of the dialog's own.
    pub(super) fn knows(&self, ip: IpAddr) -> bool {
        self.peers.contains(&ip) || self.claimed.iter().any(|(_, address)| address.ip() == ip)
    }

    /// The addresses that the sides receive at, and how many were beyond the cap.
    pub(super) fn addresses(&self, most: usize) -> (Vec<(Side, SocketAddr)>, usize) {
        let mut found = Vec::new();
        let mut left_out = 0;
        for side in Side::BOTH {
            let state = &self.sides[side.index()];
            let offered = state.offer.iter().flat_map(|(_, description)| &description.audio);
            let mut own = 0;
            for address in state.media.iter().chain(offered).flat_map(|endpoint| endpoint.address.into_iter().chain(endpoint.rtcp)) {
                if found.contains(&(side, address)) {
                    continue;
                }
                if own == most {
                    left_out += 1;
                    continue;
                }
                own += 1;
                found.push((side, address));
            }
        }
        (found, left_out)
    }

    /// How a payload type in `side`'s sound is coded: as the receiver numbered it (RFC 3264 section 5.1), else as the sender did,
    /// else by RFC 3551; and whether it is encrypted. `None` where nobody negotiated it.
    pub(super) fn coding(&mut self, side: Side, payload_type: u8) -> Option<(Coding, bool)> {
        match self.known[side.index()] {
            Some((known, coding, is_secured)) if known == payload_type => Some((coding, is_secured)),
            _ => {
                let (coding, is_secured) = (self.find_coding(side, payload_type)?, self.is_secured(side));
                self.known[side.index()] = Some((payload_type, coding, is_secured));
                Some((coding, is_secured))
            }
        }
    }

    fn find_coding(&self, side: Side, payload_type: u8) -> Option<Coding> {
        let [sender, receiver] = [side, side.other()].map(|side| &self.sides[side.index()]);
        let described = |state: &SideState| {
            let offered = state.offer.iter().flat_map(|(_, description)| &description.audio);
            let payloads = state.media.iter().chain(offered).flat_map(|endpoint| &endpoint.payloads);
            payloads.clone().find(|(number, _)| *number == payload_type).map(|(_, coding)| *coding)
        };
        let by_table = || matches!(payload_type, 0 | 3 | 8 | 9 | 10 | 11 | 13 | 18 | 19).then(|| static_coding(payload_type));
        described(receiver).or_else(|| described(sender)).or_else(by_table)
    }

    /// Whether `side`'s sound is encrypted.
    pub(super) fn is_secured(&self, side: Side) -> bool {
        let [sender, receiver] = [side, side.other()].map(|side| &self.sides[side.index()]);
        let is_secured = |state: &SideState| state.media.iter().any(|endpoint| endpoint.secured);
        let is_keyed = |state: &SideState| state.media.iter().any(|endpoint| endpoint.keyed || endpoint.secured);
        if sender.media.is_empty() || receiver.media.is_empty() {
            is_secured(sender) || is_secured(receiver)
        } else {
            is_keyed(sender) && is_keyed(receiver)
        }
    }

    /// What a side says of its media comes into force. Said again within one transaction (on another mirrored leg, behind a
    /// relay, by another fork), it adds to what was said; in a new one it replaces it.
    pub(super) fn describe(&mut self, side: Side, origin: Transaction, description: Description) {
        let state = &mut self.sides[side.index()];
        let direction = description.direction();
        if state.origin == Some(origin) {
            add(&mut state.media, description.audio);
        } else {
            state.media = description.audio;
            state.origin = Some(origin);
            for leg in self.legs.iter_mut().flatten() {
                leg.renegotiate();
            }
        }
        state.direction = direction.or(state.direction);
    }

    /// What a fork says of its media before the answer.
    pub(super) fn describe_early(&mut self, tag: Option<u64>, description: &Description) {
        const FORKS: usize = 16;
        let Some(tag) = tag else { return };
        if let Some((_, known)) = self.early.iter_mut().find(|(known, _)| *known == tag) {
            description.clone_into(known);
        } else if self.early.len() < FORKS {
            self.early.push((tag, description.clone()));
        }
    }

    /// A side has put the other one on hold, before it was first seen here.
    pub(super) const fn hold(&mut self, side: Side) {
        self.sides[side.index()].holding = true;
        self.held = true;
    }

    /// What a side offers. It comes into force when it is answered; seen again on another leg, it adds to what was offered.
    pub(super) fn offer(&mut self, side: Side, transaction: Transaction, description: Description) {
        match &mut self.sides[side.index()].offer {
            Some((known, offer)) if *known == transaction => add(&mut offer.audio, description.audio),
            slot => *slot = Some((transaction, description)),
        }
    }

    /// An offer in the middle of a call was accepted. Whether hold has begun or ended by it: `Some(held)` where it changed.
    pub(super) fn accept(&mut self, offerer: Side, transaction: Transaction, offer: Description, answer: Option<Description>) -> Option<bool> {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        let before = [offerer, offerer.other()].map(|side| self.sides[side.index()].direction);
        let offered = offer.direction();
        let answered = answer.as_ref().and_then(Description::direction);
        self.describe(offerer, transaction, offer);
        if let Some(answer) = answer {
            self.describe(offerer.other(), transaction, answer);
        }
        self.answered?;
        // Only a change counts: a side that never listened is no hold, however often it repeats that.
        if let Some(offered) = offered
            && Some(offered) != before[0]
        {
            self.sides[offerer.index()].holding = matches!(offered, SendOnly | Inactive);
        }
        if let (Some(SendRecv), Some(answered)) = (offered, answered) {
            let state = &mut self.sides[offerer.other().index()];
            match answered {
                SendOnly | Inactive if Some(answered) != before[1] => state.holding = true,
                SendRecv | RecvOnly => state.holding = false,
                SendOnly | Inactive => {}
            }
        }
        let held = self.sides.iter().any(|side| side.holding);
        (held != std::mem::replace(&mut self.held, held)).then_some(held)
    }
}

/// Audio lines of one side that are kept at once.
const ENDPOINTS: usize = 32;

fn add(known: &mut Vec<Endpoint>, more: Vec<Endpoint>) {
    for endpoint in more {
        if !known.contains(&endpoint) && known.len() < ENDPOINTS {
            known.push(endpoint);
        }
    }
}

impl Description {
    /// Whether the side that says this puts the other one on hold.
    pub(super) fn is_hold(&self) -> bool {
        matches!(self.direction(), Some(Direction::SendOnly | Direction::Inactive))
    }

    /// Of the first audio line that is in use, else of the first.
    fn direction(&self) -> Option<Direction> {
        let in_use = self.audio.iter().find(|endpoint| endpoint.address.is_some());
        in_use.or_else(|| self.audio.first()).map(|endpoint| endpoint.direction)
    }
}
