//! What is done to a row of numbers.
//!
//! `rten-vecmath` has these too, but in closures, and a closure is compiled without the instructions that it is called
//! with: each of its vectors would be a call. So they are plain loops here.

use rten_simd::ops::{BitOps, FloatOps, IntOps, NarrowSaturate, NumOps};
use rten_simd::{Isa, Simd, SimdOp};

/// Vectors at once, so that none waits for the one before.
const FLIGHT: usize = 4;

/// The sum of `values`.
#[inline(always)]
pub(super) fn sum<I: Isa>(isa: I, values: &[f32]) -> f32 {
    let ops = isa.f32();
    let width = ops.len();
    let mut sums = [ops.zero(); FLIGHT];
    let mut parts = values.chunks_exact(FLIGHT * width);
    for part in &mut parts {
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = ops.add(*sum, ops.load(&part[index * width..]));
        }
    }
    let rest: f32 = parts.remainder().iter().sum();
    let [a, b, c, d] = sums;
    add_up(isa, ops.add(ops.add(a, b), ops.add(c, d))) + rest
}

/// The sum of the squares of what is left of `values` without `mean`.
#[inline(always)]
pub(super) fn squares<I: Isa>(isa: I, values: &[f32], mean: f32) -> f32 {
    let ops = isa.f32();
    let width = ops.len();
    let means = ops.splat(mean);
    let mut sums = [ops.zero(); FLIGHT];
    let mut parts = values.chunks_exact(FLIGHT * width);
    for part in &mut parts {
        for (index, sum) in sums.iter_mut().enumerate() {
            let value = ops.sub(ops.load(&part[index * width..]), means);
            *sum = ops.mul_add(value, value, *sum);
        }
    }
    let mut rest = 0.0;
    for value in parts.remainder() {
        rest += (value - mean) * (value - mean);
    }
    let [a, b, c, d] = sums;
    add_up(isa, ops.add(ops.add(a, b), ops.add(c, d))) + rest
}

/// The least and the greatest of `values` and zero.
#[inline(always)]
pub(super) fn range<I: Isa>(isa: I, values: &[f32]) -> (f32, f32) {
    let ops = isa.f32();
    let width = ops.len();
    let mut low = [ops.zero(); 2];
    let mut high = [ops.zero(); 2];
    let mut parts = values.chunks_exact(2 * width);
    for part in &mut parts {
        for index in 0..2 {
            let value = ops.load(&part[index * width..]);
            low[index] = ops.min(low[index], value);
            high[index] = ops.max(high[index], value);
        }
    }
    let mut least = lanes(isa, ops.min(low[0], low[1]), f32::min);
    let mut greatest = lanes(isa, ops.max(high[0], high[1]), f32::max);
    for &value in parts.remainder() {
        least = least.min(value);
        greatest = greatest.max(value);
    }
    (least, greatest)
}

/// The greatest of `values`.
#[inline(always)]
pub(super) fn greatest<I: Isa>(isa: I, values: &[f32]) -> f32 {
    let ops = isa.f32();
    let width = ops.len();
    let mut high = [ops.splat(f32::NEG_INFINITY); FLIGHT];
    let mut parts = values.chunks_exact(FLIGHT * width);
    for part in &mut parts {
        for (index, high) in high.iter_mut().enumerate() {
            *high = ops.max(*high, ops.load(&part[index * width..]));
        }
    }
    let [a, b, c, d] = high;
    let mut greatest = lanes(isa, ops.max(ops.max(a, b), ops.max(c, d)), f32::max);
    for &value in parts.remainder() {
        greatest = greatest.max(value);
    }
    greatest
}

