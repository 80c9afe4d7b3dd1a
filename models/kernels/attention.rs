//! Attention of all positions to all positions, as the encoder needs it.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use rten_gemm::{GemmInputA, GemmInputB, GemmOptions};
use rten_simd::SimdOp;
use rten_tensor::NdTensorView;
use rten_vecmath::Softmax;

use crate::kernels::{HEAD, values, with_products};

/// Queries at a time: with 1,500 keys their scores take 384 KiB, and never more.
const QUERIES: usize = 64;

/// Takes queries, keys and values side by side, `[positions, 3 * width]`; gives `[positions, width]`.
pub(crate) struct SelfAttention;

impl SelfAttention {
    fn forward(input: &[f32], positions: usize, width: usize) -> Result<Vec<f32>> {
        let mut output = vec![0.0; positions * width];
        let mut scores = vec![0.0; QUERIES.min(positions) * positions];
        let mut mixed = vec![0.0; QUERIES.min(positions) * HEAD];
        let scale = 1.0 / (HEAD as f32).sqrt();
        with_products(|products| {
            for head in (0..width).step_by(HEAD) {
                // The head's part of the queries, keys or values from a position on.
                let part = |kind: usize, from: usize, count: usize| {
                    NdTensorView::<f32, 2>::from_slice_with_strides(
                        [count, HEAD],
                        &input[from * 3 * width + kind * width + head..],
                        [3 * width, 1],
                    )
                    .map_err(candle_core::Error::wrap)
                };
                let keys = products.f32.prepack_b(part(1, 0, positions)?.transposed());
                let values = products.f32.prepack_b(part(2, 0, positions)?);
                for from in (0..positions).step_by(QUERIES) {
                    let count = QUERIES.min(positions - from);
                    let scores = &mut scores[..count * positions];
                    products
                        .f32
                        .gemm(
                            scores,
                            GemmInputA::Unpacked(part(0, from, count)?),
                            GemmInputB::Packed(&keys),
                            GemmOptions {
                                alpha: scale,
                                ..GemmOptions::default()
                            },
                        )
                        .map_err(candle_core::Error::wrap)?;
                    for row in scores.chunks_exact_mut(positions) {
                        Softmax::new_mut(row).dispatch();
                    }
                    let mixed = &mut mixed[..count * HEAD];
                    products
                        .f32
                        .gemm(
                            mixed,
                            GemmInputA::Unpacked(NdTensorView::from_data(
                                [count, positions],
                                &scores[..],
                            )),
                            GemmInputB::Packed(&values),
                            GemmOptions::default(),
                        )
                        .map_err(candle_core::Error::wrap)?;
                    for (index, mixed) in mixed.chunks_exact(HEAD).enumerate() {
                        let place = (from + index) * width + head;
                        output[place..place + HEAD].copy_from_slice(mixed);
                    }
                }
            }
            Ok(output)
        })
    }
}

impl CustomOp1 for SelfAttention {
    fn name(&self) -> &'static str {
        "self-attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (positions, triple) = layout.shape().dims2()?;
        if positions == 0 || !triple.is_multiple_of(3 * HEAD) {
            bail!("self-attention: queries, keys and values of whole heads are needed")
        }
        let width = triple / 3;
        let output = Self::forward(values(storage, layout)?, positions, width)?;
        Ok((CpuStorage::F32(output), (positions, width).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    #[test]
    fn is_the_plain_formula() {
        for (positions, heads) in [(1, 1), (5, 2), (64, 1), (150, 3)] {
            let width = heads * HEAD;
            let input = numbers(5, positions * 3 * width);
            let found = SelfAttention::forward(&input, positions, width).unwrap();
            let at = |kind: usize, position: usize, index: usize| {
                input[position * 3 * width + kind * width + index]
            };
            for query in 0..positions {
                for head in (0..width).step_by(HEAD) {
                    let scores: Vec<f32> = (0..positions)
                        .map(|key| {
                            (head..head + HEAD)
                                .map(|index| at(0, query, index) * at(1, key, index))
                                .sum::<f32>()
                                / 8.0
                        })
                        .map(f32::exp)
                        .collect();
                    let sum: f32 = scores.iter().sum();
                    for index in head..head + HEAD {
                        let expected: f32 = (0..positions)
                            .map(|value| scores[value] / sum * at(2, value, index))
                            .sum();
                        let found = found[query * width + index];
                        assert!(
                            (found - expected).abs() < 1e-4,
                            "{positions}, {query}, {index}"
                        );
                    }
                }
            }
        }
    }
}
