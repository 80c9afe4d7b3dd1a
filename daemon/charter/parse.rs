//! From the text to the agreement.

mod people;
mod text;

use std::ops::Range;

use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::agreement::{Category, Charter, Group, Heard, Keys, Nearness, Purpose};
use crate::consent::{AgentBasis, ConsentRule, CustomerBasis};
use crate::forbidden::subject_of;
use crate::people::{Language, Retention, Step};
use crate::profile::Profile;
use crate::{CharterError, Glob, law};
use text::{CategoryText, ConsentText, KeysText, RetentionText, StepText, Text};

const MOST_CATEGORIES: usize = 30;
const MOST_STEPS: usize = 20;
const MOST_PHRASES: usize = 200;
const MOST_SENTENCES: usize = 40;
const MOST_CONSENT_RULES: usize = 1_000;
const MOST_KEYS: usize = 8;
/// Of patterns, names, audiences and the like.
const MOST_ENTRIES: usize = 1_000;

const FORMAT: &str = "the charter's format";

impl Charter {
    /// Reads a charter.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line, the rule that it breaks, and where the law says so.
    pub fn parse(text: &str) -> Result<Self, CharterError> {
        let lines = Lines(text);
        let parsed: Text = toml::from_str(text)
            .map_err(|error| CharterError::new(error.span().map_or(0, |span| lines.of(&span)), error.message().to_owned(), FORMAT))?;

        let profile = lines.choice(&parsed.profile, "profile", &Profile::ALL.map(|profile| (profile.name(), profile)))?;
        let places = lines.places(&parsed.places)?;
        let kpis = lines.groups(parsed.kpis.as_ref())?;
        let detail = lines.groups(&parsed.detail)?;
        if let Some((entry, _)) = parsed.detail.iter().zip(&detail).find(|(_, group)| !kpis.contains(group)) {
            return Err(lines.error(entry.span(), "`detail` names a group that is not among the kpis", "nothing is measured beyond the kpis"));
        }
        let shown_to_agents = match &parsed.shown_to_agents {
            Some(shown) => lines.groups(shown.as_ref())?,
            None => kpis.iter().copied().take(3).collect(),
        };
        if let Some((entry, _)) = parsed.shown_to_agents.iter().flat_map(Spanned::as_ref).zip(&shown_to_agents).find(|(_, group)| !kpis.contains(group)) {
            return Err(lines.error(entry.span(), "`shown_to_agents` names a group that is not among the kpis", "nothing is measured beyond the kpis"));
        }
        let keys = lines.keys(&parsed.keys)?;
        let evidence = lines.evidence(parsed.evidence.as_ref())?;
        let charter = Self {
            consent: lines.consent(&parsed.consent, !keys.consent.is_empty() || !evidence.sip_header.is_empty())?,
            retention: lines.retention(&parsed.retention)?,
            purposes: lines.purposes(&parsed)?,
            categories: lines.categories(&parsed.category)?,
            playbook: lines.playbook(&parsed.playbook)?,
            controller: parsed.controller.as_ref().map(|controller| lines.controller(controller)).transpose()?,
            agreement: parsed.agreement.as_ref().map(|agreement| lines.agreement(agreement)).transpose()?,
            audiences: lines.audiences(&parsed.audience)?,
            sampling_percent: parsed.sampling.as_ref().map_or(Ok(100), |sampling| lines.percent(&sampling.percent, "percent"))?,
            contested_off_percent: parsed.contested_off_percent.as_ref().map_or(Ok(20), |percent| lines.percent(percent, "contested_off_percent"))?,
            exclude: lines.exclude(parsed.exclude.as_ref())?,
            names_agents: parsed.names_agents,
            minimum_calls: parsed.minimum_calls,
            languages: lines.languages(&parsed.languages)?,
            keys,
            evidence,
            version: parsed.version.clone(),
            profile,
            places,
            kpis,
            detail,
            shown_to_agents,
            digest: Sha256::digest(text.as_bytes()).into(),
        };
        let of = |span: Range<usize>| lines.of(&span);
        law::check(
            &charter,
            &law::Lines {
                profile: of(parsed.profile.span()),
                kpis: of(parsed.kpis.span()),
                detail: parsed.detail.iter().map(|entry| of(entry.span())).collect(),
                shown_to_agents: parsed.shown_to_agents.as_ref().map_or(0, |shown| of(shown.span())),
                scores_days: of(parsed.retention.scores_days.span()),
                audit_days: parsed.retention.audit_days.as_ref().map_or(0, |days| of(days.span())),
                sampling: parsed.sampling.as_ref().map_or_else(|| of(parsed.kpis.span()), |sampling| of(sampling.percent.span())),
                consent: parsed.consent.iter().map(|rule| [of(rule.customer.span()), of(rule.agent.span())]).collect(),
                basis: parsed.purpose.iter().map(|purpose| of(purpose.basis.span())).collect(),
            },
        )?;
        lines.each_is_built_and_has_a_purpose(&parsed, &charter)?;
        if charter.names(Group::Keywords) && charter.categories.is_empty() {
            return Err(CharterError::new(0, "`keywords` is a kpi, but there is no [[category]]: add one or drop the kpi", "one purpose, one metric"));
        }
        Ok(charter)
    }
}

