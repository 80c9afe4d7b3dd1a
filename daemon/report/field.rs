//! The table of everything that a score may say.

use crate::Kind;

/// Fields of one purpose, as the charter names it; `Always` needs no words and no sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Signalling and RTP.
    Always,
    /// Who talked how much.
    TalkBalance,
    /// Who cut in on whom.
    Interruptions,
    /// When nobody talked.
    Silence,
    /// Which word lists were heard.
    Keywords,
    /// How the customer's words felt.
    SentimentCustomer,
    /// Whether the matter was settled.
    Resolution,
    /// Sensitive things said aloud.
    Sensitive,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 8] = [
        Self::Always,
        Self::TalkBalance,
        Self::Interruptions,
        Self::Silence,
        Self::Keywords,
        Self::SentimentCustomer,
        Self::Resolution,
        Self::Sensitive,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::TalkBalance => "talk_balance",
            Self::Interruptions => "interruptions",
            Self::Silence => "silence",
            Self::Keywords => "keywords",
            Self::SentimentCustomer => "sentiment_customer",
            Self::Resolution => "resolution",
            Self::Sensitive => "sensitive",
        }
    }

    /// The key of its confidence in a score.
    #[must_use]
    pub const fn confidence_key(self) -> &'static str {
        match self {
            Self::Always => "confidence_always",
            Self::TalkBalance => "confidence_talk_balance",
            Self::Interruptions => "confidence_interruptions",
            Self::Silence => "confidence_silence",
            Self::Keywords => "confidence_keywords",
            Self::SentimentCustomer => "confidence_sentiment_customer",
            Self::Resolution => "confidence_resolution",
            Self::Sensitive => "confidence_sensitive",
        }
    }

    /// Position in [`Group::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

macro_rules! fields {
    ($($variant:ident $name:literal $pm:literal $group:ident $kind:ident $detail:literal $doc:literal;)*) => {
        /// A number that a score may carry.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $(#[doc = $doc] $variant,)*
        }

        impl Field {
            /// Every field, in the order in which a score lists them.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

            /// Its key in a score.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The key of its plus-minus; empty where it has none.
            #[must_use]
            pub const fn pm_name(self) -> &'static str {
                match self { $(Self::$variant => $pm),* }
            }

            /// Its group.
            #[must_use]
            pub const fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group),* }
            }

            /// What it counts.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind),* }
            }

            /// Whether it leaves only where the charter names its group under `detail`.
            #[must_use]
            pub const fn is_detail(self) -> bool {
                match self { $(Self::$variant => $detail),* }
            }

            /// What it means, for the schema.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc),* }
            }
        }
    };
}

