//! The law as data: what each profile and place asks of a charter, and where it says so.
//!
//! A charter may be stricter than its profile, never laxer. `L1` to `L20` are the rows of the table in this crate's README.

/// The law's profile that the charter stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The strictest rule of every profile.
    Strict,
    /// European Union.
    Eu,
    /// United Kingdom.
    Uk,
    /// States of the US where all parties must consent.
    UsAllParty,
    /// States of the US where one party's consent suffices.
    UsOneParty,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 5] = [Self::Strict, Self::Eu, Self::Uk, Self::UsAllParty, Self::UsOneParty];

    /// Its name in the charter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Eu => "eu",
            Self::Uk => "uk",
            Self::UsAllParty => "us-all-party",
            Self::UsOneParty => "us-one-party",
        }
    }

    /// Where it is law, in words.
    #[must_use]
    pub const fn place(self) -> &'static str {
        match self {
            Self::Strict => "the strictest of all",
            Self::Eu => "European Union",
            Self::Uk => "United Kingdom",
            Self::UsAllParty => "US states with all-party consent",
            Self::UsOneParty => "US states with one-party consent",
        }
    }

    /// The rules that hold under it at these places.
    pub fn rules(self, places: &[String]) -> impl Iterator<Item = &'static Rule> {
        RULES.iter().filter(move |rule| rule.profiles.contains(&self) && (rule.places.is_empty() || places.iter().any(|place| rule.places.contains(&place.as_str()))))
    }
}

/// What a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// At most so many KPIs.
    MostKpis(usize),
    /// At most so many KPIs shown to an agent.
    MostShownToAgents(usize),
    /// At most so many KPIs that say how long or how fast a person is.
    MostTimedKpis(usize),
    /// Scores are kept at most so many days.
    LongestScores(u32),
    /// Scores are kept longer than so many days only by an agreement with the representatives.
    LongestScoresWithoutAgreement(u32),
    /// The audit chain is kept at least so many days.
    ShortestAudit(u32),
    /// The employer and its contact are named.
    NamedController,
    /// An announcement that a consent rule rests on has a name.
    NamedNotice,
    /// Where the agents' consent is an agreement, the charter says which.
    NamedAgreement,
    /// Tone is measured of customers who said yes in the call.
    ToneByYes,
    /// The purpose of tone rests on consent.
    ToneByConsent,
    /// Of an agent's voice nothing but its loudness.
    NoVoiceOfAgents,
    /// Every customer says yes in the call.
    CustomerSaysYes,
    /// Every agent has acknowledged this version.
    AgentSaysYes,
    /// At most this share of the calls, percent.
    MostSampled(u8),
    /// The profile does not hold at the rule's places.
    AnotherProfile,
}

/// One rule of law.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its row in the README's table.
    pub row: &'static str,
    /// In words.
    pub says: &'static str,
    /// Where it is written.
    pub source: &'static str,
    /// Under which profiles it holds.
    pub profiles: &'static [Profile],
    /// At which places (ISO 3166: `DE`, `US-CA`); empty for all.
    pub places: &'static [&'static str],
    /// What it asks for.
    pub requirement: Requirement,
}

const ALL: &[Profile] = &Profile::ALL;
const GDPR: &[Profile] = &[Profile::Strict, Profile::Eu, Profile::Uk];
const EU: &[Profile] = &[Profile::Strict, Profile::Eu];
const OTHERS: &[Profile] = &[Profile::Uk, Profile::UsAllParty, Profile::UsOneParty];

/// States of the US where all parties must consent, or courts disagree.
const ALL_PARTY_STATES: &[&str] =
    &["US-CA", "US-CT", "US-DE", "US-FL", "US-IL", "US-MA", "US-MD", "US-MI", "US-MT", "US-NH", "US-NV", "US-OR", "US-PA", "US-WA"];

