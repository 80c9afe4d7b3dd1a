//! Products of rows of u8 and a matrix of i8, summed in i32.
//!
//! The weights lie as they are read: panels of [`PANEL`] outputs, in a panel four inputs of all its outputs side by
//! side. So a step is a broadcast of four activations and a few sequential loads, and nothing is summed
//! across a vector. One layout serves one row, where the weights' way from memory is what costs, as well as
//! many, where it is the arithmetic; `rten-gemm` takes as long for one row as for eight.
//!
//! The instructions are chosen once: AVX-512 VNNI, AVX-VNNI, AVX2, or none in particular. `SOTTO_INSTRUCTIONS`
//! (`avx512vnni`, `avxvnni`, `avx2`, `portable`) takes a lesser choice than the machine's best, for measurements.
#![allow(unsafe_code)]

use std::sync::OnceLock;

/// Outputs in a panel: four vectors of the widest instructions.
pub(crate) const PANEL: usize = 64;
/// Inputs that one instruction multiplies and adds up.
const GROUP: usize = 4;
/// Rows that share what was read of a panel.
const TILE: usize = 4;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instructions {
    /// What the compiler makes of plain loops.
    Portable,
    /// Pairs of products are added in 16 bits: activations take 7 bits, so that none is cut off.
    Avx2,
    /// Four products at once in 256 bits.
    AvxVnni,
    /// Four products at once in 512 bits.
    Avx512Vnni,
}

impl Instructions {
    /// All, the least first.
    pub(crate) const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::AvxVnni, Self::Avx512Vnni];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avxvnni",
            Self::Avx512Vnni => "avx512vnni",
        }
    }

    /// This machine's best, or the lesser one that the environment asks for.
    pub(crate) fn chosen() -> Self {
        static CHOSEN: OnceLock<Instructions> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let asked = std::env::var("SOTTO_INSTRUCTIONS").ok();
            Self::ALL
                .into_iter()
                .rev()
                .filter(|instructions| instructions.available())
                .find(|instructions| {
                    asked
                        .as_deref()
                        .is_none_or(|name| name == instructions.name())
                })
                .unwrap_or_else(Self::best)
        })
    }

    fn best() -> Self {
        let best = Self::ALL.into_iter().rev().find(|one| one.available());
        best.unwrap_or(Self::Portable)
    }

    /// Whether this machine has them.
    pub(crate) fn available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            match self {
                Self::Portable => true,
                Self::Avx2 => is_x86_feature_detected!("avx2"),
                Self::AvxVnni => {
                    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")
                }
                Self::Avx512Vnni => {
                    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Portable
        }
    }

    /// The greatest activation that no sum cuts off.
    pub(crate) const fn levels(self) -> f32 {
        match self {
            Self::Avx2 => 127.0,
            Self::Portable | Self::AvxVnni | Self::Avx512Vnni => 255.0,
        }
    }
}

/// A matrix of `outputs` rows of `inputs` weights.
pub(crate) struct Matrix {
    inputs: usize,
    outputs: usize,
    /// `[panel][group][PANEL][GROUP]`, filled up with zeros.
    panels: Vec<i8>,
}

impl Matrix {
    /// From `[outputs][inputs]`.
    pub(crate) fn new(inputs: usize, outputs: usize, rows: &[i8]) -> Self {
        assert_eq!(rows.len(), inputs * outputs, "the caller counted them");
        let mut matrix = Self {
            inputs,
            outputs,
            panels: vec![0; inputs.next_multiple_of(GROUP) * outputs.next_multiple_of(PANEL)],
        };
        for (output, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
            for (input, &weight) in row.iter().enumerate() {
                let place = matrix.place(output, input);
                matrix.panels[place] = weight;
            }
        }
        matrix
    }

    pub(crate) const fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of a row of activations: whole groups, what is too much of them is anything.
    pub(crate) const fn row_bytes(&self) -> usize {
        self.inputs.next_multiple_of(GROUP)
    }

    /// Sums of a row: whole panels.
    pub(crate) const fn row_sums(&self) -> usize {
        self.outputs.next_multiple_of(PANEL)
    }

    /// One weight.
    pub(crate) fn weight(&self, output: usize, input: usize) -> i8 {
        self.panels[self.place(output, input)]
    }

    const fn place(&self, output: usize, input: usize) -> usize {
        let panel = output / PANEL * self.row_bytes() * PANEL;
        let group = input / GROUP * GROUP * PANEL;
        panel + group + output % PANEL * GROUP + input % GROUP
    }

