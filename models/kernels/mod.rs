//! The arithmetic that stock candle does slowly, as candle operations.
//!
//! Products of u8 activations and i8 weights, attention without a large temporary, layer norm and
//! convolution. The integer products are written here ([`product`], the one file with `unsafe`), since
//! `rten-gemm` is as slow for one row as for eight; f32 products are `rten-gemm`'s, other vector code
//! `rten-simd`'s: one source, the widest instructions that the machine has.
//!
//! # Threads
//!
//! candle's own sum of two tensors wakes its pool of all cores, so even that one is here ([`Add`]). Work stays
//! on the calling thread. Where `RAYON_NUM_THREADS` (or else `CANDLE_NUM_THREADS`) is set to
//! more than one, the calling thread gets that many less one beside it.

mod add;
mod attention;
mod convolution;
mod linear;
mod norm;
mod product;
mod query;
pub mod rates;

use std::cell::{OnceCell, RefCell};

use candle_core::{CpuStorage, Layout, Result, bail};
use rten_gemm::GemmExecutor;

pub(crate) use add::Add;
pub(crate) use attention::SelfAttention;
pub(crate) use convolution::Convolution;
pub(crate) use linear::{Activation, Linear};
pub(crate) use norm::LayerNorm;
pub(crate) use query::{BLOCK, HEAD, Memory, QueryAttention};

/// The f32 products for this machine's instructions.
///
/// One set a thread: they are chosen in no time, and cannot be sent between threads.
pub(crate) struct Products {
    pub(crate) f32: GemmExecutor,
}

/// Room for products and attention, used again and again.
#[derive(Default)]
struct Scratch {
    memory: Memory,
    weights: Vec<f32>,
    quantized: Vec<u8>,
    sums: Vec<i32>,
    /// Scale and zero point of each row.
    ranges: Vec<(f32, u8)>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
    static PRODUCTS: OnceCell<Products> = const { OnceCell::new() };
}

/// Calls `work` with this thread's products.
pub(crate) fn with_products<T>(work: impl FnOnce(&Products) -> T) -> T {
    PRODUCTS.with(|cell| {
        work(cell.get_or_init(|| {
            join_a_pool();
            Products {
                f32: GemmExecutor::new(),
            }
        }))
    })
}

/// Calls `work` with this thread's room, which no other call has at the same time.
fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    SCRATCH.with_borrow_mut(work)
}

/// Makes the calling thread a rayon pool of its own, so that rayon inside of the products neither
/// wakes another thread nor waits for one.
fn join_a_pool() {
    let threads = ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"]
        .iter()
        .find_map(|name| std::env::var(name).ok()?.parse::<usize>().ok())
        .map_or(1, |threads| threads.clamp(1, 64));
    // A thread that is some pool's worker already stays that; the products run there as well.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .use_current_thread()
        .build();
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
