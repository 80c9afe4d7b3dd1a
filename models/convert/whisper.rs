//! Whisper, from CTranslate2's names and layout to ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::QTensor;
use serde::Deserialize;
use sotto_models::gguf::{self, Storage, Value};

use crate::ctranslate2::{Model, Variable};
use crate::{ConvertError, Converted, hugging_face, read};

/// `config.json`: the keys that matter here; it has others.
#[derive(Deserialize)]
struct Configuration {
    suppress_ids: Vec<u32>,
    suppress_ids_begin: Vec<u32>,
    /// Layer and head of those that look where the next token is spoken.
    #[serde(default)]
    alignment_heads: Vec<[u32; 2]>,
}

/// Metadata and tensors of the GGUF file, from `paths`: CTranslate2's `model.bin` (which may come in parts, to be put
/// together in their order), or Hugging Face's `model.safetensors`. Beside the first of them lies what else such a
/// model has.
pub(crate) fn convert(paths: &[PathBuf], stored: Stored) -> Result<Converted, ConvertError> {
    let first = paths
        .first()
        .ok_or_else(|| ConvertError::new("a model without files"))?;
    let folder = first.parent().unwrap_or_else(|| Path::new("."));
    let is_safetensors = first.extension().is_some_and(|kind| kind == "safetensors");
    let (mut model, configuration, vocabulary) = if is_safetensors {
        let (model, suppress_ids, suppress_ids_begin, alignment_heads, vocabulary) =
            hugging_face::read_folder(folder)?;
        let configuration = Configuration {
            suppress_ids,
            suppress_ids_begin,
            alignment_heads,
        };
        (model, configuration, vocabulary)
    } else {
        read_ctranslate2(folder, paths)?
    };
    let (tensors, shape) = tensors(&mut model, stored).map_err(|error| error.in_file(first))?;
    // A row of the embedding more than there are tokens is filling.
    if vocabulary.len() != shape.vocabulary {
        return Err(ConvertError::new(format!(
            "{} tokens, the model has {}",
            vocabulary.len(),
            shape.vocabulary
        ))
        .in_file(first));
    }
    let vocabulary: Vec<&str> = vocabulary.iter().map(String::as_str).collect();
    let metadata = metadata(&shape, &configuration, &vocabulary)?;
    Ok((metadata, tensors))
}

fn read_ctranslate2(
    folder: &Path,
    paths: &[PathBuf],
) -> Result<(Model, Configuration, Vec<String>), ConvertError> {
    let mut bytes = Vec::new();
    let is_weights = |path: &&PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("model.bin"))
    };
    for path in paths.iter().filter(is_weights) {
        bytes.extend(read(path)?);
    }
    let path = folder.join("model.bin");
    let model = Model::parse(&bytes).map_err(|error| error.in_file(&path))?;
    let path = folder.join("config.json");
    let configuration: Configuration = serde_json::from_slice(&read(&path)?)
        .map_err(|error| ConvertError::new(error.to_string()).in_file(&path))?;
    let path = folder.join("vocabulary.txt");
    let vocabulary = String::from_utf8(read(&path)?)
        .map_err(|_| ConvertError::new("not UTF-8").in_file(&path))?;
    let vocabulary = vocabulary.lines().map(str::to_owned).collect();
    Ok((model, configuration, vocabulary))
}

struct Shape {
    mel_bins: usize,
    state: usize,
    feed_forward: usize,
    encoder_positions: usize,
    encoder_layers: usize,
    encoder_heads: usize,
    decoder_positions: usize,
    decoder_layers: usize,
    decoder_heads: usize,
    vocabulary: usize,
}

