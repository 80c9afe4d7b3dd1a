//! The JSON Schemas that are shipped, and whether a message keeps to its own.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::Error;
use crate::process::repository;

/// Where the schemas lie.
#[must_use]
pub fn folder() -> PathBuf {
    repository().join("packaging/schema")
}

/// The name of the document in that folder that is no schema.
pub const ASYNCAPI: &str = "asyncapi";

/// The name of a message's schema: what stands in its topic after `sotto/v1/<site>/<node>/`, or `sotto-in/…`, with `-` for `/`.
///
/// # Errors
/// The topic has another form.
pub fn name_of(topic: &str) -> Result<String, Error> {
    let mut parts = topic.split('/');
    let is_ours = matches!(parts.next(), Some("sotto" | "sotto-in")) && parts.next() == Some("v1") && parts.next().is_some() && parts.next().is_some();
    let rest: Vec<&str> = parts.collect();
    if is_ours && !rest.is_empty() { Ok(rest.join("-")) } else { Err(Error::new(format!("{topic}: no topic of ours"))) }
}

/// Whether a published message keeps to the shipped schema of its topic, and carries the site and node of that topic.
///
/// # Errors
/// It does not; the error says where, and what stands there.
pub fn validate(topic: &str, payload: &[u8]) -> Result<Value, Error> {
    let name = name_of(topic)?;
    let message: Value = serde_json::from_slice(payload).map_err(|source| Error::new(format!("{topic}: {source}")))?;
    let validator = validators()?.get(&name).ok_or_else(|| Error::new(format!("{topic}: packaging/schema has no {name}.json")))?;
    let faults: Vec<String> = validator.iter_errors(&message).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    if !faults.is_empty() {
        return Err(Error::new(format!("{topic}: {}", faults.join("; "))));
    }
    let of_topic: Vec<&str> = topic.split('/').skip(2).take(2).collect();
    if [message["site"].as_str(), message["node"].as_str()] != [of_topic.first().copied(), of_topic.last().copied()] {
        return Err(Error::new(format!("{topic}: site and node differ from the topic's")));
    }
    Ok(message)
}

fn validators() -> Result<&'static HashMap<String, Validator>, Error> {
    static VALIDATORS: OnceLock<Result<HashMap<String, Validator>, String>> = OnceLock::new();
    VALIDATORS.get_or_init(|| read().map_err(|error| error.to_string())).as_ref().map_err(Error::new)
}

fn read() -> Result<HashMap<String, Validator>, Error> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder).map_err(|source| Error::file(&folder, &source))?;
    let mut validators = HashMap::new();
    for entry in entries {
        let path = entry.map_err(|source| Error::file(&folder, &source))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json")) else { continue };
        if name == ASYNCAPI {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|source| Error::file(&path, &source))?;
        let schema: Value = serde_json::from_str(&text).map_err(|source| Error::new(format!("{}: {source}", path.display())))?;
        let validator = jsonschema::validator_for(&schema).map_err(|source| Error::new(format!("{}: {source}", path.display())))?;
        validators.insert(name.to_owned(), validator);
    }
    Ok(validators)
}
