//! Silero VAD's published weights: a safetensors file, `silero_vad/data/silero_vad_16k.safetensors` of
//! PyPI `silero-vad`.

use sotto_models::ModelError;

use crate::safetensors::{self, Plain};

/// Samples in a window at 16 kHz.
const WINDOW: usize = 256;
/// The tensor that holds the windowed Fourier transform as the weights of a convolution.
const TRANSFORM: &str = "stft_conv.weight";

/// A tensor's name, its shape (rows first) and its values.
pub(crate) type Named = (String, Vec<usize>, Vec<f32>);

/// All tensors under their published names, sorted, but for the Fourier transform.
///
/// The model computes that one itself; here it is only checked to be what it is taken for.
///
/// # Errors
///
/// [`ModelError::Format`] with the byte offset of what is wrong; no byte sequence panics.
pub(crate) fn silero(bytes: &[u8]) -> Result<Vec<Named>, ModelError> {
    let mut tensors = safetensors::parse(bytes)?;
    let transform = tensors
        .remove(TRANSFORM)
        .ok_or_else(|| ModelError::MissingTensor {
            name: TRANSFORM.to_owned(),
        })?;
    check_transform(&transform.shape, &transform.values)?;
    let named = |(name, Plain { shape, values })| (name, shape, values);
    Ok(tensors.into_iter().map(named).collect())
}

/// Rows of cosines, then rows of negative sines, each under a raised cosine.
fn check_transform(shape: &[usize], values: &[f32]) -> Result<(), ModelError> {
    let bins = WINDOW / 2 + 1;
    let expected = [2 * bins, 1, WINDOW];
    if shape != expected {
        return Err(ModelError::Shape {
            name: TRANSFORM.to_owned(),
            expected: expected.to_vec(),
            found: shape.to_vec(),
        });
    }
    for (row, weights) in values.chunks(WINDOW).enumerate() {
        for (n, &weight) in weights.iter().enumerate() {
            let turn = |times: usize| std::f64::consts::TAU * times as f64 / WINDOW as f64;
            let wave = if row < bins {
                turn(row * n).cos()
            } else {
                -turn((row - bins) * n).sin()
            };
            let expected = 0.5 * (1.0 - turn(n).cos()) * wave;
            if (f64::from(weight) - expected).abs() > 1e-5 {
                return Err(ModelError::Compute(format!(
                    "tensor {TRANSFORM}: row {row} is not the Fourier transform it is taken for"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with the true transform and one more tensor.
    fn sample() -> Vec<u8> {
        let bins = WINDOW / 2 + 1;
        let mut data = Vec::new();
        for row in 0..2 * bins {
            for n in 0..WINDOW {
                let turn = |times: usize| std::f32::consts::TAU * (times % WINDOW) as f32 / 256.0;
                let wave = if row < bins {
                    turn(row * n).cos()
                } else {
                    -turn((row - bins) * n).sin()
                };
                data.extend((0.5 * (1.0 - turn(n).cos()) * wave).to_le_bytes());
            }
        }
        let end = data.len();
        data.extend([1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
        let header = format!(
            r#"{{"stft_conv.weight":{{"dtype":"F32","shape":[258,1,256],"data_offsets":[0,{end}]}},"conv1.bias":{{"dtype":"F32","shape":[2],"data_offsets":[{end},{}]}}}}"#,
            end + 8
        );
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn the_tensors_come_out_but_for_the_transform() {
        let tensors = silero(&sample()).unwrap();
        assert_eq!(
            tensors,
            [("conv1.bias".to_owned(), vec![2], vec![1.5, -2.0])]
        );
    }

    #[test]
    fn another_transform_is_refused() {
        let mut bytes = sample();
        let last_of_transform = bytes.len() - 8 - 4 * 100;
        bytes[last_of_transform..][..4].copy_from_slice(&0.7f32.to_le_bytes());
        assert!(silero(&bytes).is_err());
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let bytes = sample();
        for length in (0..400).chain(bytes.len() - 300..bytes.len()) {
            assert!(silero(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn lengths_of_the_file_are_not_believed() {
        let good = sample();
        for length in [u64::MAX, 1 << 40, 1 << 16, 0, 7] {
            let mut bytes = good.clone();
            bytes[..8].copy_from_slice(&length.to_le_bytes());
            assert!(silero(&bytes).is_err(), "{length}");
        }
        for (from, to) in [
            ("[258,1,256]", "[258,1,257]"),
            ("\"shape\":[2]", "\"shape\":[3]"),
            ("[2]", "[99999999999999999999]"),
            ("[2]", "[4611686018427387905]"),
            ("[0,", "[9,"),
            ("F32", "F16"),
        ] {
            let header_end =
                8 + usize::try_from(u64::from_le_bytes(good[..8].try_into().unwrap())).unwrap();
            let header = std::str::from_utf8(&good[8..header_end]).unwrap();
            assert!(header.contains(from));
            let header = header.replacen(from, to, 1);
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend(header.as_bytes());
            bytes.extend(&good[header_end..]);
            assert!(silero(&bytes).is_err(), "{from} -> {to}");
        }
    }
}
