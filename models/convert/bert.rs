//! BERT models: MiniLM from safetensors, with our adapters or without, and Rampart from ONNX.
//!
//! All go the same way: whoever published them, the tensors are asked for under Hugging Face's names
//! (`encoder.layer.0.attention.self.query`), and are written under ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor, ggml_file};
use serde::Deserialize;
use sotto_models::gguf::{self, Storage, Value};

use crate::onnx::{Graph, Tensor};
use crate::safetensors::{self, Plain};
use crate::{ConvertError, Converted, read};

/// Values that share a scale, in ONNX' MatMulNBits as in Q4_0.
const BLOCK: usize = 32;
/// `config.json` of a layer count that is accepted.
const MAX_LAYERS: usize = 24;
const EMBEDDINGS: [&str; 3] = ["embeddings.word_embeddings", "embeddings.position_embeddings", "embeddings.token_type_embeddings"];

/// `config.json`: the keys that matter here; it has others.
#[derive(Deserialize)]
struct Configuration {
    num_hidden_layers: usize,
    num_attention_heads: u32,
    #[serde(default)]
    id2label: BTreeMap<String, String>,
}

/// What the GGUF file says of itself.
pub(crate) struct About {
    pub(crate) name: &'static str,
    pub(crate) basename: &'static str,
    pub(crate) organization: &'static str,
    pub(crate) license: &'static str,
}

/// all-MiniLM-L6-v2: `paths` are `model.safetensors`, `config.json` and `vocab.txt`. With adapters it is our sentiment model.
pub(crate) fn minilm(paths: &[PathBuf], adapter: Option<&Path>) -> Result<Converted, ConvertError> {
    let weights = find(paths, "model.safetensors")?;
    let parse = |path: &Path| safetensors::parse(&read(path)?).map_err(|error| ConvertError::from(error).in_file(path));
    let adapter = adapter.map(parse).transpose()?;
    let about = match adapter {
        None => About { name: "all-MiniLM-L6-v2", basename: "all-MiniLM", organization: "sentence-transformers", license: "Apache-2.0" },
        Some(_) => About { name: "sotto sentiment, over all-MiniLM-L6-v2", basename: "sotto-sentiment", organization: "sotto", license: "Apache-2.0" },
    };
    let mut published = Adapted { base: parse(weights)?, adapter };
    convert(&mut published, paths, &about).map_err(|error| error.in_file(weights))
}

/// Rampart: `paths` are `model_q4.onnx`, `config.json` and `vocab.txt`.
pub(crate) fn rampart(paths: &[PathBuf]) -> Result<Converted, ConvertError> {
    let weights = find(paths, "model_q4.onnx")?;
    let bytes = read(weights)?;
    let mut graph = Graph::parse(&bytes).map_err(|error| ConvertError::from(error).in_file(weights))?;
    let about = About { name: "Rampart", basename: "rampart", organization: "National Design Studio", license: "CC-BY-4.0" };
    convert(&mut graph, paths, &about).map_err(|error| error.in_file(weights))
}

fn find<'a>(paths: &'a [PathBuf], name: &str) -> Result<&'a Path, ConvertError> {
    let found = paths.iter().find(|path| path.file_name().is_some_and(|file| file == name));
    found.map(PathBuf::as_path).ok_or_else(|| ConvertError::new(format!("the recipe names no {name}")))
}

