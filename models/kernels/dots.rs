//! Attention's products: whole numbers of 16 bits, 64 of them summed up in 32.
//!
//! Keys, queries, values and the weights of these are rounded to some 4,000 steps on either side of zero, which is finer
//! than anything else here is, and two of them are multiplied and added in the time of one f32. No sum is cut off:
//! 64 products of 4,095 and 8,191 fit.
//!
//! Both products have one shape, some rows of 64 numbers by a panel of [`PANEL`]: 32 pairs of inputs, in each 32 outputs,
//! the two inputs of an output side by side. Of keys the inputs are a head's 64 values and the outputs
//! 32 positions; of values the inputs are 64 positions and the outputs half a head.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

use crate::kernels::product::Instructions;

/// Inputs that are summed up.
pub(super) const INPUTS: usize = 64;
/// Outputs of a panel.
pub(super) const OUTPUTS: usize = 32;
/// Numbers in a panel.
pub(super) const PANEL: usize = INPUTS * OUTPUTS;
/// The greatest of queries, keys and values.
pub(super) const MOST: f32 = 4_095.0;
/// The greatest weight of a value.
pub(super) const MOST_WEIGHT: f32 = 8_191.0;

/// Rows that share what was read of a panel: with four vectors of sums each they fill the registers.
pub(super) const TILE: usize = 2;

/// `scores[n][p] = queries[n] · keys[p] * scales[p] * factors[n] + shifts[n]`.
pub(super) struct Scores<'a> {
    /// Rows of [`INPUTS`], at most [`TILE`].
    pub(super) queries: &'a [[i16; INPUTS]],
    /// Panels of [`OUTPUTS`] positions.
    pub(super) keys: &'a [i16],
    /// Of each position.
    pub(super) scales: &'a [f32],
    /// Of each query.
    pub(super) factors: &'a [f32],
    pub(super) shifts: &'a [f32],
    /// A row for each query, each `stride` after the one before.
    pub(super) scores: &'a mut [f32],
    pub(super) stride: usize,
}

/// `output[n] += sum of weights[n][p] * values[p] * factors[n]`, of half a head.
pub(super) struct Mix<'a> {
    /// A row for each query, each `stride` after the one before; at most [`TILE`].
    pub(super) weights: &'a [i16],
    pub(super) stride: usize,
    pub(super) count: usize,
    /// Of each [`INPUTS`] positions two panels, one for each half of the head; here from the half's first one on.
    pub(super) values: &'a [i16],
    /// How many times [`INPUTS`] positions.
    pub(super) chunks: usize,
    pub(super) factors: &'a [f32],
    pub(super) output: &'a mut [f32],
    pub(super) output_stride: usize,
}

/// Whether this machine's vectors are used.
fn is_vectored() -> bool {
    static VECTORED: OnceLock<bool> = OnceLock::new();
    *VECTORED.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        let vectored = Instructions::chosen() != Instructions::Portable && is_x86_feature_detected!("avx2");
        #[cfg(not(target_arch = "x86_64"))]
        let vectored = false;
        vectored
    })
}

impl Scores<'_> {
    pub(super) fn run(self) {
        self.run_with(is_vectored());
    }

    fn run_with(self, vectored: bool) {
        let (count, positions) = (self.queries.len(), self.scales.len());
        assert!(
            positions.is_multiple_of(OUTPUTS)
                && self.keys.len() >= positions * INPUTS
                && (1..=TILE).contains(&count)
                && self.factors.len() >= count
                && self.shifts.len() >= count
                && self.scores.len() >= (count - 1) * self.stride + positions,
            "whole panels, and room for their scores"
        );
        #[cfg(target_arch = "x86_64")]
        if vectored {
            // SAFETY: the machine has AVX2; the lengths are as asserted above.
            match count {
                1 => unsafe { x86::scores::<1>(self) },
                _ => unsafe { x86::scores::<TILE>(self) },
            }
            return;
        }
        debug_assert!(!vectored);
        for (index, query) in self.queries.iter().enumerate() {
            let scores = &mut self.scores[index * self.stride..];
            let panels = self.keys.chunks_exact(PANEL).zip(self.scales.chunks_exact(OUTPUTS));
            for ((panel, scales), scores) in panels.zip(scores.chunks_exact_mut(OUTPUTS)) {
                let sums = dot(query, panel);
                for ((score, sum), scale) in scores.iter_mut().zip(sums).zip(scales) {
                    *score = sum as f32 * scale * self.factors[index] + self.shifts[index];
                }
            }
        }
    }
}

impl Mix<'_> {
    pub(super) fn run(self) {
        self.run_with(is_vectored());
    }

    fn run_with(self, vectored: bool) {
        let Self { stride, count, chunks, output_stride, .. } = self;
        if chunks == 0 {
            return;
        }
        assert!(
            self.values.len() >= (2 * chunks - 1) * PANEL
                && (1..=TILE).contains(&count)
                && self.factors.len() >= count
                && self.weights.len() >= (count - 1) * stride + chunks * INPUTS
                && self.output.len() >= (count - 1) * output_stride + OUTPUTS,
            "whole panels, and room for their sums"
        );
        #[cfg(target_arch = "x86_64")]
        if vectored {
            // SAFETY: the machine has AVX2; the lengths are as asserted above.
            match count {
                1 => unsafe { x86::mix::<1>(self) },
                _ => unsafe { x86::mix::<TILE>(self) },
            }
            return;
        }
        debug_assert!(!vectored);
        for row in 0..count {
            let weights = self.weights[row * stride..].as_chunks::<INPUTS>().0;
            let output = &mut self.output[row * output_stride..][..OUTPUTS];
            let mut totals = [0.0f32; OUTPUTS];
            for (weights, panels) in weights.iter().zip(self.values.chunks(2 * PANEL)).take(chunks) {
                for (total, sum) in totals.iter_mut().zip(dot(weights, &panels[..PANEL])) {
                    *total += sum as f32;
                }
            }
            for (output, total) in output.iter_mut().zip(totals) {
                *output += total * self.factors[row];
            }
        }
    }
}

