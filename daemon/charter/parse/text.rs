//! The charter's text as TOML: every key that there is.

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) version: String,
    pub(super) profile: Spanned<String>,
    #[serde(default)]
    pub(super) places: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) languages: Vec<Spanned<String>>,
    pub(super) kpis: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) detail: Vec<Spanned<String>>,
    pub(super) shown_to_agents: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub(super) names_agents: bool,
    #[serde(default = "minimum_calls")]
    pub(super) minimum_calls: u32,
    pub(super) contested_off_percent: Option<Spanned<u8>>,
    pub(super) controller: Option<ControllerText>,
    pub(super) agreement: Option<AgreementText>,
    #[serde(default)]
    pub(super) audience: Vec<AudienceText>,
    #[serde(default)]
    pub(super) consent: Vec<ConsentText>,
    pub(super) evidence: Option<EvidenceText>,
    pub(super) sampling: Option<SamplingText>,
    pub(super) exclude: Option<ExcludeText>,
    pub(super) retention: RetentionText,
    #[serde(default)]
    pub(super) purpose: Vec<PurposeText>,
    #[serde(default)]
    pub(super) category: Vec<CategoryText>,
    #[serde(default)]
    pub(super) playbook: Vec<StepText>,
    #[serde(default)]
    pub(super) keys: KeysText,
}

const fn minimum_calls() -> u32 {
    20
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ControllerText {
    pub(super) name: Spanned<String>,
    pub(super) contact: Spanned<String>,
    pub(super) officer: Option<Spanned<String>>,
    pub(super) reviewer: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgreementText {
    pub(super) name: Spanned<String>,
    pub(super) parties: Spanned<Vec<Spanned<String>>>,
    pub(super) signed: Spanned<String>,
    pub(super) until: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AudienceText {
    pub(super) name: Spanned<String>,
    pub(super) why: Spanned<String>,
    pub(super) outputs: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsentText {
    pub(super) r#match: Spanned<String>,
    #[serde(default)]
    pub(super) trunk: Option<String>,
    pub(super) customer: Spanned<String>,
    #[serde(default)]
    pub(super) notice: Option<Spanned<String>>,
    pub(super) agent: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EvidenceText {
    pub(super) sip_header: Spanned<String>,
    pub(super) given: Spanned<String>,
    pub(super) refused: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SamplingText {
    pub(super) percent: Spanned<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExcludeText {
    #[serde(default)]
    pub(super) numbers: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) lines: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) agents: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionText {
    pub(super) scores_days: Spanned<u32>,
    pub(super) contests_days: Option<Spanned<u32>>,
    pub(super) audit_days: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PurposeText {
    pub(super) metric: Spanned<String>,
    pub(super) why: Spanned<String>,
    pub(super) basis: Spanned<String>,
    pub(super) review_by: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CategoryText {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) phrases: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) heard: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) nearness: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) like: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) unlike: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepText {
    pub(super) name: Spanned<String>,
    pub(super) phrases: Spanned<Vec<String>>,
    #[serde(default)]
    pub(super) heard: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeysText {
    #[serde(default)]
    pub(super) objection: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) pause: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) resume: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) consent: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) private: Option<Spanned<String>>,
}
