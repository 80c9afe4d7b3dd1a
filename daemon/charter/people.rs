//! Who agreed, who answers for it, who sees what.

use crate::agreement::{Date, Heard};

/// Who decides on purposes and means (GDPR 4(7)), and whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// The employer, as people know it.
    pub name: String,
    /// Where questions, objections and requests go: an address or a number that somebody reads.
    pub contact: String,
    /// The data protection officer, where there is one.
    pub officer: Option<String>,
    /// The role that reviews a contested score. Never the supervisor who saw it.
    pub reviewer: Option<String>,
}

/// The agreement with the representatives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Its name, as people know it.
    pub name: String,
    /// Who signed it.
    pub parties: Vec<String>,
    /// When.
    pub signed: Date,
    /// Past this day nothing is measured by it.
    pub until: Option<Date>,
    /// The charter's line that says so, or that begins the agreement; for messages.
    pub line: usize,
}

/// What the box publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// `call/score` and `call/withdrawn`: one call's numbers, by team.
    Scores,
    /// `team/…`: numbers of at least five agents.
    Rollups,
    /// `status`, `birth`, `health`, `coverage`, `event`: the box itself.
    Box,
    /// `notice`: what is measured of whom, and why.
    Notice,
}

impl Output {
    /// Every output.
    pub const ALL: [Self; 4] = [Self::Scores, Self::Rollups, Self::Box, Self::Notice];

    /// Its name in the charter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scores => "scores",
            Self::Rollups => "rollups",
            Self::Box => "box",
            Self::Notice => "notice",
        }
    }

    /// What its topics end with, below `sotto/v1/<site>/<node>/`.
    #[must_use]
    pub const fn topics(self) -> &'static [&'static str] {
        match self {
            Self::Scores => &["call/score", "call/withdrawn"],
            Self::Rollups => &["team/+/rollup", "team/+/live"],
            Self::Box => &["status", "birth", "health", "coverage", "event"],
            Self::Notice => &["notice"],
        }
    }
}

/// Who may read what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The user's name at the broker: `a` to `z`, `0` to `9` and `-`.
    pub name: String,
    /// In words that the people measured understand.
    pub why: String,
    /// What it may read; nothing else.
    pub outputs: Vec<Output>,
}

/// How long things are kept, days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Scores, acknowledged or not.
    pub scores_days: u32,
    /// Contests and what came of them.
    pub contests_days: u32,
    /// The audit chain, which holds no content.
    pub audit_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { scores_days: 7, contests_days: 30, audit_days: 400 }
    }
}

/// What is never measured, whatever else the charter says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Numbers, calling or called.
    pub numbers: Vec<crate::Glob>,
    /// Lines by their names in sotto.toml.
    pub lines: Vec<String>,
    /// Agents by their identity: representatives, and those who objected.
    pub agents: Vec<crate::Glob>,
}

/// A step of the site's playbook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The site's name for it.
    pub name: String,
    /// Words or phrases of which one should be said.
    pub phrases: Vec<String>,
    /// Who should say it.
    pub heard: Heard,
}

/// How a yes or no of the customer in the call itself comes to the box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The SIP header in which the PBX says so (lower case); empty where it does not.
    pub sip_header: String,
    /// What it says for a yes.
    pub given: String,
    /// What it says for a no.
    pub refused: String,
}

/// A language that notices are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// English.
    English,
    /// German.
    German,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::German];

    /// Its tag (BCP 47).
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// By its tag.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }
}