fields! {
    CallDurationMs "call_duration_ms" "" Always Time false "Answer to end.";
    RingMs "ring_ms" "" Always Time false "INVITE to answer, or to the end of a call that nobody answered.";
    HoldMs "hold_ms" "" Always Time false "Time on hold, by the signalling.";
    HoldCount "hold_count" "" Always Count false "How often the call was put on hold.";
    QualityMosAgent "quality_mos_agent" "" Always Mos false "Listening quality of the agent's sound as it arrived here, E-model (ITU-T G.107; of G.722 on the wideband scale of G.107.1).";
    QualityMosCustomer "quality_mos_customer" "" Always Mos false "Listening quality of the customer's sound as it arrived here, E-model (ITU-T G.107; of G.722 on the wideband scale of G.107.1).";
    TapLossPpm "tap_loss_ppm" "" Always Ppm false "Packets that the box itself missed, in a million.";
    JoinedLate "joined_late" "" Always Flag false "Whether the call was running before the box first heard of it: its start is not known, nor what was said before.";
    ForeignSound "foreign_sound" "" Always Flag false "Whether packets of a source that is no party of the call came in on its path. They were kept apart.";
    ShedLevel "shed_level" "" Always Count false "The most that the box left out for want of time while the call ran: 0 nothing, 1 agents' words, 2 words but for a sample of the calls, 3 all words, 4 all sound, 5 all but signalling.";
    TalkTimeAgentMs "talk_time_agent_ms" "talk_time_agent_ms_pm" TalkBalance Time false "Time the agent talked; pauses under bridge_ms count as talk.";
    TalkTimeCustomerMs "talk_time_customer_ms" "talk_time_customer_ms_pm" TalkBalance Time false "Time the customer talked; pauses under bridge_ms count as talk.";
    TalkSpeedAgentWpm "talk_speed_agent_wpm" "talk_speed_agent_wpm_pm" TalkBalance Speed true "The agent's words by minute of talk time.";
    TalkSpeedCustomerWpm "talk_speed_customer_wpm" "talk_speed_customer_wpm_pm" TalkBalance Speed true "The customer's words by minute of talk time.";
    LongestMonologueAgentMs "longest_monologue_agent_ms" "longest_monologue_agent_ms_pm" TalkBalance Time true "The agent's longest stretch of talk, pauses under bridge_ms included.";
    InterruptionsAgentCount "interruptions_agent_count" "interruptions_agent_count_pm" Interruptions Count false "How often the agent cut in on the customer.";
    InterruptionsCustomerCount "interruptions_customer_count" "interruptions_customer_count_pm" Interruptions Count false "How often the customer cut in on the agent.";
    OverlapMs "overlap_ms" "overlap_ms_pm" Interruptions Time true "Time both talked.";
    NonTalkTimeTotalMs "non_talk_time_total_ms" "non_talk_time_total_ms_pm" Silence Time false "Sum of the gaps over non_talk_gap_ms in which neither talked, hold left out.";
    SilenceCount "silence_count" "silence_count_pm" Silence Count true "How many such gaps.";
    Category01 "category_01" "" Keywords Flag false "Whether the site's list 1 was heard.";
    Category02 "category_02" "" Keywords Flag false "Whether the site's list 2 was heard.";
    Category03 "category_03" "" Keywords Flag false "Whether the site's list 3 was heard.";
    Category04 "category_04" "" Keywords Flag false "Whether the site's list 4 was heard.";
    Category05 "category_05" "" Keywords Flag false "Whether the site's list 5 was heard.";
    Category06 "category_06" "" Keywords Flag false "Whether the site's list 6 was heard.";
    Category07 "category_07" "" Keywords Flag false "Whether the site's list 7 was heard.";
    Category08 "category_08" "" Keywords Flag false "Whether the site's list 8 was heard.";
    Category09 "category_09" "" Keywords Flag false "Whether the site's list 9 was heard.";
    Category10 "category_10" "" Keywords Flag false "Whether the site's list 10 was heard.";
    Category11 "category_11" "" Keywords Flag false "Whether the site's list 11 was heard.";
    Category12 "category_12" "" Keywords Flag false "Whether the site's list 12 was heard.";
    Category13 "category_13" "" Keywords Flag false "Whether the site's list 13 was heard.";
    Category14 "category_14" "" Keywords Flag false "Whether the site's list 14 was heard.";
    Category15 "category_15" "" Keywords Flag false "Whether the site's list 15 was heard.";
    Category16 "category_16" "" Keywords Flag false "Whether the site's list 16 was heard.";
    Category17 "category_17" "" Keywords Flag false "Whether the site's list 17 was heard.";
    Category18 "category_18" "" Keywords Flag false "Whether the site's list 18 was heard.";
    Category19 "category_19" "" Keywords Flag false "Whether the site's list 19 was heard.";
    Category20 "category_20" "" Keywords Flag false "Whether the site's list 20 was heard.";
    Category21 "category_21" "" Keywords Flag false "Whether the site's list 21 was heard.";
    Category22 "category_22" "" Keywords Flag false "Whether the site's list 22 was heard.";
    Category23 "category_23" "" Keywords Flag false "Whether the site's list 23 was heard.";
    Category24 "category_24" "" Keywords Flag false "Whether the site's list 24 was heard.";
    Category25 "category_25" "" Keywords Flag false "Whether the site's list 25 was heard.";
    Category26 "category_26" "" Keywords Flag false "Whether the site's list 26 was heard.";
    Category27 "category_27" "" Keywords Flag false "Whether the site's list 27 was heard.";
    Category28 "category_28" "" Keywords Flag false "Whether the site's list 28 was heard.";
    Category29 "category_29" "" Keywords Flag false "Whether the site's list 29 was heard.";
    Category30 "category_30" "" Keywords Flag false "Whether the site's list 30 was heard.";
    SentimentCustomer "sentiment_customer" "sentiment_customer_pm" SentimentCustomer Sentiment false "How the customer's words felt: the mean of the quarters of the customer's time, in each the mean of the turns, weighted by 0.3 + |score|.";
    SentimentStartCustomer "sentiment_start_customer" "sentiment_start_customer_pm" SentimentCustomer Sentiment true "The first quarter; of fewer than five turns the first third.";
    SentimentEndCustomer "sentiment_end_customer" "sentiment_end_customer_pm" SentimentCustomer Sentiment true "The last quarter; of fewer than five turns the last third.";
    SentimentQ1Customer "sentiment_q1_customer" "sentiment_q1_customer_pm" SentimentCustomer Sentiment true "The first quarter of the time to the end of the customer's last word.";
    SentimentQ2Customer "sentiment_q2_customer" "sentiment_q2_customer_pm" SentimentCustomer Sentiment true "The second quarter.";
    SentimentQ3Customer "sentiment_q3_customer" "sentiment_q3_customer_pm" SentimentCustomer Sentiment true "The third quarter.";
    SentimentQ4Customer "sentiment_q4_customer" "sentiment_q4_customer_pm" SentimentCustomer Sentiment true "The fourth quarter.";
    Resolution "resolution" "" Resolution Resolution false "Whether the matter was settled, from what was said in the last two fifths of the call.";
    ResolutionSource "resolution_source" "" Resolution Source false "From where that is known: heard in the call, or the site's CRM.";
    CardSpoken "card_spoken" "card_spoken_pm" Sensitive Count false "Numbers of payment cards said aloud.";
    HealthSpoken "health_spoken" "health_spoken_pm" Sensitive Count false "Words about somebody's health said aloud.";
    IdentitySpoken "identity_spoken" "identity_spoken_pm" Sensitive Count false "Numbers, addresses, dates of birth and spelled names said aloud, which name or find a person.";
}

