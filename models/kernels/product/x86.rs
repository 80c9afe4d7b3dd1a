//! The product's inner loops on x86-64.

use std::arch::asm;
use std::arch::x86_64::{
    __m256i, __m512i, _mm256_add_epi16, _mm256_add_epi32, _mm256_dpbusd_avx_epi32,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256, _mm512_dpbusd_epi32,
    _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
};
use std::hint::black_box;

use super::{GROUP, IN_16_BITS, NARROW, WIDE};

/// # Safety
///
/// The machine has AVX-512 VNNI; `rows` are `M` rows of as many groups as `panel`, of [`WIDE`] outputs, has, and `sums`
/// has room for `M` rows of a panel's outputs, each `stride` after the other.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn avx512_vnni<const M: usize>(
    rows: &[u8],
    panel: &[i8],
    sums: &mut [i32],
    stride: usize,
) {
    const VECTORS: usize = WIDE / 16;
    let groups = panel.len() / (WIDE * GROUP);
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
            weights = weights.add(WIDE * GROUP);
        }
    }
    for (row, totals) in totals.iter().enumerate() {
        let sums = &mut sums[row * stride..][..WIDE];
        for (sums, total) in sums.chunks_exact_mut(16).zip(totals) {
            // SAFETY: sixteen numbers of 32 bits.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast::<__m512i>(), *total) };
        }
    }
}

/// A quarter of a panel at a time, since there are half as many registers of half the width.
///
/// # Safety
///
/// As for [`avx512_vnni`], with AVX-VNNI.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) unsafe fn avx_vnni<const M: usize>(
    rows: &[u8],
    panel: &[i8],
    sums: &mut [i32],
    stride: usize,
) {
    const VECTORS: usize = 2;
    let groups = panel.len() / (WIDE * GROUP);
    for part in (0..WIDE).step_by(VECTORS * 8) {
        let mut totals = [[_mm256_setzero_si256(); VECTORS]; M];
        for group in 0..groups {
            let mut loaded = [_mm256_setzero_si256(); VECTORS];
            for (vector, loaded) in loaded.iter_mut().enumerate() {
                let place = (group * WIDE + part + vector * 8) * GROUP;
                // SAFETY: within the group, which is within the panel.
                *loaded =
                    unsafe { _mm256_loadu_si256(panel.as_ptr().add(place).cast::<__m256i>()) };
            }
            for (row, totals) in totals.iter_mut().enumerate() {
                let place = (row * groups + group) * GROUP;
                // SAFETY: each row has so many groups of four bytes.
                let four = unsafe { rows.as_ptr().add(place).cast::<i32>().read_unaligned() };
                let four = _mm256_set1_epi32(four);
                for (total, weights) in totals.iter_mut().zip(loaded) {
                    *total = _mm256_dpbusd_avx_epi32(*total, four, weights);
                }
            }
        }
        for (row, totals) in totals.iter().enumerate() {
            let sums = &mut sums[row * stride + part..][..VECTORS * 8];
            for (sums, total) in sums.chunks_exact_mut(8).zip(totals) {
                // SAFETY: eight numbers of 32 bits.
                unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast::<__m256i>(), *total) };
            }
        }
    }
}

