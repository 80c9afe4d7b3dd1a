//! `sotto notice` and `sotto dpia`: what people are told, from the charter in force.

use sotto_charter::notice::{self, Facts, document::Document, impact};
use sotto_charter::{Group, Language};
use sotto_measure::confidence_of;
use sotto_models::Pack;

use crate::End;
use crate::config::Places;
use crate::load::{Loaded, fingerprint};

/// Flags of `sotto notice`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    form: Form,
    /// Adds a page on which a new colleague confirms to have read it.
    #[arg(long)]
    onboarding: bool,
}

/// Flags that both documents have.
#[derive(clap::Args)]
pub(crate) struct Form {
    /// text, markdown or html.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// en or de; by default the first of the charter's languages.
    #[arg(long, value_parser = language)]
    language: Option<Language>,
    /// One JSON object with the text in it.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Markdown,
    Html,
}

/// `sotto notice`.
pub(crate) fn run(places: &Places, arguments: &Arguments) -> Result<(), End> {
    let loaded = Loaded::new(places)?;
    let facts = facts(places, &loaded);
    print(&loaded, &arguments.form, |language| notice::of(&loaded.charter, &facts, language, arguments.onboarding))
}

/// `sotto dpia`.
pub(crate) fn run_dpia(places: &Places, form: &Form) -> Result<(), End> {
    let loaded = Loaded::new(places)?;
    let facts = facts(places, &loaded);
    print(&loaded, form, |language| impact::of(&loaded.charter, &facts, language))
}

/// The notice in each of the charter's languages, as Markdown, for its topic.
pub(crate) fn texts(places: &Places, loaded: &Loaded) -> Vec<(&'static str, String)> {
    let facts = facts(places, loaded);
    loaded.charter.languages.iter().map(|language| (language.tag(), notice::of(&loaded.charter, &facts, *language, false).markdown())).collect()
}

fn print(loaded: &Loaded, form: &Form, write: impl Fn(Language) -> Document) -> Result<(), End> {
    let language = form.language.or_else(|| loaded.charter.languages.first().copied()).unwrap_or(Language::English);
    let document = write(language);
    let text = match form.format {
        Format::Text => document.text(),
        Format::Markdown => document.markdown(),
        Format::Html => document.html(),
    };
    if form.json {
        println!("{}", serde_json::json!({"charter": fingerprint(&loaded.charter.digest), "version": loaded.charter.version, "language": language.tag(), "text": text}));
    } else {
        print!("{text}");
    }
    Ok(())
}

fn facts(places: &Places, loaded: &Loaded) -> Facts {
    let Loaded { config, charter, unsigned } = loaded;
    // A notice can be read where the models are not: then it does not name them.
    let models = charter.needs_sound().then(|| Pack::digest_of(&places.pack(&config.pack)).ok()).flatten();
    Facts {
        site: config.site_id.clone(),
        node: config.node.clone(),
        models: models.map(|digest| (config.pack.clone(), fingerprint(&digest).to_string())),
        confidence: Group::ALL.into_iter().filter_map(|group| Some((group, confidence_of(group)?))).collect(),
        charter: fingerprint(&charter.digest).to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        is_signed: config.approval.as_ref().map(|_| unsigned.is_none()),
    }
}

fn language(tag: &str) -> Result<Language, String> {
    Language::from_tag(tag).ok_or_else(|| "must be en or de".to_owned())
}
