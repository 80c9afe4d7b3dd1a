//! Attention of some twenty pieces to each other, in heads of 32 values.
//!
//! The kernels' attention is made for heads of 64 and for hundreds of positions. Here it is a hundredth of the work.

use zeroize::Zeroize;

/// Values that are multiplied side by side: the width of a head is a multiple of it.
pub(super) const LANES: usize = 8;

/// From queries, keys and values side by side, `[pieces, 3 * width]`, to `[pieces, width]`, which replaces what is in
/// `output`.
pub(super) fn attend(input: &[f32], heads: usize, width: usize, output: &mut Vec<f32>) {
    let size = width / heads;
    let scale = 1.0 / (size as f32).sqrt();
    let pieces = input.len() / (3 * width);
    output.clear();
    output.resize(pieces * width, 0.0);
    let mut weights = vec![0.0; pieces];
    for head in 0..heads {
        let part = |kind: usize, piece: usize| {
            let start = (piece * 3 + kind) * width + head * size;
            &input[start..start + size]
        };
        for piece in 0..pieces {
            let query = part(0, piece);
            for (key, weight) in weights.iter_mut().enumerate() {
                *weight = dot(query, part(1, key)) * scale;
            }
            normalize(&mut weights);
            let mixed = &mut output[piece * width + head * size..][..size];
            for (value, &weight) in weights.iter().enumerate() {
                let value = part(2, value);
                mixed.iter_mut().zip(value).for_each(|(mixed, value)| *mixed += weight * value);
            }
        }
    }
    weights.zeroize();
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    lanes.iter().sum()
}

/// The softmax.
pub(crate) fn normalize(weights: &mut [f32]) {
    let most = weights.iter().fold(f32::NEG_INFINITY, |most, &weight| most.max(weight));
    let mut sum = 0.0;
    for weight in weights.iter_mut() {
        *weight = (*weight - most).exp();
        sum += *weight;
    }
    weights.iter_mut().for_each(|weight| *weight /= sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_plain_formula() {
        let (pieces, heads, width) = (5, 2, 16);
        let input: Vec<f32> = (0..pieces * 3 * width).map(|index| ((index * 37 % 101) as f32 - 50.0) / 40.0).collect();
        let mut found = vec![1.0; 3];
        attend(&input, heads, width, &mut found);
        assert_eq!(found.len(), pieces * width);
        let at = |kind: usize, piece: usize, index: usize| input[(piece * 3 + kind) * width + index];
        for piece in 0..pieces {
            for index in 0..width {
                let head = index / 8 * 8;
                let scores: Vec<f32> =
                    (0..pieces).map(|key| ((0..8).map(|i| at(0, piece, head + i) * at(1, key, head + i)).sum::<f32>() / 8f32.sqrt()).exp()).collect();
                let expected: f32 = (0..pieces).map(|value| scores[value] * at(2, value, index)).sum::<f32>() / scores.iter().sum::<f32>();
                assert!((found[piece * width + index] - expected).abs() < 1e-5);
            }
        }
    }
}
