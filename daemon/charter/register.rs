//! What is known of the agents themselves: who has acknowledged the charter, who objected, who paused.
//!
//! No name is here. Agents are known by marks: keyed hashes of their identity that the gate makes with a key that stays on the box.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A keyed hash of an identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(pub [u8; 16]);

impl fmt::Debug for Mark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Mark")
    }
}

/// How one agent stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentStanding {
    /// Has acknowledged this very version of the charter.
    pub has_acknowledged: bool,
    /// Objected: none of the agent's calls is measured.
    pub has_objected: bool,
    /// Has paused: nothing is decoded until the agent goes on.
    pub is_paused: bool,
}

/// The gate's keyed hash.
pub type Marker = Arc<dyn Fn(&str) -> Mark + Send + Sync>;

/// All agents of whom anything is known.
#[derive(Clone, Default)]
pub struct Register {
    marker: Option<Marker>,
    agents: HashMap<Mark, AgentStanding>,
}

impl Register {
    /// Of the agents by their marks.
    #[must_use]
    pub fn new(marker: Marker, agents: HashMap<Mark, AgentStanding>) -> Self {
        Self { marker: Some(marker), agents }
    }

    /// How the agent of this identity stands.
    #[must_use]
    pub fn standing(&self, identity: &str) -> AgentStanding {
        if self.agents.is_empty() {
            return AgentStanding::default();
        }
        self.mark(identity).and_then(|mark| self.agents.get(&mark)).copied().unwrap_or_default()
    }

    /// The mark of an identity; `None` where there is no key to make one.
    #[must_use]
    pub fn mark(&self, identity: &str) -> Option<Mark> {
        self.marker.as_ref().map(|marker| marker(identity))
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Register({} agents)", self.agents.len())
    }
}
