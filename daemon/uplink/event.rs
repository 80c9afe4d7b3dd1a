//! All that the uplink can say. There is no text of the network in it: whoever talks to us cannot write into our log.

use sotto_spool::DeadLetter;

use crate::Message;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Connected.
    Connected {
        /// Counts the connections of this spool.
        connection: u64,
    },
    /// Not connected any more, or not at all.
    Lost {
        /// Why.
        loss: Loss,
        /// When the next attempt is made, milliseconds from now.
        retry_ms: u64,
    },
    /// Rows that the broker acknowledged, and that are deleted.
    Delivered {
        /// How many.
        rows: u64,
    },
    /// Rows that the broker acknowledged without taking them; they stay.
    Kept {
        /// How many.
        rows: u64,
        /// What it said.
        answer: Answer,
    },
    /// A row that the broker will never take; kept back until it expires.
    KeptBack {
        /// Why.
        why: DeadLetter,
    },
    /// The broker did not take a message about the box itself.
    Refused {
        /// Which.
        message: Message,
        /// What it said.
        answer: Answer,
    },
    /// A row waits for names that this process never knew: the tap runs with a newer configuration. Restart the uplink.
    NamesUnknown,
    /// Rows whose time of keeping ended before they could be delivered.
    Expired {
        /// How many.
        rows: u64,
    },
    /// The wall clock jumped. What ends by time waits until it has run for a while.
    ClockJumped {
        /// By how much, milliseconds; back is negative.
        by_ms: i64,
    },
    /// Since our last word another box has said that it is this one, under our site and node.
    AnotherBox,
    /// The disk is full: acknowledgements cannot be noted, so that nothing further is sent.
    DiskFull,
    /// What the disk lost was told, and acknowledged.
    LossTold {
        /// Scores, at most.
        scores: u64,
    },
    /// The end, as asked for.
    Stopped {
        /// Whether the broker acknowledged that we are offline.
        said_so: bool,
    },
}

/// What a PUBACK says (MQTT 5, 3.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 0x00: taken.
    Success,
    /// 0x10: nobody subscribes.
    NoSubscriber,
    /// 0x80.
    Unspecified,
    /// 0x83.
    Implementation,
    /// 0x87: the broker's access rules forbid it.
    NotAuthorized,
    /// 0x90.
    TopicName,
    /// 0x91.
    PacketIdInUse,
    /// 0x97.
    Quota,
    /// 0x99: not what its payload format indicator promises.
    PayloadFormat,
}

/// Why a connection ended, or did not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The host cannot be found, does not answer or refuses.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// TLS failed: its certificate is not one that we believe, or it does not believe ours.
    Tls,
    /// It refused the connection: user name or password.
    BadCredentials,
    /// It refused the connection: not allowed.
    NotAuthorized,
    /// It refused the connection: not now.
    Busy,
    /// It refused the connection for another reason.
    Rejected,
    /// It takes no QoS 1, without which nothing can be acknowledged.
    NoQos1,
    /// It closed the connection.
    Closed,
    /// Another client with our client id connected: is there a second box of the same name?
    TakenOver,
    /// It says that it shuts down.
    ShuttingDown,
    /// It disconnected us over a packet's size.
    PacketTooLarge,
    /// It disconnected us over a payload's format.
    PayloadFormat,
    /// It disconnected us for another reason.
    Disconnected,
    /// It sent what a broker does not send here.
    Protocol,
    /// It acknowledged nothing for 30 s while it should have.
    Stalled,
    /// It does not let us hear the collector, without whose word nothing can be deleted.
    CollectorForbidden,
}
