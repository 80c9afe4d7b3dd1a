//! The product's inner loops on ARM's 64-bit processors. Activations take 7 bits, so that they are signed bytes.

use std::arch::aarch64::{
    int8x16_t, int32x4_t, vaddq_s32, vdupq_n_s32, vget_low_s8, vld1q_s8, vmull_high_s8, vmull_s8,
    vpadalq_s16, vpaddq_s32, vreinterpretq_s8_s32, vst1q_s32,
};
use std::arch::asm;

use super::{GROUP, NARROW};

/// Vectors of four outputs in a panel.
const VECTORS: usize = NARROW / 4;
/// Groups whose activations are one vector.
const GROUPS: usize = 4;

/// `sum` and, for each of four outputs, its four weights times one group of the activations. Written as the
/// instruction, since the language offers it from version 1.98 on only.
macro_rules! dot {
    ($sum:expr, $weights:expr, $values:expr, $group:literal) => {
        // SAFETY: an instruction on registers; the function that this stands in has the feature.
        unsafe {
            asm!(
                concat!("sdot {sum:v}.4s, {weights:v}.16b, {values:v}.4b[", $group, "]"),
                sum = inout(vreg) $sum,
                weights = in(vreg) $weights,
                values = in(vreg) $values,
                options(pure, nomem, nostack, preserves_flags)
            )
        }
    };
}

/// # Safety
///
/// The machine has the dot product; `rows` are `M` rows of as many groups as `panel`, of [`NARROW`] outputs, has, a multiple
/// of [`GROUPS`], and `sums` has room for `M` rows of a panel's outputs, each `stride` after the other.
#[target_feature(enable = "neon,dotprod")]
pub(super) unsafe fn dot_product<const M: usize>(
    rows: &[u8],
    panel: &[i8],
    sums: &mut [i32],
    stride: usize,
) {
    let groups = panel.len() / (NARROW * GROUP);
    let mut totals = [[vdupq_n_s32(0); VECTORS]; M];
    for step in 0..groups / GROUPS {
        let mut values = [vreinterpretq_s8_s32(vdupq_n_s32(0)); M];
        for (row, values) in values.iter_mut().enumerate() {
            let place = (row * groups + step * GROUPS) * GROUP;
            // SAFETY: each row has so many groups of four bytes.
            *values = unsafe { vld1q_s8(rows.as_ptr().add(place).cast()) };
        }
        // SAFETY: a group has VECTORS times 16 bytes, and there are so many groups.
        let weights = unsafe { panel.as_ptr().add(step * GROUPS * NARROW * GROUP) };
        macro_rules! group {
            ($group:literal) => {
                for vector in 0..VECTORS {
                    // SAFETY: as above.
                    let loaded: int8x16_t =
                        unsafe { vld1q_s8(weights.add(($group * VECTORS + vector) * 16)) };
                    for (totals, values) in totals.iter_mut().zip(values) {
                        dot!(totals[vector], loaded, values, $group);
                    }
                }
            };
        }
        group!(0);
        group!(1);
        group!(2);
        group!(3);
    }
    for (row, totals) in totals.iter().enumerate() {
        store(totals, &mut sums[row * stride..][..NARROW]);
    }
}

/// Without the dot product: products in 16 bits, added to the sums in pairs.
///
/// # Safety
///
/// As for [`dot_product`], but that there is none, and any number of groups.
#[target_feature(enable = "neon")]
pub(super) unsafe fn neon<const M: usize>(
    rows: &[u8],
    panel: &[i8],
    sums: &mut [i32],
    stride: usize,
) {
    let groups = panel.len() / (NARROW * GROUP);
    for row in 0..M {
        let mut pairs = [[vdupq_n_s32(0); 2]; VECTORS];
        for group in 0..groups {
            let place = (row * groups + group) * GROUP;
            // SAFETY: each row has so many groups of four bytes.
            let four = unsafe { rows.as_ptr().add(place).cast::<i32>().read_unaligned() };
            let four = vreinterpretq_s8_s32(vdupq_n_s32(four));
            for (vector, pairs) in pairs.iter_mut().enumerate() {
                let place = (group * VECTORS + vector) * 16;
                // SAFETY: a group has VECTORS times 16 bytes, and there are so many groups.
                let weights = unsafe { vld1q_s8(panel.as_ptr().add(place)) };
                let low = vmull_s8(vget_low_s8(weights), vget_low_s8(four));
                pairs[0] = vpadalq_s16(pairs[0], low);
                pairs[1] = vpadalq_s16(pairs[1], vmull_high_s8(weights, four));
            }
        }
        let mut totals = [vdupq_n_s32(0); VECTORS];
        for (total, [low, high]) in totals.iter_mut().zip(pairs) {
            *total = vpaddq_s32(low, high);
        }
        store(&totals, &mut sums[row * stride..][..NARROW]);
    }
}

#[target_feature(enable = "neon")]
fn store(totals: &[int32x4_t; VECTORS], sums: &mut [i32]) {
    for (sums, total) in sums.chunks_exact_mut(4).zip(totals) {
        // SAFETY: four numbers of 32 bits.
        unsafe { vst1q_s32(sums.as_mut_ptr(), *total) };
    }
}

/// Operations a round of sums of products that lie in registers.
#[target_feature(enable = "neon,dotprod")]
pub(super) fn peak_dot_product(rounds: usize) -> u64 {
    const FLIGHT: usize = 16;
    let mut totals = [vdupq_n_s32(0); FLIGHT];
    let weights = std::hint::black_box(vreinterpretq_s8_s32(vdupq_n_s32(0)));
    for _ in 0..rounds {
        for total in &mut totals {
            let values = weights;
            dot!(*total, weights, values, 0);
        }
    }
    std::hint::black_box(
        totals
            .into_iter()
            .fold(vdupq_n_s32(0), |a, b| vaddq_s32(a, b)),
    );
    2 * 16 * FLIGHT as u64
}