/// Every rule.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    Rule { row: "L12", says: "few numbers: at most 5 KPIs", source: "GDPR 22 and 5(1)(c); ICO guidance on monitoring workers",
        profiles: ALL, places: &[], requirement: Requirement::MostKpis(5) },
    Rule { row: "L12", says: "few numbers: at most 3 KPIs shown to an agent", source: "GDPR 22 and 5(1)(c); ICO guidance on monitoring workers",
        profiles: ALL, places: &[], requirement: Requirement::MostShownToAgents(3) },
    Rule { row: "L8", says: "at most one KPI about duration or speed", source: "GDPR 5(1)(c); CNIL SAN-2023-021: indicators of pace are excessive",
        profiles: EU, places: &[], requirement: Requirement::MostTimedKpis(1) },
    Rule { row: "L8", says: "scores are kept 14 days at most", source: "GDPR 5(1)(e); CNIL SAN-2023-021: 31 days of indicators were excessive",
        profiles: EU, places: &[], requirement: Requirement::LongestScores(14) },
    Rule { row: "L8", says: "scores are kept longer than 7 days by agreement alone", source: "GDPR 5(1)(e); CNIL SAN-2023-021",
        profiles: EU, places: &[], requirement: Requirement::LongestScoresWithoutAgreement(7) },
    Rule { row: "L8", says: "scores are kept 90 days at most", source: "storage limitation (UK GDPR 5(1)(e)), and good practice elsewhere",
        profiles: OTHERS, places: &[], requirement: Requirement::LongestScores(90) },
    Rule { row: "L6", says: "the record of what the box did is kept 6 months at least", source: "AI Act 26(6)",
        profiles: EU, places: &[], requirement: Requirement::ShortestAudit(184) },
    Rule { row: "L7", says: "the employer and a contact are named", source: "GDPR 13(1)(a); NAIH, Budapest Bank (2022)",
        profiles: GDPR, places: &[], requirement: Requirement::NamedController },
    Rule { row: "L5", says: "an announcement that consent rests on has a name", source: "AI Act 50(3); GDPR 13",
        profiles: GDPR, places: &[], requirement: Requirement::NamedNotice },
    Rule { row: "L11", says: "where agents are measured by agreement, the charter names it", source: "BetrVG 87(1) no. 6; GDPR 88",
        profiles: EU, places: &[], requirement: Requirement::NamedAgreement },
    Rule { row: "L1", says: "no emotion and no manner of an agent from the voice", source: "AI Act 5(1)(f)",
        profiles: EU, places: &[], requirement: Requirement::NoVoiceOfAgents },
    Rule { row: "L7", says: "tone of customers who said yes in the call alone", source: "AI Act 50(3); GDPR 6(1)(a); NAIH, Budapest Bank (2022)",
        profiles: EU, places: &[], requirement: Requirement::ToneByYes },
    Rule { row: "L7", says: "tone rests on consent alone", source: "GDPR 6(1)(a); NAIH, Budapest Bank (2022)",
        profiles: EU, places: &[], requirement: Requirement::ToneByConsent },
    Rule { row: "L10", says: "both parties of a German call consent first, each for itself", source: "StGB 201",
        profiles: EU, places: &["DE"], requirement: Requirement::CustomerSaysYes },
    Rule { row: "L10", says: "both parties of a German call consent first, each for itself", source: "StGB 201",
        profiles: EU, places: &["DE"], requirement: Requirement::AgentSaysYes },
    Rule { row: "L10", says: "spot checks of German calls: 5 % at most", source: "BayLDA: no permanent recording without occasion",
        profiles: EU, places: &["DE"], requirement: Requirement::MostSampled(5) },
    Rule { row: "L9", says: "no systematic listening to French calls: half of them at most", source: "CNIL on listening to calls at work",
        profiles: EU, places: &["FR"], requirement: Requirement::MostSampled(50) },
    Rule { row: "L14", says: "all parties consent in this state: the profile is us-all-party", source: "California Penal Code 632 and its like in other states",
        profiles: &[Profile::UsOneParty], places: ALL_PARTY_STATES, requirement: Requirement::AnotherProfile },
    Rule { row: "L14", says: "this is no place of the European Union's law", source: "the charter's format",
        profiles: &[Profile::UsAllParty, Profile::UsOneParty], places: &["DE", "FR"], requirement: Requirement::AnotherProfile },
];
