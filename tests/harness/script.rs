//! A scripted call, as TOML and as Rust values: who says what, when and how loud, and what the network does to it.
//!
//! Times are milliseconds. Inside a call they count from the answer (the 200 to the INVITE); `start_ms` of a call counts
//! from the start of the script. Levels are dBov (ITU-T G.100.1): decibels below full scale, -26 being the nominal level of
//! telephone speech.
//!
//! ```
//! let script = sotto_tests::script::Script::parse(r#"
//! seed = 7
//!
//! [[call]]                              # more of them: more calls in one capture, each from its own start_ms on
//! start_ms = 0
//! direction = "inbound"                 # or outbound: the agent calls
//! outcome = "answered"                  # or no_bye, cancelled, rejected (with reject_status), unanswered
//! ended_by = "customer"
//! ring_ms = 3000
//! codec = "PCMU"                        # or PCMA, G722, OPUS
//! ptime_ms = 20
//! vlan = 100
//! ipv6 = false
//! silence_suppression = false
//! agent = { uri = "sip:1001@pbx.example", asserted = "sip:1001@pbx.example", voice = "slt" }
//! customer = { uri = "sip:+12025550101@carrier.example", voice = "rms" }
//! noise = { kind = "pink", snr_db = 20 }                     # or white; or level_dbfs
//! network = { loss_percent = 3, burst_packets = 2, reorder_percent = 1, duplicate_percent = 1, jitter_ms = 5, outage = [
//!     { who = "agent", at_ms = 9000, for_ms = 400 },
//! ] }
//!
//! [[call.say]]                          # in the order of the script
//! who = "agent"
//! at_ms = 700                           # or gap_ms, from the end of the utterance before
//! text = "Good morning, how can I help you?"
//!
//! [[call.say]]
//! who = "customer"
//! gap_ms = -300                         # negative: an overlap
//! after = "previous end"                # or "previous start", "latest end"
//! level_dbfs = -30
//! text = "My line is dead."
//!
//! [[call.hold]]                         # nothing is sent meanwhile, or the music of the holding side
//! at_ms = 8000
//! for_ms = 5000
//!
//! [[call.tone]]                         # sound that is nobody's talk
//! who = "customer"
//! at_ms = 14000
//! for_ms = 1000
//! hz = 1333
//!
//! [[call.music]]
//! who = "agent"
//! at_ms = 16000
//! wav = "music.wav"
//! "#).unwrap();
//! assert_eq!(script.call[0].say.len(), 2);
//! ```

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// When a script's first call starts unless told otherwise: 2 November 2026, 09:00 UTC, so that output is the same each time.
pub const DEFAULT_START_EPOCH_MS: i64 = 1_793_610_000_000;

/// The calls of one capture.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Everything random (noise, loss, jitter, SSRC, first sequence number) follows from it.
    pub seed: u64,
    /// Wall time of the script's start, milliseconds since 1970.
    pub start_epoch_ms: i64,
    /// The calls, which may overlap in time.
    pub call: Vec<Call>,
    /// Folder that relative wav paths start from; the script's own folder when read from a file.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            seed: 1,
            start_epoch_ms: DEFAULT_START_EPOCH_MS,
            call: Vec::new(),
            folder: PathBuf::from("."),
        }
    }
}

/// One two-party call.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Call {
    /// When the INVITE is sent, from the script's start.
    pub start_ms: u64,
    /// SIP Call-ID; made from the seed and the call's place if absent.
    pub call_id: Option<String>,
    /// Who calls whom.
    pub direction: Direction,
    /// What becomes of the INVITE.
    pub outcome: Outcome,
    /// Status of the rejection, 300 to 699, for `outcome = "rejected"`.
    pub reject_status: u16,
    /// Who sends the BYE.
    pub ended_by: Who,
    /// From the 180 to the 200 (or to the CANCEL, or to the rejection).
    pub ring_ms: u32,
    /// When the BYE is sent; if absent, `tail_ms` after the last sound.
    pub end_ms: Option<u32>,
    /// Silence between the last sound and the BYE, where `end_ms` is absent.
    pub tail_ms: u32,
    /// Codec of both legs.
    pub codec: Codec,
    /// Sound in a packet: 10 to 60 ms, in steps of ten.
    pub ptime_ms: u32,
    /// IEEE 802.1Q VLAN id, 1 to 4094.
    pub vlan: Option<u16>,
    /// IPv6 instead of IPv4, unless the parties name their addresses.
    pub ipv6: bool,
    /// Send no packets while the leg is silent (RFC 3551 section 4.1; no comfort noise).
    pub silence_suppression: bool,
    /// The agent.
    pub agent: Party,
    /// The customer.
    pub customer: Party,
    /// Loss, reordering, duplicates, jitter.
    pub network: Network,
    /// Line noise on both legs.
    pub noise: Option<Noise>,
    /// What is said, in the order of the script.
    pub say: Vec<Say>,
    /// When the call is on hold.
    pub hold: Vec<Hold>,
    /// Tones, which are nobody's talk.
    pub tone: Vec<Tone>,
    /// Music or any other sound from a wav file, which is nobody's talk.
    pub music: Vec<Music>,
    /// Keys that are pressed, each sent as an INFO (RFC 6086).
    pub press: Vec<Press>,
    /// A further header line of the INVITE.
    pub header: Option<String>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            start_ms: 0,
            call_id: None,
            direction: Direction::Inbound,
            outcome: Outcome::Answered,
            reject_status: 486,
            ended_by: Who::Customer,
            ring_ms: 4_000,
            end_ms: None,
            tail_ms: 1_000,
            codec: Codec::Pcmu,
            ptime_ms: 20,
            vlan: None,
            ipv6: false,
            silence_suppression: false,
            agent: Party::default(),
            customer: Party::default(),
            network: Network::default(),
            noise: None,
            say: Vec::new(),
            hold: Vec::new(),
            tone: Vec::new(),
            music: Vec::new(),
            press: Vec::new(),
            header: None,
        }
    }
}

