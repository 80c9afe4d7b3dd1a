//! How much of its work the box does.

/// What is left out where there is not enough time, from nothing to nearly all. Each level leaves out what those before it do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing is left out.
    #[default]
    All,
    /// Agents' speech is not put into words.
    NoAgentWords,
    /// Of customers' speech, that of a sample of the calls alone.
    SampledCalls,
    /// Nobody's; who talks when is still found out.
    VoiceActivity,
    /// Sound is not decoded: its packets are counted, their loss and jitter measured.
    RtpStatistics,
    /// Packets of sound are not looked at; calls begin and end.
    Signalling,
}

impl Level {
    /// Every level, from the first to the last.
    pub const ALL: [Self; 6] = [Self::All, Self::NoAgentWords, Self::SampledCalls, Self::VoiceActivity, Self::RtpStatistics, Self::Signalling];

    /// Position in [`Level::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The next one, that leaves out more.
    #[must_use]
    pub fn below(self) -> Option<Self> {
        Self::ALL.get(self.index() + 1).copied()
    }

    /// The one before, that leaves out less.
    #[must_use]
    pub fn above(self) -> Option<Self> {
        self.index().checked_sub(1).map(|index| Self::ALL[index])
    }
}
