//! Products of rows of u8 and a matrix of i8, summed in i32.
//!
//! The weights lie as they are read: panels of outputs, in a panel four inputs of all its outputs side by
//! side. So a step is a broadcast of four activations and a few sequential loads, and nothing is summed
//! across a vector. One layout serves one row, where the weights' way from memory is what costs, as well as
//! many, where it is the arithmetic; `rten-gemm` takes as long for one row as for eight.
//!
//! The instructions are chosen once: AVX-512 VNNI, AVX-VNNI, AVX2, NEON with or without the dot product, or none in
//! particular. `SOTTO_INSTRUCTIONS` (their names as in [`Instructions::name`]) takes a lesser choice than the
//! machine's best, for measurements.
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Outputs in a panel where there are 32 registers or one instruction does all: four vectors of 512 bits.
const WIDE: usize = 64;
/// Outputs in a panel elsewhere: sums and weights of three or four rows fill sixteen registers of 256 bits.
const NARROW: usize = 16;
/// Inputs that one instruction multiplies and adds up.
const GROUP: usize = 4;
/// Groups that AVX2 sums up in 16 bits.
const IN_16_BITS: usize = 4;
/// The greatest sum of weights of one sign among those that AVX2 sums up in 16 bits: times 127 it fits.
const MOST_IN_16_BITS: i32 = 32_767 / 127;

/// What multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Instructions {
    /// What the compiler makes of plain loops.
    Portable,
    /// ARM's vectors: products in 16 bits.
    Neon,
    /// ARM's dot product: four products at once in 128 bits.
    NeonDotProduct,
    /// Sums in 16 bits: activations take 7 bits, and weights are made to fit.
    Avx2,
    /// Four products at once in 256 bits.
    AvxVnni,
    /// Four products at once in 512 bits.
    Avx512Vnni,
}

impl Instructions {
    /// All, the least first.
    pub(crate) const ALL: [Self; 6] = [
        Self::Portable,
        Self::Neon,
        Self::NeonDotProduct,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512Vnni,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::NeonDotProduct => "dotprod",
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
                Self::Neon | Self::NeonDotProduct => false,
                Self::Avx2 => is_x86_feature_detected!("avx2"),
                Self::AvxVnni => {
                    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")
                }
                Self::Avx512Vnni => {
                    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            match self {
                Self::Portable => true,
                Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
                Self::NeonDotProduct => std::arch::is_aarch64_feature_detected!("dotprod"),
                Self::Avx2 | Self::AvxVnni | Self::Avx512Vnni => false,
            }
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            self == Self::Portable
        }
    }

    /// The greatest activation.
    pub(crate) const fn levels(self) -> f32 {
        match self {
            Self::Avx2 | Self::Neon | Self::NeonDotProduct => 127.0,
            Self::Portable | Self::AvxVnni | Self::Avx512Vnni => 255.0,
        }
    }

    /// Outputs in a panel.
    pub(crate) const fn panel(self) -> usize {
        match self {
            Self::Avx512Vnni | Self::AvxVnni => WIDE,
            Self::Portable | Self::Neon | Self::NeonDotProduct | Self::Avx2 => NARROW,
        }
    }

    /// Rows that share what was read of a panel, as many as there are registers for.
    const fn tile(self) -> usize {
        match self {
            Self::Avx2 => 3,
            _ => 4,
        }
    }

    /// Inputs are filled up to a multiple of this.
    const fn step(self) -> usize {
        match self {
            Self::Avx512Vnni | Self::AvxVnni => GROUP,
            Self::Portable | Self::Neon | Self::NeonDotProduct | Self::Avx2 => IN_16_BITS * GROUP,
        }
    }
}

/// By how much a row of weights must shrink, that these instructions sum it up without cutting off; at most 1.
pub(crate) fn fit(instructions: Instructions, row: &[i8]) -> f32 {
    if instructions != Instructions::Avx2 {
        return 1.0;
    }
    let mut most = 0;
    for step in row.chunks(IN_16_BITS * GROUP) {
        // An instruction's 16-bit sums are of the even pairs and of the odd ones.
        for pair in 0..2 {
            let weights = || {
                let groups = step.chunks(GROUP);
                groups.flat_map(|group| group.iter().skip(2 * pair).take(2))
            };
            let of_sign = |sign: i32| weights().map(|&w| (sign * i32::from(w)).max(0)).sum();
            most = most.max(of_sign(1)).max(of_sign(-1));
        }
    }
    (MOST_IN_16_BITS as f32 / most as f32).min(1.0)
}

/// A matrix of `outputs` rows of `inputs` weights.
pub(crate) struct Matrix {
    instructions: Instructions,
    inputs: usize,
    outputs: usize,
    /// `[panel][group][outputs of a panel][GROUP]`, filled up with zeros.
    panels: Vec<i8>,
}

impl Matrix {
    /// From `[outputs][inputs]`; each row fits the instructions ([`fit`]).
    pub(crate) fn new(
        instructions: Instructions,
        inputs: usize,
        outputs: usize,
        rows: &[i8],
    ) -> Self {
        assert_eq!(rows.len(), inputs * outputs, "the caller counted them");
        let filled = outputs.next_multiple_of(instructions.panel());
        let mut matrix = Self {
            instructions,
            inputs,
            outputs,
            panels: vec![0; inputs.next_multiple_of(instructions.step()) * filled],
        };
        for (output, row) in rows.chunks_exact(inputs.max(1)).enumerate() {
            assert!(fit(instructions, row) >= 1.0, "the caller made them fit");
            for (input, &weight) in row.iter().enumerate() {
                let place = matrix.place(output, input);
                matrix.panels[place] = weight;
            }
        }
        matrix
    }

