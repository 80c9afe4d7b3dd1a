//! The contract with whoever reads: an AsyncAPI 3 document of every topic, with the JSON Schemas of what is sent there beside it.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sotto_charter::thresholds;
use sotto_report::Fingerprint;
use sotto_report::schema::{all, inbound};

use crate::Message;

/// The AsyncAPI document (<https://www.asyncapi.com/docs/reference/specification/v3.0.0>). It refers to the schemas as files beside it.
#[must_use]
pub fn asyncapi() -> Value {
    let mut channels = Map::new();
    let mut operations = Map::new();
    let mut messages = Map::new();
    let sent = Message::ALL.into_iter().map(|message| (message.suffix(), "sotto", !matches!(message, Message::CallScore | Message::CallWithdrawn | Message::Event | Message::Lost), "send"));
    // A collector's word, where the site has one.
    for (suffix, root, is_retained, action) in sent.chain([("ack", "sotto-in", true, "receive")]) {
        let name = suffix.replace('/', "-");
        let parameter = |what: &str| json!({"description": format!("The {what}: a-z, 0-9 and -, 32 characters at most.")});
        channels.insert(
            name.clone(),
            json!({
                "address": format!("{root}/v1/{{site}}/{{node}}/{suffix}"),
                "parameters": {"site": parameter("site"), "node": parameter("box")},
                "messages": {&name: {"$ref": format!("#/components/messages/{name}")}},
            }),
        );
        operations.insert(
            format!("{action}-{name}"),
            json!({
                "action": action,
                "channel": {"$ref": format!("#/channels/{name}")},
                "bindings": {"mqtt": {"qos": 1, "retain": is_retained, "bindingVersion": "0.2.0"}},
            }),
        );
        messages.insert(name.clone(), json!({"name": name, "contentType": "application/json", "payload": {"$ref": format!("./{name}.json")}}));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "sotto",
            "version": "1",
            "description": "Scores of calls, and the state of the boxes that make them. One flat object a message, repeated until it is acknowledged: equal ids are one message. \
                Keys are only ever added.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    })
}

/// Digest of the whole contract, as `birth` names it.
#[must_use]
pub fn contract_fingerprint() -> Fingerprint {
    let mut digest = Sha256::new();
    digest.update(asyncapi().to_string());
    for (name, schema) in all(&thresholds::ALL).into_iter().chain(inbound()) {
        digest.update(name);
        digest.update(schema.to_string());
    }
    Fingerprint(digest.finalize().iter().take(8).fold(0, |sum, &byte| (sum << 8) | u64::from(byte)))
}
