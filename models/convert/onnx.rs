//! Reads of an ONNX file what a converter of weights needs: the initializers, and which of them a node multiplies with.
//!
//! An ONNX file is a protocol buffer (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>,
//! <https://protobuf.dev/programming-guides/encoding/>).

use std::collections::BTreeMap;

use sotto_models::ModelError;

/// `TensorProto.DataType`
const FLOAT: u64 = 1;
const UINT8: u64 = 2;
/// Dimensions of a tensor that is accepted.
const MAX_DIMENSIONS: usize = 8;

/// The weights of a graph.
pub(crate) struct Graph<'a> {
    pub(crate) tensors: BTreeMap<String, Tensor<'a>>,
    /// For each node with a name: what goes into it.
    pub(crate) inputs: BTreeMap<String, Vec<String>>,
}

/// One initializer.
pub(crate) struct Tensor<'a> {
    pub(crate) dimensions: Vec<usize>,
    values: Values<'a>,
}

enum Values<'a> {
    Floats(Vec<f32>),
    Bytes(&'a [u8]),
}

impl<'a> Tensor<'a> {
    pub(crate) fn floats(&self) -> Option<&[f32]> {
        match &self.values {
            Values::Floats(values) => Some(values),
            Values::Bytes(_) => None,
        }
    }

    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self.values {
            Values::Bytes(bytes) => Some(bytes),
            Values::Floats(_) => None,
        }
    }
}