fn convert(published: &mut dyn Published, paths: &[PathBuf], about: &About) -> Result<Converted, ConvertError> {
    let path = find(paths, "config.json")?;
    let configuration: Configuration = serde_json::from_slice(&read(path)?).map_err(|error| ConvertError::new(error.to_string()).in_file(path))?;
    let layers = configuration.num_hidden_layers;
    if layers > MAX_LAYERS {
        return Err(ConvertError::new("more than 24 layers").in_file(path));
    }
    let path = find(paths, "vocab.txt")?;
    let vocabulary = String::from_utf8(read(path)?).map_err(|_| ConvertError::new("not UTF-8").in_file(path))?;
    let vocabulary: Vec<&str> = vocabulary.lines().collect();

    let mut tensors = BTreeMap::new();
    let [words, mut positions, sentences] = {
        let [words, positions, sentences] = EMBEDDINGS.map(|name| published.plain(&format!("{name}.weight")));
        [words?, positions?, sentences?]
    };
    let (count, width) = words.rows_and_columns("embeddings.word_embeddings")?;
    if count != vocabulary.len() {
        return Err(ConvertError::new(format!("{} tokens, the model has {count}", vocabulary.len())));
    }
    // Our texts are one sentence, the first: its embedding goes with every position.
    for row in positions.values.chunks_exact_mut(width) {
        row.iter_mut().zip(&sentences.values).for_each(|(position, sentence)| *position += sentence);
    }
    tensors.insert("embedding.words".to_owned(), gguf::quantized(count, width, &words.values)?);
    tensors.insert("embedding.positions".to_owned(), gguf::plain(&positions.shape, &positions.values)?);
    norm(published, "embeddings.LayerNorm", "embedding.norm", &mut tensors)?;
    let mut inner = 0;
    for index in 0..layers {
        let from = |name: &str| format!("encoder.layer.{index}.{name}");
        let to = |name: &str| format!("layer.{index}.{name}");
        let together = ["query", "key", "value"].map(|name| from(&format!("attention.self.{name}")));
        linear(published, &together, &to("query_key_value"), &mut tensors)?;
        linear(published, &[from("attention.output.dense")], &to("output"), &mut tensors)?;
        inner = linear(published, &[from("intermediate.dense")], &to("expand"), &mut tensors)?;
        linear(published, &[from("output.dense")], &to("contract"), &mut tensors)?;
        norm(published, &from("attention.output.LayerNorm"), &to("attention_norm"), &mut tensors)?;
        norm(published, &from("output.LayerNorm"), &to("feed_forward_norm"), &mut tensors)?;
    }
    if let Some((weight, bias)) = published.head()? {
        tensors.insert("head.weight".to_owned(), gguf::plain(&weight.shape, &weight.values)?);
        tensors.insert("head.bias".to_owned(), gguf::plain(&bias.shape, &bias.values)?);
    }
    let text = |text: &str| Value::String(text.to_owned());
    let texts = |texts: &[&str]| Value::Array(texts.iter().copied().map(text).collect());
    let size = |size: usize| u32::try_from(size).map(Value::U32).map_err(|_| ConvertError::new("a size does not fit 32 bits"));
    let mut metadata = BTreeMap::from([
        ("general.architecture".to_owned(), text("bert")),
        ("general.name".to_owned(), text(about.name)),
        ("general.basename".to_owned(), text(about.basename)),
        ("general.organization".to_owned(), text(about.organization)),
        ("general.license".to_owned(), text(about.license)),
        ("general.languages".to_owned(), texts(&["en"])),
        ("bert.context_length".to_owned(), size(positions.shape[0])?),
        ("bert.embedding_length".to_owned(), size(width)?),
        ("bert.feed_forward_length".to_owned(), size(inner)?),
        ("bert.block_count".to_owned(), size(layers)?),
        ("bert.attention.head_count".to_owned(), Value::U32(configuration.num_attention_heads)),
        ("tokenizer.ggml.model".to_owned(), text("bert")),
        ("tokenizer.ggml.tokens".to_owned(), texts(&vocabulary)),
    ]);
    let labels = &configuration.id2label;
    if !labels.is_empty() {
        let ordered: Option<Vec<&str>> = (0..labels.len()).map(|index| labels.get(&index.to_string()).map(String::as_str)).collect();
        let ordered = ordered.ok_or_else(|| ConvertError::new("id2label of config.json leaves a number out"))?;
        metadata.insert("bert.classifier.output_labels".to_owned(), texts(&ordered));
    }
    Ok((metadata, tensors))
}

