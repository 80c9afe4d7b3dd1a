//! The SIP header in which a PBX or SBC says what the customer said: `X-Consent: yes`. Name and values are the charter's.

use std::fmt;

use crate::sip::Message;

/// Which header, and what it says for a yes and for a no.
#[derive(Clone, Default)]
pub struct ConsentHeader {
    name: String,
    given: String,
    refused: String,
}

impl ConsentHeader {
    /// An empty name is never found.
    #[must_use]
    pub fn new(name: &str, given: &str, refused: &str) -> Self {
        Self { name: name.to_owned(), given: given.to_owned(), refused: refused.to_owned() }
    }

    /// Whether there is nothing to look for.
    pub(crate) const fn is_empty(&self) -> bool {
        self.name.is_empty()
    }

    /// What a message says: yes, no, or neither. Parameters behind a semicolon say nothing.
    pub(crate) fn of(&self, message: &Message<'_>) -> Option<bool> {
        let value = message.header(self.name.as_bytes())?;
        let value = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        if value.eq_ignore_ascii_case(self.given.as_bytes()) {
            Some(true)
        } else if value.eq_ignore_ascii_case(self.refused.as_bytes()) {
            Some(false)
        } else {
            None
        }
    }
}

impl fmt::Debug for ConsentHeader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConsentHeader")
    }
}
