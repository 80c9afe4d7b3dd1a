//! A small matrix product that never leaves the registers: a few rows times a packed matrix.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

use crate::error::ModelError;

/// `y = x W + b` for `ROWS` rows, which are computed together so that a weight is read once.
///
/// The weights lie in the order in which they are used: a block of `VECTORS` vectors of columns, in it
/// input by input. So each step is a broadcast, `VECTORS` loads in sequence and `ROWS * VECTORS`
/// multiply-adds; nothing is summed across a vector.
pub(super) struct Dense<const ROWS: usize, const VECTORS: usize> {
    weights: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

impl<const ROWS: usize, const VECTORS: usize> Dense<ROWS, VECTORS> {
    /// Packs `weight(output, input)` for this machine's vectors; one bias an output.
    pub(super) fn pack(
        inputs: usize,
        bias: &[f32],
        weight: impl Fn(usize, usize) -> f32,
    ) -> Result<Self, ModelError> {
        let width = VECTORS * Lanes.dispatch();
        if !bias.len().is_multiple_of(width) {
            return Err(ModelError::Compute(format!(
                "{} outputs are not whole blocks of {width}",
                bias.len()
            )));
        }
        let mut weights = Vec::with_capacity(inputs * bias.len());
        for block in (0..bias.len()).step_by(width) {
            for input in 0..inputs {
                weights.extend((block..block + width).map(|output| weight(output, input)));
            }
        }
        Ok(Self {
            weights,
            bias: bias.to_vec(),
            inputs,
        })
    }

    /// Row `r` is `x[r * stride..][..inputs]` (rows may overlap), and its result `y[r * outputs..][..outputs]`.
    #[inline(always)]
    pub(super) fn apply<I: Isa>(
        &self,
        isa: I,
        x: &[f32],
        stride: usize,
        y: &mut [f32],
        rectify: bool,
    ) {
        let ops = isa.f32();
        let width = VECTORS * ops.len();
        let outputs = self.bias.len();
        let rows: [&[f32]; ROWS] = std::array::from_fn(|row| &x[row * stride..][..self.inputs]);
        let blocks = self.weights.chunks_exact(self.inputs * width);
        for (block, weights) in blocks.enumerate() {
            let start = block * width;
            let bias = ops.load_many::<VECTORS>(&self.bias[start..]);
            let mut sums = [bias; ROWS];
            for (input, weights) in weights.chunks_exact(width).enumerate() {
                let weights = ops.load_many::<VECTORS>(weights);
                for (sums, row) in sums.iter_mut().zip(&rows) {
                    let value = ops.splat(row[input]);
                    for (sum, weight) in sums.iter_mut().zip(weights) {
                        *sum = ops.mul_add(value, weight, *sum);
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate() {
                for (vector, sum) in sums.into_iter().enumerate() {
                    let sum = if rectify {
                        ops.max(sum, ops.zero())
                    } else {
                        sum
                    };
                    let at = row * outputs + start + vector * ops.len();
                    ops.store(sum, &mut y[at..]);
                }
            }
        }
    }
}

/// How many f32 this machine's vectors hold.
struct Lanes;

impl SimdOp for Lanes {
    type Output = usize;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> usize {
        isa.f32().len()
    }
}