/// Without VNNI an instruction gives 16-bit sums of two products, and another widens them. Here [`IN_16_BITS`] groups are
/// summed in 16 bits before they are widened, which is three instructions of five instead of one of
/// two that multiply; that no such sum is cut off is a property of the weights ([`super::fit`]).
///
/// # Safety
///
/// As for [`avx512_vnni`], with AVX2, panels of [`NARROW`] outputs and a multiple of [`IN_16_BITS`] groups.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn avx2<const M: usize>(
    rows: &[u8],
    panel: &[i8],
    sums: &mut [i32],
    stride: usize,
) {
    const VECTORS: usize = NARROW / 8;
    let groups = panel.len() / (NARROW * GROUP);
    let ones = _mm256_set1_epi16(1);
    let mut totals = [[_mm256_setzero_si256(); VECTORS]; M];
    let mut values = rows.as_ptr();
    let mut weights = panel.as_ptr();
    for _ in 0..groups / IN_16_BITS {
        let mut narrow = [[_mm256_setzero_si256(); VECTORS]; M];
        for group in 0..IN_16_BITS {
            let mut loaded = [_mm256_setzero_si256(); VECTORS];
            for (vector, loaded) in loaded.iter_mut().enumerate() {
                let place = (group * VECTORS + vector) * 32;
                // SAFETY: a group has VECTORS times 32 bytes, and there are so many groups.
                *loaded = unsafe { _mm256_loadu_si256(weights.add(place).cast::<__m256i>()) };
            }
            for (row, narrow) in narrow.iter_mut().enumerate() {
                // SAFETY: each row has so many groups of four bytes.
                let four = unsafe {
                    values
                        .add((row * groups + group) * GROUP)
                        .cast::<i32>()
                        .read_unaligned()
                };
                let four = _mm256_set1_epi32(four);
                for (narrow, weights) in narrow.iter_mut().zip(loaded) {
                    let pairs = _mm256_maddubs_epi16(four, weights);
                    *narrow = _mm256_add_epi16(*narrow, pairs);
                    // The compiler would add up the groups as a tree, for which there are not enough registers.
                    // SAFETY: no instruction at all.
                    unsafe {
                        asm!("/* {0} */", inout(ymm_reg) *narrow, options(pure, nomem, nostack, preserves_flags));
                    }
                }
            }
        }
        for (totals, narrow) in totals.iter_mut().zip(narrow) {
            for (total, narrow) in totals.iter_mut().zip(narrow) {
                *total = _mm256_add_epi32(*total, _mm256_madd_epi16(narrow, ones));
            }
        }
        // SAFETY: at most one past the end of either.
        unsafe {
            values = values.add(IN_16_BITS * GROUP);
            weights = weights.add(IN_16_BITS * GROUP * NARROW);
        }
    }
    for (row, totals) in totals.iter().enumerate() {
        let sums = &mut sums[row * stride..][..NARROW];
        for (sums, total) in sums.chunks_exact_mut(8).zip(totals) {
            // SAFETY: eight numbers of 32 bits.
            unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast::<__m256i>(), *total) };
        }
    }
}

/// Sums in flight: enough for two such instructions a cycle.
const FLIGHT: usize = 12;

macro_rules! peak {
    ($name:ident, $features:literal, $zero:ident, $bytes:literal, $add:expr) => {
        /// Operations a round.
        #[target_feature(enable = $features)]
        pub(super) fn $name(rounds: usize) -> u64 {
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
    _mm512_dpbusd_epi32
);
peak!(
    peak_avx_vnni,
    "avx2,avxvnni",
    _mm256_setzero_si256,
    32,
    _mm256_dpbusd_avx_epi32
);

/// Operations a round: [`IN_16_BITS`] times 32 products summed in 16 bits, then widened.
#[target_feature(enable = "avx2")]
pub(super) fn peak_avx2(rounds: usize) -> u64 {
    const FLIGHT: usize = 8;
    let ones = _mm256_set1_epi16(1);
    let mut totals = [_mm256_setzero_si256(); FLIGHT];
    let weights = black_box(_mm256_setzero_si256());
    for _ in 0..rounds {
        for index in 0..FLIGHT {
            let mut narrow = _mm256_maddubs_epi16(totals[index], weights);
            for other in 1..IN_16_BITS {
                let values = totals[(index + other) % FLIGHT];
                narrow = _mm256_add_epi16(narrow, _mm256_maddubs_epi16(values, weights));
            }
            totals[index] = _mm256_add_epi32(totals[index], _mm256_madd_epi16(narrow, ones));
        }
    }
    black_box(totals);
    2 * 32 * (IN_16_BITS * FLIGHT) as u64
}