/// Puts `exp(score - greatest)` in each score's place, and that times its scale and `factor`, rounded, into `weights`; gives
/// the sum of the exponentials. All are whole pairs of vectors long, `scales` at least.
#[inline(always)]
pub(super) fn weigh<I: Isa>(
    isa: I,
    scores: &mut [f32],
    greatest: f32,
    scales: &[f32],
    factor: f32,
    weights: &mut [i16],
) -> f32 {
    let (ops, ints, shorts) = (isa.f32(), isa.i32(), isa.i16());
    let width = ops.len();
    let (greatests, factors) = (ops.splat(greatest), ops.splat(factor));
    let exp = Exp::new(isa);
    let mut sums = [ops.zero(); 2];
    let count = scores.len();
    let (scales, weights) = (&scales[..count], &mut weights[..count]);
    for place in (0..count).step_by(2 * width) {
        let mut whole = [ints.zero(); 2];
        for index in 0..2 {
            let at = place + index * width;
            let part = &mut scores[at..][..width];
            let value = exp.of(isa, ops.sub(ops.load(part), greatests));
            ops.store(value, part);
            sums[index] = ops.add(sums[index], value);
            let scale = ops.mul(ops.load(&scales[at..]), factors);
            whole[index] = ops.to_int_round(ops.mul(value, scale));
        }
        shorts.store(ints.narrow_saturate(whole[0], whole[1]), &mut weights[place..]);
    }
    add_up(isa, ops.add(sums[0], sums[1]))
}

#[inline(always)]
fn add_up<I: Isa>(isa: I, values: I::F32) -> f32 {
    lanes(isa, values, |a, b| a + b)
}

/// Makes one of the lanes of a vector.
#[inline(always)]
fn lanes<I: Isa>(isa: I, values: I::F32, two: impl Fn(f32, f32) -> f32) -> f32 {
    let ops = isa.f32();
    let mut kept = [0.0; 16];
    let kept = &mut kept[..ops.len()];
    ops.store(values, kept);
    let mut all = kept[0];
    for &value in &kept[1..] {
        all = two(all, value);
    }
    all
}

/// `exp` of what is not above zero, within two units of the last place; of less than -87 it is nothing.
struct Exp<I: Isa> {
    least: I::F32,
    log2_e: I::F32,
    /// Added and taken away again it leaves a whole number.
    whole: I::F32,
    /// The logarithm of 2 in two parts, the greater one without its last bits.
    ln_2: [I::F32; 2],
    /// Of the series, the lowest power last.
    powers: [I::F32; 6],
    one: I::F32,
    bias: I::I32,
}

impl<I: Isa> Exp<I> {
    #[inline(always)]
    fn new(isa: I) -> Self {
        let ops = isa.f32();
        Self {
            least: ops.splat(-87.0),
            log2_e: ops.splat(std::f32::consts::LOG2_E),
            whole: ops.splat(12_582_912.0),
            ln_2: [ops.splat(-0.693_145_75), ops.splat(-1.428_606_8e-6)],
            powers: [
                ops.splat(1.378_059_4e-3),
                ops.splat(8.373_124e-3),
                ops.splat(4.166_953_6e-2),
                ops.splat(0.166_664_72),
                ops.splat(0.499_999_85),
                ops.splat(1.0),
            ],
            one: ops.splat(1.0),
            bias: isa.i32().splat(127),
        }
    }

    #[inline(always)]
    fn of(&self, isa: I, x: I::F32) -> I::F32 {
        let (ops, ints) = (isa.f32(), isa.i32());
        let x = ops.max(x, self.least);
        let exponent = ops.sub(ops.mul_add(x, self.log2_e, self.whole), self.whole);
        let rest = ops.mul_add(exponent, self.ln_2[0], x);
        let rest = ops.mul_add(exponent, self.ln_2[1], rest);
        let mut series = self.powers[0];
        for power in 1..6 {
            series = ops.mul_add(series, rest, self.powers[power]);
        }
        let series = ops.mul_add(series, rest, self.one);
        let exponent = ints.add(ops.to_int_trunc(exponent), self.bias);
        let scale: I::F32 = ints.shift_left::<23>(exponent).reinterpret_cast();
        ops.mul(series, scale)
    }
}

/// The natural logarithm of the sum of all exponentials of unnormalized log probabilities; the greatest of these
/// in each part of so many.
pub(crate) struct LogSum<'a> {
    pub(crate) scores: &'a [f32],
    pub(crate) part: usize,
    pub(crate) greatest: &'a mut Vec<f32>,
}

