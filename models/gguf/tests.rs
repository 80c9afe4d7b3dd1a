use std::io::Cursor;

use super::*;

fn sample() -> Vec<u8> {
    let matrix: Vec<f32> = (0..128u8).map(|n| f32::from(n) / 16.0 - 4.0).collect();
    let tensors = BTreeMap::from([
        ("matrix".to_owned(), quantized(2, 64, &matrix).unwrap()),
        ("bias".to_owned(), plain(&[3], &[1.0, -2.5, 0.125]).unwrap()),
    ]);
    let metadata = BTreeMap::from([
        (
            "general.name".to_owned(),
            Value::String("sample".to_owned()),
        ),
        (
            "sotto.numbers".to_owned(),
            Value::Array(vec![Value::U32(7), Value::U32(9)]),
        ),
    ]);
    let mut bytes = Cursor::new(Vec::new());
    write(&mut bytes, metadata, &tensors).unwrap();
    bytes.into_inner()
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample();
    assert_eq!(bytes, sample(), "equal input gives equal bytes");
    let tensors = Tensors::parse(&bytes).unwrap();
    assert_eq!(tensors.names().collect::<Vec<_>>(), ["bias", "matrix"]);
    assert_eq!(tensors.f32("bias", &[3]).unwrap(), [1.0, -2.5, 0.125]);
    let matrix = tensors.f32("matrix", &[2, 64]).unwrap();
    for (index, value) in matrix.iter().enumerate() {
        let expected = index as f32 / 16.0 - 4.0;
        assert!((value - expected).abs() < 0.02, "{index}: {value}");
    }
    tensors
        .for_each_row("matrix", 2, 64, |index, row| {
            assert_eq!(row, &matrix[index * 64..][..64]);
        })
        .unwrap();
    assert_eq!(tensors.text("general.name").unwrap(), "sample");
    assert_eq!(tensors.u32s("sotto.numbers").unwrap(), [7, 9]);
}

#[test]
fn another_shape_or_type_is_refused() {
    let bytes = sample();
    let tensors = Tensors::parse(&bytes).unwrap();
    assert!(matches!(
        tensors.f32("matrix", &[64, 2]),
        Err(ModelError::Shape { .. })
    ));
    assert!(matches!(
        tensors.f32("weight", &[1]),
        Err(ModelError::MissingTensor { .. })
    ));
    assert!(tensors.u32("general.name").is_err());
    assert!(tensors.texts("sotto.numbers").is_err());
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = sample();
    // The last tensor is padded to 32 bytes, and a cut in the padding loses nothing.
    let end = Tensors::parse(&bytes)
        .unwrap()
        .directory
        .values()
        .map(|entry| entry.range.end)
        .max()
        .unwrap();
    for length in 0..end {
        assert!(Tensors::parse(&bytes[..length]).is_err(), "{length}");
    }
}

/// Every byte of the sample in turn takes the values that lengths and types go wrong with.
#[test]
fn no_changed_byte_panics() {
    let original = sample();
    let mut bytes = original.clone();
    for index in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, original[index].wrapping_add(1)] {
            bytes[index] = value;
            if let Ok(tensors) = Tensors::parse(&bytes) {
                for name in tensors.names() {
                    let dimensions = tensors.dimensions(name).unwrap();
                    if dimensions.iter().product::<usize>() < 1 << 16 {
                        tensors.f32(name, dimensions).unwrap();
                    }
                }
            }
        }
        bytes[index] = original[index];
    }
}

#[test]
fn lengths_of_the_file_are_not_believed() {
    let mut bytes = sample();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(Tensors::parse(&bytes).is_err());
    let mut bytes = sample();
    // The first key's length.
    bytes[24..32].copy_from_slice(&(u64::MAX - 7).to_le_bytes());
    assert!(Tensors::parse(&bytes).is_err());
}

/// candle writes the blocks and reads them in its own way; ours must agree.
#[test]
fn every_storage_comes_back_as_candle_reads_it() {
    let values: Vec<f32> = (0..2 * 64)
        .map(|n| ((n * 37 % 101) as f32 - 50.0) / 40.0)
        .collect();
    for (storage, error) in [
        (Storage::F32, 0.0),
        (Storage::F16, 0.001),
        (Storage::Q8_0, 0.01),
        (Storage::Q5_0, 0.09),
        (Storage::Q4_0, 0.19),
    ] {
        let stored = matrix(2, 64, &values, storage).unwrap();
        let theirs = stored
            .dequantize(&Device::Cpu)
            .unwrap()
            .flatten_all()
            .unwrap();
        let theirs = theirs.to_vec1::<f32>().unwrap();
        let mut bytes = std::io::Cursor::new(Vec::new());
        let tensors = BTreeMap::from([("m".to_owned(), stored)]);
        write(&mut bytes, BTreeMap::new(), &tensors).unwrap();
        let bytes = bytes.into_inner();
        let tensors = Tensors::parse(&bytes).unwrap();
        let ours = tensors.f32("m", &[2, 64]).unwrap();
        assert_eq!(ours, theirs, "{storage:?}");
        for (ours, value) in ours.iter().zip(&values) {
            assert!(
                (ours - value).abs() <= error,
                "{storage:?}: {ours} for {value}"
            );
        }
        let mut rows = Vec::new();
        tensors
            .for_each_row("m", 2, 64, |_, row| rows.extend_from_slice(row))
            .unwrap();
        assert_eq!(rows, ours);
    }
}
