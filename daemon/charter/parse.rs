//! From the text to the agreement.

use std::ops::Range;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use toml::Spanned;

use crate::agreement::{Category, Charter, Group, Heard, Keys, Profile, Purpose};
use crate::consent::{AgentBasis, ConsentRule, CustomerBasis};
use crate::{CharterError, Glob};

/// More KPIs than this make people chase numbers (DESIGN section 10).
const MOST_KPIS: usize = 5;
const MOST_CATEGORIES: usize = 30;
const MOST_PHRASES: usize = 200;
const MOST_CONSENT_RULES: usize = 1_000;
const MOST_KEYS: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    version: String,
    profile: Spanned<String>,
    kpis: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    detail: Vec<Spanned<String>>,
    #[serde(default)]
    consent: Vec<ConsentText>,
    retention: RetentionText,
    #[serde(default)]
    purpose: Vec<PurposeText>,
    #[serde(default)]
    category: Vec<CategoryText>,
    #[serde(default)]
    keys: KeysText,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentText {
    r#match: String,
    customer: Spanned<String>,
    #[serde(default)]
    notice: Option<String>,
    agent: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RetentionText {
    scores_days: Spanned<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PurposeText {
    metric: Spanned<String>,
    why: Spanned<String>,
    basis: Spanned<String>,
    review_by: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryText {
    name: Spanned<String>,
    phrases: Spanned<Vec<String>>,
    #[serde(default)]
    heard: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysText {
    #[serde(default)]
    objection: Option<Spanned<String>>,
    #[serde(default)]
    pause: Option<Spanned<String>>,
    #[serde(default)]
    resume: Option<Spanned<String>>,
}

impl Charter {
    /// Reads a charter.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self, CharterError> {
        let lines = Lines(text);
        let parsed: Text = toml::from_str(text).map_err(|error| {
            CharterError::new(error.span().map_or(0, |span| lines.of(&span)), error.message().to_owned(), "the charter's format")
        })?;

        let profile = lines.choice(&parsed.profile, "profile", &Profile::ALL.map(|profile| (profile.name(), profile)))?;
        lines.check_count(&parsed)?;
        let kpis = lines.groups(parsed.kpis.as_ref())?;
        let detail = lines.groups(&parsed.detail)?;
        lines.check_kpis(&parsed, &kpis, profile)?;
        if let Some((entry, _)) = parsed.detail.iter().zip(&detail).find(|(_, group)| !kpis.contains(group)) {
            return Err(lines.error(entry.span(), "`detail` names a group that is not among the kpis", "nothing is measured beyond the kpis"));
        }
        let charter = Self {
            consent: lines.consent(&parsed.consent)?,
            scores_days: lines.retention(&parsed.retention, profile)?,
            purposes: lines.purposes(&parsed, &kpis)?,
            categories: lines.categories(&parsed.category)?,
            keys: lines.keys(&parsed.keys)?,
            version: parsed.version,
            profile,
            kpis,
            detail,
            digest: Sha256::digest(text.as_bytes()).into(),
        };
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
            self.error(text.span(), format!("`{key}` must be one of: {}", names.join(", ")), "the charter's format")
        })
    }

    fn groups(&self, texts: &[Spanned<String>]) -> Result<Vec<Group>, CharterError> {
        let mut groups = Vec::with_capacity(texts.len().min(Group::ALL.len()));
        for text in texts {
            let Some(group) = Group::from_name(text.as_ref()) else {
                let names: Vec<&str> = Group::ALL.map(Group::name).to_vec();
                return Err(self.error(text.span(), format!("no such metric; there are: {}", names.join(", ")), "the charter's format"));
            };
            if !group.is_built() {
                let built: Vec<&str> = Group::ALL.into_iter().filter(|group| group.is_built()).map(Group::name).collect();
                let what = format!("`{}` is not built in this version; built are: {}", group.name(), built.join(", "));
                return Err(self.error(text.span(), what, "nobody signs for a number that does not come"));
            }
            if groups.contains(&group) {
                return Err(self.error(text.span(), format!("`{}` is named twice", group.name()), "the charter's format"));
            }
            groups.push(group);
        }
        Ok(groups)
    }

    fn check_count(&self, parsed: &Text) -> Result<(), CharterError> {
        let count = parsed.kpis.as_ref().len();
        if count > MOST_KPIS {
            let what = format!("{count} kpis; at most {MOST_KPIS} are allowed");
            return Err(self.error(parsed.kpis.span(), what, "few numbers: at most 5 KPIs"));
        }
        Ok(())
    }

    fn check_kpis(&self, parsed: &Text, kpis: &[Group], profile: Profile) -> Result<(), CharterError> {
        let timed = kpis.iter().filter(|group| group.is_about_duration_or_speed()).count();
        if timed > profile.most_duration_or_speed() {
            let what = format!("{timed} kpis about duration or speed; profile `{}` allows {}", profile.name(), profile.most_duration_or_speed());
            return Err(self.error(parsed.kpis.span(), what, "GDPR 5(1)(c); CNIL SAN-2023-021: indicators of pace are excessive"));
        }
        Ok(())
    }

    fn consent(&self, texts: &[ConsentText]) -> Result<Vec<ConsentRule>, CharterError> {
        let mut rules = Vec::new();
        for text in texts {
            if rules.len() >= MOST_CONSENT_RULES {
                return Err(self.error(text.customer.span(), format!("more than {MOST_CONSENT_RULES} consent rules"), "bounded tables"));
            }
            rules.push(ConsentRule {
                pattern: Glob::new(&text.r#match),
                customer: self.choice(
                    &text.customer,
                    "customer",
                    &[("notice", CustomerBasis::Notice), ("given", CustomerBasis::Given)],
                )?,
                agent: self.choice(
                    &text.agent,
                    "agent",
                    &[("agreement", AgentBasis::Agreement), ("acknowledged", AgentBasis::Acknowledged)],
                )?,
                notice: text.notice.clone(),
            });
        }
        Ok(rules)
    }

    fn retention(&self, text: &RetentionText, profile: Profile) -> Result<u32, CharterError> {
        let days = *text.scores_days.as_ref();
        let most = profile.longest_retention_days();
        if days == 0 || days > most {
            let what = format!("scores_days must be 1 to {most} under profile `{}`", profile.name());
            return Err(self.error(text.scores_days.span(), what, "GDPR 5(1)(e): storage limitation"));
        }
        Ok(days)
    }

    fn purposes(&self, parsed: &Text, kpis: &[Group]) -> Result<Vec<Purpose>, CharterError> {
        let mut purposes: Vec<Purpose> = Vec::new();
        for text in &parsed.purpose {
            let Some(metric) = Group::from_name(text.metric.as_ref()) else {
                return Err(self.error(text.metric.span(), "a purpose for a metric that does not exist", "the charter's format"));
            };
            if purposes.iter().any(|purpose| purpose.metric == metric) {
                return Err(self.error(text.metric.span(), format!("a second purpose for `{}`", metric.name()), "one stated purpose per metric"));
            }
            for (value, key) in [(&text.why, "why"), (&text.basis, "basis")] {
                if value.as_ref().trim().is_empty() {
                    return Err(self.error(value.span(), format!("`{key}` is empty"), "GDPR 5(1)(b): purpose limitation"));
                }
            }
            let review_by = text.review_by.as_ref().parse().map_err(|_| {
                self.error(text.review_by.span(), "`review_by` must be a day such as \"2027-05-01\"", "the charter's format")
            })?;
            purposes.push(Purpose { metric, why: text.why.as_ref().clone(), basis: text.basis.as_ref().clone(), review_by });
        }
        if let Some((group, entry)) =
            kpis.iter().zip(parsed.kpis.as_ref()).find(|(group, _)| !purposes.iter().any(|purpose| purpose.metric == **group))
        {
            let what = format!("`{0}` has no purpose: add [[purpose]] with metric = \"{0}\", why, basis and review_by", group.name());
            return Err(self.error(entry.span(), what, "GDPR 5(1)(b): one stated purpose per metric"));
        }
        Ok(purposes)
    }

    fn categories(&self, texts: &[CategoryText]) -> Result<Vec<Category>, CharterError> {
        let mut categories: Vec<Category> = Vec::new();
        for text in texts {
            if categories.len() >= MOST_CATEGORIES {
                return Err(self.error(text.name.span(), format!("more than {MOST_CATEGORIES} categories"), "few numbers"));
            }
            if categories.iter().any(|category| category.name == *text.name.as_ref()) {
                return Err(self.error(text.name.span(), "a second category of this name", "the charter's format"));
            }
            let phrases = text.phrases.as_ref();
            if phrases.is_empty() || phrases.len() > MOST_PHRASES || phrases.iter().any(|phrase| !phrase.chars().any(char::is_alphanumeric)) {
                let what = format!("`phrases` must hold 1 to {MOST_PHRASES} phrases, each with a letter or digit");
                return Err(self.error(text.phrases.span(), what, "the charter's format"));
            }
            let heard = text.heard.as_ref().map_or(Ok(Heard::Either), |heard| {
                self.choice(heard, "heard", &[("agent", Heard::Agent), ("customer", Heard::Customer), ("either", Heard::Either)])
            })?;
            categories.push(Category { name: text.name.as_ref().clone(), phrases: phrases.clone(), heard });
        }
        Ok(categories)
    }

    fn keys(&self, text: &KeysText) -> Result<Keys, CharterError> {
        const RULE: &str = "the charter's own keys, and no other digits";
        let all = [("objection", &text.objection), ("pause", &text.pause), ("resume", &text.resume)];
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
        let [objection, pause, resume] = all.map(|(_, sequence)| sequence.as_ref().map(|keys| keys.as_ref().clone()).unwrap_or_default());
        Ok(Keys { objection, pause, resume })
    }
}

#[cfg(test)]
mod tests;
