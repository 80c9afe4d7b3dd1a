//! Attention of one position to a memory, as each step of the decoder needs it.
//!
//! The memory is read once from end to end for each step, and that is what a step costs. So it lies
//! as it is read: keys in blocks of [`BLOCK`] positions with the positions innermost, values by position.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};
use rten_vecmath::Softmax;
use zeroize::Zeroize;

use crate::kernels::values;

/// Width of a head, in all Whisper models.
pub(crate) const HEAD: usize = 64;
/// Positions in a block of keys: one vector of the widest instructions.
pub(crate) const BLOCK: usize = 16;
/// Vectors that are summed up side by side, so that none waits for itself.
const LANES: usize = 4;

/// Keys and values of one layer. They are made of sound, and wiped when dropped.
pub(crate) struct Memory {
    width: usize,
    /// Positions that can be written.
    positions: usize,
    /// Positions that there is room for: reading goes on to the end of a group that starts at any block.
    capacity: usize,
    /// `[head][block][HEAD][BLOCK]`
    keys: Vec<f32>,
    /// `[head][position][HEAD]`
    values: Vec<f32>,
}

impl Memory {
    /// Room for `positions` positions of `width` values, a multiple of [`HEAD`].
    pub(crate) fn new(positions: usize, width: usize) -> Self {
        let capacity = positions.next_multiple_of(BLOCK) + LANES * BLOCK;
        Self {
            width,
            positions,
            capacity,
            keys: vec![0.0; capacity * width],
            values: vec![0.0; capacity * width],
        }
    }

    /// Writes rows of keys and values side by side (`2 * width` values each) from a position on.
    pub(crate) fn write(&mut self, from: usize, rows: &[f32]) {
        for (index, row) in rows.chunks_exact(2 * self.width).enumerate() {
            let (keys, values) = row.split_at(self.width);
            self.put(from + index, keys, values);
        }
    }

    fn put(&mut self, position: usize, keys: &[f32], values: &[f32]) {
        assert!(position < self.positions, "the caller made room");
        let (block, lane) = (position / BLOCK, position % BLOCK);
        for (head, (keys, values)) in keys
            .chunks_exact(HEAD)
            .zip(values.chunks_exact(HEAD))
            .enumerate()
        {
            let start = head * self.capacity * HEAD;
            let block = &mut self.keys[start + block * BLOCK * HEAD..][..BLOCK * HEAD];
            for (row, key) in block.chunks_exact_mut(BLOCK).zip(keys) {
                row[lane] = *key;
            }
            self.values[start + position * HEAD..][..HEAD].copy_from_slice(values);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.keys.zeroize();
        self.values.zeroize();
    }
}

/// One query, `[1, width]`, on the given positions of some memories, taken as one; gives `[1, width]`.
///
/// Each range starts at a multiple of [`BLOCK`].
pub(crate) struct QueryAttention<'a> {
    pub(crate) memories: &'a [(&'a Memory, Range<usize>)],
}

impl QueryAttention<'_> {
    fn forward(&self, query: &[f32]) -> Vec<f32> {
        let positions: usize = self.memories.iter().map(|(_, range)| range.len()).sum();
        let mut scores = vec![0.0; positions + LANES * BLOCK];
        let mut output = vec![0.0; query.len()];
        for (head, (query, output)) in query
            .chunks_exact(HEAD)
            .zip(output.chunks_exact_mut(HEAD))
            .enumerate()
        {
            // Scores come in whole groups; the next memory's overwrite what is too much of them.
            let mut done = 0;
            for (memory, range) in self.memories {
                let group = range.len().next_multiple_of(LANES * BLOCK);
                Scores {
                    query,
                    keys: &memory.keys[(head * memory.capacity + range.start) * HEAD..]
                        [..group * HEAD],
                    scores: &mut scores[done..done + group],
                }
                .dispatch();
                done += range.len();
            }
            Softmax::new_mut(&mut scores[..positions]).dispatch();
            let mut done = 0;
            for (memory, range) in self.memories {
                Mix {
                    weights: &scores[done..done + range.len()],
                    values: &memory.values[(head * memory.capacity + range.start) * HEAD..],
                    output,
                }
                .dispatch();
                done += range.len();
            }
        }
        scores.zeroize();
        output
    }
}

impl CustomOp1 for QueryAttention<'_> {
    fn name(&self) -> &'static str {
        "query attention"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let fits = self.memories.iter().all(|(memory, range)| {
            memory.width == width
                && range.start.is_multiple_of(BLOCK)
                && range.end <= memory.positions
                && !range.is_empty()
        });
        let query = values(storage, layout)?;
        if !fits || query.len() != width {
            bail!("query attention: one query and memories of its width are needed")
        }
        Ok((CpuStorage::F32(self.forward(query)), layout.shape().clone()))
    }
}

/// `scores[p] = query · keys[p] / 8`, whole blocks of positions.
struct Scores<'a> {
    query: &'a [f32],
    keys: &'a [f32],
    scores: &'a mut [f32],
}

