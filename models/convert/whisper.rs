//! Whisper, from CTranslate2's names and layout to ours.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::QTensor;
use serde::Deserialize;
use sotto_models::gguf::{self, Value};

use crate::ctranslate2::{Model, Variable};
use crate::{ConvertError, Converted, read};

/// `config.json`: the keys that matter here; it has others.
#[derive(Deserialize)]
struct Configuration {
    suppress_ids: Vec<u32>,
    suppress_ids_begin: Vec<u32>,
}

/// Metadata and tensors of the GGUF file, from the folder of `model.bin`, `config.json` and
/// `vocabulary.txt`.
pub(crate) fn convert(folder: &Path) -> Result<Converted, ConvertError> {
    let path = folder.join("model.bin");
    let mut model = Model::parse(&read(&path)?).map_err(|error| error.in_file(&path))?;
    let path = folder.join("config.json");
    let configuration: Configuration = serde_json::from_slice(&read(&path)?)
        .map_err(|error| ConvertError::new(error.to_string()).in_file(&path))?;
    let path = folder.join("vocabulary.txt");
    let vocabulary = String::from_utf8(read(&path)?)
        .map_err(|_| ConvertError::new("not UTF-8").in_file(&path))?;
    let vocabulary: Vec<&str> = vocabulary.lines().collect();
    let (tensors, shape) =
        tensors(&mut model).map_err(|error| error.in_file(&folder.join("model.bin")))?;
    if vocabulary.len() != shape.vocabulary {
        return Err(ConvertError::new(format!(
            "{} tokens, the model has {}",
            vocabulary.len(),
            shape.vocabulary
        ))
        .in_file(&path));
    }
    let metadata = metadata(&shape, &configuration, &vocabulary)?;
    Ok((metadata, tensors))
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
    Ok(BTreeMap::from([
        ("general.architecture".to_owned(), text("whisper")),
        ("general.name".to_owned(), text("Whisper tiny.en")),
        ("general.basename".to_owned(), text("whisper")),
        ("general.size_label".to_owned(), text("37M")),
        ("general.finetune".to_owned(), text("tiny.en")),
        ("general.version".to_owned(), text("2022-09")),
        ("general.organization".to_owned(), text("OpenAI")),
        ("general.license".to_owned(), text("MIT")),
        (
            "general.languages".to_owned(),
            Value::Array(vec![text("en")]),
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
        (
            "whisper.prompt".to_owned(),
            numbers(&[token("<|startoftranscript|>")?, token("<|notimestamps|>")?]),
        ),
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
        (
            "tokenizer.ggml.tokens".to_owned(),
            Value::Array(vocabulary.iter().map(|token| text(token)).collect()),
        ),
    ]))
}

fn tensors(model: &mut Model) -> Result<(BTreeMap<String, QTensor>, Shape), ConvertError> {
    let mut tensors = Collected(BTreeMap::new());
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

struct Collected(BTreeMap<String, QTensor>);

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
        let tensor = gguf::quantized(rows, columns, &variable.values)?;
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
