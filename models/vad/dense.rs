//! A small matrix product that never leaves the registers: a few rows times a packed matrix.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};

use crate::error::ModelError;

/// Rows that are worked on at once ...
const ROWS: usize = 4;
/// ... by so many vectors of columns: eight sums in flight, as many as two multiply-add units with a delay of four keep busy.
const VECTORS: usize = 2;

/// `y = x W + b` for rows of several legs, which are computed together so that a weight is read once.
///
/// The weights lie in the order in which they are used: a block of [`VECTORS`] vectors of columns, in it
/// input by input. So each step is a broadcast, two loads in sequence and
/// multiply-adds; nothing is summed across a vector. A block stays in the nearest cache while all rows pass it.
pub(super) struct Dense {
    weights: Vec<f32>,
    bias: Vec<f32>,
    inputs: usize,
}

/// Where rows lie: `rows` of each leg, `step` apart and possibly overlapping, and `leg` from one leg's first to the next's. The results
/// of a leg follow one another, those of the next begin `results` further on.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    pub(super) rows: usize,
    pub(super) step: usize,
    pub(super) leg: usize,
    pub(super) results: usize,
}

impl Dense {
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

    /// All rows of `legs` legs.
    #[inline(always)]
    pub(super) fn apply<I: Isa>(
        &self,
        isa: I,
        legs: usize,
        layout: Layout,
        x: &[f32],
        y: &mut [f32],
        rectify: bool,
    ) {
        let rows = legs * layout.rows;
        let width = VECTORS * isa.f32().len();
        for (block, weights) in self.weights.chunks_exact(self.inputs * width).enumerate() {
            let block = Block {
                weights,
                bias: &self.bias[block * width..],
                start: block * width,
                inputs: self.inputs,
                outputs: self.bias.len(),
                layout,
                rectify,
            };
            let mut row = 0;
            while row + ROWS <= rows {
                block.apply::<I, ROWS>(isa, row, x, y);
                row += ROWS;
            }
            if row + 2 <= rows {
                block.apply::<I, 2>(isa, row, x, y);
                row += 2;
            }
            if row < rows {
                block.apply::<I, 1>(isa, row, x, y);
            }
        }
    }
}

/// Some columns of the weights.
struct Block<'a> {
    weights: &'a [f32],
    bias: &'a [f32],
    start: usize,
    inputs: usize,
    outputs: usize,
    layout: Layout,
    rectify: bool,
}

impl Block<'_> {
    /// `COUNT` rows from `first` on. Each sum is added up in the same order, however many there are.
    #[inline(always)]
    fn apply<I: Isa, const COUNT: usize>(&self, isa: I, first: usize, x: &[f32], y: &mut [f32]) {
        let ops = isa.f32();
        let Layout {
            rows,
            step,
            leg,
            results,
        } = self.layout;
        let inputs: [&[f32]; COUNT] = std::array::from_fn(|row| {
            let row = first + row;
            &x[row / rows * leg + row % rows * step..][..self.inputs]
        });
        let bias = ops.load_many::<VECTORS>(self.bias);
        let mut sums = [bias; COUNT];
        let width = VECTORS * ops.len();
        for (input, weights) in self.weights.chunks_exact(width).enumerate() {
            let weights = ops.load_many::<VECTORS>(weights);
            for (sums, row) in sums.iter_mut().zip(&inputs) {
                let value = ops.splat(row[input]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = ops.mul_add(value, weight, *sum);
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let row = first + row;
            let at = row / rows * results + row % rows * self.outputs + self.start;
            for (vector, sum) in sums.into_iter().enumerate() {
                let sum = if self.rectify {
                    ops.max(sum, ops.zero())
                } else {
                    sum
                };
                ops.store(sum, &mut y[at + vector * ops.len()..]);
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
