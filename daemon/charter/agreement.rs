//! The charter as types.

use std::fmt;

use crate::consent::ConsentRule;
use crate::people::{Agreement, Audience, Controller, Evidence, Exclude, Language, Retention, Step};
use crate::profile::Profile;

/// A day, as `review_by` names it.
pub use jiff::civil::Date;

/// A group of numbers with one purpose: what the charter calls a metric (DESIGN section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Who talked how much.
    TalkBalance,
    /// Who cut in on whom.
    Interruptions,
    /// When nobody talked.
    Silence,
    /// How the customer's words felt.
    SentimentCustomer,
    /// How the customer's voice felt.
    ToneCustomer,
    /// The agent's loudness.
    DeliveryAgent,
    /// Which of the site's word lists were heard.
    Keywords,
    /// Whether the matter was settled.
    Resolution,
    /// Sensitive things said aloud, counted.
    Sensitive,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 9] = [
        Self::TalkBalance,
        Self::Interruptions,
        Self::Silence,
        Self::SentimentCustomer,
        Self::ToneCustomer,
        Self::DeliveryAgent,
        Self::Keywords,
        Self::Resolution,
        Self::Sensitive,
    ];

    /// Its name in the charter and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TalkBalance => "talk_balance",
            Self::Interruptions => "interruptions",
            Self::Silence => "silence",
            Self::SentimentCustomer => "sentiment_customer",
            Self::ToneCustomer => "tone_customer",
            Self::DeliveryAgent => "delivery_agent",
            Self::Keywords => "keywords",
            Self::Resolution => "resolution",
            Self::Sensitive => "sensitive",
        }
    }

    /// Whether this version of the box can compute it. A charter that names another is refused, so that nobody signs for a
    /// number that does not come.
    #[must_use]
    pub const fn is_built(self) -> bool {
        !matches!(self, Self::ToneCustomer | Self::DeliveryAgent)
    }

    /// Whether it says of a person how long or how fast: talk time and pace. Silence is a property of the call, not of a person.
    #[must_use]
    pub const fn is_about_duration_or_speed(self) -> bool {
        matches!(self, Self::TalkBalance | Self::DeliveryAgent)
    }

    /// Whether it needs the words, and so the recogniser. Talk balance needs them for its detail fields alone.
    #[must_use]
    pub const fn needs_words(self) -> bool {
        matches!(self, Self::Keywords | Self::SentimentCustomer | Self::Resolution | Self::Sensitive)
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }
}

/// Why a metric is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// The metric.
    pub metric: Group,
    /// In words that the people measured understand.
    pub why: String,
    /// The legal basis.
    pub basis: String,
    /// Past this day the metric stops.
    pub review_by: Date,
}

/// Which legs a category listens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The agent's words.
    Agent,
    /// The customer's words.
    Customer,
    /// Either party's.
    Either,
}

/// How near what was heard must be to a phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    /// The same words, whatever their case and punctuation.
    Exact,
    /// The same words in any inflection: "cancel" hears "cancelled".
    Inflected,
    /// Words that sound alike as well: what a recogniser writes for a name that it does not know.
    Sound,
}

/// A list of the site: its name stays in the charter, only its number leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// The site's name for it.
    pub name: String,
    /// Words or phrases, compared as `nearness` says. May be empty where there is `like`.
    pub phrases: Vec<String>,
    /// How phrases are compared.
    pub nearness: Nearness,
    /// Sentences: whatever means nearly the same is heard.
    pub like: Vec<String>,
    /// Sentences that sound like those and mean something else.
    pub unlike: Vec<String>,
    /// Whose words count.
    pub heard: Heard,
}

/// Keys that a party may press in a call; each is a sequence of `0` to `9`, `*`, `#`, `A` to `D`, or empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Whoever presses it objects: nothing more of the call is analysed.
    pub objection: String,
    /// Analysis pauses.
    pub pause: String,
    /// Whoever paused goes on.
    pub resume: String,
    /// The customer says yes to being measured.
    pub consent: String,
    /// The agent takes the call out: it is private.
    pub private: String,
}

