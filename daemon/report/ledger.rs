//! What the ledger is told of a call.

use crate::{CallId, Millis, Outcome, Reason, Score};

/// A call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// When.
    pub started: Millis,
}

/// A call is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Closing {
    /// The call.
    pub call: CallId,
    /// Where it stands now.
    pub outcome: Outcome,
    /// Why it has no more than signalling metrics, where that is so.
    pub reason: Option<Reason>,
    /// Its score, where it has one.
    pub score: Option<Score>,
}