/// The text, to find a place's line in.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn of(&self, span: &Range<usize>) -> usize {
        1 + self.0.bytes().take(span.start).filter(|&byte| byte == b'\n').count()
    }

    fn error(&self, span: Range<usize>, what: impl Into<String>, rule: &'static str) -> CharterError {
        CharterError::new(self.of(&span), what, rule)
    }

    fn choice<T: Copy>(&self, text: &Spanned<String>, key: &str, choices: &[(&str, T)]) -> Result<T, CharterError> {
        choices.iter().find(|(name, _)| name == text.as_ref()).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.error(text.span(), format!("`{key}` must be one of: {}", names.join(", ")), FORMAT)
        })
    }

    fn words(&self, text: &Spanned<String>, key: &str) -> Result<String, CharterError> {
        /// Longer ones are no names and no reasons.
        const LONGEST: usize = 500;
        let words = text.as_ref().trim();
        if words.is_empty() || words.len() > LONGEST || words.chars().any(char::is_control) {
            return Err(self.error(text.span(), format!("`{key}` must be 1 to {LONGEST} characters of text, in one line"), FORMAT));
        }
        Ok(words.to_owned())
    }

    fn day(&self, text: &Spanned<String>, key: &str) -> Result<crate::Date, CharterError> {
        text.as_ref().parse().map_err(|_| self.error(text.span(), format!("`{key}` must be a day such as \"2027-05-01\""), FORMAT))
    }

    fn percent(&self, text: &Spanned<u8>, key: &str) -> Result<u8, CharterError> {
        let percent = *text.as_ref();
        if (1..=100).contains(&percent) { Ok(percent) } else { Err(self.error(text.span(), format!("`{key}` must be 1 to 100"), FORMAT)) }
    }

    fn groups(&self, texts: &[Spanned<String>]) -> Result<Vec<Group>, CharterError> {
        let mut groups = Vec::with_capacity(texts.len().min(Group::ALL.len()));
        for text in texts {
            let Some(group) = Group::from_name(text.as_ref()) else {
                let names: Vec<&str> = Group::ALL.map(Group::name).to_vec();
                return Err(self.error(text.span(), format!("no such metric; there are: {}", names.join(", ")), FORMAT));
            };
            if groups.contains(&group) {
                return Err(self.error(text.span(), format!("`{}` is named twice", group.name()), FORMAT));
            }
            groups.push(group);
        }
        Ok(groups)
    }

    fn places(&self, texts: &[Spanned<String>]) -> Result<Vec<String>, CharterError> {
        texts.iter().map(|text| {
            let place = text.as_ref().as_str();
            let is_upper = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_uppercase());
            let is_place = match place.split_once('-') {
                None => is_upper(place),
                Some((country, part)) => is_upper(country) && (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            };
            if is_place { Ok(place.to_owned()) } else { Err(self.error(text.span(), "a place must be as ISO 3166 writes it: \"DE\", \"US-CA\"", FORMAT)) }
        }).collect()
    }

    fn languages(&self, texts: &[Spanned<String>]) -> Result<Vec<Language>, CharterError> {
        if texts.is_empty() {
            return Ok(vec![Language::English]);
        }
        texts.iter().map(|text| self.choice(text, "languages", &Language::ALL.map(|language| (language.tag(), language)))).collect()
    }

    fn consent(&self, texts: &[ConsentText], can_hear_yes: bool) -> Result<Vec<ConsentRule>, CharterError> {
        const CONTRADICTION: &str = "consent rules: the first that matches decides";
        let mut rules: Vec<ConsentRule> = Vec::new();
        for text in texts {
            if rules.len() >= MOST_CONSENT_RULES {
                return Err(self.error(text.customer.span(), format!("more than {MOST_CONSENT_RULES} consent rules"), "bounded tables"));
            }
            let rule = ConsentRule {
                pattern: Glob::new(text.r#match.as_ref()),
                trunk: text.trunk.as_deref().map(Glob::new),
                customer: self.choice(&text.customer, "customer", &[("notice", CustomerBasis::Notice), ("given", CustomerBasis::Given)])?,
                agent: self.choice(&text.agent, "agent", &[("agreement", AgentBasis::Agreement), ("acknowledged", AgentBasis::Acknowledged)])?,
                notice: text.notice.as_ref().map(|notice| self.words(notice, "notice")).transpose()?,
            };
            let everything = Glob::new("*");
            let hides = |other: &ConsentRule| (other.pattern == rule.pattern && other.trunk == rule.trunk) || (other.pattern == everything && other.trunk.is_none());
            if let Some(first) = rules.iter().position(hides) {
                return Err(self.error(text.r#match.span(), format!("this rule never decides: rule {} matches all of its calls first", first + 1), CONTRADICTION));
            }
            if rule.customer == CustomerBasis::Given && !can_hear_yes {
                let what = "customer = \"given\", but nothing could bring the yes: set [keys] consent, or [evidence] sip_header";
                return Err(self.error(text.customer.span(), what, "consent must be heard to count"));
            }
            rules.push(rule);
        }
        Ok(rules)
    }

    fn retention(&self, text: &RetentionText) -> Result<Retention, CharterError> {
        let usual = Retention::default();
        // How long at most is for the profile to say.
        let days = |text: Option<&Spanned<u32>>, usual: u32, key: &str| match text {
            None => Ok(usual),
            Some(days) if *days.as_ref() > 0 => Ok(*days.as_ref()),
            Some(days) => Err(self.error(days.span(), format!("`{key}` must be at least 1"), FORMAT)),
        };
        Ok(Retention {
            scores_days: days(Some(&text.scores_days), usual.scores_days, "scores_days")?,
            contests_days: days(text.contests_days.as_ref(), usual.contests_days, "contests_days")?,
            audit_days: days(text.audit_days.as_ref(), usual.audit_days, "audit_days")?,
        })
    }

    fn purposes(&self, parsed: &Text) -> Result<Vec<Purpose>, CharterError> {
        let mut purposes: Vec<Purpose> = Vec::new();
        for text in &parsed.purpose {
            let Some(metric) = Group::from_name(text.metric.as_ref()) else {
                return Err(self.error(text.metric.span(), "a purpose for a metric that does not exist", FORMAT));
            };
            if purposes.iter().any(|purpose| purpose.metric == metric) {
                return Err(self.error(text.metric.span(), format!("a second purpose for `{}`", metric.name()), "one stated purpose per metric"));
            }
            for (value, key) in [(&text.why, "why"), (&text.basis, "basis")] {
                if value.as_ref().trim().is_empty() {
                    return Err(self.error(value.span(), format!("`{key}` is empty"), "purpose limitation").by("GDPR 5(1)(b)"));
                }
            }
            let review_by = self.day(&text.review_by, "review_by")?;
            purposes.push(Purpose { metric, why: self.words(&text.why, "why")?, basis: self.words(&text.basis, "basis")?, review_by });
        }
        Ok(purposes)
    }

    fn each_is_built_and_has_a_purpose(&self, parsed: &Text, charter: &Charter) -> Result<(), CharterError> {
        let kpis = || charter.kpis.iter().zip(parsed.kpis.as_ref());
        if let Some((group, entry)) = kpis().find(|(group, _)| !group.is_built()) {
            let built: Vec<&str> = Group::ALL.into_iter().filter(|group| group.is_built()).map(Group::name).collect();
            let what = format!("`{}` is not built in this version; built are: {}", group.name(), built.join(", "));
            return Err(self.error(entry.span(), what, "nobody signs for a number that does not come"));
        }
        if let Some((group, entry)) = kpis().find(|(group, _)| !charter.purposes.iter().any(|purpose| purpose.metric == **group)) {
            let what = format!("`{0}` has no purpose: add [[purpose]] with metric = \"{0}\", why, basis and review_by", group.name());
            return Err(self.error(entry.span(), what, "one stated purpose per metric").by("GDPR 5(1)(b)"));
        }
        Ok(())
    }

    fn phrases(&self, text: &Spanned<Vec<String>>) -> Result<Vec<String>, CharterError> {
        let phrases = text.as_ref();
        if phrases.is_empty() || phrases.len() > MOST_PHRASES || phrases.iter().any(|phrase| !phrase.chars().any(char::is_alphanumeric)) {
            let what = format!("`phrases` must hold 1 to {MOST_PHRASES} phrases, each with a letter or digit");
            return Err(self.error(text.span(), what, FORMAT));
        }
        Ok(phrases.clone())
    }

    /// Phrases or sentences of a category; none where the key is absent.
    fn list(&self, key: &str, list: Option<&Spanned<Vec<String>>>, most: usize) -> Result<Vec<String>, CharterError> {
        let Some(list) = list else { return Ok(Vec::new()) };
        let phrases = list.as_ref();
        if phrases.is_empty() || phrases.len() > most || phrases.iter().any(|phrase| !phrase.chars().any(char::is_alphanumeric)) {
            let what = format!("`{key}` must hold 1 to {most} phrases, each with a letter or digit");
            return Err(self.error(list.span(), what, FORMAT));
        }
        if let Some(subject) = phrases.iter().find_map(|phrase| subject_of(phrase)) {
            let what = format!("`{key}` aims at {subject}: no list may");
            return Err(self.error(list.span(), what, "GDPR Art. 9: special categories"));
        }
        Ok(phrases.clone())
    }

    fn heard(&self, text: Option<&Spanned<String>>, usual: Heard) -> Result<Heard, CharterError> {
        text.map_or(Ok(usual), |heard| self.choice(heard, "heard", &[("agent", Heard::Agent), ("customer", Heard::Customer), ("either", Heard::Either)]))
    }

    fn categories(&self, texts: &[CategoryText]) -> Result<Vec<Category>, CharterError> {
        let mut categories: Vec<Category> = Vec::new();
        for text in texts {
            if categories.len() >= MOST_CATEGORIES {
                return Err(self.error(text.name.span(), format!("more than {MOST_CATEGORIES} categories"), "few numbers"));
            }
            let name = self.words(&text.name, "name")?;
            if categories.iter().any(|category| category.name == name) {
                return Err(self.error(text.name.span(), "a second category of this name", FORMAT));
            }
            let [phrases, like, unlike] = [("phrases", &text.phrases, MOST_PHRASES), ("like", &text.like, MOST_SENTENCES), ("unlike", &text.unlike, MOST_SENTENCES)]
                .map(|(key, list, most)| self.list(key, list.as_ref(), most));
            let (phrases, like, unlike) = (phrases?, like?, unlike?);
            if phrases.is_empty() && like.is_empty() {
                return Err(self.error(text.name.span(), "neither `phrases` nor `like`: nothing could be heard", FORMAT));
            }
            let nearness = text.nearness.as_ref().map_or(Ok(Nearness::Exact), |nearness| {
                self.choice(nearness, "nearness", &[("exact", Nearness::Exact), ("inflected", Nearness::Inflected), ("sound", Nearness::Sound)])
            })?;
            categories.push(Category { name, phrases, nearness, like, unlike, heard: self.heard(text.heard.as_ref(), Heard::Either)? });
        }
        Ok(categories)
    }

    fn playbook(&self, texts: &[StepText]) -> Result<Vec<Step>, CharterError> {
        if let Some(text) = texts.get(MOST_STEPS) {
            return Err(self.error(text.name.span(), format!("more than {MOST_STEPS} steps"), "few numbers"));
        }
        let step = |text: &StepText| {
            Ok(Step { name: self.words(&text.name, "name")?, phrases: self.phrases(&text.phrases)?, heard: self.heard(text.heard.as_ref(), Heard::Agent)? })
        };
        texts.iter().map(step).collect()
    }

    fn keys(&self, text: &KeysText) -> Result<Keys, CharterError> {
        const RULE: &str = "the charter's own keys, and no other digits";
        let all = [("objection", &text.objection), ("pause", &text.pause), ("resume", &text.resume), ("consent", &text.consent), ("private", &text.private)];
        let mut known: Vec<&str> = Vec::new();
        for (name, sequence) in all.iter().filter_map(|(name, sequence)| Some((*name, sequence.as_ref()?))) {
            let keys = sequence.as_ref().as_str();
            let is_key = |sign: char| matches!(sign, '0'..='9' | '*' | '#' | 'A'..='D');
            if keys.is_empty() || keys.len() > MOST_KEYS || !keys.chars().all(is_key) {
                let what = format!("`{name}` must be 1 to {MOST_KEYS} keys of 0 to 9, *, #, A to D");
                return Err(self.error(sequence.span(), what, RULE));
            }
            // Whichever is complete first would hide the other.
            if known.iter().any(|other| keys.contains(other) || other.contains(keys)) {
                return Err(self.error(sequence.span(), format!("`{name}` holds another sequence, or is part of one"), RULE));
            }
            known.push(keys);
        }
        if let (Some(pause), None) = (&text.pause, &text.resume) {
            return Err(self.error(pause.span(), "`pause` without `resume`: nobody could go on", RULE));
        }
        if let (None, Some(resume)) = (&text.pause, &text.resume) {
            return Err(self.error(resume.span(), "`resume` without `pause`", RULE));
        }
        let [objection, pause, resume, consent, private] = all.map(|(_, sequence)| sequence.as_ref().map(|keys| keys.as_ref().clone()).unwrap_or_default());
        Ok(Keys { objection, pause, resume, consent, private })
    }
}

#[cfg(test)]
mod tests;
