//! A charter against the rules of its profile and places.

use crate::agreement::{Charter, Group};
use crate::consent::{AgentBasis, CustomerBasis};
use crate::profile::{Requirement, Rule};
use crate::CharterError;

/// Where in the text the parts stand that a rule may be about: lines from 1, 0 where the part is absent.
#[derive(Default)]
pub(crate) struct Lines {
    pub(crate) profile: usize,
    pub(crate) kpis: usize,
    /// One for each of `detail`.
    pub(crate) detail: Vec<usize>,
    pub(crate) shown_to_agents: usize,
    pub(crate) scores_days: usize,
    pub(crate) audit_days: usize,
    pub(crate) sampling: usize,
    /// Of each consent rule: `customer` and `agent`.
    pub(crate) consent: Vec<[usize; 2]>,
    /// Of each purpose: `basis`.
    pub(crate) basis: Vec<usize>,
}

/// Refuses what is laxer than the law.
pub(crate) fn check(charter: &Charter, lines: &Lines) -> Result<(), CharterError> {
    charter.profile.rules(&charter.places).try_for_each(|rule| {
        breach(charter, lines, rule).map_or(Ok(()), |(line, what)| Err(CharterError::new(line, what, rule.says).by(rule.source)))
    })
}

/// Where a charter breaks a rule, and how.
fn breach(charter: &Charter, lines: &Lines, rule: &Rule) -> Option<(usize, String)> {
    let measures = !charter.kpis.is_empty();
    let consent = || charter.consent.iter().zip(&lines.consent);
    match rule.requirement {
        Requirement::MostKpis(most) => {
            let count = charter.kpis.len();
            (count > most).then(|| (lines.kpis, format!("{count} kpis; at most {most} are allowed")))
        }
        Requirement::MostShownToAgents(most) => {
            let count = charter.shown_to_agents.len();
            (count > most).then(|| (lines.shown_to_agents, format!("{count} kpis are shown to agents; at most {most} are allowed")))
        }
        Requirement::MostTimedKpis(most) => {
            let count = charter.kpis.iter().filter(|group| group.is_about_duration_or_speed()).count();
            (count > most).then(|| (lines.kpis, format!("{count} kpis about duration or speed; profile `{}` allows {most}", charter.profile.name())))
        }
        Requirement::LongestScores(most) => (charter.retention.scores_days > most)
            .then(|| (lines.scores_days, format!("scores_days must be 1 to {most} under profile `{}`", charter.profile.name()))),
        Requirement::LongestScoresWithoutAgreement(most) => (charter.retention.scores_days > most && charter.agreement.is_none())
            .then(|| (lines.scores_days, format!("scores_days above {most} needs an [agreement] with the representatives"))),
        Requirement::ShortestAudit(least) => {
            (charter.retention.audit_days < least).then(|| (lines.audit_days, format!("audit_days must be at least {least}")))
        }
        Requirement::NamedController => {
            (measures && charter.controller.is_none()).then(|| (lines.kpis, "something is measured, but [controller] with name and contact is absent".to_owned()))
        }
        Requirement::NamedNotice => consent()
            .find(|(rule, _)| measures && rule.customer == CustomerBasis::Notice && rule.notice.is_none())
            .map(|(_, lines)| (lines[0], "customer = \"notice\" without `notice`: name the announcement that plays".to_owned())),
        Requirement::NamedAgreement => consent()
            .find(|(rule, _)| measures && rule.agent == AgentBasis::Agreement && charter.agreement.is_none())
            .map(|(_, lines)| (lines[1], "agent = \"agreement\", but [agreement] with name, parties and signed is absent".to_owned())),
        Requirement::ToneByYes => consent()
            .find(|(rule, _)| charter.names(Group::ToneCustomer) && rule.customer != CustomerBasis::Given)
            .map(|(_, lines)| (lines[0], "`tone_customer` is a kpi: every rule must have customer = \"given\"".to_owned())),
        Requirement::ToneByConsent => charter
            .purposes
            .iter()
            .zip(&lines.basis)
            .find(|(purpose, _)| purpose.metric == Group::ToneCustomer && !purpose.basis.eq_ignore_ascii_case("consent"))
            .map(|(_, line)| (*line, "the basis of `tone_customer` must be \"consent\"".to_owned())),
        Requirement::NoVoiceOfAgents => charter
            .detail
            .iter()
            .zip(&lines.detail)
            .find(|(group, _)| **group == Group::DeliveryAgent)
            .map(|(_, line)| (*line, "`detail` names `delivery_agent`: pace and pitch of an agent's voice are not measured here".to_owned())),
        Requirement::CustomerSaysYes => consent()
            .find(|(rule, _)| rule.customer != CustomerBasis::Given)
            .map(|(_, lines)| (lines[0], "customer must be \"given\": an announcement is not enough at this place".to_owned())),
        Requirement::AgentSaysYes => consent()
            .find(|(rule, _)| rule.agent != AgentBasis::Acknowledged)
            .map(|(_, lines)| (lines[1], "agent must be \"acknowledged\": an agreement does not stand for each agent's yes at this place".to_owned())),
        Requirement::MostSampled(most) => (measures && charter.sampling_percent > most)
            .then(|| (lines.sampling, format!("[sampling] percent must be at most {most} at this place; it is {}", charter.sampling_percent))),
        Requirement::AnotherProfile => {
            Some((lines.profile, format!("profile `{}` does not hold at one of `places`", charter.profile.name())))
        }
    }
}