fn metadata(
    shape: &Shape,
    configuration: &Configuration,
    vocabulary: &[&str],
) -> Result<BTreeMap<String, Value>, ConvertError> {
    let token = |text: &str| {
        vocabulary
            .iter()
            .position(|token| *token == text)
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| ConvertError::new(format!("the vocabulary has no token {text}")))
    };
    // Newer files call it nospeech, older ones nocaptions; it is one and the same token.
    let no_speech = token("<|nocaptions|>").or_else(|_| token("<|nospeech|>"))?;
    let numbers = |ids: &[u32]| Value::Array(ids.iter().copied().map(Value::U32).collect());
    let count = |number: usize| {
        u32::try_from(number)
            .map(Value::U32)
            .map_err(|_| ConvertError::new("a size does not fit 32 bits"))
    };
    let text = |text: &str| Value::String(text.to_owned());
    let texts = |texts: &[&str]| Value::Array(texts.iter().copied().map(text).collect());
    let languages = languages(vocabulary);
    let (size, label) = size(shape);
    // The English models name languages too, but have no choice; the vocabulary has one token less.
    let english = languages.is_empty() || vocabulary.len() == 51_864;
    let name = if english {
        format!("{size}.en")
    } else {
        size.to_owned()
    };
    let mut prompt = vec![token("<|startoftranscript|>")?];
    let mut more = Vec::new();
    let codes: Vec<&str> = languages.iter().map(|(code, _)| *code).collect();
    if !english {
        let ids: Vec<u32> = languages.iter().map(|(_, id)| *id).collect();
        prompt.extend([token("<|en|>")?, token("<|transcribe|>")?]);
        more.push(("whisper.language_token_ids".to_owned(), numbers(&ids)));
    }
    prompt.push(token("<|notimestamps|>")?);
    if !configuration.alignment_heads.is_empty() {
        let heads = configuration.alignment_heads.concat();
        more.push(("whisper.alignment_heads".to_owned(), numbers(&heads)));
    }
    let mut metadata = BTreeMap::from([
        ("general.architecture".to_owned(), text("whisper")),
        ("general.name".to_owned(), text(&format!("Whisper {name}"))),
        ("general.basename".to_owned(), text("whisper")),
        ("general.size_label".to_owned(), text(label)),
        ("general.finetune".to_owned(), text(&name)),
        ("general.version".to_owned(), text("2022-09")),
        ("general.organization".to_owned(), text("OpenAI")),
        ("general.license".to_owned(), text("MIT")),
        (
            "general.languages".to_owned(),
            if english {
                texts(&["en"])
            } else {
                texts(&codes)
            },
        ),
        // MOSTLY_Q8_0
        ("general.file_type".to_owned(), Value::U32(7)),
        ("whisper.audio.sample_rate".to_owned(), Value::U32(16_000)),
        ("whisper.audio.mel_bins".to_owned(), count(shape.mel_bins)?),
        ("whisper.embedding_length".to_owned(), count(shape.state)?),
        (
            "whisper.feed_forward_length".to_owned(),
            count(shape.feed_forward)?,
        ),
        (
            "whisper.encoder.context_length".to_owned(),
            count(shape.encoder_positions)?,
        ),
        (
            "whisper.encoder.block_count".to_owned(),
            count(shape.encoder_layers)?,
        ),
        (
            "whisper.encoder.attention.head_count".to_owned(),
            count(shape.encoder_heads)?,
        ),
        (
            "whisper.decoder.context_length".to_owned(),
            count(shape.decoder_positions)?,
        ),
        (
            "whisper.decoder.block_count".to_owned(),
            count(shape.decoder_layers)?,
        ),
        (
            "whisper.decoder.attention.head_count".to_owned(),
            count(shape.decoder_heads)?,
        ),
        ("whisper.prompt".to_owned(), numbers(&prompt)),
        (
            "whisper.no_speech_token_id".to_owned(),
            Value::U32(no_speech),
        ),
        // Above the last one that is text there are only timestamps and marks.
        (
            "whisper.first_timestamp_token_id".to_owned(),
            Value::U32(token("<|0.00|>")?),
        ),
        (
            "whisper.suppress".to_owned(),
            numbers(&configuration.suppress_ids),
        ),
        (
            "whisper.suppress_begin".to_owned(),
            numbers(&configuration.suppress_ids_begin),
        ),
        ("tokenizer.ggml.model".to_owned(), text("gpt2")),
        (
            "tokenizer.ggml.eos_token_id".to_owned(),
            Value::U32(token("<|endoftext|>")?),
        ),
        ("tokenizer.ggml.tokens".to_owned(), texts(vocabulary)),
    ]);
    metadata.extend(more);
    Ok(metadata)
}