/// Several matrices of the same inputs, one below the other, and their biases. Gives the outputs in all.
fn linear(published: &mut dyn Published, from: &[String], to: &str, tensors: &mut BTreeMap<String, QTensor>) -> Result<usize, ConvertError> {
    let (mut matrix, mut biases) = (published.matrix(&from[0])?, Vec::new());
    for more in &from[1..] {
        matrix = matrix.above(published.matrix(more)?).ok_or_else(|| ConvertError::new(format!("{more}: other inputs than its neighbours")))?;
    }
    for name in from {
        biases.extend(published.plain(&format!("{name}.bias"))?.values);
    }
    let outputs = biases.len();
    tensors.insert(format!("{to}.bias"), gguf::plain(&[outputs], &biases)?);
    tensors.insert(format!("{to}.weight"), matrix.tensor()?);
    Ok(outputs)
}

fn norm(published: &mut dyn Published, from: &str, to: &str, tensors: &mut BTreeMap<String, QTensor>) -> Result<(), ConvertError> {
    for part in ["weight", "bias"] {
        let Plain { shape, values } = published.plain(&format!("{from}.{part}"))?;
        tensors.insert(format!("{to}.{part}"), gguf::plain(&shape, &values)?);
    }
    Ok(())
}

/// A published model, asked by Hugging Face's names.
trait Published {
    fn plain(&mut self, name: &str) -> Result<Plain, ConvertError>;
    /// `[outputs, inputs]`
    fn matrix(&mut self, name: &str) -> Result<Matrix, ConvertError>;
    /// Weight and bias of the layer on top.
    fn head(&mut self) -> Result<Option<(Plain, Plain)>, ConvertError>;
}

enum Matrix {
    Plain { columns: usize, values: Vec<f32> },
    /// Whole blocks of Q4_0.
    Q4 { columns: usize, bytes: Vec<u8> },
}

impl Matrix {
    fn above(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Plain { columns, mut values }, Self::Plain { columns: same, values: more }) if columns == same => {
                values.extend(more);
                Some(Self::Plain { columns, values })
            }
            (Self::Q4 { columns, mut bytes }, Self::Q4 { columns: same, bytes: more }) if columns == same => {
                bytes.extend(more);
                Some(Self::Q4 { columns, bytes })
            }
            _ => None,
        }
    }

    fn tensor(&self) -> Result<QTensor, ConvertError> {
        match self {
            Self::Plain { columns, values } => Ok(gguf::matrix(values.len() / columns, *columns, values, Storage::Q8_0)?),
            Self::Q4 { columns, bytes } => {
                let rows = bytes.len() / (columns / BLOCK * Q4_BYTES);
                ggml_file::qtensor_from_ggml(GgmlDType::Q4_0, bytes, vec![rows, *columns], &Device::Cpu).map_err(|error| ConvertError::new(error.to_string()))
            }
        }
    }
}

impl Plain {
    fn rows_and_columns(&self, name: &str) -> Result<(usize, usize), ConvertError> {
        match self.shape[..] {
            [rows, columns] if rows > 0 && columns > 0 => Ok((rows, columns)),
            _ => Err(ConvertError::new(format!("{name}: not a matrix"))),
        }
    }
}

/// Safetensors, and what was learned on top of them.
struct Adapted {
    base: BTreeMap<String, Plain>,
    adapter: Option<BTreeMap<String, Plain>>,
}

