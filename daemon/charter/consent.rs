//! Consent before decoding: a state machine for each call, fed by what is heard of it. No clock, no sound, no name.
//!
//! A call begins as [`Standing::Unknown`]; only [`Standing::Given`] lets a sample of it be decoded. What narrows is final: a call that was
//! refused, excluded or taken out stays so, whatever comes later. What gives consent can fall away, as where a party takes another's place.

use crate::{AgentStanding, Charter, Glob};

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
    /// Matched against the identities of both parties (`sip:*@carrier.example`): the trunk that the call came by. `None` matches any.
    pub trunk: Option<Glob>,
    /// The customer's basis.
    pub customer: CustomerBasis,
    /// The agent's basis.
    pub agent: AgentBasis,
    /// The site's name of the notice, as people know it.
    pub notice: Option<String>,
}

impl ConsentRule {
    fn matches(&self, between: &Between<'_>) -> bool {
        between.numbers.iter().any(|number| self.pattern.matches(number))
            && self.trunk.as_ref().is_none_or(|trunk| between.identities.iter().any(|identity| trunk.matches(identity)))
    }
}

/// Who speaks with whom.
#[derive(Clone, Copy)]
pub struct Between<'a> {
    /// The numbers: calling, and called as it was dialled.
    pub numbers: [&'a str; 2],
    /// The identities of both.
    pub identities: [&'a str; 2],
    /// Which of the two is the agent; `None` where the box does not know.
    pub agent: Option<usize>,
    /// The line's name, where the site names it.
    pub line: Option<&'a str>,
    /// How that agent stands.
    pub standing: AgentStanding,
}

/// Whether a call may be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Given,
    /// Nothing says that it may.
    Unknown,
    /// Somebody said no, in the call.
    Refused,
    /// It is never measured: by the charter's list, or because it is private.
    Excluded,
    /// It was not drawn.
    NotSampled,
}

/// The evidence that a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// An announcement, by the rule.
    Announced,
    /// The customer's yes, by SIP header.
    YesByHeader,
    /// The customer's yes, by the charter's key.
    YesByKey,
    /// No rule covers the call.
    NoRule,
    /// The rule asks for a yes, and none was heard.
    NoYes,
    /// The rule asks for the agent's acknowledgement, and there is none.
    NotAcknowledged,
    /// The objection key.
    ObjectionByKey,
    /// A no by SIP header.
    NoByHeader,
    /// A number of the charter's list.
    ExcludedNumber,
    /// A line of the charter's list.
    ExcludedLine,
    /// An agent of the charter's list, or one who objected.
    ExcludedAgent,
    /// The private key.
    PrivateByKey,
    /// Spot checks: it was not drawn.
    NotDrawn,
}

/// Where a call stands, and by what evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Where it stands.
    pub standing: Standing,
    /// By what evidence.
    pub why: Why,
    /// The rule, by its place among the charter's, where one is behind it; the rule names the notice.
    pub rule: Option<usize>,
}

/// Something heard of a call that bears on consent.
#[derive(Clone, Copy)]
pub enum News<'a> {
    /// Who speaks with whom is known, or changed.
    Parties(Between<'a>),
    /// The customer said yes.
    Yes(Why),
    /// A party said no.
    No(Why),
    /// The agent takes the call out.
    Private,
}

/// One call's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consenting {
    decision: Decision,
    /// The customer's yes, which may come before the parties are known.
    yes: Option<Why>,
    /// Whether it is among the spot checks.
    is_drawn: bool,
    /// Whether a decision was told.
    is_told: bool,
}

impl Consenting {
    /// Nothing is known yet. `is_drawn`: whether the call is among the spot checks ([`Charter::is_drawn`]).
    #[must_use]
    pub const fn new(is_drawn: bool) -> Self {
        Self { decision: Decision { standing: Standing::Unknown, why: Why::NoRule, rule: None }, yes: None, is_drawn, is_told: false }
    }

    /// Where the call stands.
    #[must_use]
    pub const fn decision(&self) -> Decision {
        self.decision
    }

    /// Whether it may be decoded.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.decision.standing == Standing::Given
    }

    /// Takes in what was heard. Returns the decision where it is the first or another one than before; `parties` are those known so far, with
    /// whom a yes is weighed anew.
    pub fn hear(&mut self, charter: &Charter, news: News<'_>, parties: Option<&Between<'_>>) -> Option<Decision> {
        let before = self.decision;
        if matches!(before.standing, Standing::Refused | Standing::Excluded) {
            // Final, but for one thing: who takes a call out takes out a refused one, too.
            if matches!(news, News::Private) && before.standing != Standing::Excluded {
                self.decision = Decision { standing: Standing::Excluded, why: Why::PrivateByKey, rule: before.rule };
            }
        } else {
            self.decision = match news {
                News::Parties(between) => decide(charter, &between, self.yes),
                News::Yes(why) => {
                    self.yes = Some(why);
                    parties.map_or(before, |between| decide(charter, between, self.yes))
                }
                News::No(why) => Decision { standing: Standing::Refused, why, rule: before.rule },
                News::Private => Decision { standing: Standing::Excluded, why: Why::PrivateByKey, rule: before.rule },
            };
            if self.is_given() && !self.is_drawn {
                self.decision = Decision { standing: Standing::NotSampled, why: Why::NotDrawn, ..self.decision };
            }
        }
        let is_first = matches!(news, News::Parties(_)) && !std::mem::replace(&mut self.is_told, true);
        (self.decision != before || is_first).then_some(self.decision)
    }
}

/// The first rule that matches either number decides: a stricter rule for one line stands above the general one.
fn decide(charter: &Charter, between: &Between<'_>, yes: Option<Why>) -> Decision {
    let exclude = &charter.exclude;
    let out = |why| Decision { standing: Standing::Excluded, why, rule: None };
    if between.numbers.iter().any(|number| exclude.numbers.iter().any(|pattern| pattern.matches(number))) {
        return out(Why::ExcludedNumber);
    }
    if between.line.is_some_and(|line| exclude.lines.iter().any(|excluded| excluded == line)) {
        return out(Why::ExcludedLine);
    }
    // Where it is not known who the agent is, either may be.
    let agents = between.identities.iter().enumerate().filter(|(side, _)| between.agent.is_none_or(|agent| agent == *side));
    if between.standing.has_objected || agents.into_iter().any(|(_, identity)| exclude.agents.iter().any(|pattern| pattern.matches(identity))) {
        return out(Why::ExcludedAgent);
    }
    let Some(ordinal) = charter.consent.iter().position(|rule| rule.matches(between)) else {
        return Decision { standing: Standing::Unknown, why: Why::NoRule, rule: None };
    };
    let rule = &charter.consent[ordinal];
    let is_acknowledged = rule.agent == AgentBasis::Agreement || (between.agent.is_some() && between.standing.has_acknowledged);
    let (standing, why) = match (rule.customer, yes) {
        (CustomerBasis::Given, None) => (Standing::Unknown, Why::NoYes),
        _ if !is_acknowledged => (Standing::Unknown, Why::NotAcknowledged),
        (CustomerBasis::Given, Some(why)) => (Standing::Given, why),
        (CustomerBasis::Notice, _) => (Standing::Given, Why::Announced),
    };
    Decision { standing, why, rule: Some(ordinal) }
}

impl Charter {
    /// Whether the lot falls on this call: spot checks. `lot` is random, for each call anew.
    #[must_use]
    pub fn is_drawn(&self, lot: u64) -> bool {
        (u128::from(lot) * 100) >> 64 < u128::from(self.sampling_percent)
    }
}

#[cfg(test)]
mod tests;
