//! Whisper as Hugging Face's transformers keep it: a folder of `model.safetensors`, `config.json` and `vocab.json`
//! (with `added_tokens.json` and `generation_config.json` where there are some), any size of the model.
//!
//! The tensors are given CTranslate2's names, and queries, keys and values are put side by side as there, so that
//! one way leads on from here.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ctranslate2::{Model, Variable};
use crate::safetensors::{self, Plain};
use crate::{ConvertError, read};

/// More layers than any Whisper has.
const MAX_LAYERS: usize = 64;

/// `config.json`: the keys that matter here; it has others.
#[derive(Deserialize)]
struct Configuration {
    encoder_layers: usize,
    decoder_layers: usize,
    encoder_attention_heads: usize,
    decoder_attention_heads: usize,
    #[serde(flatten)]
    suppressed: Suppressed,
}

/// In `generation_config.json`, or, in older models, in `config.json`.
#[derive(Deserialize, Default)]
struct Suppressed {
    suppress_tokens: Option<Vec<i64>>,
    begin_suppress_tokens: Option<Vec<i64>>,
    alignment_heads: Option<Vec<[u32; 2]>>,
}

/// Model, suppressed tokens, those suppressed at the beginning, alignment heads, and the vocabulary.
pub(crate) type Read = (Model, Vec<u32>, Vec<u32>, Vec<[u32; 2]>, Vec<String>);

/// Reads the folder.
pub(crate) fn read_folder(folder: &Path) -> Result<Read, ConvertError> {
    let path = folder.join("model.safetensors");
    let tensors = safetensors::parse(&read(&path)?)
        .map_err(|error| ConvertError::from(error).in_file(&path))?;
    let configuration: Configuration = json(&folder.join("config.json"))?;
    let path = folder.join("generation_config.json");
    let newer: Suppressed = if path.is_file() {
        json(&path)?
    } else {
        Suppressed::default()
    };
    let older = configuration.suppressed;
    let tokens = |newer: Option<Vec<i64>>, older: Option<Vec<i64>>| -> Vec<u32> {
        // -1 stands for "no token" in some files.
        let all = newer.or(older).unwrap_or_default().into_iter();
        all.filter_map(|token| u32::try_from(token).ok()).collect()
    };
    let suppressed = tokens(newer.suppress_tokens, older.suppress_tokens);
    let at_first = tokens(newer.begin_suppress_tokens, older.begin_suppress_tokens);
    let aligned = newer.alignment_heads.or(older.alignment_heads).unwrap_or_default();

    let path = folder.join("vocab.json");
    let mut numbered: BTreeMap<String, usize> = json(&path)?;
    let added = folder.join("added_tokens.json");
    if added.is_file() {
        numbered.extend(json::<BTreeMap<String, usize>>(&added)?);
    }
    let vocabulary = in_order(numbered).map_err(|error| error.in_file(&path))?;

    let layers = [configuration.encoder_layers, configuration.decoder_layers];
    let heads = [
        configuration.encoder_attention_heads,
        configuration.decoder_attention_heads,
    ];
    if layers.iter().any(|&count| count == 0 || count > MAX_LAYERS) {
        return Err(ConvertError::new("a count of layers is not 1 to 64")
            .in_file(&folder.join("config.json")));
    }
    let mut renamed = Renamed {
        tensors,
        variables: BTreeMap::new(),
    };
    renamed
        .all(layers, heads)
        .map_err(|error| error.in_file(&folder.join("model.safetensors")))?;
    Ok((
        Model::of(renamed.variables),
        suppressed,
        at_first,
        aligned,
        vocabulary,
    ))
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T, ConvertError> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| ConvertError::new(error.to_string()).in_file(path))
}

/// Tokens by their number; those that have none of their own are empty.
fn in_order(numbered: BTreeMap<String, usize>) -> Result<Vec<String>, ConvertError> {
    const MOST: usize = 1 << 18;
    let count = numbered
        .values()
        .max()
        .map_or(0, |&last| last.saturating_add(1));
    if count > MOST {
        return Err(ConvertError::new("a token's number is too large"));
    }
    let mut tokens = vec![String::new(); count];
    for (token, number) in numbered {
        tokens[number] = token;
    }
    Ok(tokens)
}

struct Renamed {
    tensors: BTreeMap<String, Plain>,
    variables: BTreeMap<String, Variable>,
}

