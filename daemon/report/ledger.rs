//! What the ledger is told of a call.

use crate::field::names;
use crate::{CallId, Id, Millis, Outcome, Reason, Score};

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

names! {
    /// Whether a call may be decoded.
    Standing {
        /// It may.
        Given "given",
        /// Nothing says that it may.
        Unknown "unknown",
        /// Somebody said no, in the call.
        Refused "refused",
        /// It is never measured.
        Excluded "excluded",
        /// It was not drawn.
        NotSampled "not_sampled",
    }
}

names! {
    /// What a consent decision rests on.
    Evidence {
        /// An announcement, by the charter's rule.
        Announced "announced",
        /// The customer's yes, by SIP header.
        YesByHeader "yes_by_header",
        /// The customer's yes, by key.
        YesByKey "yes_by_key",
        /// No rule covers the call.
        NoRule "no_rule",
        /// A yes was asked for and not heard.
        NoYes "no_yes",
        /// The agent has not acknowledged this version.
        NotAcknowledged "not_acknowledged",
        /// The objection key.
        ObjectionByKey "objection_by_key",
        /// A no by SIP header.
        NoByHeader "no_by_header",
        /// A number of the charter's list.
        ExcludedNumber "excluded_number",
        /// A line of the charter's list.
        ExcludedLine "excluded_line",
        /// An agent of the charter's list, or one who objected.
        ExcludedAgent "excluded_agent",
        /// The private key.
        PrivateByKey "private_by_key",
        /// Spot checks: it was not drawn.
        NotDrawn "not_drawn",
    }
}

/// A consent decision, for the audit chain: which rule, which evidence, and no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The call.
    pub call: CallId,
    /// When.
    pub at: Millis,
    /// Where the call stands.
    pub standing: Standing,
    /// By what evidence.
    pub evidence: Evidence,
    /// The charter's rule, by its ordinal; the rule names the notice.
    pub rule: Option<Id>,
}
