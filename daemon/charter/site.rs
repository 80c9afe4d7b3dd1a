//! Who is who at this site: agents, teams, lines, and the names behind the numbers that leave.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Glob;

/// One `[[agents]]` of sotto.toml.
#[derive(Clone, Debug)]
pub struct AgentRule {
    /// Matched against the party's identity (P-Asserted-Identity, else From or To).
    pub pattern: Glob,
    /// Ordinal of the team in [`Site::teams`].
    pub team: u16,
}

/// One `[[lines]]` of sotto.toml: a number that customers call, and the name that a dashboard shows for it.
#[derive(Clone, Debug)]
pub struct LineRule {
    /// Matched against the called number's identity.
    pub pattern: Glob,
    /// Ordinal of the line in [`Site::lines`].
    pub line: u16,
}

/// The site's own names and rules.
#[derive(Clone, Debug, Default)]
pub struct Site {
    agents: Vec<AgentRule>,
    teams: Vec<String>,
    line_rules: Vec<LineRule>,
    lines: Vec<String>,
}

/// Which party is the agent, and of which team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parties {
    /// The calling party is an agent of this team.
    AgentCalling(u16),
    /// The called party is.
    AgentCalled(u16),
    /// Neither, or both: the box does not guess.
    Unlabelled,
}

/// A name that may not go into a topic or payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name must be 1 to 32 of a-z, 0-9 and -, beginning with a letter or digit")
    }
}

impl std::error::Error for NameError {}

impl Site {
    /// From pairs of pattern and name, in the order of the file.
    ///
    /// # Errors
    /// A team's or line's name that could not stand in a topic.
    pub fn new(agents: &[(String, String)], lines: &[(String, String)]) -> Result<Self, NameError> {
        let mut site = Self::default();
        for (pattern, team) in agents {
            let team = ordinal(&mut site.teams, team)?;
            site.agents.push(AgentRule { pattern: Glob::new(pattern), team });
        }
        for (pattern, line) in lines {
            let line = ordinal(&mut site.lines, line)?;
            site.line_rules.push(LineRule { pattern: Glob::new(pattern), line });
        }
        Ok(site)
    }

    /// Whether an identity is an agent's.
    #[must_use]
    pub fn is_agent(&self, identity: &str) -> bool {
        self.team(identity).is_some()
    }

    /// Which of two identities is the agent's.
    #[must_use]
    pub fn parties(&self, calling: &str, called: &str) -> Parties {
        match (self.team(calling), self.team(called)) {
            (Some(team), None) => Parties::AgentCalling(team),
            (None, Some(team)) => Parties::AgentCalled(team),
            _ => Parties::Unlabelled,
        }
    }

    fn team(&self, identity: &str) -> Option<u16> {
        self.agents.iter().find(|rule| rule.pattern.matches(identity)).map(|rule| rule.team)
    }

    /// The line that was called, if the site names it.
    #[must_use]
    pub fn line(&self, called: &str) -> Option<u16> {
        self.line_rules.iter().find(|rule| rule.pattern.matches(called)).map(|rule| rule.line)
    }

    /// Names of the teams, by ordinal.
    #[must_use]
    pub fn teams(&self) -> &[String] {
        &self.teams
    }

    /// Names of the lines, by ordinal.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

/// The names behind the numbers in a row. The uplink keeps them by their fingerprint, which each row carries: a row that waited
/// through a change of the site's names is still rendered with those of its own time.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Names {
    /// Teams by ordinal.
    pub teams: Vec<String>,
    /// Lines by ordinal.
    pub lines: Vec<String>,
}

impl Names {
    /// The names of the running site.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        Self { teams: site.teams.clone(), lines: site.lines.clone() }
    }

    /// 63 bits over all names in order.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        let mut digest = Sha256::new();
        for (kind, names) in [(b't', &self.teams), (b'l', &self.lines)] {
            for name in names {
                digest.update([kind]);
                digest.update(name.as_bytes());
                digest.update([0]);
            }
        }
        digest.finalize().iter().take(8).fold(0i64, |sum, &byte| (sum << 8) | i64::from(byte)) & i64::MAX
    }
}

fn ordinal(names: &mut Vec<String>, name: &str) -> Result<u16, NameError> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.is_empty() || name.len() > 32 || !name.starts_with(fits) || !name.chars().all(|c| fits(c) || c == '-') {
        return Err(NameError);
    }
    let found = names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    u16::try_from(found).map_err(|_| NameError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_or_both_is_unlabelled() {
        let site = Site::new(&[("sip:1???@*".into(), "billing".into()), ("sip:2???@*".into(), "sales".into())], &[]).unwrap();
        assert_eq!(site.parties("sip:2001@a", "sip:+4955@b"), Parties::AgentCalling(1));
        assert_eq!(site.parties("sip:+4955@b", "sip:1001@a"), Parties::AgentCalled(0));
        assert_eq!(site.parties("sip:1001@a", "sip:2001@a"), Parties::Unlabelled);
        assert_eq!(site.parties("sip:x@a", "sip:y@a"), Parties::Unlabelled);
    }

    #[test]
    fn names_fit_into_topics() {
        assert!(Site::new(&[("*".into(), "a/b".into())], &[]).is_err());
        assert!(Site::new(&[("*".into(), "#".into())], &[]).is_err());
        assert!(Site::new(&[("*".into(), "team-7".into())], &[]).is_ok());
    }
}