    pub(crate) const fn instructions(&self) -> Instructions {
        self.instructions
    }

    pub(crate) const fn inputs(&self) -> usize {
        self.inputs
    }

    pub(crate) const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Bytes of a row of activations: whole steps, what is too much of them is anything within the levels.
    pub(crate) const fn row_bytes(&self) -> usize {
        self.inputs.next_multiple_of(self.instructions.step())
    }

    /// Sums of a row: whole panels.
    pub(crate) const fn row_sums(&self) -> usize {
        self.outputs.next_multiple_of(self.instructions.panel())
    }

    /// One weight.
    pub(crate) fn weight(&self, output: usize, input: usize) -> i8 {
        self.panels[self.place(output, input)]
    }

    const fn place(&self, output: usize, input: usize) -> usize {
        let wide = self.instructions.panel();
        let panel = output / wide * self.row_bytes() * wide;
        let group = input / GROUP * GROUP * wide;
        panel + group + output % wide * GROUP + input % GROUP
    }

    /// `sums[row][output] = rows[row] · weights[output]` for these outputs, from and to a panel's begin or the end;
    /// rows of [`Self::row_bytes`], and as many sums for each as whole panels have.
    pub(crate) fn multiply(&self, outputs: Range<usize>, rows: &[u8], sums: &mut [i32]) {
        let (row_bytes, panel) = (self.row_bytes(), self.instructions.panel());
        let row_sums = outputs.len().next_multiple_of(panel);
        if row_bytes == 0 || row_sums == 0 {
            sums.fill(0);
            return;
        }
        assert!(
            self.instructions.available()
                && outputs.start.is_multiple_of(panel)
                && outputs.start + row_sums <= self.row_sums()
                && rows.len().is_multiple_of(row_bytes)
                && sums.len() == rows.len() / row_bytes * row_sums,
            "the caller made room, and asked for what there is"
        );
        let first = outputs.start * row_bytes;
        let panels = &self.panels[first..first + row_sums * row_bytes];
        let at_once = self.instructions.tile();
        // A panel is taken by all rows before the next one: it stays in the nearest cache meanwhile.
        for (index, weights) in panels.chunks_exact(row_bytes * panel).enumerate() {
            let tiles = rows.chunks(at_once * row_bytes);
            for (rows, sums) in tiles.zip(sums.chunks_mut(at_once * row_sums)) {
                let sums = &mut sums[index * panel..];
                match rows.len() / row_bytes {
                    1 => tile::<1>(self.instructions, rows, weights, sums, row_sums),
                    2 => tile::<2>(self.instructions, rows, weights, sums, row_sums),
                    3 => tile::<3>(self.instructions, rows, weights, sums, row_sums),
                    _ => tile::<4>(self.instructions, rows, weights, sums, row_sums),
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
    let outputs = instructions.panel();
    let groups = panel.len() / (outputs * GROUP);
    assert!(
        panel.len() == groups * outputs * GROUP
            && (groups * GROUP).is_multiple_of(instructions.step())
            && rows.len() == M * groups * GROUP
            && sums.len() >= (M - 1) * stride + outputs,
        "whole steps of whole panels"
    );
    match instructions {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `multiply` asked whether the machine has these instructions; the lengths are as asserted above.
        Instructions::Avx2 => unsafe { x86::avx2::<M>(rows, panel, sums, stride) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::AvxVnni => unsafe { x86::avx_vnni::<M>(rows, panel, sums, stride) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx512Vnni => unsafe { x86::avx512_vnni::<M>(rows, panel, sums, stride) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Instructions::NeonDotProduct => unsafe {
            neon::dot_product::<M>(rows, panel, sums, stride);
        },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Instructions::Neon => unsafe { neon::neon::<M>(rows, panel, sums, stride) },
        _ => portable::<M>(rows, panel, sums, stride),
    }
}

fn portable<const M: usize>(rows: &[u8], panel: &[i8], sums: &mut [i32], stride: usize) {
    for (row, sums) in rows
        .chunks_exact(rows.len() / M)
        .zip(sums.chunks_mut(stride))
    {
        let mut totals = [0i32; NARROW];
        for (values, weights) in row
            .as_chunks::<GROUP>()
            .0
            .iter()
            .zip(panel.as_chunks::<{ NARROW * GROUP }>().0)
        {
            for (total, weights) in totals.iter_mut().zip(weights.as_chunks::<GROUP>().0) {
                for (value, weight) in values.iter().zip(weights) {
                    *total += i32::from(*value) * i32::from(*weight);
                }
            }
        }
        sums[..NARROW].copy_from_slice(&totals);
    }
}

/// Operations, products and sums counted each, of a loop that does nothing but multiply what lies in registers: what a
/// product could reach at best. `None` where no instruction of ours does it.
pub(crate) fn peak(instructions: Instructions, rounds: usize) -> Option<u64> {
    assert!(instructions.available(), "the caller asked");
    let per_round = match instructions {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the machine has these instructions.
        Instructions::Avx2 => unsafe { x86::peak_avx2(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::AvxVnni => unsafe { x86::peak_avx_vnni(rounds) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx512Vnni => unsafe { x86::peak_avx512_vnni(rounds) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Instructions::NeonDotProduct => unsafe { neon::peak_dot_product(rounds) },
        _ => return None,
    };
    Some(per_round * rounds as u64)
}

#[cfg(test)]
mod tests;
