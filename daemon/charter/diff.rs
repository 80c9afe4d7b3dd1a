//! What another charter would change: field by field, and for whom.

use std::collections::BTreeMap;

use crate::agreement::{Charter, Group, Heard};
use crate::consent::{AgentBasis, CustomerBasis};
use crate::people::{Language, Output};

/// Whether a change lets more or less be done with people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// More is measured, of more people, kept longer or seen by more.
    Wider,
    /// Less.
    Narrower,
    /// Neither can be said.
    Other,
}

impl Effect {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wider => "wider",
            Self::Narrower => "narrower",
            Self::Other => "other",
        }
    }
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Where it stands in the charter: `retention.scores_days`, `audience.supervisors.outputs`.
    pub field: String,
    /// What it was; `None` where it is new.
    pub before: Option<String>,
    /// What it would be; `None` where it goes.
    pub after: Option<String>,
    /// Whether it widens what is done.
    pub effect: Effect,
}

/// What an audience would read that it did not, or no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudienceChange {
    /// The audience.
    pub audience: String,
    /// What it would gain.
    pub gains: Vec<String>,
    /// What it would lose.
    pub loses: Vec<String>,
}

/// All fields that differ, in the order of their names.
#[must_use]
pub fn changes(before: &Charter, after: &Charter) -> Vec<Change> {
    let (old, new) = (facts(before), facts(after));
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differing = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differing
        .map(|name| {
            let (was, is) = (old.get(name), new.get(name));
            Change {
                field: name.clone(),
                before: was.map(|fact| fact.text.clone()),
                after: is.map(|fact| fact.text.clone()),
                effect: effect(was, is),
            }
        })
        .collect()
}

/// What each audience would gain and lose: a KPI counts for all who read scores.
#[must_use]
pub fn audiences(before: &Charter, after: &Charter) -> Vec<AudienceChange> {
    let (old, new) = (readings(before), readings(after));
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let none = Vec::new();
    let compared = names.into_iter().map(|name| {
        let (had, has) = (old.get(name).unwrap_or(&none), new.get(name).unwrap_or(&none));
        let only = |these: &Vec<String>, not: &Vec<String>| these.iter().filter(|text| !not.contains(text)).cloned().collect();
        AudienceChange { audience: name.clone(), gains: only(has, had), loses: only(had, has) }
    });
    compared.filter(|change| !change.gains.is_empty() || !change.loses.is_empty()).collect()
}

/// A field's value, and how to weigh a change of it.
#[derive(PartialEq)]
struct Fact {
    text: String,
    weight: Weight,
}

#[derive(Clone, Copy, PartialEq)]
enum Weight {
    /// Its presence, or more of it, widens.
    Widens(i64),
    /// Its presence, or more of it, narrows.
    Narrows(i64),
    /// Words.
    Plain,
}

fn effect(before: Option<&Fact>, after: Option<&Fact>) -> Effect {
    let weigh = |fact: Option<&Fact>| match fact.map(|fact| fact.weight) {
        Some(Weight::Widens(amount)) => Some(amount),
        Some(Weight::Narrows(amount)) => Some(-amount),
        Some(Weight::Plain) | None => None,
    };
    let present = before.or(after).map(|fact| fact.weight);
    let absent = match present {
        Some(Weight::Plain) | None => return Effect::Other,
        Some(_) => 0,
    };
    match weigh(after).unwrap_or(absent).cmp(&weigh(before).unwrap_or(absent)) {
        std::cmp::Ordering::Greater => Effect::Wider,
        std::cmp::Ordering::Less => Effect::Narrower,
        std::cmp::Ordering::Equal => Effect::Other,
    }
}

