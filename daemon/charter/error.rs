//! Why a charter is refused.

use std::fmt;

/// A charter that cannot be kept: where, which rule, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharterError {
    /// Line of the text, from 1; 0 where the fault is that something is absent.
    pub line: usize,
    /// What is wrong and what would be right.
    pub what: String,
    /// The rule or law that asks for it.
    pub rule: &'static str,
}

impl CharterError {
    pub(crate) fn new(line: usize, what: impl Into<String>, rule: &'static str) -> Self {
        Self { line, what: what.into(), rule }
    }
}

impl fmt::Display for CharterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(formatter, "line {}: ", self.line)?;
        }
        write!(formatter, "{} [{}]", self.what, self.rule)
    }
}

impl std::error::Error for CharterError {}