impl Call {
    /// Adds an utterance that starts `gap_ms` after the previous one's end (before it, if negative).
    #[must_use]
    pub fn says(mut self, who: Who, gap_ms: i32, text: &str) -> Self {
        self.say.push(Say {
            text: Some(text.to_owned()),
            gap_ms: Some(gap_ms),
            ..Say::by(who)
        });
        self
    }

    /// Adds an utterance at a given time.
    #[must_use]
    pub fn says_at(mut self, who: Who, at_ms: u32, text: &str) -> Self {
        self.say.push(Say {
            text: Some(text.to_owned()),
            at_ms: Some(at_ms),
            ..Say::by(who)
        });
        self
    }

    /// Adds a wav file as something said; a file that spans the call is that party's whole leg. The rule of truth is for
    /// clean speech: of a recording made in a room it takes much of the room for talk.
    #[must_use]
    pub fn plays(mut self, who: Who, at_ms: u32, wav: &Path) -> Self {
        self.say.push(Say {
            wav: Some(wav.to_owned()),
            at_ms: Some(at_ms),
            ..Say::by(who)
        });
        self
    }

    /// Adds a tone at -20 dBov.
    #[must_use]
    pub fn sounds(mut self, who: Who, at_ms: u32, for_ms: u32, hz: f64) -> Self {
        self.tone.push(Tone {
            who,
            at_ms,
            for_ms,
            hz,
            level_dbfs: default_tone_level(),
        });
        self
    }

    /// Adds a hold by the agent, without music.
    #[must_use]
    pub fn holds(mut self, at_ms: u32, for_ms: u32) -> Self {
        self.hold.push(Hold {
            at_ms,
            for_ms,
            by: Who::Agent,
            music: None,
            music_level_dbfs: default_music_level(),
        });
        self
    }

    /// Presses keys, 100 ms apart.
    #[must_use]
    pub fn presses(mut self, who: Who, at_ms: u32, keys: &str) -> Self {
        self.press.push(Press { who, at_ms, keys: keys.to_owned() });
        self
    }

    /// The party of that role.
    #[must_use]
    pub const fn party(&self, who: Who) -> &Party {
        match who {
            Who::Agent => &self.agent,
            Who::Customer => &self.customer,
        }
    }

    /// Who sends the INVITE.
    #[must_use]
    pub const fn caller(&self) -> Who {
        match self.direction {
            Direction::Inbound => Who::Customer,
            Direction::Outbound => Who::Agent,
        }
    }
}

/// Keys that a party presses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Press {
    /// Who.
    pub who: Who,
    /// When the first is pressed, from the answer.
    pub at_ms: u32,
    /// Which: `0` to `9`, `*`, `#`, `A` to `D`.
    pub keys: String,
}

/// A party's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// The contact centre's side.
    Agent,
    /// The other side.
    Customer,
}

impl Who {
    /// Both, the agent first, as in a two-channel wav (left, right).
    pub const BOTH: [Self; 2] = [Self::Agent, Self::Customer];

    /// The other party.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Agent => Self::Customer,
            Self::Customer => Self::Agent,
        }
    }

    /// 0 for the agent, 1 for the customer.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Agent => 0,
            Self::Customer => 1,
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agent => "agent",
            Self::Customer => "customer",
        })
    }
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// The customer calls.
    Inbound,
    /// The agent calls.
    Outbound,
}