impl<'a> Graph<'a> {
    /// Initializers of other types than f32 and u8 are left out.
    ///
    /// # Errors
    ///
    /// [`ModelError::Format`] with the byte offset of what is wrong; no byte sequence panics.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ModelError> {
        const GRAPH: u64 = 7;
        const NODE: u64 = 1;
        const INITIALIZER: u64 = 5;
        let mut graph = Self {
            tensors: BTreeMap::new(),
            inputs: BTreeMap::new(),
        };
        for field in Fields::new(bytes, 0) {
            let Field { number: GRAPH, value: Value::Bytes(bytes), offset } = field? else { continue };
            for field in Fields::new(bytes, offset) {
                match field? {
                    Field { number: NODE, value: Value::Bytes(bytes), offset } => {
                        let (name, inputs) = node(bytes, offset)?;
                        graph.inputs.insert(name, inputs);
                    }
                    Field { number: INITIALIZER, value: Value::Bytes(bytes), offset } => {
                        if let Some((name, tensor)) = tensor(bytes, offset)? {
                            graph.tensors.insert(name, tensor);
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(graph)
    }
}

fn node(bytes: &[u8], offset: usize) -> Result<(String, Vec<String>), ModelError> {
    const INPUT: u64 = 1;
    const NAME: u64 = 3;
    let (mut name, mut inputs) = (String::new(), Vec::new());
    for field in Fields::new(bytes, offset) {
        match field? {
            Field { number: INPUT, value: Value::Bytes(text), offset } => inputs.push(utf8(text, offset)?),
            Field { number: NAME, value: Value::Bytes(text), offset } => name = utf8(text, offset)?,
            _ => {}
        }
    }
    Ok((name, inputs))
}

fn tensor(bytes: &[u8], offset: usize) -> Result<Option<(String, Tensor<'_>)>, ModelError> {
    const DIMENSIONS: u64 = 1;
    const TYPE: u64 = 2;
    const FLOATS: u64 = 4;
    const WHOLE: u64 = 5;
    const NAME: u64 = 8;
    const RAW: u64 = 9;
    let (mut name, mut dimensions, mut kind) = (String::new(), Vec::new(), 0);
    let (mut raw, mut floats, mut whole): (Option<&[u8]>, Option<&[u8]>, Option<&[u8]>) = (None, None, None);
    for field in Fields::new(bytes, offset) {
        let field = field?;
        match (field.number, field.value) {
            (DIMENSIONS, Value::Number(size)) => dimensions.push(size),
            (DIMENSIONS, Value::Bytes(packed)) => {
                let mut rest = packed;
                while !rest.is_empty() {
                    dimensions.push(varint(&mut rest).ok_or_else(|| wrong(field.offset, "a dimension is cut off"))?);
                }
            }
            (TYPE, Value::Number(number)) => kind = number,
            (FLOATS, Value::Bytes(packed)) => floats = Some(packed),
            (WHOLE, Value::Bytes(packed)) => whole = Some(packed),
            (NAME, Value::Bytes(text)) => name = utf8(text, field.offset)?,
            (RAW, Value::Bytes(data)) => raw = Some(data),
            _ => {}
        }
        if dimensions.len() > MAX_DIMENSIONS {
            return Err(wrong(field.offset, "a tensor has more than 8 dimensions"));
        }
    }
    let dimensions: Vec<usize> = dimensions.into_iter().filter_map(|size| usize::try_from(size).ok()).collect();
    let count = dimensions.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let values = match (kind, raw, floats, whole) {
        (FLOAT, Some(data), ..) | (FLOAT, None, Some(data), _) if data.len().is_multiple_of(4) => {
            Values::Floats(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
        (UINT8, Some(data), ..) => Values::Bytes(data),
        // A single small number is a varint of one byte.
        (UINT8, None, _, Some(data @ [0..=127])) => Values::Bytes(data),
        _ => return Ok(None),
    };
    let found = match &values {
        Values::Floats(values) => values.len(),
        Values::Bytes(bytes) => bytes.len(),
    };
    if count != Some(found) {
        return Err(wrong(offset, "a tensor's data has another length than its shape"));
    }
    Ok(Some((name, Tensor { dimensions, values })))
}

fn utf8(bytes: &[u8], offset: usize) -> Result<String, ModelError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| wrong(offset, "a name is not UTF-8"))
}

fn wrong(offset: usize, what: &'static str) -> ModelError {
    ModelError::Format { offset, what }
}

/// A field of a message.
struct Field<'a> {
    number: u64,
    value: Value<'a>,
    /// Where its value begins in the file.
    offset: usize,
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in their order.
struct Fields<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    fn field(&mut self) -> Option<Field<'a>> {
        const VARINT: u64 = 0;
        const EIGHT_BYTES: u64 = 1;
        const LENGTH: u64 = 2;
        const FOUR_BYTES: u64 = 5;
        let before = self.rest.len();
        let key = varint(&mut self.rest)?;
        let value = match key & 7 {
            VARINT => Value::Number(varint(&mut self.rest)?),
            EIGHT_BYTES => Value::Bytes(self.take(8)?),
            LENGTH => {
                let length = varint(&mut self.rest)?;
                Value::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            FOUR_BYTES => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        self.offset += before - self.rest.len();
        let length = if let Value::Bytes(bytes) = value { bytes.len() } else { 0 };
        Some(Field { number: key >> 3, value, offset: self.offset - length })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, ModelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field().ok_or_else(|| wrong(self.offset, "a field is cut off or of an unknown kind"));
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Seven bits a byte, the lowest first; the highest bit says that more follow.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (&first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 127).checked_shl(7 * place)?;
        if first < 128 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, value) in fields {
            assert!(value.len() < 128 * 128);
            bytes.extend([(number << 3 | 2) as u8, (value.len() & 127 | 128) as u8, (value.len() >> 7) as u8]);
            bytes.extend(*value);
        }
        bytes
    }

    fn file() -> Vec<u8> {
        let mut floats = message(&[(8, b"scales"), (9, &[0, 0, 128, 63, 0, 0, 0, 64])]);
        floats.extend([1 << 3, 2, 2 << 3, 1]);
        let mut bytes = message(&[(8, b"weights"), (9, &[7, 8, 9])]);
        bytes.extend([1 << 3, 1, 1 << 3, 3, 2 << 3, 2]);
        let node = message(&[(1, b"x"), (1, b"weights"), (3, b"product")]);
        message(&[(7, &message(&[(5, &floats), (5, &bytes), (1, &node)]))])
    }

    #[test]
    fn weights_come_out_and_damage_is_refused() {
        let bytes = file();
        let graph = Graph::parse(&bytes).unwrap();
        assert_eq!(graph.tensors["scales"].floats(), Some(&[1.0, 2.0][..]));
        assert_eq!(graph.tensors["weights"].bytes(), Some(&[7, 8, 9][..]));
        assert_eq!(graph.tensors["weights"].dimensions, [1, 3]);
        assert_eq!(graph.inputs["product"], ["x", "weights"]);
        for length in 1..bytes.len() {
            assert!(Graph::parse(&bytes[..length]).is_err(), "{length}");
        }
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x55;
            let _ = Graph::parse(&damaged);
        }
    }
}
