//! Why a charter is refused.

use std::fmt;

/// A charter that cannot be kept: where, which rule, by what law, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterError {
    /// Line of the text, from 1; 0 where the fault is that something is absent.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
    /// The rule that asks for it.
    pub rule: &'static str,
    /// Where the law says so; empty where it is the charter's own format.
    pub source: &'static str,
}

impl CharterError {
    pub(crate) fn new(line: usize, what: impl Into<String>, rule: &'static str) -> Self {
        Self { line, what: what.into(), rule, source: "" }
    }

    pub(crate) fn by(mut self, source: &'static str) -> Self {
        self.source = source;
        self
    }

    /// What is wrong, with rule and source and without the line.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self { what, rule, source, .. } = self;
        if source.is_empty() { format!("{what} [{rule}]") } else { format!("{what} [{rule}: {source}]") }
    }
}

impl fmt::Display for CharterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}: ", self.line)?;
        }
        formatter.write_str(&self.reason())
    }
}

impl std::error::Error for CharterError {}
