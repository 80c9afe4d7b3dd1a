//! What the signalling says of a call.

use crate::{Private, Wall};

/// A call as this run knows it: a running number. Never the SIP Call-ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call(pub u64);

/// A side of a two-party call. Its leg is the sound that this side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The party that sent the INVITE (in a two-channel wav: the left channel).
    Calling,
    /// The party that was called (in a two-channel wav: the right channel).
    Called,
}

impl Side {
    /// Both sides.
    pub const BOTH: [Self; 2] = [Self::Calling, Self::Called];

    /// The other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Calling => Self::Called,
            Self::Called => Self::Calling,
        }
    }

    /// 0 for the calling side, 1 for the called one.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Calling => 0,
            Self::Called => 1,
        }
    }
}

/// Who a party says it is.
#[derive(Clone, Debug)]
pub struct Party {
    /// The URI of From (calling) or To (called), without parameters: `sip:1001@pbx.example`.
    pub address: Private<String>,
    /// The URI of P-Asserted-Identity (RFC 3325), where the network vouches for one.
    pub asserted: Option<Private<String>>,
    /// The user part of the identity that counts (asserted, else address): for telephone numbers, the number.
    pub user: Private<String>,
}

impl Party {
    /// From the texts themselves.
    #[must_use]
    pub fn new(address: &str, asserted: Option<&str>, user: &str) -> Self {
        Self {
            address: Private::new(address.to_owned()),
            asserted: asserted.map(|text| Private::new(text.to_owned())),
            user: Private::new(user.to_owned()),
        }
    }

    /// A party without a name: a channel of a recording.
    #[must_use]
    pub fn unnamed() -> Self {
        Self::new("", None, "")
    }

    /// Whether the party has no name.
    #[must_use]
    pub fn is_unnamed(&self) -> bool {
        self.identity().is_empty()
    }

    /// The URI that counts: asserted if there is one, else From or To.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.asserted.as_ref().unwrap_or(&self.address).expose()
    }
}

/// A codec as the payload type or the rtpmap names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722.
    G722,
    /// G.729.
    G729,
    /// GSM full rate.
    Gsm,
    /// iLBC.
    Ilbc,
    /// AMR or AMR-WB.
    Amr,
    /// Opus.
    Opus,
    /// Linear PCM (from RTP L16, or a source without a codec).
    Linear,
    /// Anything else.
    Other,
}

/// Where the news of a call came from, and so what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The INVITE that opened it was seen: the whole call is known.
    Invite,
    /// It was running already: a re-INVITE, UPDATE or ACK of a dialog without its beginning. Parties are known, the start is not.
    MidDialog,
    /// RTP without any signalling: nothing but the sound is known.
    SoundAlone,
    /// A recording session (RFC 7866): the parties are those of its metadata.
    RecordingSession,
    /// A file or a sound card: a source without signalling.
    Recording,
}

impl Origin {
    /// Whether there was signalling to tell parties and times.
    #[must_use]
    pub const fn is_signalled(self) -> bool {
        matches!(self, Self::Invite | Self::MidDialog | Self::RecordingSession)
    }

    /// Whether the call had begun before it was first seen.
    #[must_use]
    pub const fn is_late(self) -> bool {
        matches!(self, Self::MidDialog | Self::SoundAlone)
    }
}

/// What the receiver of a stream reported of it (RTCP report blocks, RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FarEnd {
    /// Packets that the receiver expected, between its first and its last report.
    pub expected: u64,
    /// Of them: those that the receiver says it lost.
    pub lost: u64,
    /// Of them: those that never came here. What the receiver did not lose, the tap did.
    pub missed: u64,
}

/// What one leg's RTP stream came to, at the call's end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StreamFacts {
    /// The codec of most packets.
    pub codec: Codec,
    /// Distinct packets received.
    pub packets: u64,
    /// Packets that the sequence numbers promised and that never came (RFC 3550 section 6.4.1).
    pub lost: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that came more than once.
    pub duplicated: u64,
    /// Interarrival jitter (RFC 3550 section 6.4.1), its largest value, microseconds.
    pub jitter_micros: u32,
    /// Packets whose codec this box does not decode.
    pub undecodable: u64,
    /// Packets that are encrypted, with no key known.
    pub encrypted: u64,
    /// Packets of sources beside the one that was listened to: injected, or another stream on the same path.
    pub foreign: u64,
    /// What the receiver reported, where its RTCP was heard.
    pub far_end: Option<FarEnd>,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndCause {
    /// A BYE (RFC 3261 section 15).
    HungUp,
    /// CANCEL before an answer (RFC 3261 section 9).
    Cancelled,
    /// A final answer of 300 to 699 to the INVITE.
    Rejected,
    /// A transfer (RFC 3515, RFC 3891): the conversation goes on in another call, which names this one.
    Transferred,
    /// The same conversation is heard on another leg of a PBX already, and counts there.
    SameCall,
    /// Nothing was heard for as long as the limit says.
    SilenceTimeout,
    /// The capture ended while the call was running.
    CaptureEnded,
    /// The box was told to stop while the call was running.
    Stopped,
    /// The table of calls was full, and this one was the oldest that could be spared.
    Evicted,
}

