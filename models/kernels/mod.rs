//! The arithmetic that stock candle does slowly, as candle operations.
//!
//! Products of u8 activations and i8 weights, attention without a large temporary, layer norm and
//! convolution. The integer products are written here ([`product`], with `unsafe`), since
//! `rten-gemm` is as slow for one row as for eight; other vector code is written over
//! `rten-simd`: one source, the widest instructions that the machine has.
//!
//! All write into rooms that their callers keep, so that nothing is allocated from one turn to the next. Work stays on
//! the calling thread: none of this wakes a pool.

mod attention;
mod convolution;
mod dots;
mod gelu;
mod linear;
mod memory;
mod norm;
mod product;
mod query;
pub mod rates;
mod vector;

use std::cell::RefCell;

use candle_core::{CpuStorage, Layout, Result, bail};

pub(crate) use attention::SelfAttention;
pub(crate) use convolution::Convolution;
pub(crate) use linear::{Activation, Linear};
pub(crate) use norm::LayerNorm;
pub(crate) use memory::{HEAD, Memory};
pub(crate) use query::{AttentionRoom, Common, Looks, MOST_TURNS, QueryAttention};
pub(crate) use vector::LogSum;

/// Room for products and attention, used again and again.
#[derive(Default)]
struct Scratch {
    memory: Memory,
    attention: AttentionRoom,
    quantized: Vec<u8>,
    normed: Vec<f32>,
    sums: Vec<i32>,
    /// Scale and zero point of each row.
    ranges: Vec<(f32, i32)>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// Calls `work` with this thread's room, which no other call has at the same time.
fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

/// Makes `values` so long. What is in it then is to be overwritten, but it is no memory that was never written.
pub(crate) fn room<T: Clone + Default>(values: &mut Vec<T>, length: usize) {
    // No more than that: of rooms that grow to their double half would stay empty.
    values.reserve_exact(length.saturating_sub(values.len()));
    values.resize(length, T::default());
}

/// Rows of which each begins `stride` after the one before.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    values: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    pub(crate) const fn new(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride }
    }

    fn from(self, row: usize) -> Self {
        let start = (row * self.stride).min(self.values.len());
        Self {
            values: &self.values[start..],
            stride: self.stride,
        }
    }

    /// The first `length` values of a row.
    #[inline(always)]
    fn row(self, row: usize, length: usize) -> &'a [f32] {
        &self.values[row * self.stride..][..length]
    }
}

/// The values of a contiguous f32 tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("an operand is not contiguous")
    };
    match storage.as_slice::<f32>()?.get(start..end) {
        Some(values) => Ok(values),
        None => bail!("an operand lies outside of its storage"),
    }
}

#[cfg(test)]
mod testing {
    /// Numbers from -1 to 1 that are the same in every run.
    pub(crate) fn numbers(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        (0..count)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as f32 / 8_388_608.0 - 1.0
            })
            .collect()
    }
}