    /// `sums[row][output] = rows[row] · weights[output]`, rows of [`Self::row_bytes`] and [`Self::row_sums`].
    pub(crate) fn multiply(&self, instructions: Instructions, rows: &[u8], sums: &mut [i32]) {
        let (row_bytes, row_sums) = (self.row_bytes(), self.row_sums());
        if row_bytes == 0 || row_sums == 0 {
            sums.fill(0);
            return;
        }
        assert!(
            instructions.available()
                && rows.len().is_multiple_of(row_bytes)
                && sums.len() == rows.len() / row_bytes * row_sums,
            "the caller made room, and asked for what there is"
        );
        // A panel is taken by all rows before the next one: it stays in the nearest cache meanwhile.
        for (index, panel) in self.panels.chunks_exact(row_bytes * PANEL).enumerate() {
            let tiles = rows.chunks(TILE * row_bytes);
            for (rows, sums) in tiles.zip(sums.chunks_mut(TILE * row_sums)) {
                let sums = &mut sums[index * PANEL..];
                match rows.len() / row_bytes {
                    1 => tile::<1>(instructions, rows, panel, sums, row_sums),
                    2 => tile::<2>(instructions, rows, panel, sums, row_sums),
                    3 => tile::<3>(instructions, rows, panel, sums, row_sums),
                    _ => tile::<TILE>(instructions, rows, panel, sums, row_sums),
                }
            }
        }
    }
}

