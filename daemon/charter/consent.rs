//! Consent rules: before one of them covers a call, not a sample of it is decoded.

use crate::Glob;

/// What the customer's consent rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerBasis {
    /// An announcement plays before the call is put through; the rule attests it.
    Notice,
    /// A yes in this very call. Until evidence of it reaches the box, the consent is unknown and nothing is decoded.
    Given,
}

/// What the agent's consent rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentBasis {
    /// An agreement signed with the representatives.
    Agreement,
    /// Each agent's acknowledgement of this very charter version. Until it reaches the box, the consent is unknown.
    Acknowledged,
}

/// One `[[consent]]` of the charter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentRule {
    /// Matched against the calling and the called number.
    pub pattern: Glob,
    /// The customer's basis.
    pub customer: CustomerBasis,
    /// The agent's basis.
    pub agent: AgentBasis,
    /// The site's name of the notice, as people know it.
    pub notice: Option<String>,
}

/// What the rules say of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Covered by the rule of this ordinal.
    Given(usize),
    /// A rule of this ordinal matches, but the evidence that it asks for is not there.
    AwaitingEvidence(usize),
    /// No rule matches.
    NoRule,
}

/// The first rule that matches either number decides: a stricter rule for one line stands above the general one.
pub(crate) fn decide(rules: &[ConsentRule], calling: &str, called: &str) -> Decision {
    let matching = rules.iter().position(|rule| rule.pattern.matches(calling) || rule.pattern.matches(called));
    match matching {
        None => Decision::NoRule,
        Some(ordinal) => match (rules[ordinal].customer, rules[ordinal].agent) {
            (CustomerBasis::Notice, AgentBasis::Agreement) => Decision::Given(ordinal),
            _ => Decision::AwaitingEvidence(ordinal),
        },
    }
}