/// How a party's will came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Said {
    /// By a key of the charter.
    Key,
    /// By the SIP header that the charter names.
    Header,
    /// By the recording session's preference (RFC 7866 section 6.2.2).
    Recording,
}

/// What happened to a call. Within a call, events and audio come in the order of time.
#[derive(Debug)]
pub enum CallEvent {
    /// An INVITE that opens a dialog was seen.
    Offered {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// The calling party.
        calling: Party,
        /// The called party.
        called: Party,
        /// How it came to be known.
        origin: Origin,
        /// The call whose story it continues, after a transfer.
        continues: Option<Call>,
    },
    /// 180 or 183 (RFC 3261 section 13.2.2.1), the first of them.
    Ringing {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
    },
    /// The 200 to the INVITE, or the first sound of a source without signalling.
    Answered {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// The called party as the network asserts it in the answer, where it does.
        called: Option<Party>,
    },
    /// Who the parties are came to be known, or changed, after the call was offered (RFC 7865: metadata that comes late or in parts).
    Identified {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// The calling party.
        calling: Party,
        /// The called party.
        called: Party,
    },
    /// Both parties are in one stream: its sound, told as the calling side's, is nobody's in particular.
    Mixed {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
    },
    /// One side put the other on hold (RFC 3264 section 8.4; `c=0.0.0.0` of RFC 2543 too).
    Held {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
    },
    /// The hold is over.
    Resumed {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
    },
    /// A party objected. Which digits the charter's key is made of never leaves `dialog`.
    Objected {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// How.
        said: Said,
    },
    /// A party said yes.
    Consented {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// Whose key it was; `None` where the PBX says so of the customer.
        side: Option<Side>,
        /// How.
        said: Said,
    },
    /// A party pressed the key that takes a private call out.
    TakenOut {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
    },
    /// Nothing may be analysed from here on: the agent's pause key, or a recording preference of off or pause (RFC 7866 section 6.2.2).
    Paused {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// How.
        said: Said,
    },
    /// The pause is over, of those that were asked for in this way.
    Continued {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// How.
        said: Said,
    },
    /// The call is over; nothing more of it comes.
    Ended {
        /// The call.
        call: Call,
        /// When.
        at: Wall,
        /// Why.
        cause: EndCause,
        /// The stream of each side ([`Side::index`]), where one was heard.
        streams: [Option<StreamFacts>; 2],
    },
}

impl CallEvent {
    /// What its streams came to ([`Side::index`]), where it is the end of the call.
    #[must_use]
    pub const fn streams(&self) -> Option<[Option<StreamFacts>; 2]> {
        match self {
            Self::Ended { streams, .. } => Some(*streams),
            _ => None,
        }
    }

    /// The call that it is about.
    #[must_use]
    pub const fn call(&self) -> Call {
        match self {
            Self::Offered { call, .. }
            | Self::Ringing { call, .. }
            | Self::Answered { call, .. }
            | Self::Identified { call, .. }
            | Self::Mixed { call, .. }
            | Self::Held { call, .. }
            | Self::Resumed { call, .. }
            | Self::Objected { call, .. }
            | Self::Consented { call, .. }
            | Self::TakenOut { call, .. }
            | Self::Paused { call, .. }
            | Self::Continued { call, .. }
            | Self::Ended { call, .. } => *call,
        }
    }

    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> Wall {
        match self {
            Self::Offered { at, .. }
            | Self::Ringing { at, .. }
            | Self::Answered { at, .. }
            | Self::Identified { at, .. }
            | Self::Mixed { at, .. }
            | Self::Held { at, .. }
            | Self::Resumed { at, .. }
            | Self::Objected { at, .. }
            | Self::Consented { at, .. }
            | Self::TakenOut { at, .. }
            | Self::Paused { at, .. }
            | Self::Continued { at, .. }
            | Self::Ended { at, .. } => *at,
        }
    }
}
