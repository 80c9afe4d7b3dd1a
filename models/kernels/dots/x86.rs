//! The inner loops on x86-64 with AVX2.

use std::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_mul_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_storeu_ps,
};
use std::hint::black_box;

use super::{INPUTS, Mix, OUTPUTS, PANEL, Scores};

/// Vectors of eight sums in 32 bits.
const VECTORS: usize = OUTPUTS / 8;

/// # Safety
///
/// The machine has AVX2; there are `M` rows of [`INPUTS`] numbers, each `stride` after the other, and a panel.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn dots<const M: usize>(rows: *const i16, stride: usize, panel: *const i16) -> [[__m256i; VECTORS]; M] {
    let mut sums = [[_mm256_setzero_si256(); VECTORS]; M];
    for pair in 0..INPUTS / 2 {
        let mut loaded = [_mm256_setzero_si256(); VECTORS];
        for (vector, loaded) in loaded.iter_mut().enumerate() {
            // SAFETY: a panel has so many pairs of OUTPUTS.
            *loaded = unsafe { _mm256_loadu_si256(panel.add((pair * VECTORS + vector) * 16).cast::<__m256i>()) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: each row has so many pairs.
            let two = unsafe { rows.add(row * stride + pair * 2).cast::<i32>().read_unaligned() };
            let two = _mm256_set1_epi32(two);
            for (sum, loaded) in sums.iter_mut().zip(loaded) {
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(two, loaded));
            }
        }
    }
    sums
}

/// # Safety
///
/// The machine has AVX2, and the lengths are what [`Scores::run`] asserts, with `M` queries.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn scores<const M: usize>(work: Scores<'_>) {
    for (block, scales) in work.scales.chunks_exact(OUTPUTS).enumerate() {
        // SAFETY: there are M queries, and as many panels as OUTPUTS scales.
        let sums = unsafe { dots::<M>(work.queries.as_ptr().cast(), INPUTS, work.keys.as_ptr().add(block * PANEL)) };
        for (row, sums) in sums.iter().enumerate() {
            let (factor, shift) = (_mm256_set1_ps(work.factors[row]), _mm256_set1_ps(work.shifts[row]));
            let scores = &mut work.scores[row * work.stride + block * OUTPUTS..][..OUTPUTS];
            for (vector, sum) in sums.iter().enumerate() {
                // SAFETY: OUTPUTS scales and scores are VECTORS vectors of eight.
                unsafe {
                    let scale = _mm256_loadu_ps(scales.as_ptr().add(vector * 8));
                    let score = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(*sum), scale), factor);
                    _mm256_storeu_ps(scores.as_mut_ptr().add(vector * 8), _mm256_add_ps(score, shift));
                }
            }
        }
    }
}

/// # Safety
///
/// The machine has AVX2, and the lengths are what [`Mix::run`] asserts, with `M` rows.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn mix<const M: usize>(work: Mix<'_>) {
    let mut totals = [[_mm256_setzero_ps(); VECTORS]; M];
    for chunk in 0..work.chunks {
        // SAFETY: M rows of so many chunks, and two panels for each chunk but the last, which may have one.
        let sums = unsafe {
            let weights = work.weights.as_ptr().add(chunk * INPUTS);
            dots::<M>(weights, work.stride, work.values.as_ptr().add(2 * chunk * PANEL))
        };
        for (totals, sums) in totals.iter_mut().zip(sums) {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = _mm256_add_ps(*total, _mm256_cvtepi32_ps(sum));
            }
        }
    }
    for (row, totals) in totals.iter().enumerate() {
        let factor = _mm256_set1_ps(work.factors[row]);
        let output = &mut work.output[row * work.output_stride..][..OUTPUTS];
        for (vector, total) in totals.iter().enumerate() {
            // SAFETY: OUTPUTS numbers are VECTORS vectors of eight.
            unsafe {
                let place = output.as_mut_ptr().add(vector * 8);
                _mm256_storeu_ps(place, _mm256_add_ps(_mm256_loadu_ps(place), _mm256_mul_ps(*total, factor)));
            }
        }
    }
}

/// Operations a round.
#[target_feature(enable = "avx2")]
pub(super) fn peak(rounds: usize) -> u64 {
    const FLIGHT: usize = 12;
    let mut sums = [_mm256_setzero_si256(); FLIGHT];
    let weights = black_box(_mm256_setzero_si256());
    for _ in 0..rounds {
        for sum in &mut sums {
            // What is multiplied changes, or the compiler would multiply once for all.
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(*sum, weights));
        }
    }
    black_box(sums);
    2 * 16 * FLIGHT as u64
}
