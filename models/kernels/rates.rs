//! How fast the arithmetic is, beside what the processor could do at best and what a library does.

use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions};
use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, SimdOp};
use rten_tensor::NdTensorView;

use crate::error::ModelError;
use crate::kernels::product::{Instructions, Matrix, peak};
use crate::kernels::{Activation, AttentionRoom, Common, Convolution, HEAD, Linear, Memory, QueryAttention, SelfAttention, dots};

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Rate {
    /// What was measured, and with which instructions where that was a choice.
    pub kernel: String,
    /// Rows, inputs and outputs, or what stands for them.
    pub shape: String,
    /// Operations, products and sums counted each.
    pub operations: u64,
    /// Of the fastest run.
    pub seconds: f64,
    /// The line whose rate is the most that this one could reach; itself where it is one.
    pub peak: usize,
}

impl Rate {
    /// 10^9 operations a second.
    #[must_use]
    pub fn giga(&self) -> f64 {
        self.operations as f64 / self.seconds / 1e9
    }
}

/// What a core can do at best, operations a second.
#[derive(Debug, Clone, Copy)]
pub struct Peaks {
    /// Products of u8 and i8.
    pub eight_bits: f64,
    /// Products of i16: where there are none, of f32.
    pub sixteen_bits: f64,
}

/// Measures them; `seconds` is a clock.
pub fn peaks(seconds: &mut dyn FnMut() -> f64) -> Peaks {
    let mut table = Table {
        seconds,
        rates: Vec::new(),
    };
    let operations = Multiply { rounds: ROUNDS }.dispatch();
    table.measure("f32", "-", operations, 0, || Multiply { rounds: ROUNDS }.dispatch() > 0);
    let chosen = Instructions::chosen();
    if let Some(operations) = dots::peak(ROUNDS) {
        table.measure("16 bits", "-", operations, 1, || dots::peak(ROUNDS).is_some());
    }
    let sixteen_bits = table.rates.last().map_or(f64::NAN, Rate::giga);
    if let Some(operations) = peak(chosen, ROUNDS) {
        table.measure("8 bits", "-", operations, 2, || peak(chosen, ROUNDS).is_some());
    }
    let eight_bits = table.rates.last().map_or(f64::NAN, Rate::giga);
    Peaks {
        eight_bits: eight_bits * 1e9,
        sixteen_bits: sixteen_bits * 1e9,
    }
}

/// Rounds of a loop that measures a peak.
const ROUNDS: usize = 200_000;

/// Shapes that the models have: the encoder's, then the decoder's with eight turns and with one.
const SHAPES: [(usize, usize, usize); 8] = [
    (1500, 384, 1536),
    (300, 384, 1536),
    (300, 1536, 384),
    (300, 512, 2048),
    (8, 384, 1536),
    (1, 384, 1536),
    (8, 384, 51_864),
    (1, 384, 51_864),
];

/// Measures all; `seconds` is a clock.
///
/// # Errors
///
/// A kernel failed: a bug.
pub fn table(seconds: &mut dyn FnMut() -> f64) -> Result<Vec<Rate>, ModelError> {
    join_a_pool();
    let mut table = Table {
        seconds,
        rates: Vec::new(),
    };
    let mut peaks = Vec::new();
    let all = Instructions::ALL.into_iter().rev();
    let all: Vec<Instructions> = all.filter(|one| one.available()).collect();
    for &instructions in &all {
        if let Some(operations) = peak(instructions, ROUNDS) {
            let here = table.rates.len();
            peaks.push((instructions, here));
            let name = format!("registers only, {}", instructions.name());
            table.measure(&name, "-", operations, here, || {
                peak(instructions, ROUNDS).is_some()
            });
        }
    }
    let f32_peak = table.rates.len();
    let operations = Multiply { rounds: ROUNDS }.dispatch();
    table.measure("registers only, f32", "-", operations, f32_peak, || {
        Multiply { rounds: ROUNDS }.dispatch() > 0
    });
    let wide_peak = dots::peak(ROUNDS).map_or(f32_peak, |operations| {
        let here = table.rates.len();
        table.measure("registers only, 16 bits", "-", operations, here, || dots::peak(ROUNDS).is_some());
        here
    });
    let best = peaks.first().map_or(f32_peak, |&(_, place)| place);
    for shape in SHAPES {
        table.products(shape, &all, &peaks, best);
    }
    table.others(best, wide_peak)?;
    Ok(table.rates)
}

