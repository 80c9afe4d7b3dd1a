//! Who agreed, who sees what, and who is left out.

use toml::Spanned;

use super::text::{AgreementText, AudienceText, ControllerText, EvidenceText, ExcludeText};
use super::{FORMAT, Lines, MOST_ENTRIES};
use crate::people::{Agreement, Audience, Controller, Evidence, Exclude, Output};
use crate::{CharterError, Glob};

impl Lines<'_> {
    pub(super) fn controller(&self, text: &ControllerText) -> Result<Controller, CharterError> {
        Ok(Controller {
            name: self.words(&text.name, "name")?,
            contact: self.words(&text.contact, "contact")?,
            officer: text.officer.as_ref().map(|officer| self.words(officer, "officer")).transpose()?,
            reviewer: text.reviewer.as_ref().map(|reviewer| self.words(reviewer, "reviewer")).transpose()?,
        })
    }

    pub(super) fn agreement(&self, text: &AgreementText) -> Result<Agreement, CharterError> {
        let parties: Vec<String> = text.parties.as_ref().iter().take(MOST_ENTRIES).map(|party| self.words(party, "parties")).collect::<Result<_, _>>()?;
        if parties.len() < 2 {
            return Err(self.error(text.parties.span(), "`parties` must name both sides", "an agreement has two parties").by("BetrVG 87(1) no. 6; GDPR 88"));
        }
        let signed = self.day(&text.signed, "signed")?;
        let until = text.until.as_ref().map(|until| self.day(until, "until")).transpose()?;
        if let (Some(text), Some(until)) = (&text.until, until)
            && until < signed
        {
            return Err(self.error(text.span(), "`until` lies before `signed`", "an agreement that has ended measures nothing").by("BetrVG 87(1) no. 6; GDPR 88"));
        }
        let line = text.until.as_ref().map_or_else(|| self.of(&text.name.span()), |until| self.of(&until.span()));
        Ok(Agreement { name: self.words(&text.name, "name")?, parties, signed, until, line })
    }

    pub(super) fn audiences(&self, texts: &[AudienceText]) -> Result<Vec<Audience>, CharterError> {
        const RULE: &str = "who sees what is agreed, too";
        let mut audiences: Vec<Audience> = Vec::new();
        for text in texts.iter().take(MOST_ENTRIES) {
            let name = text.name.as_ref();
            let is_name = name.len() <= 32 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
            if !is_name {
                return Err(self.error(text.name.span(), "an audience's name is a user at the broker: 1 to 32 of a-z, 0-9 and -, beginning with a letter", RULE));
            }
            if audiences.iter().any(|audience| audience.name == *name) {
                return Err(self.error(text.name.span(), "a second audience of this name", RULE));
            }
            let outputs = text.outputs.as_ref().iter().map(|output| self.choice(output, "outputs", &Output::ALL.map(|output| (output.name(), output))));
            let outputs: Vec<Output> = outputs.collect::<Result<_, _>>()?;
            if outputs.is_empty() {
                return Err(self.error(text.outputs.span(), "`outputs` is empty: an audience that reads nothing is none", RULE));
            }
            audiences.push(Audience { name: name.clone(), why: self.words(&text.why, "why")?, outputs });
        }
        Ok(audiences)
    }

    pub(super) fn exclude(&self, text: Option<&ExcludeText>) -> Result<Exclude, CharterError> {
        let Some(text) = text else { return Ok(Exclude::default()) };
        let globs = |patterns: &[Spanned<String>]| -> Result<Vec<Glob>, CharterError> {
            if let Some(pattern) = patterns.get(MOST_ENTRIES) {
                return Err(self.error(pattern.span(), format!("more than {MOST_ENTRIES} entries"), "bounded tables"));
            }
            patterns.iter().map(|pattern| Ok(Glob::new(&self.words(pattern, "exclude")?))).collect()
        };
        Ok(Exclude {
            numbers: globs(&text.numbers)?,
            lines: text.lines.iter().take(MOST_ENTRIES).map(|line| self.words(line, "lines")).collect::<Result<_, _>>()?,
            agents: globs(&text.agents)?,
        })
    }

    pub(super) fn evidence(&self, text: Option<&EvidenceText>) -> Result<Evidence, CharterError> {
        let Some(text) = text else { return Ok(Evidence::default()) };
        let header = text.sip_header.as_ref();
        // RFC 3261 section 25.1: a header's name is a token.
        let is_token = !header.is_empty() && header.len() <= 64 && header.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte));
        if !is_token {
            return Err(self.error(text.sip_header.span(), "`sip_header` must be a header's name such as \"X-Consent\"", FORMAT));
        }
        let (given, refused) = (self.words(&text.given, "given")?, self.words(&text.refused, "refused")?);
        if given.eq_ignore_ascii_case(&refused) {
            return Err(self.error(text.refused.span(), "`given` and `refused` are the same", "consent must be heard to count"));
        }
        Ok(Evidence { sip_header: header.to_ascii_lowercase(), given, refused })
    }
}
