//! What doctor found, line by line, and how it is shown.

use std::fmt::Write as _;

use serde_json::json;

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// As it should be.
    Fine,
    /// It could not be tried here, and why.
    NotTried,
    /// It works; somebody should look at it soon.
    Warn,
    /// It does not work, or is possible and must not be.
    Fail,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::NotTried => "not tried",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// On a terminal (ECMA-48, SGR).
    const fn colour(self) -> u8 {
        match self {
            Self::Fine => 32,
            Self::NotTried => 90,
            Self::Warn => 33,
            Self::Fail => 31,
        }
    }
}

/// Whether it must work, or must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Needed,
    Forbidden,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) side: Side,
    /// What it is about, in a word or two.
    pub(crate) about: &'static str,
    pub(crate) verdict: Verdict,
    /// What was seen.
    pub(crate) says: String,
    /// What to do next; empty where nothing is to be done.
    pub(crate) next: String,
    /// It is the configuration that is at fault: exit 78.
    pub(crate) is_configuration: bool,
}

impl Finding {
    fn new(about: &'static str, verdict: Verdict, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self { side: Side::Needed, about, verdict, says: says.into(), next: next.into(), is_configuration: false }
    }

    pub(crate) fn fine(about: &'static str, says: impl Into<String>) -> Self {
        Self::new(about, Verdict::Fine, says, "")
    }

    pub(crate) fn warn(about: &'static str, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(about, Verdict::Warn, says, next)
    }

    pub(crate) fn fail(about: &'static str, says: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(about, Verdict::Fail, says, next)
    }

    pub(crate) fn not_tried(about: &'static str, why: impl Into<String>) -> Self {
        Self::new(about, Verdict::NotTried, why, "")
    }

    /// The same, as a fault of the configuration.
    pub(crate) fn of_configuration(self) -> Self {
        Self { is_configuration: true, ..self }
    }

    /// The same, among the things that must not work.
    pub(crate) fn forbidden(self) -> Self {
        Self { side: Side::Forbidden, ..self }
    }
}

/// What all of it comes to, as an exit status: 78 where the configuration is at fault, 1 where something else is, 0 otherwise.
pub(crate) fn status(findings: &[Finding]) -> u8 {
    let failed = || findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
    match failed().next() {
        None => 0,
        Some(_) if failed().any(|finding| finding.is_configuration) => 78,
        Some(_) => 1,
    }
}

/// For programs.
pub(crate) fn as_json(findings: &[Finding]) -> serde_json::Value {
    let lines = findings.iter().map(|finding| {
        json!({
            "must": if finding.side == Side::Needed { "work" } else { "not_work" },
            "about": finding.about,
            "verdict": finding.verdict.name().replace(' ', "_"),
            "says": finding.says,
            "next": finding.next,
        })
    });
    let worst = findings.iter().map(|finding| finding.verdict).filter(|verdict| *verdict != Verdict::NotTried).max().unwrap_or(Verdict::Fine);
    json!({ "verdict": worst.name(), "exit": status(findings), "findings": lines.collect::<Vec<_>>() })
}

/// For people: a table, wrapped at `width` columns, in colour where it is a terminal's.
pub(crate) fn as_text(findings: &[Finding], width: usize, is_coloured: bool) -> String {
    /// Before what was seen: the verdict and what it is about.
    const INDENT: usize = 33;
    let mut text = String::new();
    for (side, title) in [(Side::Needed, "What must work"), (Side::Forbidden, "What must not work")] {
        let mut lines = findings.iter().filter(|finding| finding.side == side).peekable();
        if lines.peek().is_none() {
            continue;
        }
        let _ = writeln!(text, "{title}");
        for finding in lines {
            let verdict = format!("{:<10}", finding.verdict.name());
            let verdict = if is_coloured { format!("\x1b[{}m{verdict}\x1b[0m", finding.verdict.colour()) } else { verdict };
            let _ = write!(text, "  {verdict}{:<20} ", finding.about);
            wrap(&mut text, &finding.says, INDENT, width);
            if !finding.next.is_empty() {
                let _ = write!(text, "{:INDENT$}", "");
                wrap(&mut text, &format!("-> {}", finding.next), INDENT, width);
            }
        }
        text.push('\n');
    }
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    let _ = writeln!(
        text,
        "{} ok, {} to look at, {} wrong, {} not tried",
        count(Verdict::Fine),
        count(Verdict::Warn),
        count(Verdict::Fail),
        count(Verdict::NotTried)
    );
    text
}

/// Writes the rest of a line that stands at `indent` already, and the lines that follow it.
fn wrap(text: &mut String, says: &str, indent: usize, width: usize) {
    let mut column = indent;
    for (ordinal, word) in says.split_whitespace().enumerate() {
        let length = word.chars().count();
        if ordinal > 0 && column + 1 + length > width.max(indent + 20) {
            let _ = write!(text, "\n{:indent$}", "");
            column = indent;
        } else if ordinal > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Vec<Finding> {
        vec![
            Finding::fine("spool", "there, of this version"),
            Finding::warn("SIP", "none heard in 5 s on eth1, though 1200 frames came", "does the mirror port show the PBX's signalling?"),
            Finding::not_tried("network", "systemd does not run here").forbidden(),
        ]
    }

    #[test]
    fn the_exit_status_tells_configuration_from_the_rest() {
        let mut findings = some();
        assert_eq!(status(&findings), 0, "a warning is no failure");
        findings.push(Finding::fail("broker", "refused", "start it"));
        assert_eq!(status(&findings), 1);
        findings.push(Finding::fail("configuration", "no [site]", "write it").of_configuration());
        assert_eq!(status(&findings), 78);
    }

    #[test]
    fn lines_are_wrapped_and_say_what_to_do() {
        let text = as_text(&some(), 80, false);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.contains("-> does the mirror") && text.contains("What must not work"), "{text}");
        assert!(!text.contains('\x1b'));
        assert!(as_text(&some(), 80, true).contains("\x1b[33mwarn"));
    }

    #[test]
    fn programs_get_the_same() {
        let value = as_json(&some());
        assert_eq!((value["verdict"].as_str(), value["exit"].as_u64()), (Some("warn"), Some(0)));
        assert_eq!(value["findings"][2]["verdict"], "not_tried");
        assert_eq!(value["findings"][2]["must"], "not_work");
    }
}