/// `M` rows by one panel; the sums of a row come `stride` after those of the row before.
fn tile<const M: usize>(
    instructions: Instructions,
    rows: &[u8],
    panel: &[i8],
    sums: &mut [i32],
    stride: usize,
) {
    let groups = panel.len() / (PANEL * GROUP);
    assert!(
        panel.len() == groups * PANEL * GROUP
            && rows.len() == M * groups * GROUP
            && sums.len() >= (M - 1) * stride + PANEL,
        "whole groups of whole panels"
    );
    match instructions {
        Instructions::Portable => portable::<M>(rows, panel, sums, stride),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `multiply` asked whether the machine has these instructions; the lengths are as asserted above.
        Instructions::Avx2 => unsafe { x86::avx2::<M>(rows, panel, sums, stride) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::AvxVnni => unsafe { x86::avx_vnni::<M>(rows, panel, sums, stride) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx512Vnni => unsafe { x86::avx512_vnni::<M>(rows, panel, sums, stride) },
        #[cfg(not(target_arch = "x86_64"))]
        _ => portable::<M>(rows, panel, sums, stride),
    }
}

fn portable<const M: usize>(rows: &[u8], panel: &[i8], sums: &mut [i32], stride: usize) {
    for (row, sums) in rows
        .chunks_exact(rows.len() / M)
        .zip(sums.chunks_mut(stride))
    {
        let mut totals = [0i32; PANEL];
        for (values, weights) in row
            .as_chunks::<GROUP>()
            .0
            .iter()
            .zip(panel.as_chunks::<{ PANEL * GROUP }>().0)
        {
            for (total, weights) in totals.iter_mut().zip(weights.as_chunks::<GROUP>().0) {
                for (value, weight) in values.iter().zip(weights) {
                    *total += i32::from(*value) * i32::from(*weight);
                }
            }
        }
        sums[..PANEL].copy_from_slice(&totals);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi32, _mm256_dpbusd_avx_epi32, _mm256_loadu_si256,
        _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32,
        _mm256_setzero_si256, _mm256_storeu_si256, _mm512_dpbusd_epi32, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    };
    use std::hint::black_box;

    use super::{GROUP, PANEL};

    /// # Safety
    ///
    /// The machine has AVX-512 VNNI; `rows` are `M` rows of as many groups as `panel` has, and `sums` has room for
    /// `M` rows of [`PANEL`], each `stride` after the other.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn avx512_vnni<const M: usize>(
        rows: &[u8],
        panel: &[i8],
        sums: &mut [i32],
        stride: usize,
    ) {
        const VECTORS: usize = PANEL / 16;
        let groups = panel.len() / (PANEL * GROUP);
        let mut totals = [[_mm512_setzero_si512(); VECTORS]; M];
        let mut values = rows.as_ptr();
        let mut weights = panel.as_ptr();
        for _ in 0..groups {
            let mut loaded = [_mm512_setzero_si512(); VECTORS];
            for (vector, loaded) in loaded.iter_mut().enumerate() {
                // SAFETY: a group has VECTORS times 64 bytes, and there are so many groups.
                *loaded = unsafe { _mm512_loadu_si512(weights.add(vector * 64).cast::<__m512i>()) };
            }
            for (row, totals) in totals.iter_mut().enumerate() {
                // SAFETY: each row has so many groups of four bytes.
                let four = unsafe {
                    values
                        .add(row * groups * GROUP)
                        .cast::<i32>()
                        .read_unaligned()
                };
                let four = _mm512_set1_epi32(four);
                for (total, weights) in totals.iter_mut().zip(loaded) {
                    *total = _mm512_dpbusd_epi32(*total, four, weights);
                }
            }
            // SAFETY: at most one past the end of either.
            unsafe {
                values = values.add(GROUP);
                weights = weights.add(PANEL * GROUP);
            }
        }
        for (row, totals) in totals.iter().enumerate() {
            let sums = &mut sums[row * stride..][..PANEL];
            for (sums, total) in sums.chunks_exact_mut(16).zip(totals) {
                // SAFETY: sixteen numbers of 32 bits.
                unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast::<__m512i>(), *total) };
            }
        }
    }

    /// A quarter of a panel at a time, since there are half as many registers of half the width. `$add` is
    /// what adds four products to each sum.
    macro_rules! in_256_bits {
        ($name:ident, $features:literal, $ones:ident, $add:expr) => {
            /// # Safety
            ///
            /// As for `avx512_vnni`, with the instructions of this one.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name<const M: usize>(
                rows: &[u8],
                panel: &[i8],
                sums: &mut [i32],
                stride: usize,
            ) {
                const VECTORS: usize = 2;
                let groups = panel.len() / (PANEL * GROUP);
                let $ones = _mm256_set1_epi16(1);
                for part in (0..PANEL).step_by(VECTORS * 8) {
                    let mut totals = [[_mm256_setzero_si256(); VECTORS]; M];
                    for group in 0..groups {
                        let mut loaded = [_mm256_setzero_si256(); VECTORS];
                        for (vector, loaded) in loaded.iter_mut().enumerate() {
                            let place = (group * PANEL + part + vector * 8) * GROUP;
                            // SAFETY: within the group, which is within the panel.
                            *loaded = unsafe {
                                _mm256_loadu_si256(panel.as_ptr().add(place).cast::<__m256i>())
                            };
                        }
                        for (row, totals) in totals.iter_mut().enumerate() {
                            let place = (row * groups + group) * GROUP;
                            // SAFETY: each row has so many groups of four bytes.
                            let four =
                                unsafe { rows.as_ptr().add(place).cast::<i32>().read_unaligned() };
                            let four = _mm256_set1_epi32(four);
                            for (total, weights) in totals.iter_mut().zip(loaded) {
                                *total = $add(*total, four, weights);
                            }
                        }
                    }
                    for (row, totals) in totals.iter().enumerate() {
                        let sums = &mut sums[row * stride + part..][..VECTORS * 8];
                        for (sums, total) in sums.chunks_exact_mut(8).zip(totals) {
                            // SAFETY: eight numbers of 32 bits.
                            unsafe {
                                _mm256_storeu_si256(sums.as_mut_ptr().cast::<__m256i>(), *total)
                            };
                        }
                    }
                }
            }
        };
    }

    macro_rules! add_in_16_bits {
        ($ones:ident) => {
            |total, four, weights| {
                _mm256_add_epi32(
                    total,
                    _mm256_madd_epi16(_mm256_maddubs_epi16(four, weights), $ones),
                )
            }
        };
    }

    /// Sums in flight: enough for two such instructions a cycle.
    const FLIGHT: usize = 12;

    macro_rules! peak {
        ($name:ident, $features:literal, $zero:ident, $bytes:literal, $ones:ident, $add:expr) => {
            /// Operations a round.
            #[target_feature(enable = $features)]
            pub(super) fn $name(rounds: usize) -> u64 {
                let $ones = _mm256_set1_epi16(1);
                let mut totals = [$zero(); FLIGHT];
                let weights = black_box($zero());
                for _ in 0..rounds {
                    for total in &mut totals {
                        // What is multiplied changes, or the compiler would multiply once for all.
                        *total = $add(*total, *total, weights);
                    }
                }
                black_box(totals);
                2 * $bytes * FLIGHT as u64
            }
        };
    }

    peak!(
        peak_avx512_vnni,
        "avx512f,avx512vnni,avx2",
        _mm512_setzero_si512,
        64,
        _ones,
        _mm512_dpbusd_epi32
    );
    peak!(
        peak_avx_vnni,
        "avx2,avxvnni",
        _mm256_setzero_si256,
        32,
        _ones,
        _mm256_dpbusd_avx_epi32
    );
    peak!(
        peak_avx2,
        "avx2",
        _mm256_setzero_si256,
        32,
        ones,
        add_in_16_bits!(ones)
    );

    in_256_bits!(avx2, "avx2", ones, add_in_16_bits!(ones));
    in_256_bits!(avx_vnni, "avx2,avxvnni", _ones, _mm256_dpbusd_avx_epi32);
}

