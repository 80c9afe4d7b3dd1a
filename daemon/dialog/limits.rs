//! Every bound of this crate, in one place, and every count of what the bounds and the rules turned away.

/// How much state is kept and how long is waited. At each cap something defined happens, and it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls open at once. At the cap the oldest call of which there is one message and no more is given up, else the oldest that
    /// rings, else the oldest of which no sound was heard, else the one with the fewest legs heard that has been quiet the longest
    /// ([`EndCause::Evicted`](sotto_private::EndCause::Evicted)).
    pub calls: usize,
    /// Addresses that one side of a call may use at once; further ones are not listened to.
    pub addresses: usize,
    /// Calls without signalling open at once; further ones are not opened.
    pub sound_alone: usize,
    /// Sources that no call named and that are watched in case they are one; at the cap those that have shown least go.
    pub prospects: usize,
    /// Packets of all of those together that are kept.
    pub prospect_packets: usize,
    /// Branches (forks, retries) of one INVITE that are followed; further ones are not waited for.
    pub branches: usize,
    /// Pairs of addresses remembered, calls or not; at the cap the memory starts anew, which costs time alone.
    pub flows: usize,
    /// Packets that may wait for an earlier one; at the cap the earlier one is given up as lost.
    pub reorder_packets: usize,
    /// How long a packet may wait for an earlier one, microseconds.
    pub reorder_micros: i64,
    /// TCP streams at once, each direction for itself; at the cap an old one goes, those without SIP first.
    pub streams: usize,
    /// Bytes that are kept of all TCP streams together; at the cap the stream that would exceed it begins anew.
    pub stream_bytes: usize,
    /// A TCP stream of which nothing came for this long is forgotten, microseconds; should it go on, it is joined again.
    pub stream_micros: i64,
    /// How long a TCP segment may wait for an earlier one, microseconds: as long as it takes to send that one again, twice.
    pub gap_micros: i64,
    /// Packets of a source on probation, or of a doubtful clock, that are held; at the cap the oldest is dropped, or the
    /// clock decided.
    pub held_packets: usize,
    /// How long the current source must have been silent before its successor takes its place, microseconds.
    pub source_micros: i64,
    /// The same for a source that talked beside it, repeats what it said, or comes from where nobody said it would, microseconds.
    pub rival_micros: i64,
    /// How long a source that comes from where nobody said it would must go on before it is listened to where no other is, microseconds.
    pub stranger_micros: i64,
    /// After this time without an answer a call is over, microseconds (RFC 3261 section 16.6, timer C, and room).
    pub unanswered_micros: i64,
    /// How long a failed, challenged or cancelled INVITE may wait for its sequel, microseconds (64*T1, RFC 3261 section 17.1.1).
    pub transaction_micros: i64,
    /// After this time without a packet of a call that was heard before, it is over, microseconds.
    pub silence_micros: i64,
    /// The same for a call on hold, microseconds.
    pub held_call_micros: i64,
    /// The same for a call of which no sound was ever seen, only signalling, microseconds.
    pub signalling_only_micros: i64,
    /// So much voice within a second begins a call on a line tap, microseconds.
    pub line_voice_micros: i64,
    /// So long without a voice ends it, microseconds.
    pub line_silence_micros: i64,
}

impl Default for Limits {
    fn default() -> Self {
        const SECOND: i64 = 1_000_000;
        Self {
            calls: 20_000,
            addresses: 8,
            sound_alone: 2_000,
            prospects: 4_096,
            prospect_packets: 32_768,
            branches: 16,
            flows: 131_072,
            reorder_packets: 16,
            reorder_micros: 100_000,
            streams: 16_384,
            stream_bytes: 32 << 20,
            stream_micros: 3_600 * SECOND,
            gap_micros: 3 * SECOND,
            held_packets: 64,
            source_micros: 300_000,
            rival_micros: 30 * SECOND,
            stranger_micros: SECOND,
            unanswered_micros: 300 * SECOND,
            transaction_micros: 32 * SECOND,
            silence_micros: 120 * SECOND,
            held_call_micros: 3_600 * SECOND,
            signalling_only_micros: 4 * 3_600 * SECOND,
            line_voice_micros: 300_000,
            line_silence_micros: 20 * SECOND,
        }
    }
}