/// The whole agreement.
#[derive(Clone)]
pub struct Charter {
    /// The site's name of this version.
    pub version: String,
    /// The law's profile.
    pub profile: Profile,
    /// The groups that are computed.
    pub kpis: Vec<Group>,
    /// The groups that also publish their detail fields.
    pub detail: Vec<Group>,
    /// Consent rules, in order.
    pub consent: Vec<ConsentRule>,
    /// How a yes or no in the call comes to the box.
    pub evidence: Evidence,
    /// How long things are kept.
    pub retention: Retention,
    /// One for each KPI.
    pub purposes: Vec<Purpose>,
    /// The site's lists, in order: the first is `category_01`.
    pub categories: Vec<Category>,
    /// The steps of the playbook, in order.
    pub playbook: Vec<Step>,
    /// The keys of objection, pause, consent and privacy.
    pub keys: Keys,
    /// Who answers for it.
    pub controller: Option<Controller>,
    /// What was agreed with the representatives.
    pub agreement: Option<Agreement>,
    /// Where it holds (ISO 3166: `DE`, `US-CA`).
    pub places: Vec<String>,
    /// Who may read what.
    pub audiences: Vec<Audience>,
    /// The groups that an agent's own page shows first: at most three of the KPIs.
    pub shown_to_agents: Vec<Group>,
    /// Whether supervisors see who the agent was. Only a charter that both sides signed may say so.
    pub names_agents: bool,
    /// The share of calls that is listened to, percent.
    pub sampling_percent: u8,
    /// What is never measured.
    pub exclude: Exclude,
    /// Fewer calls than this make no figure of one agent.
    pub minimum_calls: u32,
    /// A metric of which so many contests were upheld, percent, switches itself off.
    pub contested_off_percent: u8,
    /// Languages in which the notice is given.
    pub languages: Vec<Language>,
    /// SHA-256 of the text that was parsed.
    pub digest: [u8; 32],
}

impl Charter {
    /// Whether the group is agreed and neither its purpose nor the agreement is overdue on `today`.
    #[must_use]
    pub fn is_active(&self, group: Group, today: Date) -> bool {
        let is_agreed = self.agreement.as_ref().and_then(|agreement| agreement.until).is_none_or(|until| today <= until);
        is_agreed && self.kpis.contains(&group) && self.purposes.iter().any(|purpose| purpose.metric == group && today <= purpose.review_by)
    }

    /// The first day after which something of it stops, days since 1970: a purpose's review or the agreement's end. `None` where nothing is measured.
    #[must_use]
    pub fn review_day(&self) -> Option<i64> {
        let reviews = self.purposes.iter().filter(|purpose| self.kpis.contains(&purpose.metric)).map(|purpose| purpose.review_by);
        let first = reviews.chain(self.agreement.as_ref().and_then(|agreement| agreement.until)).min().filter(|_| !self.kpis.is_empty())?;
        first.since(jiff::civil::Date::constant(1970, 1, 1)).ok().map(|span| i64::from(span.get_days()))
    }

    /// Whether the group is agreed, overdue or not.
    #[must_use]
    pub fn names(&self, group: Group) -> bool {
        self.kpis.contains(&group)
    }

    /// Whether the group's detail fields are agreed.
    #[must_use]
    pub fn has_detail(&self, group: Group) -> bool {
        self.detail.contains(&group)
    }

    /// Whether anything agreed needs the recogniser: without it the model is not even loaded.
    #[must_use]
    pub fn needs_words(&self) -> bool {
        self.kpis.iter().any(|group| group.needs_words())
            || (self.names(Group::TalkBalance) && self.has_detail(Group::TalkBalance))
    }

    /// Whether a list is heard by what was meant: then the model of meanings is loaded.
    #[must_use]
    pub fn needs_meanings(&self) -> bool {
        self.names(Group::Keywords) && self.categories.iter().any(|category| !category.like.is_empty())
    }

    /// Whether anything agreed needs the sound at all.
    #[must_use]
    pub fn needs_sound(&self) -> bool {
        !self.kpis.is_empty()
    }

    /// The same charter with nothing to measure: what is left of one that its parties did not sign. Signalling goes on.
    #[must_use]
    pub fn standing_down(&self) -> Self {
        Self { kpis: Vec::new(), detail: Vec::new(), consent: Vec::new(), purposes: Vec::new(), shown_to_agents: Vec::new(), ..self.clone() }
    }

    /// The first 64 bits of the digest: how messages name this charter.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.digest.iter().take(8).fold(0, |sum, &byte| (sum << 8) | u64::from(byte))
    }
}

impl fmt::Debug for Charter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Charter({:016x})", self.fingerprint())
    }
}

/// The day (UTC) of a moment in microseconds since 1970.
#[must_use]
pub fn day_of(micros: i64) -> Date {
    let days = micros.div_euclid(86_400_000_000);
    let first = Date::constant(1970, 1, 1);
    i32::try_from(days).ok().and_then(|days| first.checked_add(jiff::Span::new().try_days(days).ok()?).ok()).unwrap_or(if days < 0 { Date::MIN } else { Date::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_utc_days() {
        assert_eq!(day_of(0), Date::constant(1970, 1, 1));
        assert_eq!(day_of(-1), Date::constant(1969, 12, 31));
        assert_eq!(day_of(1_795_392_000_000_000 - 1), Date::constant(2026, 11, 22));
        assert_eq!(day_of(1_795_392_000_000_000), Date::constant(2026, 11, 23));
        assert_eq!(day_of(i64::MAX), Date::MAX);
    }
}