/// Operations, products and sums counted each, of a loop that does nothing but multiply what lies in registers: what a
/// product could reach at best. `None` where no instruction of ours does it.
pub(crate) fn peak(instructions: Instructions, rounds: usize) -> Option<u64> {
    assert!(instructions.available(), "the caller asked");
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: the machine has these instructions.
        let per_round = unsafe {
            match instructions {
                Instructions::Portable => return None,
                Instructions::Avx2 => x86::peak_avx2(rounds),
                Instructions::AvxVnni => x86::peak_avx_vnni(rounds),
                Instructions::Avx512Vnni => x86::peak_avx512_vnni(rounds),
            }
        };
        Some(per_round * rounds as u64)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = rounds;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    /// Random weights and rows; `levels` is the greatest activation.
    fn random(rows: usize, inputs: usize, outputs: usize, levels: f32) -> (Vec<u8>, Vec<i8>) {
        let bytes = inputs.next_multiple_of(GROUP);
        let values = numbers(3, rows * bytes)
            .iter()
            .map(|value| ((value + 1.0) / 2.0 * levels).round() as u8)
            .collect();
        let weights = numbers(4, inputs * outputs)
            .iter()
            .map(|value| (value * 127.0).round() as i8)
            .collect();
        (values, weights)
    }

    fn plain(inputs: usize, outputs: usize, rows: &[u8], weights: &[i8]) -> Vec<i32> {
        let mut sums = Vec::new();
        for row in rows.chunks_exact(inputs.next_multiple_of(GROUP)) {
            let start = sums.len();
            sums.extend(weights.chunks_exact(inputs).map(|weights| -> i32 {
                let products = row.iter().zip(weights);
                products.map(|(x, w)| i32::from(*x) * i32::from(*w)).sum()
            }));
            sums.resize(start + outputs.next_multiple_of(PANEL), 0);
        }
        sums
    }

    fn available() -> impl Iterator<Item = Instructions> {
        Instructions::ALL.into_iter().filter(|one| one.available())
    }

    #[test]
    fn is_the_plain_product_with_all_instructions() {
        for instructions in available() {
            for (rows, inputs, outputs) in [
                (1, 1, 1),
                (1, 384, 51),
                (2, 7, 64),
                (3, 64, 33),
                (8, 384, 130),
                (65, 96, 40),
                (5, 1536, 384),
            ] {
                let (values, weights) = random(rows, inputs, outputs, instructions.levels());
                let matrix = Matrix::new(inputs, outputs, &weights);
                let mut sums = vec![-1; rows * matrix.row_sums()];
                matrix.multiply(instructions, &values, &mut sums);
                assert!(
                    sums == plain(inputs, outputs, &values, &weights),
                    "{instructions:?}: {rows} x {inputs} x {outputs}"
                );
            }
        }
    }

    /// The greatest activations and weights of one sign: where sums would be cut off first.
    #[test]
    fn the_greatest_values_are_not_cut_off() {
        for instructions in available() {
            for weight in [127i8, -127] {
                let matrix = Matrix::new(2048, 65, &[weight; 2048 * 65]);
                let values = [instructions.levels() as u8; 3 * 2048];
                let mut sums = vec![0; 3 * matrix.row_sums()];
                matrix.multiply(instructions, &values, &mut sums);
                let expected = 2048 * i32::from(weight) * instructions.levels() as i32;
                for row in sums.chunks_exact(matrix.row_sums()) {
                    assert!(
                        row[..65].iter().all(|&sum| sum == expected),
                        "{instructions:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_weight_comes_back() {
        let (_, weights) = random(1, 30, 70, 1.0);
        let matrix = Matrix::new(30, 70, &weights);
        for output in 0..70 {
            for input in 0..30 {
                assert_eq!(matrix.weight(output, input), weights[output * 30 + input]);
            }
        }
    }

    #[test]
    fn nothing_is_nothing() {
        let matrix = Matrix::new(8, 8, &[1; 64]);
        matrix.multiply(Instructions::Portable, &[], &mut []);
        let matrix = Matrix::new(0, 0, &[]);
        matrix.multiply(Instructions::Portable, &[], &mut []);
    }
}
