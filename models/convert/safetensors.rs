//! Reads safetensors files: what a model's publishers name their tensors, in f32.
//!
//! The layout (<https://github.com/huggingface/safetensors>, its README): the length of a header as u64,
//! the header as a JSON object of `name: {dtype, shape, data_offsets}`, then the data.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sotto_models::ModelError;

/// A header names some thousand tensors at most.
const MAX_HEADER: usize = 1 << 20;

/// One tensor.
#[derive(Debug, PartialEq)]
pub(crate) struct Plain {
    /// Rows first.
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// All tensors by name.
///
/// # Errors
///
/// [`ModelError::Format`] with the byte offset of what is wrong; no byte sequence panics.
pub(crate) fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Plain>, ModelError> {
    let (length, rest) = bytes
        .split_first_chunk::<8>()
        .ok_or_else(|| wrong(0, "the file ends within the length of its header"))?;
    let length = usize::try_from(u64::from_le_bytes(*length))
        .ok()
        .filter(|&length| length <= MAX_HEADER)
        .ok_or_else(|| wrong(0, "the header is longer than 1 MiB"))?;
    let (header, data) = rest
        .split_at_checked(length)
        .ok_or_else(|| wrong(8, "the file ends within its header"))?;
    let header: Map<String, Value> =
        serde_json::from_slice(header).map_err(|_| wrong(8, "the header is not a JSON object"))?;
    header
        .into_iter()
        .filter(|(name, _)| name != "__metadata__")
        .map(|(name, entry)| Ok((name, tensor(&entry, data, 8 + length)?)))
        .collect()
}

fn wrong(offset: usize, what: &'static str) -> ModelError {
    ModelError::Format { offset, what }
}

fn tensor(entry: &Value, data: &[u8], data_start: usize) -> Result<Plain, ModelError> {
    let shape = sizes(&entry["shape"]).ok_or_else(|| wrong(8, "a tensor has no shape"))?;
    let range = match sizes(&entry["data_offsets"]).as_deref() {
        Some(&[start, end]) => data.get(start..end),
        _ => None,
    }
    .ok_or_else(|| wrong(8, "a tensor's data lies outside the file"))?;
    let values: Vec<f32> = match entry["dtype"].as_str() {
        Some("F32") => numbers(range, f32::from_le_bytes),
        Some("F16") => numbers(range, |bytes| half::f16::from_le_bytes(bytes).to_f32()),
        Some("BF16") => numbers(range, |bytes| half::bf16::from_le_bytes(bytes).to_f32()),
        Some("I8") => numbers(range, |bytes| f32::from(i8::from_le_bytes(bytes))),
        // Positions that a publisher counted: no weights.
        Some("I64") => numbers(range, |bytes| i64::from_le_bytes(bytes) as f32),
        _ => return Err(wrong(8, "a tensor is not f32, f16, bf16, i8 or i64")),
    };
    let size = match entry["dtype"].as_str() {
        Some("F32") => 4,
        Some("I8") => 1,
        Some("I64") => 8,
        _ => 2,
    };
    let length = shape
        .iter()
        .try_fold(size, |product: usize, &size| product.checked_mul(size));
    if length != Some(range.len()) {
        return Err(wrong(
            data_start,
            "a tensor's data has another length than its shape",
        ));
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(wrong(data_start, "a weight is not a finite number"));
    }
    Ok(Plain { shape, values })
}

fn numbers<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let numbers = data.as_chunks::<N>().0.iter();
    numbers.map(|bytes| number(*bytes)).collect()
}

fn sizes(value: &Value) -> Option<Vec<usize>> {
    value
        .as_array()?
        .iter()
        .map(|size| usize::try_from(size.as_u64()?).ok())
        .collect()
}

/// A file of these tensors, their values in `dtype`, for the tests of whoever reads such files.
#[cfg(test)]
pub(crate) fn file(tensors: &[(&str, &[usize], &[f32])], dtype: &str) -> Vec<u8> {
    let mut header = Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        for &value in *values {
            match dtype {
                "F32" => data.extend(value.to_le_bytes()),
                "F16" => data.extend(half::f16::from_f32(value).to_le_bytes()),
                _ => data.extend(half::bf16::from_f32(value).to_le_bytes()),
            }
        }
        let entry = serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_kinds_of_numbers_come_out() {
        let values = [1.5, -2.0, 0.25, 8.0, 0.0, -0.5];
        for dtype in ["F32", "F16", "BF16"] {
            let bytes = file(&[("a", &[2, 3], &values), ("b", &[1], &[3.0])], dtype);
            let tensors = parse(&bytes).unwrap();
            assert_eq!(tensors["a"].shape, [2, 3]);
            assert_eq!(tensors["a"].values, values);
            assert_eq!(tensors["b"].values, [3.0]);
            for length in 0..bytes.len() {
                assert!(parse(&bytes[..length]).is_err(), "{length}");
            }
        }
        assert!(parse(&file(&[("a", &[1], &[f32::NAN])], "F32")).is_err());
        let other = file(&[("a", &[1], &[1.0])], "F32");
        let other = String::from_utf8_lossy(&other).replace("F32", "I32");
        assert!(parse(other.as_bytes()).is_err());
    }
}
