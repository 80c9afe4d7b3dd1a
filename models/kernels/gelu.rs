//! GELU, `x · Φ(x)`, by a polynomial.
//!
//! The exact one takes an exponential and a division for each value, a tenth of the encoder's time. This one
//! is within 0.0001 of it, where what follows is rounded to a hundredth of the greatest value.

use rten_simd::Isa;
use rten_simd::ops::{BitOps, NumOps};

/// Beyond this, on both sides, Φ is 0 or 1.
const END: f32 = 4.2;
/// `Φ(x) - 1/2 = x · P(x²)` with these, the lowest power first: fitted for the least greatest error of GELU, and so
/// that it is 1/2 at [`END`].
const COEFFICIENTS: [f32; 8] = [
    0.398_466_15,
    -0.065_528_73,
    0.009_298_534_5,
    -0.000_950_738_47,
    6.690_194_5e-5,
    -3.038_777_2e-6,
    7.944_594e-8,
    -9.022_555e-10,
];

/// Its constants in vectors.
pub(super) struct Gelu<I: Isa> {
    coefficients: [I::F32; 8],
    end: I::F32,
    negative_end: I::F32,
    half: I::F32,
}

impl<I: Isa> Gelu<I> {
    #[inline(always)]
    pub(super) fn new(isa: I) -> Self {
        let ops = isa.f32();
        let mut coefficients = [ops.zero(); 8];
        for (vector, value) in coefficients.iter_mut().zip(COEFFICIENTS) {
            *vector = ops.splat(value);
        }
        Self {
            coefficients,
            end: ops.splat(END),
            negative_end: ops.splat(-END),
            half: ops.splat(0.5),
        }
    }

    #[inline(always)]
    pub(super) fn of(&self, isa: I, x: I::F32) -> I::F32 {
        let ops = isa.f32();
        let within = ops.max(ops.min(x, self.end), self.negative_end);
        let square = ops.mul(within, within);
        let mut sum = self.coefficients[7];
        for index in (0..7).rev() {
            sum = ops.mul_add(sum, square, self.coefficients[index]);
        }
        ops.mul(x, ops.mul_add(within, sum, self.half))
    }

    pub(super) fn of_one(x: f32) -> f32 {
        let within = x.clamp(-END, END);
        let square = within * within;
        let sum = COEFFICIENTS
            .iter()
            .rev()
            .fold(0.0, |sum, value| sum * square + value);
        x * (within * sum + 0.5)
    }
}

#[cfg(test)]
mod tests {
    use rten_simd::SimdOp;
    use rten_simd::SimdUnaryOp;
    use rten_vecmath::Gelu as Exact;

    use super::*;

    struct Both<'a>(&'a mut [f32]);

    impl SimdOp for Both<'_> {
        type Output = ();

        #[inline(always)]
        fn eval<I: Isa>(self, isa: I) {
            let ops = isa.f32();
            let gelu = Gelu::new(isa);
            for part in self.0.chunks_exact_mut(ops.len()) {
                let (x, one) = (part[0], Gelu::<I>::of_one(part[0]));
                ops.store(gelu.of(isa, ops.load(part)), part);
                // One rounds after each step, the other may fuse two.
                assert!((one - part[0]).abs() <= 1e-5 * x.abs().max(1.0), "{x}: {one} and {}", part[0]);
            }
        }
    }

    #[test]
    fn is_the_exact_one_to_a_ten_thousandth() {
        let values: Vec<f32> = (-1600..1600).map(|n| n as f32 / 160.0).collect();
        let mut found = values.clone();
        Both(&mut found).dispatch();
        for (x, found) in values.into_iter().zip(found) {
            let exact = Exact {}.scalar_eval(x);
            assert!((found - exact).abs() < 1e-4, "{x}: {found} for {exact}");
        }
        for x in [-1e3f32, 1e3] {
            let found = Gelu::<rten_simd::isa::GenericIsa>::of_one(x);
            assert!((found - x.max(0.0)).abs() < 1e-2, "{x}: {found}");
        }
    }
}