/// Codes and tokens of the languages: they stand between the mark that begins a transcript and the tasks.
fn languages<'a>(vocabulary: &[&'a str]) -> Vec<(&'a str, u32)> {
    (0..)
        .zip(vocabulary)
        .skip_while(|(_, token)| **token != "<|startoftranscript|>")
        .skip(1)
        .take_while(|(_, token)| **token != "<|translate|>")
        .filter_map(|(id, token)| Some((token.strip_prefix("<|")?.strip_suffix("|>")?, id)))
        .collect()
}

/// What OpenAI calls a model of this size, and how many parameters it has.
fn size(shape: &Shape) -> (&'static str, &'static str) {
    match (shape.state, shape.decoder_layers) {
        (384, _) => (
            "tiny",
            if shape.vocabulary == 51_864 {
                "37M"
            } else {
                "39M"
            },
        ),
        (512, _) => ("base", "74M"),
        (768, 12) => ("small", "244M"),
        (1024, 24) => ("medium", "769M"),
        (1280, 32) => ("large", "1.55B"),
        (1280, 4) => ("large-v3-turbo", "809M"),
        _ => ("custom", "custom"),
    }
}

fn tensors(
    model: &mut Model,
    stored: Stored,
) -> Result<(BTreeMap<String, QTensor>, Shape), ConvertError> {
    let mut tensors = Collected(BTreeMap::new(), stored);
    let first = tensors.convolution(model, "encoder/conv1", "encoder.convolution.0")?;
    tensors.convolution(model, "encoder/conv2", "encoder.convolution.1")?;
    let encoder_positions = tensors.positions(model, "encoder")?;
    let decoder_positions = tensors.positions(model, "decoder")?;
    tensors.norm(model, "encoder/layer_norm", "encoder.norm")?;
    tensors.norm(model, "decoder/layer_norm", "decoder.norm")?;
    let embedding = model.take("decoder/embeddings/weight")?;
    let vocabulary = embedding.dimensions.first().copied().unwrap_or(0);
    tensors.matrix("decoder.embedding", &embedding)?;

    let mut feed_forward = 0;
    let mut layers = [0, 0];
    for (side, layers) in ["encoder", "decoder"].iter().zip(&mut layers) {
        while model.has(&format!("{side}/layer_{layers}/ffn/linear_0/weight")) {
            let from = format!("{side}/layer_{layers}");
            let to = format!("{side}.{layers}");
            for (linear, name) in [("linear_0", "query_key_value"), ("linear_1", "output")] {
                tensors.linear(
                    model,
                    &format!("{from}/self_attention/{linear}"),
                    &format!("{to}.self_attention.{name}"),
                )?;
            }
            tensors.norm(
                model,
                &format!("{from}/self_attention/layer_norm"),
                &format!("{to}.self_attention.norm"),
            )?;
            if *side == "decoder" {
                for (linear, name) in [
                    ("linear_0", "query"),
                    ("linear_1", "key_value"),
                    ("linear_2", "output"),
                ] {
                    tensors.linear(
                        model,
                        &format!("{from}/attention/{linear}"),
                        &format!("{to}.cross_attention.{name}"),
                    )?;
                }
                tensors.norm(
                    model,
                    &format!("{from}/attention/layer_norm"),
                    &format!("{to}.cross_attention.norm"),
                )?;
            }
            feed_forward = tensors.linear(
                model,
                &format!("{from}/ffn/linear_0"),
                &format!("{to}.feed_forward.expand"),
            )?;
            tensors.linear(
                model,
                &format!("{from}/ffn/linear_1"),
                &format!("{to}.feed_forward.contract"),
            )?;
            tensors.norm(
                model,
                &format!("{from}/ffn/layer_norm"),
                &format!("{to}.feed_forward.norm"),
            )?;
            *layers += 1;
        }
    }
    let shape = Shape {
        mel_bins: first.inputs,
        state: first.outputs,
        feed_forward,
        encoder_positions,
        encoder_layers: layers[0],
        encoder_heads: heads(model, "encoder/num_heads")?,
        decoder_positions,
        decoder_layers: layers[1],
        decoder_heads: heads(model, "decoder/num_heads")?,
        vocabulary,
    };
    Ok((tensors.0, shape))
}