impl SimdOp for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ops = isa.f32();
        let width = ops.len();
        let scale = ops.splat(1.0 / (HEAD as f32).sqrt());
        // LANES vectors in a row: whether they are four blocks or one, each lies at a fixed distance. Plain
        // loops, since a closure here would be a call for each vector.
        let step = LANES * width;
        for (group, scores) in self.scores.chunks_exact_mut(step).enumerate() {
            let mut lanes: [&[f32]; LANES] = [&[]; LANES];
            for (lane, keys) in lanes.iter_mut().enumerate() {
                let position = group * step + lane * width;
                let start = position / BLOCK * BLOCK * HEAD + position % BLOCK;
                *keys = &self.keys[start..start + (HEAD - 1) * BLOCK + width];
            }
            let mut sums = [ops.zero(); LANES];
            for (index, query) in self.query.iter().enumerate() {
                let query = ops.splat(*query);
                for lane in 0..LANES {
                    let keys = ops.load(&lanes[lane][index * BLOCK..]);
                    sums[lane] = ops.mul_add(keys, query, sums[lane]);
                }
            }
            for lane in 0..LANES {
                ops.store(ops.mul(sums[lane], scale), &mut scores[lane * width..]);
            }
        }
    }
}

/// `output += sum of weights[p] * values[p]`.
struct Mix<'a> {
    weights: &'a [f32],
    values: &'a [f32],
    output: &'a mut [f32],
}

impl SimdOp for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let ops = isa.f32();
        let width = ops.len();
        let step = LANES * width;
        for (part, output) in self.output.chunks_exact_mut(step).enumerate() {
            let mut sums = [ops.zero(); LANES];
            for lane in 0..LANES {
                sums[lane] = ops.load(&output[lane * width..]);
            }
            for (weight, values) in self.weights.iter().zip(self.values.chunks_exact(HEAD)) {
                let weight = ops.splat(*weight);
                let values = &values[part * step..(part + 1) * step];
                for lane in 0..LANES {
                    let values = ops.load(&values[lane * width..]);
                    sums[lane] = ops.mul_add(values, weight, sums[lane]);
                }
            }
            for lane in 0..LANES {
                ops.store(sums[lane], &mut output[lane * width..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    #[test]
    fn is_the_plain_formula() {
        for (positions, heads, capacity) in [
            (1, 1, 1),
            (7, 2, 20),
            (64, 1, 64),
            (150, 3, 448),
            (1500, 6, 1500),
        ] {
            let width = heads * HEAD;
            let rows = numbers(4, positions * 2 * width);
            let query = numbers(5, width);
            let mut memory = Memory::new(capacity, width);
            memory.write(0, &rows);
            let found = QueryAttention {
                memories: &[(&memory, 0..positions)],
            }
            .forward(&query);
            for head in (0..width).step_by(HEAD) {
                let weights: Vec<f32> = (0..positions)
                    .map(|position| {
                        let key = &rows[position * 2 * width + head..][..HEAD];
                        let score: f32 = key.iter().zip(&query[head..]).map(|(k, q)| k * q).sum();
                        (score / 8.0).exp()
                    })
                    .collect();
                let sum: f32 = weights.iter().sum();
                for index in head..head + HEAD {
                    let expected: f32 = (0..positions)
                        .map(|position| {
                            weights[position] / sum * rows[position * 2 * width + width + index]
                        })
                        .sum();
                    assert!(
                        (found[index] - expected).abs() < 1e-4,
                        "{positions}, {index}"
                    );
                }
            }
        }
    }

    #[test]
    fn two_memories_are_as_one() {
        for (first, all) in [(16, 17), (48, 200), (208, 1500)] {
            let width = 2 * HEAD;
            let rows = numbers(4, all * 2 * width);
            let other = numbers(6, all * 2 * width);
            let query = numbers(5, width);
            let mut turn = Memory::new(first, width);
            turn.write(0, &rows[..first * 2 * width]);
            let mut silence = Memory::new(all, width);
            silence.write(0, &other);
            let mut whole = Memory::new(all, width);
            whole.write(0, &other);
            whole.write(0, &rows[..first * 2 * width]);
            let found = QueryAttention {
                memories: &[(&turn, 0..first), (&silence, first..all)],
            }
            .forward(&query);
            let expected = QueryAttention {
                memories: &[(&whole, 0..all)],
            }
            .forward(&query);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn what_is_written_later_stands() {
        let mut memory = Memory::new(40, HEAD);
        memory.write(0, &numbers(1, 40 * 2 * HEAD));
        memory.write(3, &numbers(2, 5 * 2 * HEAD));
        let mut again = Memory::new(40, HEAD);
        let mut rows = numbers(1, 40 * 2 * HEAD);
        rows[3 * 2 * HEAD..8 * 2 * HEAD].copy_from_slice(&numbers(2, 5 * 2 * HEAD));
        again.write(0, &rows);
        assert_eq!(memory.keys, again.keys);
        assert_eq!(memory.values, again.values);
    }
}