impl Published for Adapted {
    fn plain(&mut self, name: &str) -> Result<Plain, ConvertError> {
        self.base.remove(name).ok_or_else(|| ConvertError::new(format!("tensor {name}: absent")))
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix, ConvertError> {
        let weight = self.plain(&format!("{name}.weight"))?;
        let (rows, columns) = weight.rows_and_columns(name)?;
        let mut values = weight.values;
        // The lower layers have none.
        let to = ours(name).ok_or_else(|| ConvertError::new(format!("{name}: no adapter is known for it")))?;
        if let Some(adapter) = self.adapter.as_mut().filter(|adapter| adapter.contains_key(&format!("{to}.a"))) {
            let (a, b) = (scaled(adapter, &format!("{to}.a"), columns)?, scaled(adapter, &format!("{to}.b"), rows)?);
            for (a, b) in a.chunks_exact(columns).zip(b.chunks_exact(rows)) {
                for (row, b) in values.chunks_exact_mut(columns).zip(b) {
                    row.iter_mut().zip(a).for_each(|(value, a)| *value += a * b);
                }
            }
        }
        Ok(Matrix::Plain { columns, values })
    }

    fn head(&mut self) -> Result<Option<(Plain, Plain)>, ConvertError> {
        let Some(adapter) = &mut self.adapter else { return Ok(None) };
        let mut take = |name: &str| adapter.remove(name).ok_or_else(|| ConvertError::new(format!("tensor {name}: absent")));
        Ok(Some((take("head.weight")?, take("head.bias")?)))
    }
}

/// How `train/sentiment.py` names the adapter of a matrix.
fn ours(name: &str) -> Option<String> {
    let (index, name) = name.strip_prefix("encoder.layer.")?.split_once('.')?;
    let name = match name {
        "attention.self.query" => "query",
        "attention.self.key" => "key",
        "attention.self.value" => "value",
        "attention.output.dense" => "output",
        "intermediate.dense" => "expand",
        "output.dense" => "contract",
        _ => return None,
    };
    Some(format!("layer.{index}.{name}"))
}

/// A matrix of 8 bits with a scale a row.
fn scaled(adapter: &mut BTreeMap<String, Plain>, name: &str, columns: usize) -> Result<Vec<f32>, ConvertError> {
    let mut take = |name: &str| adapter.remove(name).ok_or_else(|| ConvertError::new(format!("tensor {name}: absent")));
    let (mut matrix, scale) = (take(name)?, take(&format!("{name}_scale"))?);
    if matrix.shape != [scale.values.len(), columns] {
        return Err(ConvertError::new(format!("tensor {name}: shape {:?}, not rows of {columns}", matrix.shape)));
    }
    for (row, scale) in matrix.values.chunks_exact_mut(columns).zip(&scale.values) {
        row.iter_mut().for_each(|value| *value *= scale);
    }
    Ok(matrix.values)
}

/// An f16 scale, then the four bits of 32 values: see [`q4_block`].
const Q4_BYTES: usize = 2 + BLOCK / 2;

impl Published for Graph<'_> {
    fn plain(&mut self, name: &str) -> Result<Plain, ConvertError> {
        let name = format!("bert.{name}");
        if let Some(tensor) = self.tensors.get(&name) {
            return floats(tensor, &name);
        }
        let part = |part: &str| self.tensors.get(&format!("{name}_{part}")).ok_or_else(|| ConvertError::new(format!("tensor {name}_{part}: absent")));
        let (quantized, scale, zero) = (part("quantized")?, part("scale")?, part("zero_point")?);
        let (Some(bytes), Some([scale]), Some([zero])) = (quantized.bytes(), scale.floats(), zero.bytes()) else {
            return Err(ConvertError::new(format!("tensor {name}: not bytes with one scale and one zero point")));
        };
        let values = bytes.iter().map(|&byte| (f32::from(byte) - f32::from(*zero)) * scale).collect();
        Ok(Plain { shape: quantized.dimensions.clone(), values })
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix, ConvertError> {
        four_bits(self, &format!("/bert/{}", name.replace('.', "/").replace("layer/", "layer.")))
    }

    fn head(&mut self) -> Result<Option<(Plain, Plain)>, ConvertError> {
        let Matrix::Q4 { columns, bytes } = four_bits(self, "/classifier")? else { return Ok(None) };
        let name = "classifier.bias";
        let bias = floats(self.tensors.get(name).ok_or_else(|| ConvertError::new(format!("tensor {name}: absent")))?, name)?;
        let mut values = Vec::new();
        for block in bytes.as_chunks::<Q4_BYTES>().0 {
            let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f32();
            let halves = block[2..].iter().map(|byte| byte & 15).chain(block[2..].iter().map(|byte| byte >> 4));
            values.extend(halves.map(|four| scale * (f32::from(four) - 8.0)));
        }
        Ok(Some((Plain { shape: vec![bias.values.len(), columns], values }, bias)))
    }
}

fn floats(tensor: &Tensor<'_>, name: &str) -> Result<Plain, ConvertError> {
    let values = tensor.floats().ok_or_else(|| ConvertError::new(format!("tensor {name}: not f32")))?.to_vec();
    Ok(Plain { shape: tensor.dimensions.clone(), values })
}

/// The weights of a MatMulNBits node: 4 bits in blocks of 32 along a row, zero at 8, the scale apart
/// (<https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md>).
fn four_bits(graph: &Graph<'_>, node: &str) -> Result<Matrix, ConvertError> {
    let node = format!("{node}/MatMul_Q4");
    let tensor = |index: usize| graph.tensors.get(graph.inputs.get(&node)?.get(index)?);
    let (Some(weights), Some(scales)) = (tensor(1), tensor(2)) else {
        return Err(ConvertError::new(format!("node {node}: absent, or without weights")));
    };
    let (&[rows, blocks, 16], Some(bytes), Some(scales)) = (&weights.dimensions[..], weights.bytes(), scales.floats()) else {
        return Err(ConvertError::new(format!("node {node}: not 4 bits in blocks of 32")));
    };
    if scales.len() != rows * blocks {
        return Err(ConvertError::new(format!("node {node}: not a scale for each block")));
    }
    let bytes = bytes.as_chunks::<{ BLOCK / 2 }>().0.iter().zip(scales).flat_map(|(block, &scale)| q4_block(block, scale)).collect();
    Ok(Matrix::Q4 { columns: blocks * BLOCK, bytes })
}

/// ONNX has neighbours in one byte, Q4_0 value n with value n + 16: the lower halves hold the first sixteen.
fn q4_block(block: &[u8; BLOCK / 2], scale: f32) -> [u8; Q4_BYTES] {
    let value = |index: usize| block[index / 2] >> (index % 2 * 4) & 15;
    let mut bytes = [0; Q4_BYTES];
    bytes[..2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
    for (index, byte) in bytes[2..].iter_mut().enumerate() {
        *byte = value(index) | value(index + BLOCK / 2) << 4;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_their_values_in_another_order() {
        let block: [u8; 16] = std::array::from_fn(|index| (index * 31 % 256) as u8);
        let bytes = q4_block(&block, 0.5);
        let tensor = Matrix::Q4 { columns: BLOCK, bytes: bytes.to_vec() }.tensor().unwrap();
        let values = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (index, value) in values.iter().enumerate() {
            let four = if index % 2 == 0 { block[index / 2] & 15 } else { block[index / 2] >> 4 };
            assert_eq!(*value, 0.5 * (f32::from(four) - 8.0));
        }
    }

    #[test]
    fn an_adapter_is_added_to_its_matrix() {
        let plain = |shape: &[usize], values: &[f32]| Plain { shape: shape.to_vec(), values: values.to_vec() };
        let name = "encoder.layer.3.output.dense";
        let base = BTreeMap::from([(format!("{name}.weight"), plain(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))]);
        let adapter = BTreeMap::from([
            ("layer.3.contract.a".to_owned(), plain(&[1, 3], &[1.0, 0.0, -2.0])),
            ("layer.3.contract.a_scale".to_owned(), plain(&[1], &[0.5])),
            ("layer.3.contract.b".to_owned(), plain(&[1, 2], &[10.0, 20.0])),
            ("layer.3.contract.b_scale".to_owned(), plain(&[1], &[1.0])),
        ]);
        let Matrix::Plain { values, .. } = (Adapted { base, adapter: Some(adapter) }).matrix(name).unwrap() else { panic!("plain") };
        assert_eq!(values, [6.0, 2.0, -7.0, 14.0, 5.0, -14.0]);
    }
}