fn heads(model: &mut Model, name: &str) -> Result<usize, ConvertError> {
    let heads = model.scalar(name)?;
    if !(1.0..=256.0).contains(&heads) {
        return Err(ConvertError::new(format!(
            "variable {name} is no count of heads"
        )));
    }
    Ok(heads as usize)
}

struct Convolution {
    outputs: usize,
    inputs: usize,
}

/// How the matrices of each kind are stored.
#[derive(Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) encoder: Storage,
    pub(crate) decoder: Storage,
    pub(crate) embedding: Storage,
}

impl Default for Stored {
    /// What the packs have: the measurement is in the model's card.
    fn default() -> Self {
        Self {
            encoder: Storage::Q8_0,
            decoder: Storage::Q8_0,
            embedding: Storage::Q8_0,
        }
    }
}

struct Collected(BTreeMap<String, QTensor>, Stored);

impl Collected {
    fn plain(&mut self, name: &str, variable: &Variable) -> Result<(), ConvertError> {
        let tensor = gguf::plain(&variable.dimensions, &variable.values)?;
        self.0.insert(name.to_owned(), tensor);
        Ok(())
    }

    fn matrix(&mut self, name: &str, variable: &Variable) -> Result<(), ConvertError> {
        let [rows, columns] = variable.dimensions[..] else {
            return Err(ConvertError::new(format!("{name}: not a matrix")));
        };
        let stored = self.1;
        let storage = match name.split('.').next() {
            _ if name == "decoder.embedding" => stored.embedding,
            Some("encoder") => stored.encoder,
            _ => stored.decoder,
        };
        let tensor = gguf::matrix(rows, columns, &variable.values, storage)?;
        self.0.insert(name.to_owned(), tensor);
        Ok(())
    }

    /// Gives the count of outputs.
    fn linear(&mut self, model: &mut Model, from: &str, to: &str) -> Result<usize, ConvertError> {
        let weight = model.take(&format!("{from}/weight"))?;
        self.matrix(&format!("{to}.weight"), &weight)?;
        self.plain(&format!("{to}.bias"), &model.take(&format!("{from}/bias"))?)?;
        Ok(weight.dimensions.first().copied().unwrap_or(0))
    }

    fn norm(&mut self, model: &mut Model, from: &str, to: &str) -> Result<(), ConvertError> {
        self.plain(
            &format!("{to}.weight"),
            &model.take(&format!("{from}/gamma"))?,
        )?;
        self.plain(&format!("{to}.bias"), &model.take(&format!("{from}/beta"))?)
    }

    fn positions(&mut self, model: &mut Model, side: &str) -> Result<usize, ConvertError> {
        let positions = model.take(&format!("{side}/position_encodings/encodings"))?;
        self.plain(&format!("{side}.positions"), &positions)?;
        Ok(positions.dimensions.first().copied().unwrap_or(0))
    }

    /// From outputs x inputs x taps to outputs x taps x inputs: the inputs of neighbouring frames then
    /// lie as they lie in a time-major spectrogram, and a convolution is one matrix product.
    fn convolution(
        &mut self,
        model: &mut Model,
        from: &str,
        to: &str,
    ) -> Result<Convolution, ConvertError> {
        let weight = model.take(&format!("{from}/weight"))?;
        let [outputs, inputs, taps] = weight.dimensions[..] else {
            return Err(ConvertError::new(format!("{from}: not a convolution")));
        };
        let mut values = Vec::with_capacity(weight.values.len());
        for output in weight.values.chunks_exact(inputs * taps) {
            for tap in 0..taps {
                values.extend((0..inputs).map(|input| output[input * taps + tap]));
            }
        }
        let turned = Variable {
            dimensions: vec![outputs, taps, inputs],
            values,
        };
        self.plain(&format!("{to}.weight"), &turned)?;
        self.plain(&format!("{to}.bias"), &model.take(&format!("{from}/bias"))?)?;
        Ok(Convolution { outputs, inputs })
    }
}