/// What becomes of a call's INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered, and ended by a BYE.
    Answered,
    /// Answered; the capture ends, or the parties fall silent, without a BYE.
    NoBye,
    /// CANCEL while it rings (RFC 3261 section 9).
    Cancelled,
    /// A final answer of 300 to 699.
    Rejected,
    /// Rings, and nothing more is heard.
    Unanswered,
}

impl Outcome {
    /// Whether the call was answered, so that there is sound.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        matches!(self, Self::Answered | Self::NoBye)
    }
}

/// Codec of the RTP payload, by its name in RFC 3551.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Codec {
    /// G.711 mu-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// G.722, payload type 9.
    G722,
    /// Opus (RFC 7587), payload type 96; packets of 10, 20, 40 or 60 ms.
    Opus,
}

impl Codec {
    /// Payload type, and the encoding as an `a=rtpmap` line names it. G.722's clock says 8,000, and is wrong (RFC 3551 section 4.5.2).
    #[must_use]
    pub const fn rtpmap(self) -> (u8, &'static str) {
        match self {
            Self::Pcmu => (0, "PCMU/8000"),
            Self::Pcma => (8, "PCMA/8000"),
            Self::G722 => (9, "G722/8000"),
            Self::Opus => (96, "opus/48000/2"),
        }
    }

    /// Ticks of the RTP clock in a sample of the harness' 8 kHz.
    #[must_use]
    pub const fn ticks(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 1,
            Self::Opus => 6,
        }
    }
}

/// One party's names and addresses. What is absent gets a default that differs between the parties and the calls.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Party {
    /// URI of From or To: `sip:1042@pbx.example` for the agent, `sip:+12025550142@carrier.example` for the customer.
    pub uri: Option<String>,
    /// URI of P-Asserted-Identity (RFC 3325), sent with the INVITE or the 200; none if absent.
    pub asserted: Option<String>,
    /// Address of signalling and media.
    pub ip: Option<IpAddr>,
    /// UDP port of signalling; 5060 if absent.
    pub sip_port: Option<u16>,
    /// UDP port of media, even.
    pub rtp_port: Option<u16>,
    /// flite voice: slt (the agent's default), rms (the customer's), awb, kal.
    pub voice: Option<String>,
    /// First RTP sequence number; from the seed if absent.
    pub first_sequence: Option<u16>,
}

/// What the network does to the RTP packets; signalling arrives whole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// Share of packets that never arrive, 0 to 90 percent. A stream's first and last packet always arrive, so that sequence numbers show all that is lost.
    pub loss_percent: f64,
    /// Mean length of a run of lost packets (Gilbert's model); 1 or absent: each packet's fate is its own.
    pub burst_packets: Option<f64>,
    /// Share of packets held back so long that the next one overtakes them, 0 to 50 percent.
    pub reorder_percent: f64,
    /// Share of packets that arrive twice, 0 to 100 percent.
    pub duplicate_percent: f64,
    /// Each packet is late by 0 to this many milliseconds, in order.
    pub jitter_ms: f64,
    /// Spans in which nothing of a leg arrives.
    pub outage: Vec<Outage>,
}

/// A span in which no packet of a leg arrives.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// Whose packets.
    pub who: Who,
    /// Start.
    pub at_ms: u32,
    /// Length.
    pub for_ms: u32,
}

/// Line noise: give one of `level_dbfs` and `snr_db`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Colour.
    #[serde(default = "default_noise_kind")]
    pub kind: NoiseKind,
    /// Root mean square, dBov.
    pub level_dbfs: Option<f64>,
    /// Decibels below the leg's speech, root mean square over the time it talks.
    pub snr_db: Option<f64>,
}

/// Colour of a noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoiseKind {
    /// Equal power at every frequency.
    White,
    /// Equal power in every octave, like most rooms.
    Pink,
}

/// Something that a party says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Say {
    /// Who.
    pub who: Who,
    /// The words. With `wav`, the transcript of that file. Numbers are written as words.
    pub text: Option<String>,
    /// A wav file instead of flite.
    pub wav: Option<PathBuf>,
    /// When its first sound is heard. Else `gap_ms` after the point that `after` names.
    pub at_ms: Option<u32>,
    /// What `gap_ms` counts from.
    #[serde(default)]
    pub after: After,
    /// Pause before it; negative for an overlap; 400 if absent.
    pub gap_ms: Option<i32>,
    /// flite voice, where it is not the party's.
    pub voice: Option<String>,
    /// Level of its active parts, dBov: -26 for text; a wav file stays as recorded if absent.
    pub level_dbfs: Option<f64>,
}

