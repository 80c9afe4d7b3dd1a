//! GGUF, read under bounds and written deterministically.
//!
//! Layout: magic, version, counts, metadata, tensor directory, padding, tensor data
//! (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>). candle's own reader trusts
//! `general.alignment` and multiplies dimensions unchecked, so reading is done here: nothing is
//! allocated that the file's own length does not pay for, and every range is checked once, in
//! [`Tensors::parse`].

use std::collections::BTreeMap;
use std::io::{Seek, Write};
use std::ops::Range;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};

pub use candle_core::quantized::gguf_file::Value;
use sha2::{Digest, Sha256};

use crate::error::ModelError;

/// Tensors start at multiples of this, the format's default; no other is accepted.
const ALIGNMENT: usize = 32;
/// More metadata keys than any of our files has.
const MAX_KEYS: u64 = 256;
/// More tensors than any of our files has.
const MAX_TENSORS: u64 = 4096;
/// Longest key, tensor name or metadata string, in bytes.
const MAX_STRING: u64 = 1 << 20;
/// Longest metadata array (a vocabulary has about 52,000 entries).
const MAX_ARRAY: u64 = 1 << 18;
/// GGML's own limit.
const MAX_DIMENSIONS: u32 = 4;
/// Values in one block of Q8_0, Q5_0 or Q4_0.
const BLOCK: usize = 32;
/// An f16 scale, then 32 signed bytes.
const Q8_0_BYTES: usize = 2 + BLOCK;
/// An f16 scale, the fifth bits of all values, then pairs of four bits: the first 16 values in the lower halves.
const Q5_0_BYTES: usize = 2 + 4 + BLOCK / 2;
/// As Q5_0, without fifth bits.
const Q4_0_BYTES: usize = 2 + BLOCK / 2;

/// The tensors and metadata of one GGUF file, over bytes that stay where they are.
#[derive(Debug)]
pub struct Tensors<'a> {
    bytes: &'a [u8],
    metadata: BTreeMap<String, Value>,
    directory: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Rows first.
    dimensions: Vec<usize>,
    encoding: Encoding,
    range: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    F32,
    F16,
    Q8_0,
    Q5_0,
    Q4_0,
}

impl Encoding {
    /// Whether values share blocks.
    const fn is_quantized(self) -> bool {
        matches!(self, Self::Q8_0 | Self::Q5_0 | Self::Q4_0)
    }
}

/// How [`write`] stores a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// As it is.
    F32,
    /// 16 bits a value.
    F16,
    /// 8.5 bits a value.
    Q8_0,
    /// 5.5 bits a value.
    Q5_0,
    /// 4.5 bits a value.
    Q4_0,
}

impl<'a> Tensors<'a> {
    /// Reads the directory of a GGUF file of version 2 or 3.
    ///
    /// # Errors
    ///
    /// [`ModelError::Format`] with the byte offset of what is wrong. No byte sequence panics.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut reader = Reader { bytes, offset: 0 };
        if reader.take(4)? != b"GGUF" {
            return Err(reader.wrong("not a GGUF file"));
        }
        if !matches!(reader.u32()?, 2 | 3) {
            return Err(reader.wrong("GGUF version is neither 2 nor 3"));
        }
        let tensor_count = reader.u64()?;
        let key_count = reader.u64()?;
        if tensor_count > MAX_TENSORS || key_count > MAX_KEYS {
            return Err(reader.wrong("more tensors or metadata keys than any model of ours"));
        }

        let mut metadata = BTreeMap::new();
        for _ in 0..key_count {
            let key = reader.string()?;
            let kind = reader.u32()?;
            let value = reader.value(kind)?;
            if metadata.insert(key, value).is_some() {
                return Err(reader.wrong("a metadata key appears twice"));
            }
        }
        if let Some(alignment) = metadata.get("general.alignment")
            && !matches!(alignment, Value::U32(value) if *value as usize == ALIGNMENT)
        {
            return Err(reader.wrong("general.alignment is not 32"));
        }

