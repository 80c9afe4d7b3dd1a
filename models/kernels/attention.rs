//! Attention of all positions to all positions, as the encoder needs it.
//!
//! It goes through the same loops as a decoder's step, some queries at a time, and head by head: a head's keys and values
//! stay in the cache.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};

use crate::kernels::query::{MOST_TURNS, look_at_all};
use crate::kernels::{HEAD, Rows, Scratch, room, values, with_scratch};

/// Queries at a time: with 1,500 keys their scores and weights take 150 KiB.
const QUERIES: usize = MOST_TURNS;

/// Takes queries, keys and values side by side, `[positions, 3 * width]`; gives `[positions, width]`.
pub(crate) struct SelfAttention;

impl SelfAttention {
    fn forward(input: &[f32], positions: usize, width: usize) -> Vec<f32> {
        let mut output = Vec::new();
        Self::forward_into(input, positions, width, &mut output);
        output
    }

    /// As a candle operation does it, but the result replaces what is in `output`.
    pub(crate) fn forward_into(
        input: &[f32],
        positions: usize,
        width: usize,
        output: &mut Vec<f32>,
    ) {
        room(output, positions * width);
        output.fill(0.0);
        with_scratch(|scratch| {
            let Scratch {
                memory, attention, ..
            } = scratch;
            let part = |kind: usize, head: usize| Rows::new(&input[kind * width + head * HEAD..], 3 * width);
            for head in 0..width / HEAD {
                memory.renew(positions, HEAD);
                memory.write_head(0, 0, positions, part(1, head), part(2, head));
                for from in (0..positions).step_by(QUERIES) {
                    let count = QUERIES.min(positions - from);
                    let queries = part(0, head).from(from);
                    let output = &mut output[from * width + head * HEAD..];
                    look_at_all((memory, positions), queries, count, attention, output, width);
                }
            }
            memory.wipe();
            attention.wipe();
        });
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
        let output = Self::forward(values(storage, layout)?, positions, width);
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
            let found = SelfAttention::forward(&input, positions, width);
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
                            (found - expected).abs() < 5e-4,
                            "{positions}, {query}, {index}"
                        );
                    }
                }
            }
        }
    }
}