/// Everything that a charter says, flat.
fn facts(charter: &Charter) -> BTreeMap<String, Fact> {
    let mut facts = BTreeMap::new();
    let mut say = |field: String, text: String, weight: Weight| {
        facts.insert(field, Fact { text, weight });
    };
    say("version".into(), charter.version.clone(), Weight::Plain);
    say("profile".into(), charter.profile.name().into(), Weight::Plain);
    say("places".into(), charter.places.join(", "), Weight::Plain);
    for group in &charter.kpis {
        say(format!("kpis.{}", group.name()), "measured".into(), Weight::Widens(1));
    }
    for group in &charter.detail {
        say(format!("detail.{}", group.name()), "with detail".into(), Weight::Widens(1));
    }
    for purpose in &charter.purposes {
        let name = purpose.metric.name();
        say(format!("purpose.{name}.why"), purpose.why.clone(), Weight::Plain);
        say(format!("purpose.{name}.basis"), purpose.basis.clone(), Weight::Plain);
        let days = purpose.review_by.since(jiff::civil::Date::constant(1970, 1, 1)).map_or(0, |span| i64::from(span.get_days()));
        say(format!("purpose.{name}.review_by"), purpose.review_by.to_string(), Weight::Widens(days.max(1)));
    }
    for (ordinal, rule) in charter.consent.iter().enumerate() {
        let customer = match rule.customer {
            CustomerBasis::Notice => ("notice", Weight::Widens(2)),
            CustomerBasis::Given => ("given", Weight::Widens(1)),
        };
        let agent = match rule.agent {
            AgentBasis::Agreement => ("agreement", Weight::Widens(2)),
            AgentBasis::Acknowledged => ("acknowledged", Weight::Widens(1)),
        };
        let field = |key: &str| format!("consent.{:03}.{key}", ordinal + 1);
        say(field("match"), rule.pattern.to_string(), Weight::Plain);
        if let Some(trunk) = &rule.trunk {
            say(field("trunk"), trunk.to_string(), Weight::Narrows(1));
        }
        say(field("customer"), customer.0.into(), customer.1);
        say(field("agent"), agent.0.into(), agent.1);
        if let Some(notice) = &rule.notice {
            say(field("notice"), notice.clone(), Weight::Plain);
        }
    }
    let retention = charter.retention;
    for (field, days) in [("scores_days", retention.scores_days), ("contests_days", retention.contests_days), ("audit_days", retention.audit_days)] {
        say(format!("retention.{field}"), days.to_string(), Weight::Widens(i64::from(days)));
    }
    say("sampling.percent".into(), charter.sampling_percent.to_string(), Weight::Widens(i64::from(charter.sampling_percent)));
    say("minimum_calls".into(), charter.minimum_calls.to_string(), Weight::Narrows(i64::from(charter.minimum_calls)));
    say("contested_off_percent".into(), charter.contested_off_percent.to_string(), Weight::Widens(i64::from(charter.contested_off_percent)));
    say("agents_shown".into(), names(&charter.shown_to_agents), Weight::Plain);
    say("names_agents".into(), charter.names_agents.to_string(), Weight::Widens(i64::from(charter.names_agents)));
    say("languages".into(), charter.languages.iter().map(|language| Language::tag(*language)).collect::<Vec<_>>().join(", "), Weight::Plain);
    for (kind, patterns) in [("numbers", &charter.exclude.numbers), ("agents", &charter.exclude.agents)] {
        for pattern in patterns {
            say(format!("exclude.{kind}.{pattern}"), "never measured".into(), Weight::Narrows(1));
        }
    }
    for line in &charter.exclude.lines {
        say(format!("exclude.lines.{line}"), "never measured".into(), Weight::Narrows(1));
    }
    for (key, sequence) in [
        ("objection", &charter.keys.objection),
        ("pause", &charter.keys.pause),
        ("resume", &charter.keys.resume),
        ("consent", &charter.keys.consent),
        ("private", &charter.keys.private),
    ] {
        if !sequence.is_empty() {
            say(format!("keys.{key}"), sequence.clone(), if key == "consent" || key == "resume" { Weight::Plain } else { Weight::Narrows(1) });
        }
    }
    if !charter.evidence.sip_header.is_empty() {
        let crate::Evidence { sip_header, given, refused } = &charter.evidence;
        say("evidence".into(), format!("{sip_header}: {given} or {refused}"), Weight::Plain);
    }
    for audience in &charter.audiences {
        say(format!("audience.{}.why", audience.name), audience.why.clone(), Weight::Plain);
        say(format!("audience.{}.outputs", audience.name), outputs(&audience.outputs), Weight::Widens(audience.outputs.len() as i64));
    }
    if let Some(controller) = &charter.controller {
        say("controller.name".into(), controller.name.clone(), Weight::Plain);
        say("controller.contact".into(), controller.contact.clone(), Weight::Plain);
        for (key, value) in [("officer", &controller.officer), ("reviewer", &controller.reviewer)] {
            if let Some(value) = value {
                say(format!("controller.{key}"), value.clone(), Weight::Plain);
            }
        }
    }
    if let Some(agreement) = &charter.agreement {
        say("agreement.name".into(), agreement.name.clone(), Weight::Plain);
        say("agreement.parties".into(), agreement.parties.join(", "), Weight::Plain);
        say("agreement.signed".into(), agreement.signed.to_string(), Weight::Plain);
        if let Some(until) = agreement.until {
            say("agreement.until".into(), until.to_string(), Weight::Plain);
        }
    }
    for (ordinal, category) in charter.categories.iter().enumerate() {
        let field = format!("category_{:02}.{}", ordinal + 1, category.name);
        say(field, format!("{} phrases of {}: {}", category.phrases.len(), heard(category.heard), category.phrases.join(", ")), Weight::Widens(category.phrases.len() as i64));
    }
    for (ordinal, step) in charter.playbook.iter().enumerate() {
        say(format!("playbook.{:02}.{}", ordinal + 1, step.name), format!("{}: {}", heard(step.heard), step.phrases.join(", ")), Weight::Plain);
    }
    facts
}

/// What each audience reads, down to the KPI.
fn readings(charter: &Charter) -> BTreeMap<String, Vec<String>> {
    let of = |audience: &crate::Audience| {
        let mut reads: Vec<String> = audience.outputs.iter().map(|output| output.name().to_owned()).collect();
        if audience.outputs.contains(&Output::Scores) {
            reads.extend(charter.kpis.iter().map(|group| format!("scores: {}", group.name())));
            reads.extend(charter.detail.iter().map(|group| format!("scores: {} with detail", group.name())));
            reads.extend(charter.names_agents.then(|| "scores: who the agent was".to_owned()));
        }
        (audience.name.clone(), reads)
    };
    charter.audiences.iter().map(of).collect()
}

fn names(groups: &[Group]) -> String {
    groups.iter().map(|group| group.name()).collect::<Vec<_>>().join(", ")
}

fn outputs(outputs: &[Output]) -> String {
    outputs.iter().map(|output| output.name()).collect::<Vec<_>>().join(", ")
}

const fn heard(heard: Heard) -> &'static str {
    match heard {
        Heard::Agent => "the agent",
        Heard::Customer => "the customer",
        Heard::Either => "either party",
    }
}

#[cfg(test)]
mod tests;
