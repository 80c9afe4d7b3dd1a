//! What leaves of consent: the decision and its evidence, for the audit chain; and whose call it was, as a mark, for the tap's own file.

use sotto_charter::{Decision, Mark, Standing, Why};
use sotto_private::{Consent, Findings, Wall};
use sotto_report::{self as report, CallId, Decided, Evidence, Id};

use crate::Sealed;
use crate::quantize::millis;

/// Seals a consent decision.
#[must_use]
pub fn decided(call: CallId, at: Wall, decision: Decision) -> Sealed<Decided> {
    let standing = match decision.standing {
        Standing::Given => report::Standing::Given,
        Standing::Unknown => report::Standing::Unknown,
        Standing::Refused => report::Standing::Refused,
        Standing::Excluded => report::Standing::Excluded,
        Standing::NotSampled => report::Standing::NotSampled,
    };
    let evidence = match decision.why {
        Why::Announced => Evidence::Announced,
        Why::YesByHeader => Evidence::YesByHeader,
        Why::YesByKey => Evidence::YesByKey,
        Why::NoRule => Evidence::NoRule,
        Why::NoYes => Evidence::NoYes,
        Why::NotAcknowledged => Evidence::NotAcknowledged,
        Why::ObjectionByKey => Evidence::ObjectionByKey,
        Why::NoByHeader => Evidence::NoByHeader,
        Why::ExcludedNumber => Evidence::ExcludedNumber,
        Why::ExcludedLine => Evidence::ExcludedLine,
        Why::ExcludedAgent => Evidence::ExcludedAgent,
        Why::PrivateByKey => Evidence::PrivateByKey,
        Why::NotDrawn => Evidence::NotDrawn,
    };
    let rule = decision.rule.and_then(|rule| u16::try_from(rule).ok()).map(Id);
    Sealed::new(Decided { call, at: millis(at), standing, evidence, rule })
}

/// The mark of the agent of a call that was measured: of no other call is it kept whose it was.
#[must_use]
pub fn agent(findings: &Findings) -> Option<Mark> {
    findings.agent.filter(|_| findings.consent == Consent::Given && findings.answered.is_some()).map(Mark)
}