struct Table<'a> {
    seconds: &'a mut dyn FnMut() -> f64,
    rates: Vec<Rate>,
}

impl Table<'_> {
    /// The fastest of the runs in some tenths of a second: others may be at work on the machine.
    fn measure(
        &mut self,
        kernel: &str,
        shape: &str,
        operations: u64,
        peak: usize,
        mut run: impl FnMut() -> bool,
    ) {
        let mut fastest = f64::INFINITY;
        let begin = (self.seconds)();
        let mut start = begin;
        let mut runs = 0;
        while runs < 3 || start - begin < 0.3 {
            std::hint::black_box(run());
            let end = (self.seconds)();
            fastest = fastest.min(end - start);
            start = end;
            runs += 1;
        }
        self.rates.push(Rate {
            kernel: kernel.to_owned(),
            shape: shape.to_owned(),
            operations,
            seconds: fastest,
            peak,
        });
    }

    fn products(
        &mut self,
        (rows, inputs, outputs): (usize, usize, usize),
        all: &[Instructions],
        peaks: &[(Instructions, usize)],
        best: usize,
    ) {
        let shape = format!("{rows} x {inputs} x {outputs}");
        let operations = 2 * (rows * inputs * outputs) as u64;
        let values: Vec<u8> = (0..rows * inputs).map(|n| (n * 41 % 128) as u8).collect();
        // Small enough for all instructions.
        let weights: Vec<i8> = (0..inputs * outputs)
            .map(|n| (n * 37 % 65) as i8 - 32)
            .collect();
        for &instructions in all {
            let place = peaks.iter().find(|(one, _)| *one == instructions);
            let place = place.map_or(best, |&(_, place)| place);
            let name = format!("product u8 x i8, {}", instructions.name());
            let matrix = Matrix::new(instructions, inputs, outputs, &weights);
            let mut sums = vec![0; rows * matrix.row_sums()];
            self.measure(&name, &shape, operations, place, || {
                // As many rows at a time as the layers take.
                let rows = values
                    .chunks(96 * inputs)
                    .zip(sums.chunks_mut(96 * matrix.row_sums()));
                rows.for_each(|(rows, sums)| matrix.multiply(0..outputs, rows, sums));
                true
            });
        }
        let library = GemmExecutor::<u8, i8, i32>::new();
        let view = NdTensorView::<i8, 2>::from_data([outputs, inputs], &weights[..]);
        let packed = library.prepack_b(view.transposed());
        let mut sums = vec![0i32; rows * outputs];
        let name = format!("rten-gemm, {}", library.kernel_name());
        self.measure(&name, &shape, operations, best, || {
            let input = NdTensorView::<u8, 2>::from_data([rows, inputs], &values[..]);
            let options = GemmOptions::default();
            let (input, weights) = (GemmInputA::Unpacked(input), GemmInputB::Packed(&packed));
            library.gemm(&mut sums, input, weights, options).is_ok()
        });
    }

    /// What the products are used in, and what is f32 throughout.
    fn others(&mut self, int8_peak: usize, wide_peak: usize) -> Result<(), ModelError> {
        let width = 6 * HEAD;
        let rows: Vec<f32> = (0..1500 * 3 * width)
            .map(|n| (n % 17) as f32 / 9.0 - 0.9)
            .collect();
        let (inputs, outputs) = (384, 1536);
        let weights: Vec<f32> = (0..inputs * outputs)
            .map(|n| (n * 37 % 251) as f32 / 125.0 - 1.0)
            .collect();
        for activation in [Activation::None, Activation::Gelu] {
            let linear = Linear::from_rows(inputs, &weights, vec![0.1; outputs], activation);
            let mut output = Vec::new();
            for count in [300, 8] {
                let operations = 2 * (count * inputs * outputs) as u64;
                let name = match activation {
                    Activation::None => "layer, from f32 to f32",
                    Activation::Gelu => "layer, from f32 to f32, GELU",
                };
                let shape = format!("{count} x {inputs} x {outputs}");
                self.measure(name, &shape, operations, int8_peak, || {
                    linear
                        .forward_into(&rows[..count * inputs], None, &mut output)
                        .is_ok()
                });
            }
        }
        for positions in [300, 1500] {
            let input = &rows[..positions * 3 * width];
            let mut output = Vec::new();
            let operations = 4 * (positions * positions * width) as u64;
            let shape = format!("{positions} x {positions} x {width}");
            self.measure("self-attention", &shape, operations, wide_peak, || {
                SelfAttention::forward_into(input, positions, width, &mut output);
                true
            });
        }
        for vectored in [true, false] {
            if let Some((name, operations, mut run)) = dots::sample(vectored) {
                self.measure(&name, "16 x 64 x 1504", operations, wide_peak, &mut *run);
            }
        }
        self.attention(&rows, width, wide_peak);
        let (frames, bins) = (600, 80);
        let kernel = vec![0.01; width * 3 * bins];
        let convolution = Convolution::new(bins, 1, &kernel, vec![0.1; width]);
        let input = &rows[..frames * bins];
        let (mut padded, mut output) = (Vec::new(), Vec::new());
        let operations = 2 * (frames * 3 * bins * width) as u64;
        let shape = format!("{frames} x {} x {width}", 3 * bins);
        self.measure("convolution, GELU", &shape, operations, int8_peak, || {
            convolution
                .forward_into(input, &mut padded, &mut output)
                .is_ok()
        });
        Ok(())
    }

    /// A decoder's step: turns of 5 s and the silence after them.
    fn attention(&mut self, rows: &[f32], width: usize, wide_peak: usize) {
        let (own, all) = (256, 512);
        let mut common = Memory::default();
        common.renew(all, width);
        common.write(0, &rows[..all * 2 * width]);
        let mut memory = Memory::default();
        memory.renew(own, width);
        memory.write(0, &rows[..own * 2 * width]);
        let (mut scores, mut output) = (AttentionRoom::default(), Vec::new());
        for turns in [1, 8] {
            let parts = vec![(all - own, 4.0); turns];
            let own = vec![(&memory, own); turns];
            let attention = QueryAttention {
                own: &own,
                common: Some(Common {
                    memory: &common,
                    parts: &parts,
                }),
            };
            let operations = 4 * (turns * all * width) as u64;
            let shape = format!("{turns} x {all} x {width}");
            self.measure("query attention", &shape, operations, wide_peak, || {
                attention.forward(rows, width, &mut scores, &mut output, None);
                true
            });
        }
    }
}

/// Makes the calling thread a pool of its own, that the library's products stay on it.
fn join_a_pool() {
    // A thread that is some pool's worker already stays that.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
    let _ = pool.use_current_thread().build();
}

/// Multiplies and adds what lies in registers; gives how many operations that were.
struct Multiply {
    rounds: usize,
}

impl SimdOp for Multiply {
    type Output = u64;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> u64 {
        const FLIGHT: usize = 12;
        let ops = isa.f32();
        let mut sums = [ops.zero(); FLIGHT];
        let (a, b) = (
            ops.splat(std::hint::black_box(0.5)),
            ops.splat(std::hint::black_box(0.25)),
        );
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = ops.mul_add(a, *sum, b);
            }
        }
        let mut kept = [0.0f32; 64];
        for sum in sums {
            ops.store(sum, &mut kept);
            std::hint::black_box(&kept);
        }
        2 * (FLIGHT * ops.len() * self.rounds) as u64
    }
}