fn dot(row: &[i16; INPUTS], panel: &[i16]) -> [i32; OUTPUTS] {
    let mut sums = [0i32; OUTPUTS];
    for (pair, panel) in row.as_chunks::<2>().0.iter().zip(panel.as_chunks::<{ 2 * OUTPUTS }>().0) {
        for (sum, two) in sums.iter_mut().zip(panel.as_chunks::<2>().0) {
            let products = i32::from(pair[0]) * i32::from(two[0]) + i32::from(pair[1]) * i32::from(two[1]);
            // What is no number may have become too large a one; nothing comes of it either way.
            *sum = sum.wrapping_add(products);
        }
    }
    sums
}

/// Operations, products and sums counted each, of a loop that multiplies what lies in registers; `None` where there are no
/// instructions for it.
pub(super) fn peak(rounds: usize) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    if is_vectored() {
        // SAFETY: the machine has AVX2.
        return Some(unsafe { x86::peak(rounds) } * rounds as u64);
    }
    let _ = rounds;
    None
}

/// A product to be measured, of 16 queries by the keys of a whole window: its name, its operations, and a run of it. `None` where
/// the machine has no vectors for it.
#[allow(clippy::type_complexity, reason = "named where it is used")]
pub(super) fn sample(vectored: bool) -> Option<(String, u64, Box<dyn FnMut() -> bool>)> {
    const ROWS: usize = 16;
    const POSITIONS: usize = 1_504;
    if vectored && !is_vectored() {
        return None;
    }
    let whole = |count: usize| -> Vec<i16> { (0..count).map(|n| (n * 37 % 8_001) as i16 - 4_000).collect() };
    let (queries, keys) = (whole(ROWS * INPUTS), whole(POSITIONS * INPUTS));
    let (scales, mut scores) = (vec![0.001; POSITIONS], vec![0.0; ROWS * POSITIONS]);
    let run = move || {
        let rows = queries.as_chunks::<INPUTS>().0.chunks(TILE);
        for (queries, scores) in rows.zip(scores.chunks_mut(TILE * POSITIONS)) {
            Scores {
                queries,
                keys: &keys,
                scales: &scales,
                factors: &[1.0; TILE],
                shifts: &[0.0; TILE],
                scores,
                stride: POSITIONS,
            }
            .run_with(vectored);
        }
        true
    };
    let name = format!("scores i16 x i16, {}", if vectored { "avx2" } else { "portable" });
    Some((name, 2 * (ROWS * INPUTS * POSITIONS) as u64, Box::new(run)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    fn whole(seed: u64, count: usize, most: f32) -> Vec<i16> {
        numbers(seed, count).iter().map(|value| (value * most).round() as i16).collect()
    }

    fn same(a: &[f32], b: &[f32], what: &str) {
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert!(bits(a) == bits(b), "{what}");
    }

    /// To the last bit: sums of whole numbers have no order.
    #[test]
    fn vectors_give_what_plain_loops_give() {
        if !is_vectored() {
            eprintln!("skipped: this machine has no vectors for it");
            return;
        }
        for count in 1..=TILE {
            for blocks in [1, 2, 5, 48] {
                let queries = whole(1, count * INPUTS, MOST);
                let keys = whole(2, blocks * PANEL, MOST);
                let scales = numbers(3, blocks * OUTPUTS);
                let stride = blocks * OUTPUTS + 3;
                let both = [false, true].map(|vectored| {
                    let mut scores = vec![0.0; count * stride];
                    let operation = Scores {
                        queries: queries.as_chunks::<INPUTS>().0,
                        keys: &keys,
                        scales: &scales,
                        factors: &[0.25, -0.75],
                        shifts: &[0.0, 1.5],
                        scores: &mut scores,
                        stride,
                    };
                    operation.run_with(vectored);
                    scores
                });
                same(&both[0], &both[1], &format!("scores {count} {blocks}"));
                let weights = whole(4, count * blocks * INPUTS, MOST_WEIGHT);
                let values = whole(5, 2 * blocks * PANEL, MOST);
                let both = [false, true].map(|vectored| {
                    let mut output = numbers(6, count * 50);
                    for half in 0..2 {
                        let operation = Mix {
                            weights: &weights,
                            stride: blocks * INPUTS,
                            count,
                            values: &values[half * PANEL..],
                            chunks: blocks,
                            factors: &[0.25, -0.75],
                            output: &mut output[half * 7..],
                            output_stride: 50,
                        };
                        operation.run_with(vectored);
                    }
                    output
                });
                same(&both[0], &both[1], &format!("mix {count} {blocks}"));
            }
        }
    }

    /// The greatest numbers there are: no sum is cut off.
    #[test]
    fn the_greatest_sums_fit() {
        for vectored in [false, is_vectored()] {
            let mut output = [0.0; OUTPUTS];
            let operation = Mix {
                weights: &[MOST_WEIGHT as i16; INPUTS],
                stride: INPUTS,
                count: 1,
                values: &[-MOST as i16; PANEL],
                chunks: 1,
                factors: &[1.0],
                output: &mut output,
                output_stride: OUTPUTS,
            };
            operation.run_with(vectored);
            let expected = -(MOST * MOST_WEIGHT * INPUTS as f32);
            assert!(output.iter().all(|sum| (sum / expected - 1.0).abs() < 1e-6), "{output:?}");
        }
    }
}
