//! Topics: `sotto/v1/<site>/<node>/…`. Nothing personal is ever in one; they land in brokers' logs.

use sotto_charter::NameError;

/// Which box speaks: the names that every topic and every message carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    site: String,
    node: String,
}

/// The kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// Whether the box is connected.
    Status,
    /// What runs there.
    Birth,
    /// Its state in numbers.
    Health,
    /// The ledger.
    Coverage,
    /// Something changed that explains a change in the numbers.
    Event,
    /// One call's score.
    CallScore,
    /// A score must go wherever it is.
    CallWithdrawn,
    /// What is measured of whom, and why.
    Notice,
    /// What the disk lost.
    Lost,
}

impl Message {
    /// Every kind.
    pub const ALL: [Self; 9] =
        [Self::Status, Self::Birth, Self::Health, Self::Coverage, Self::Event, Self::CallScore, Self::CallWithdrawn, Self::Notice, Self::Lost];

    /// What its topic ends with.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Birth => "birth",
            Self::Health => "health",
            Self::Coverage => "coverage",
            Self::Event => "event",
            Self::CallScore => "call/score",
            Self::CallWithdrawn => "call/withdrawn",
            Self::Notice => "notice",
            Self::Lost => "lost",
        }
    }
}

impl About {
    /// # Errors
    /// A name that could not stand in a topic: 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit.
    pub fn new(site: &str, node: &str) -> Result<Self, NameError> {
        if is_name(site) && is_name(node) { Ok(Self { site: site.to_owned(), node: node.to_owned() }) } else { Err(NameError) }
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// The box.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The topic of a kind of message.
    #[must_use]
    pub fn topic(&self, message: Message) -> String {
        format!("sotto/v1/{}/{}/{}", self.site, self.node, message.suffix())
    }

    /// Where a collector says what it has of this box: the one topic that is listened to, and only where the site has a collector.
    #[must_use]
    pub fn ack_topic(&self) -> String {
        format!("sotto-in/v1/{}/{}/ack", self.site, self.node)
    }

    /// The client id: one for each box, so that a second box of the same name is noticed.
    #[must_use]
    pub fn client_id(&self) -> String {
        format!("sotto-{}-{}", self.site, self.node)
    }
}

/// Whether a text may stand in a topic or in a payload as a name.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 32 && text.starts_with(fits) && text.chars().all(|c| fits(c) || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_a_fixed_depth() {
        let about = About::new("harbor", "rec-1").unwrap();
        assert_eq!(about.topic(Message::CallScore), "sotto/v1/harbor/rec-1/call/score");
        assert_eq!(about.client_id(), "sotto-harbor-rec-1");
        for wrong in ["", "a/b", "#", "+", "Harbor", "-a", &"a".repeat(33)] {
            assert!(About::new(wrong, "rec-1").is_err() && About::new("harbor", wrong).is_err(), "{wrong}");
        }
    }
}