/// TCP segments and streams, and what was turned away of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpCounters {
    /// Segments with something in them.
    pub segments: u64,
    /// Segments that said nothing new.
    pub repeated: u64,
    /// Segments that came before an earlier one.
    pub reordered: u64,
    /// Streams seen; each direction is one.
    pub streams: u64,
    /// Of them: their beginning was not seen.
    pub joined: u64,
    /// Of them: TLS, and not read.
    pub tls: u64,
    /// Of them: WebSocket, and not read.
    pub websocket: u64,
    /// Streams given up because the table was full.
    pub evicted: u64,
    /// Streams forgotten because nothing came of them for long.
    pub expired: u64,
    /// Streams begun anew because all of them together kept too much.
    pub overflows: u64,
    /// Gaps that nobody filled.
    pub gaps: u64,
    /// Messages of which a part was missing, or longer than is read.
    pub messages_cut: u64,
    /// Times that nobody knew where the next message begins, and it was looked for.
    pub lost: u64,
    /// Empty lines between messages (RFC 5626 section 3.5.1).
    pub keep_alives: u64,
}

/// What came in, and what was turned away and why. Every datagram is counted once under `sip_messages`, `sip_malformed`,
/// `rtcp`, `media_shed`, `not_media`, `unbound`, or under `rtp_packets`; the lines below `rtp_packets` say what became of those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls seen.
    pub calls: u64,
    /// Calls open now.
    pub calls_open: u64,
    /// Calls given up because the table was full.
    pub calls_evicted: u64,
    /// Calls that turned out to be another leg of an earlier one.
    pub calls_same: u64,
    /// SIP messages read.
    pub sip_messages: u64,
    /// SIP messages that could not be read.
    pub sip_malformed: u64,
    /// SIP messages that belong to no call known here (a dialog that began before the capture, a fork that lost).
    pub sip_strays: u64,
    /// BYEs with another dialog's tag, or from an address that the dialog does not know.
    pub byes_foreign: u64,
    /// BYEs after which every leg went on sounding: the call goes on too.
    pub byes_untrue: u64,
    /// TCP, on the way to SIP.
    pub tcp: TcpCounters,
    /// Bodies that were cut before their end, and not used.
    pub bodies_cut: u64,
    /// Session descriptions that could not be read.
    pub sdp_malformed: u64,
    /// Media lines beyond the sixteenth of a description.
    pub sdp_media_left_out: u64,
    /// Addresses beyond a side's cap.
    pub addresses_left_out: u64,
    /// RTP and RTCP that was not looked at, as was asked for.
    pub media_shed: u64,
    /// RTCP packets (RFC 5761 section 4).
    pub rtcp: u64,
    /// Report blocks of those that told of a source that is listened to.
    pub rtcp_reports: u64,
    /// Datagrams that are neither SIP nor RTP nor RTCP (STUN, DTLS, DNS, keep-alives, and so on).
    pub not_media: u64,
    /// RTP-like datagrams between addresses that no call named.
    pub unbound: u64,
    /// RTP packets of calls.
    pub rtp_packets: u64,
    /// Of them: passed on as sound.
    pub rtp_sound: u64,
    /// Of them: telephone events and comfort noise.
    pub rtp_silent: u64,
    /// Of them: heard before the answer, and dropped.
    pub rtp_early: u64,
    /// Of them: heard after the BYE that ended the call, and dropped.
    pub rtp_after_end: u64,
    /// Of them: of a call that another one stands for.
    pub rtp_same_call: u64,
    /// Of them: a codec that is not decoded here.
    pub rtp_undecodable: u64,
    /// Of them: encrypted (SRTP).
    pub rtp_encrypted: u64,
    /// Of them: SRTP whose authentication failed: not from where it says.
    pub rtp_forged: u64,
    /// Of them: a payload type that nobody negotiated.
    pub rtp_unknown_type: u64,
    /// Of them: seen before (a duplicate, a copy on another mirrored leg).
    pub rtp_duplicated: u64,
    /// Of them: too late to be put in order.
    pub rtp_late: u64,
    /// Of them: from a source beside the one that the call listens to.
    pub rtp_other_source: u64,
    /// Of them: from a source that never got past probation (RFC 3550 appendix A.1).
    pub rtp_probation: u64,
    /// Of them: empty, or longer than any sender packs.
    pub rtp_odd_size: u64,
    /// Requests of recording clients that came again, and got the same answer.
    pub siprec_repeated: u64,
    /// Requests of recording clients that were refused.
    pub siprec_refused: u64,
    /// Bodies of recording clients that could not be taken apart, and metadata that could not be read.
    pub siprec_bodies_malformed: u64,
}
