//! Reads CTranslate2's `model.bin`, binary version 6.
//!
//! Layout, all little-endian: u32 version; specification name and u32 revision; u32 count of
//! variables, each a name, u8 rank, u32 dimensions, u8 type, u32 byte length and the bytes; u32
//! count of aliases, each two names. A name is a u16 length and that many bytes with a closing zero
//! (`ctranslate2/specs/model_spec.py`, `_serialize`).

use std::collections::BTreeMap;

use crate::ConvertError;

/// More variables than any Whisper has.
const MAX_VARIABLES: u32 = 8192;
const MAX_RANK: u8 = 4;

/// The variables of a model, in f32.
pub(crate) struct Model {
    variables: BTreeMap<String, Variable>,
}

/// One named array.
pub(crate) struct Variable {
    /// Rows first; empty for a scalar.
    pub(crate) dimensions: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Model {
    /// Reads all variables of a `WhisperSpec` model.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, ConvertError> {
        let mut reader = Reader { bytes, offset: 0 };
        if reader.u32()? != 6 {
            return Err(reader.wrong("not a CTranslate2 model of binary version 6"));
        }
        if reader.name()? != "WhisperSpec" {
            return Err(reader.wrong("not a Whisper model"));
        }
        let _revision = reader.u32()?;
        let count = reader.u32()?;
        if count > MAX_VARIABLES {
            return Err(reader.wrong("more variables than any Whisper has"));
        }
        let mut variables = BTreeMap::new();
        for _ in 0..count {
            let (name, variable) = reader.variable()?;
            if variables.insert(name, variable).is_some() {
                return Err(reader.wrong("a variable appears twice"));
            }
        }
        let aliases = reader.u32()?;
        for _ in 0..aliases {
            // An alias names a variable again (the projection is the embedding); nothing to keep.
            let _alias = reader.name()?;
            if !variables.contains_key(&reader.name()?) {
                return Err(reader.wrong("an alias names no variable"));
            }
        }
        if reader.offset != bytes.len() {
            return Err(reader.wrong("bytes are left over at the end"));
        }
        Ok(Self { variables })
    }

    /// Of variables that go by the same names but come from elsewhere.
    pub(crate) const fn of(variables: BTreeMap<String, Variable>) -> Self {
        Self { variables }
    }

    /// A variable, taken out.
    pub(crate) fn take(&mut self, name: &str) -> Result<Variable, ConvertError> {
        self.variables
            .remove(name)
            .ok_or_else(|| ConvertError::new(format!("variable {name} is absent")))
    }

    /// A single number, such as the count of heads.
    pub(crate) fn scalar(&mut self, name: &str) -> Result<f32, ConvertError> {
        match self.take(name)?.values.as_slice() {
            [value] => Ok(*value),
            _ => Err(ConvertError::new(format!("variable {name} is no scalar"))),
        }
    }

    /// Whether the model has this variable.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn wrong(&self, what: &str) -> ConvertError {
        ConvertError::new(format!("byte {}: {what}", self.offset))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], ConvertError> {
        let taken = self
            .bytes
            .get(self.offset..)
            .and_then(|rest| rest.get(..count))
            .ok_or_else(|| self.wrong("the file ends too early"))?;
        self.offset += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ConvertError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, ConvertError> {
        self.array().map(u32::from_le_bytes)
    }

    fn name(&mut self) -> Result<String, ConvertError> {
        let length = u16::from_le_bytes(self.array()?);
        let bytes = self.take(usize::from(length))?;
        let text = bytes
            .strip_suffix(b"\0")
            .ok_or_else(|| self.wrong("a name does not end in zero"))?;
        String::from_utf8(text.to_vec()).map_err(|_| self.wrong("a name is not UTF-8"))
    }

    fn variable(&mut self) -> Result<(String, Variable), ConvertError> {
        let name = self.name()?;
        let [rank] = self.array()?;
        if rank > MAX_RANK {
            return Err(self.wrong("a variable has more than 4 dimensions"));
        }
        let mut dimensions = Vec::new();
        let mut elements = Some(1usize);
        for _ in 0..rank {
            let dimension = self.u32()? as usize;
            elements = elements.and_then(|product| product.checked_mul(dimension));
            dimensions.push(dimension);
        }
        let [kind] = self.array()?;
        let length = self.u32()? as usize;
        let data = self.take(length)?;
        // `DataType` of ctranslate2/types.h.
        let values: Vec<f32> = match kind {
            0 => chunks(data).map(f32::from_le_bytes).collect(),
            1 => data
                .iter()
                .map(|byte| f32::from(byte.cast_signed()))
                .collect(),
            2 => chunks(data)
                .map(|bytes| f32::from(i16::from_le_bytes(bytes)))
                .collect(),
            4 => chunks(data)
                .map(|bytes| half::f16::from_le_bytes(bytes).to_f32())
                .collect(),
            _ => return Err(self.wrong("a variable is not f32, i8, i16 or f16")),
        };
        let size = match kind {
            0 => 4,
            1 => 1,
            _ => 2,
        };
        if elements.and_then(|elements| elements.checked_mul(size)) != Some(length) {
            return Err(self.wrong("a variable's length does not fit its shape"));
        }
        Ok((name, Variable { dimensions, values }))
    }
}

fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u8> {
        let mut bytes = (text.len() as u16 + 1).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.push(0);
        bytes
    }

    fn sample() -> Vec<u8> {
        let mut bytes = 6u32.to_le_bytes().to_vec();
        bytes.extend(name("WhisperSpec"));
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(name("decoder/embeddings/weight"));
        bytes.push(2);
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(3u32.to_le_bytes());
        bytes.push(4);
        bytes.extend(12u32.to_le_bytes());
        for value in [0.5f32, -1.0, 2.0, 0.0, 4.0, -8.0] {
            bytes.extend(half::f16::from_f32(value).to_le_bytes());
        }
        bytes.extend(name("encoder/num_heads"));
        bytes.push(0);
        bytes.push(2);
        bytes.extend(2u32.to_le_bytes());
        bytes.extend(6u16.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(name("decoder/projection/weight"));
        bytes.extend(name("decoder/embeddings/weight"));
        bytes
    }

    #[test]
    fn variables_come_with_their_shapes() {
        let mut model = Model::parse(&sample()).unwrap();
        let weight = model.take("decoder/embeddings/weight").unwrap();
        assert_eq!(weight.dimensions, [2, 3]);
        assert_eq!(weight.values, [0.5, -1.0, 2.0, 0.0, 4.0, -8.0]);
        assert_eq!(model.scalar("encoder/num_heads").unwrap(), 6.0);
        assert!(model.take("encoder/num_heads").is_err(), "taken once");
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(Model::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn no_changed_byte_panics() {
        let original = sample();
        let mut bytes = original.clone();
        for index in 0..bytes.len() {
            for value in 0..=255 {
                bytes[index] = value;
                let _ = Model::parse(&bytes);
            }
            bytes[index] = original[index];
        }
    }

    #[test]
    fn lengths_of_the_file_are_not_believed() {
        let mut bytes = sample();
        let shape = bytes
            .windows(8)
            .position(|window| window == [2, 0, 0, 0, 3, 0, 0, 0])
            .unwrap();
        bytes[shape..shape + 8].fill(0xff);
        assert!(Model::parse(&bytes).is_err());
    }
}