        let mut listed = Vec::new();
        for _ in 0..tensor_count {
            listed.push(reader.tensor()?);
        }
        let data_start = reader.offset.next_multiple_of(ALIGNMENT);
        let mut directory = BTreeMap::new();
        for tensor in listed {
            let range = tensor
                .offset
                .checked_add(data_start)
                .and_then(|start| Some(start..start.checked_add(tensor.length)?))
                .filter(|range| range.end <= bytes.len())
                .ok_or_else(|| reader.wrong("a tensor's data lies outside the file"))?;
            let entry = Entry {
                dimensions: tensor.dimensions,
                encoding: tensor.encoding,
                range,
            };
            if directory.insert(tensor.name, entry).is_some() {
                return Err(reader.wrong("a tensor name appears twice"));
            }
        }
        Ok(Self {
            bytes,
            metadata,
            directory,
        })
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.directory.keys().map(String::as_str)
    }

    /// Shape of a tensor, rows first; `None` where there is no such tensor.
    pub fn dimensions(&self, name: &str) -> Option<&[usize]> {
        self.directory
            .get(name)
            .map(|entry| entry.dimensions.as_slice())
    }

    /// A whole tensor as f32, row-major, whatever it is stored as.
    ///
    /// # Errors
    ///
    /// Absent, or of another shape than `dimensions` (rows first).
    pub fn f32(&self, name: &str, dimensions: &[usize]) -> Result<Vec<f32>, ModelError> {
        let entry = self.entry(name, dimensions)?;
        let mut values = vec![0.0; dimensions.iter().product()];
        decode(
            &self.bytes[entry.range.clone()],
            entry.encoding,
            &mut values,
        );
        Ok(values)
    }

    /// A matrix, one row at a time: what packs its weights needs no second whole copy in f32.
    ///
    /// # Errors
    ///
    /// Absent, not of shape `[rows, columns]`, or quantized with rows that share a block.
    pub fn for_each_row(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<(), ModelError> {
        let entry = self.entry(name, &[rows, columns])?;
        if entry.encoding.is_quantized() && !columns.is_multiple_of(BLOCK) {
            return Err(ModelError::Format {
                offset: entry.range.start,
                what: "rows of a quantized matrix share a block",
            });
        }
        let data = &self.bytes[entry.range.clone()];
        let row_bytes = data.len().checked_div(rows).unwrap_or(0);
        let mut row = vec![0.0; columns];
        for index in 0..rows {
            let start = index * row_bytes;
            decode(&data[start..start + row_bytes], entry.encoding, &mut row);
            each(index, &row);
        }
        Ok(())
    }

    /// SHA-256 of all tensors whose names begin so: of what follows in the names, and of shapes and contents.
    pub(crate) fn sha256(&self, prefix: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (name, entry) in self.directory.range(prefix.to_owned()..).take_while(|(name, _)| name.starts_with(prefix)) {
            let rest = &name[prefix.len()..];
            hash.update(format!("{rest}\0{:?} {:?}\0", entry.dimensions, entry.encoding));
            hash.update(&self.bytes[entry.range.clone()]);
        }
        hash.finalize().into()
    }

    /// A metadata value.
    pub fn metadata(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// An unsigned number of the metadata.
    ///
    /// # Errors
    ///
    /// Absent or of another type.
    pub fn u32(&self, key: &str) -> Result<u32, ModelError> {
        match self.metadata.get(key) {
            Some(Value::U32(value)) => Ok(*value),
            _ => Err(ModelError::Metadata {
                key: key.to_owned(),
                needed: "an unsigned 32-bit number",
            }),
        }
    }

    /// A text of the metadata.
    ///
    /// # Errors
    ///
    /// Absent or of another type.
    pub fn text(&self, key: &str) -> Result<&str, ModelError> {
        match self.metadata.get(key) {
            Some(Value::String(value)) => Ok(value),
            _ => Err(ModelError::Metadata {
                key: key.to_owned(),
                needed: "a text",
            }),
        }
    }

    /// A list of unsigned numbers of the metadata.
    ///
    /// # Errors
    ///
    /// Absent or of another type.
    pub fn u32s(&self, key: &str) -> Result<Vec<u32>, ModelError> {
        self.list(
            key,
            "a list of unsigned 32-bit numbers",
            |value| match value {
                Value::U32(number) => Some(*number),
                _ => None,
            },
        )
    }

    /// A list of texts of the metadata.
    ///
    /// # Errors
    ///
    /// Absent or of another type.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>, ModelError> {
        self.list(key, "a list of texts", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    fn list<'s, T>(
        &'s self,
        key: &str,
        needed: &'static str,
        item: impl Fn(&'s Value) -> Option<T>,
    ) -> Result<Vec<T>, ModelError> {
        match self.metadata.get(key) {
            Some(Value::Array(values)) => values.iter().map(item).collect(),
            _ => None,
        }
        .ok_or_else(|| ModelError::Metadata {
            key: key.to_owned(),
            needed,
        })
    }

    fn entry(&self, name: &str, dimensions: &[usize]) -> Result<&Entry, ModelError> {
        let entry = self
            .directory
            .get(name)
            .ok_or_else(|| ModelError::MissingTensor {
                name: name.to_owned(),
            })?;
        if entry.dimensions != dimensions {
            return Err(ModelError::Shape {
                name: name.to_owned(),
                expected: dimensions.to_vec(),
                found: entry.dimensions.clone(),
            });
        }
        Ok(entry)
    }
}

/// A tensor for [`write`], stored as f32.
///
/// # Errors
///
/// The values do not fill the shape.
pub fn plain(dimensions: &[usize], values: &[f32]) -> Result<QTensor, ModelError> {
    let tensor = Tensor::from_slice(values, dimensions, &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, GgmlDType::F32)?)
}

/// A matrix for [`write`]; where it is quantized, blocks of 32 along a row share one scale.
///
/// # Errors
///
/// The values do not fill the shape, or `columns` is not a multiple of 32 where they are quantized.
pub fn matrix(
    rows: usize,
    columns: usize,
    values: &[f32],
    storage: Storage,
) -> Result<QTensor, ModelError> {
    let tensor = Tensor::from_slice(values, (rows, columns), &Device::Cpu)?;
    let kind = match storage {
        Storage::F32 => GgmlDType::F32,
        Storage::F16 => GgmlDType::F16,
        Storage::Q8_0 => GgmlDType::Q8_0,
        Storage::Q5_0 => GgmlDType::Q5_0,
        Storage::Q4_0 => GgmlDType::Q4_0,
    };
    Ok(QTensor::quantize(&tensor, kind)?)
}

/// A matrix for [`write`], stored as Q8_0.
///
/// # Errors
///
/// As [`matrix`].
pub fn quantized(rows: usize, columns: usize, values: &[f32]) -> Result<QTensor, ModelError> {
    matrix(rows, columns, values, Storage::Q8_0)
}

/// Writes a GGUF file, keys and tensors in the order of their names: equal input gives equal bytes.
///
/// `general.alignment` and `general.quantization_version` are added here, since they describe
/// how this function writes.
///
/// # Errors
///
/// The writer fails.
pub fn write<W: Write + Seek>(
    writer: &mut W,
    mut metadata: BTreeMap<String, Value>,
    tensors: &BTreeMap<String, QTensor>,
) -> Result<(), ModelError> {
    metadata.insert(
        "general.alignment".to_owned(),
        Value::U32(u32::try_from(ALIGNMENT).unwrap_or(32)),
    );
    metadata.insert("general.quantization_version".to_owned(), Value::U32(2));
    let metadata: Vec<(&str, &Value)> = metadata
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    let tensors: Vec<(&str, &QTensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    gguf_file::write(writer, &metadata, &tensors)?;
    Ok(())
}

/// `data` holds exactly the bytes that `values` needs in this encoding; [`Tensors::parse`] saw to it.
fn decode(data: &[u8], encoding: Encoding, values: &mut [f32]) {
    match encoding {
        Encoding::F32 => {
            for (value, bytes) in values.iter_mut().zip(data.as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
        }
        Encoding::F16 => {
            for (value, bytes) in values.iter_mut().zip(data.as_chunks::<2>().0) {
                *value = half::f16::from_le_bytes(*bytes).to_f32();
            }
        }
        Encoding::Q8_0 => {
            let blocks = data.as_chunks::<Q8_0_BYTES>().0;
            for (values, block) in values.chunks_mut(BLOCK).zip(blocks) {
                let scale = half::f16::from_le_bytes([block[0], block[1]]).to_f32();
                for (value, byte) in values.iter_mut().zip(&block[2..]) {
                    *value = scale * f32::from(byte.cast_signed());
                }
            }
        }
        Encoding::Q5_0 => {
            let blocks = data.as_chunks::<Q5_0_BYTES>().0;
            for (values, block) in values.chunks_mut(BLOCK).zip(blocks) {
                let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
                halves([block[0], block[1]], &block[6..], values, |index, four| {
                    let bit = (fifth >> index & 1) as u8;
                    f32::from(four | bit << 4) - 16.0
                });
            }
        }
        Encoding::Q4_0 => {
            let blocks = data.as_chunks::<Q4_0_BYTES>().0;
            for (values, block) in values.chunks_mut(BLOCK).zip(blocks) {
                let number = |_, four| f32::from(four) - 8.0;
                halves([block[0], block[1]], &block[2..], values, number);
            }
        }
    }
}

/// Values of a block whose bytes hold four bits of two values each; `number` is told which value it is.
fn halves(scale: [u8; 2], bytes: &[u8], values: &mut [f32], number: impl Fn(usize, u8) -> f32) {
    let scale = half::f16::from_le_bytes(scale).to_f32();
    for (index, value) in values.iter_mut().enumerate() {
        let byte = bytes[index % (BLOCK / 2)];
        let four = if index < BLOCK / 2 {
            byte & 15
        } else {
            byte >> 4
        };
        *value = scale * number(index, four);
    }
}

struct Listed {
    name: String,
    dimensions: Vec<usize>,
    encoding: Encoding,
    /// From the start of the tensor data.
    offset: usize,
    length: usize,
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &'static str) -> ModelError {
        ModelError::Format {
            offset: self.offset,
            what,
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ModelError> {
        let taken = self
            .bytes
            .get(self.offset..)
            .and_then(|rest| rest.get(..count))
            .ok_or_else(|| self.wrong("the file ends too early"))?;
        self.offset += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ModelError> {
        self.array().map(u64::from_le_bytes)
    }

    fn size(&mut self) -> Result<usize, ModelError> {
        usize::try_from(self.u64()?).map_err(|_| self.wrong("a number does not fit this machine"))
    }

    fn string(&mut self) -> Result<String, ModelError> {
        let length = self.u64()?;
        if length > MAX_STRING {
            return Err(self.wrong("a string is longer than 1 MiB"));
        }
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.wrong("a string is not UTF-8"))
    }

    /// Value types by number, as in the specification's `gguf_metadata_value_type`.
    fn value(&mut self, kind: u32) -> Result<Value, ModelError> {
        const ARRAY: u32 = 9;
        if kind != ARRAY {
            return self.scalar(kind);
        }
        let item_kind = self.u32()?;
        let count = self.u64()?;
        if item_kind == ARRAY || count > MAX_ARRAY {
            return Err(self.wrong("a metadata array is nested or longer than any of ours"));
        }
        // No capacity from the file's word: each item takes at least one byte of it.
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.scalar(item_kind)?);
        }
        Ok(Value::Array(items))
    }

    fn scalar(&mut self, kind: u32) -> Result<Value, ModelError> {
        Ok(match kind {
            0 => Value::U8(u8::from_le_bytes(self.array()?)),
            1 => Value::I8(i8::from_le_bytes(self.array()?)),
            2 => Value::U16(u16::from_le_bytes(self.array()?)),
            3 => Value::I16(i16::from_le_bytes(self.array()?)),
            4 => Value::U32(self.u32()?),
            5 => Value::I32(i32::from_le_bytes(self.array()?)),
            6 => Value::F32(f32::from_le_bytes(self.array()?)),
            7 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                _ => return Err(self.wrong("a truth value is neither 0 nor 1")),
            },
            8 => Value::String(self.string()?),
            10 => Value::U64(self.u64()?),
            11 => Value::I64(i64::from_le_bytes(self.array()?)),
            12 => Value::F64(f64::from_le_bytes(self.array()?)),
            _ => return Err(self.wrong("unknown metadata type")),
        })
    }

    fn tensor(&mut self) -> Result<Listed, ModelError> {
        let name = self.string()?;
        let rank = self.u32()?;
        if rank > MAX_DIMENSIONS {
            return Err(self.wrong("a tensor has more than 4 dimensions"));
        }
        let mut dimensions = Vec::new();
        let mut elements = Some(1usize);
        for _ in 0..rank {
            let dimension = self.size()?;
            elements = elements.and_then(|product| product.checked_mul(dimension));
            dimensions.push(dimension);
        }
        // GGUF names the fastest dimension first.
        dimensions.reverse();
        let elements = elements
            .filter(|&elements| elements > 0)
            .ok_or_else(|| self.wrong("a tensor is empty or too large"))?;
        // Numbers of `ggml_type`.
        let (encoding, length) = match self.u32()? {
            0 => (Encoding::F32, elements.checked_mul(4)),
            1 => (Encoding::F16, elements.checked_mul(2)),
            kind @ (2 | 6 | 8) if elements.is_multiple_of(BLOCK) => {
                let (encoding, bytes) = match kind {
                    2 => (Encoding::Q4_0, Q4_0_BYTES),
                    6 => (Encoding::Q5_0, Q5_0_BYTES),
                    _ => (Encoding::Q8_0, Q8_0_BYTES),
                };
                (encoding, (elements / BLOCK).checked_mul(bytes))
            }
            _ => {
                return Err(
                    self.wrong("a tensor is not f32, f16 or whole blocks of Q8_0, Q5_0 or Q4_0")
                );
            }
        };
        let length = length.ok_or_else(|| self.wrong("a tensor is too large"))?;
        let offset = self.size()?;
        if !offset.is_multiple_of(ALIGNMENT) {
            return Err(self.wrong("a tensor's data is not aligned"));
        }
        Ok(Listed {
            name,
            dimensions,
            encoding,
            offset,
            length,
        })
    }
}

#[cfg(test)]
mod tests;