impl SimdOp for LogSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> f32 {
        // What is less than e^-20 of the greatest does not count, all 50,000 of them together.
        const NOTHING: f32 = 20.0;
        let ops = isa.f32();
        let width = ops.len();
        self.greatest.clear();
        let mut all = f32::NEG_INFINITY;
        for part in self.scores.chunks(self.part) {
            let here = greatest(isa, part);
            self.greatest.push(here);
            all = all.max(here);
        }
        let (greatests, exp) = (ops.splat(all), Exp::new(isa));
        let mut sums = ops.zero();
        let mut rest = 0.0;
        for (part, &here) in self.scores.chunks(self.part).zip(&*self.greatest) {
            if here < all - NOTHING {
                continue;
            }
            let mut vectors = part.chunks_exact(width);
            for vector in &mut vectors {
                let value = ops.sub(ops.load(vector), greatests);
                sums = ops.add(sums, exp.of(isa, value));
            }
            for value in vectors.remainder() {
                rest += (value - all).exp();
            }
        }
        all + (add_up(isa, sums) + rest).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::numbers;

    struct All<'a>(&'a [f32]);

    impl SimdOp for All<'_> {
        type Output = [f32; 5];

        #[inline(always)]
        fn eval<I: Isa>(self, isa: I) -> [f32; 5] {
            let (low, high) = range(isa, self.0);
            [
                sum(isa, self.0),
                squares(isa, self.0, 0.25),
                low,
                high,
                greatest(isa, self.0),
            ]
        }
    }

    struct Weigh<'a> {
        scores: &'a mut [f32],
        scales: &'a [f32],
        weights: &'a mut [i16],
    }

    impl SimdOp for Weigh<'_> {
        type Output = f32;

        #[inline(always)]
        fn eval<I: Isa>(self, isa: I) -> f32 {
            let most = greatest(isa, self.scores);
            weigh(isa, self.scores, most, self.scales, 1_000.0, self.weights)
        }
    }

    #[test]
    fn are_the_plain_formulas() {
        for (count, shift) in [(1, 0.0), (7, 2.0), (64, -3.0), (333, 0.0)] {
            let values: Vec<f32> = numbers(1, count).iter().map(|x| 9.0 * x + shift).collect();
            let results = All(&values).dispatch();
            let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let lowest = values.iter().copied().fold(f32::INFINITY, f32::min);
            let expected = [
                values.iter().sum::<f32>(),
                values.iter().map(|x| (x - 0.25).powi(2)).sum(),
                lowest.min(0.0),
                highest.max(0.0),
                highest,
            ];
            for (found, expected) in results.iter().zip(expected) {
                let allowed = 1e-5 * (1.0 + expected.abs()) * (count as f32).sqrt();
                assert!((found - expected).abs() < allowed, "{count}: {results:?}");
            }
        }
    }

    #[test]
    fn weights_are_exponentials_times_scales() {
        let mut scores: Vec<f32> = numbers(1, 192).iter().map(|x| 9.0 * x).collect();
        // What is impossible counts for nothing.
        scores[100..128].fill(f32::NEG_INFINITY);
        let scales: Vec<f32> = numbers(2, 200).iter().map(|x| x.abs()).collect();
        let mut weights = vec![7; 192];
        let most = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let expected: Vec<f32> = scores.iter().map(|x| (x - most).exp()).collect();
        let sum = Weigh { scores: &mut scores, scales: &scales, weights: &mut weights }.dispatch();
        assert!((sum - expected.iter().sum::<f32>()).abs() < 1e-4, "{sum}");
        for (place, expected) in expected.into_iter().enumerate() {
            assert!((scores[place] - expected).abs() < 1e-6);
            assert!((f32::from(weights[place]) - 1_000.0 * expected * scales[place]).abs() <= 0.501);
        }
        assert!(weights[100..128].iter().all(|weight| *weight == 0));
    }

    #[test]
    fn a_log_sum_leaves_out_what_does_not_count() {
        let mut scores: Vec<f32> = numbers(1, 5000).iter().map(|x| 5.0 * x).collect();
        scores[4321] = 30.0;
        scores[77] = 29.0;
        let mut greatest = vec![1.0];
        let found = LogSum {
            scores: &scores,
            part: 512,
            greatest: &mut greatest,
        }
        .dispatch();
        let sum: f64 = scores.iter().map(|x| f64::from(x - 30.0).exp()).sum();
        assert!((f64::from(found) - 30.0 - sum.ln()).abs() < 1e-4, "{found}");
        assert_eq!(greatest.len(), 10);
        assert_eq!((greatest[0], greatest[8]), (29.0, 30.0));
    }
}