impl Renamed {
    fn all(&mut self, layers: [usize; 2], heads: [usize; 2]) -> Result<(), ConvertError> {
        for number in [1, 2] {
            self.pair(
                &format!("model.encoder.conv{number}"),
                &format!("encoder/conv{number}"),
                ["weight", "bias"],
            )?;
        }
        self.one(
            "model.decoder.embed_tokens.weight",
            "decoder/embeddings/weight",
        )?;
        for ((side, layers), heads) in ["encoder", "decoder"].into_iter().zip(layers).zip(heads) {
            self.one(
                &format!("model.{side}.embed_positions.weight"),
                &format!("{side}/position_encodings/encodings"),
            )?;
            self.norm(
                &format!("model.{side}.layer_norm"),
                &format!("{side}/layer_norm"),
            )?;
            let heads = Variable {
                dimensions: Vec::new(),
                values: vec![heads as f32],
            };
            self.variables.insert(format!("{side}/num_heads"), heads);
            for layer in 0..layers {
                let (from, to) = (
                    format!("model.{side}.layers.{layer}"),
                    format!("{side}/layer_{layer}"),
                );
                self.attention(&from, "self_attn", &format!("{to}/self_attention"))?;
                if side == "decoder" {
                    self.attention(&from, "encoder_attn", &format!("{to}/attention"))?;
                }
                for (linear, name) in [("fc1", "linear_0"), ("fc2", "linear_1")] {
                    self.linear(&format!("{from}.{linear}"), &format!("{to}/ffn/{name}"))?;
                }
                self.norm(
                    &format!("{from}.final_layer_norm"),
                    &format!("{to}/ffn/layer_norm"),
                )?;
            }
        }
        Ok(())
    }

    /// To a self-attention queries, keys and values come from one input: one product makes them. Across, queries
    /// come from another one.
    fn attention(&mut self, layer: &str, name: &str, to: &str) -> Result<(), ConvertError> {
        let projected = |kinds: &[&str]| -> Vec<String> {
            kinds
                .iter()
                .map(|kind| format!("{layer}.{name}.{kind}_proj"))
                .collect()
        };
        let output = format!("{layer}.{name}.out_proj");
        if name == "self_attn" {
            self.side_by_side(&projected(&["q", "k", "v"]), &format!("{to}/linear_0"))?;
            self.linear(&output, &format!("{to}/linear_1"))?;
        } else {
            self.side_by_side(&projected(&["q"]), &format!("{to}/linear_0"))?;
            self.side_by_side(&projected(&["k", "v"]), &format!("{to}/linear_1"))?;
            self.linear(&output, &format!("{to}/linear_2"))?;
        }
        self.norm(
            &format!("{layer}.{name}_layer_norm"),
            &format!("{to}/layer_norm"),
        )
    }

    /// Keys have no bias: zeros.
    fn side_by_side(&mut self, from: &[String], to: &str) -> Result<(), ConvertError> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        let mut inputs = 0;
        for name in from {
            let weight = self.take(&format!("{name}.weight"))?;
            let [outputs, columns] = weight.shape[..] else {
                return Err(ConvertError::new(format!(
                    "tensor {name}.weight is not a matrix"
                )));
            };
            if inputs != 0 && inputs != columns {
                return Err(ConvertError::new(format!(
                    "tensor {name}.weight has other inputs"
                )));
            }
            inputs = columns;
            weights.extend(weight.values);
            let bias = format!("{name}.bias");
            if self.tensors.contains_key(&bias) {
                biases.extend(self.take(&bias)?.values);
            } else {
                biases.resize(biases.len() + outputs, 0.0);
            }
        }
        let outputs = biases.len();
        self.variables.insert(
            format!("{to}/weight"),
            Variable {
                dimensions: vec![outputs, inputs],
                values: weights,
            },
        );
        self.variables.insert(
            format!("{to}/bias"),
            Variable {
                dimensions: vec![outputs],
                values: biases,
            },
        );
        Ok(())
    }

    fn linear(&mut self, from: &str, to: &str) -> Result<(), ConvertError> {
        self.pair(from, to, ["weight", "bias"])
    }

    fn norm(&mut self, from: &str, to: &str) -> Result<(), ConvertError> {
        self.pair(from, to, ["gamma", "beta"])
    }

    fn pair(&mut self, from: &str, to: &str, names: [&str; 2]) -> Result<(), ConvertError> {
        let [weight, bias] = names;
        self.one(&format!("{from}.weight"), &format!("{to}/{weight}"))?;
        self.one(&format!("{from}.bias"), &format!("{to}/{bias}"))
    }

    fn one(&mut self, from: &str, to: &str) -> Result<(), ConvertError> {
        let tensor = self.take(from)?;
        let variable = Variable {
            dimensions: tensor.shape,
            values: tensor.values,
        };
        self.variables.insert(to.to_owned(), variable);
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<Plain, ConvertError> {
        self.tensors
            .remove(name)
            .ok_or_else(|| ConvertError::new(format!("tensor {name} is absent")))
    }
}

#[cfg(test)]
mod tests;