impl Field {
    /// Position in [`Field::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The field of the site's list with this ordinal, 0..30.
    #[must_use]
    pub fn category(ordinal: usize) -> Option<Self> {
        Self::ALL.get(Self::Category01.index() + ordinal).copied()
    }
}

/// Declares an enum whose variants have fixed names in JSON.
macro_rules! names {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $type {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            /// Every value.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

            /// Its name in messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Position in [`Self::ALL`].
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The value of this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == name)
            }
        }
    };
}

names! {
    /// Why a field is not known.
    Reason {
        /// No rule of the charter gave consent.
        Consent "consent",
        /// The purpose's date of review has passed.
        ReviewOverdue "review_overdue",
        /// Neither or both parties match the site's agents.
        Unlabelled "unlabelled",
        /// Sound was heard from one party only.
        OneLegged "one_legged",
        /// No sound was heard.
        NoAudio "no_audio",
        /// The codec is not decoded here.
        CodecUnsupported "codec_unsupported",
        /// Too much was lost.
        Loss "loss",
        /// Too much jitter.
        Jitter "jitter",
        /// Too little speech.
        TooShort "too_short",
        /// The words were too unsure.
        LowConfidence "low_confidence",
        /// The box could not keep up.
        Shed "shed",
        /// RTCP, which could tell, was not heard.
        NoRtcp "no_rtcp",
        /// The sound was encrypted, and no key was heard.
        Encrypted "encrypted",
        /// Analysis was paused.
        Paused "paused",
        /// Both parties were in one channel.
        Mixed "mixed",
        /// No published model covers it (the quality of a codec that ITU-T G.113 does not list).
        NoModel "no_model",
        /// The language spoken is, or may be, none in which blanking is verified.
        Language "language",
    }
}

names! {
    /// Where a call stands in the ledger.
    Outcome {
        /// A score was published.
        Scored "scored",
        /// Signalling metrics alone: no consent, or no sound that could be decoded.
        SignallingOnly "signalling_only",
        /// Nobody answered; no score.
        Unanswered "unanswered",
        /// Left out by the charter's sampling.
        NotSampled "not_sampled",
        /// Left out by the charter's lists.
        Excluded "excluded",
        /// Cut off: the capture or the box ended first.
        Interrupted "interrupted",
        /// The box could not keep up.
        Shed "shed",
        /// A table was full.
        Refused "refused",
        /// Still running.
        Open "open",
    }
}

names! {
    /// Why a call ended.
    EndCause {
        /// One party hung up.
        HungUp "hung_up",
        /// The caller gave up before an answer.
        Cancelled "cancelled",
        /// The call was turned away.
        Rejected "rejected",
        /// Nothing was heard for too long.
        SilenceTimeout "silence_timeout",
        /// The capture ended first.
        CaptureEnded "capture_ended",
        /// The box was stopped first.
        Stopped "stopped",
        /// The table of calls was full.
        Evicted "evicted",
        /// It was transferred: its story goes on in another call.
        Transferred "transferred",
        /// The same conversation was heard on another leg, and counts there.
        SameCall "same_call",
    }
}

names! {
    /// Who called whom.
    Direction {
        /// The customer called.
        Inbound "inbound",
        /// The agent called.
        Outbound "outbound",
    }
}

names! {
    /// The codec of the sound.
    MediaCodec {
        /// G.711 mu-law.
        Pcmu "pcmu",
        /// G.711 A-law.
        Pcma "pcma",
        /// G.722.
        G722 "g722",
        /// G.729.
        G729 "g729",
        /// GSM full rate.
        Gsm "gsm",
        /// iLBC.
        Ilbc "ilbc",
        /// AMR.
        Amr "amr",
        /// Opus.
        Opus "opus",
        /// Linear PCM.
        Linear "linear",
        /// Another.
        Other "other",
    }
}

pub(crate) use names;