impl Say {
    /// Nothing yet, by that party.
    #[must_use]
    pub const fn by(who: Who) -> Self {
        Self {
            who,
            text: None,
            wav: None,
            at_ms: None,
            after: After::PreviousEnd,
            gap_ms: None,
            voice: None,
            level_dbfs: None,
        }
    }
}

/// What a gap counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum After {
    /// The end of the utterance before it in the script.
    #[default]
    #[serde(rename = "previous end")]
    PreviousEnd,
    /// The start of the utterance before it in the script.
    #[serde(rename = "previous start")]
    PreviousStart,
    /// The latest end of all utterances before it.
    #[serde(rename = "latest end")]
    LatestEnd,
}

/// A hold (RFC 3264 section 8.4): re-INVITE with `a=sendonly`, later `a=sendrecv`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// When the re-INVITE is sent.
    pub at_ms: u32,
    /// Until the re-INVITE that ends it.
    pub for_ms: u32,
    /// Who holds.
    #[serde(default = "default_holder")]
    pub by: Who,
    /// A wav file that the holding side sends meanwhile; without one it sends nothing.
    pub music: Option<PathBuf>,
    /// Root mean square of the music, dBov.
    #[serde(default = "default_music_level")]
    pub music_level_dbfs: f64,
}

/// A tone.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tone {
    /// On whose leg.
    pub who: Who,
    /// Start.
    pub at_ms: u32,
    /// Length.
    pub for_ms: u32,
    /// Frequency, under 4,000 Hz.
    pub hz: f64,
    /// Root mean square, dBov.
    #[serde(default = "default_tone_level")]
    pub level_dbfs: f64,
}

/// A sound from a file that is nobody's talk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Music {
    /// On whose leg.
    pub who: Who,
    /// Start.
    pub at_ms: u32,
    /// Length; the whole file if absent.
    pub for_ms: Option<u32>,
    /// The file.
    pub wav: PathBuf,
    /// Root mean square, dBov; as recorded if absent.
    pub level_dbfs: Option<f64>,
}

/// What a caller changes in a script without editing it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Wall time of the start, milliseconds since 1970.
    pub start_epoch_ms: Option<i64>,
    /// Seed.
    pub seed: Option<u64>,
    /// Noise on every call, in place of the script's.
    pub noise: Option<Noise>,
    /// Loss on every call, percent, in place of the script's.
    pub loss_percent: Option<f64>,
    /// Codec of every call, in place of the script's.
    pub codec: Option<Codec>,
}

impl Script {
    /// A script of one call.
    #[must_use]
    pub fn of(call: Call) -> Self {
        Self {
            call: vec![call],
            ..Self::default()
        }
    }

    /// The same call `times` over, one starting `every_ms` after the other; each has its own Call-ID and ports.
    #[must_use]
    pub fn repeated(call: &Call, times: u64, every_ms: u64) -> Self {
        let nth = |n| Call {
            start_ms: call.start_ms + n * every_ms,
            ..call.clone()
        };
        Self {
            call: (0..times).map(nth).collect(),
            ..Self::default()
        }
    }

    /// Reads a script from its text.
    ///
    /// # Errors
    /// It is not TOML, or holds a key or value that no script has; the error shows the line.
    pub fn parse(text: &str) -> Result<Self, crate::Error> {
        toml::from_str(text).map_err(|source| crate::Error::new(source.to_string()))
    }

    /// Reads a script from a file. An error shows the line.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or holds a key or value that no script has.
    pub fn read(path: &Path) -> Result<Self, crate::Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| crate::Error::file(path, &source))?;
        let mut script = Self::parse(&text)
            .map_err(|error| crate::Error::new(format!("{}: {error}", path.display())))?;
        script.folder = path
            .parent()
            .map_or_else(|| PathBuf::from("."), Path::to_owned);
        Ok(script)
    }

    /// Puts `overrides` in the place of what the script says.
    pub fn apply(&mut self, overrides: &Overrides) {
        self.start_epoch_ms = overrides.start_epoch_ms.unwrap_or(self.start_epoch_ms);
        self.seed = overrides.seed.unwrap_or(self.seed);
        for call in &mut self.call {
            call.noise = overrides.noise.or(call.noise);
            call.network.loss_percent = overrides.loss_percent.unwrap_or(call.network.loss_percent);
            call.codec = overrides.codec.unwrap_or(call.codec);
        }
    }
}

const fn default_noise_kind() -> NoiseKind {
    NoiseKind::Pink
}

const fn default_holder() -> Who {
    Who::Agent
}

const fn default_music_level() -> f64 {
    -26.0
}

const fn default_tone_level() -> f64 {
    -20.0
}
