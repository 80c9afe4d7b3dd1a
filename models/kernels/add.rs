//! The sum of two tensors, on the calling thread.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, bail};

use crate::kernels::values;

/// Takes two tensors of one shape, gives their sum.
pub(crate) struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        other: &CpuStorage,
        other_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        if layout.shape() != other_layout.shape() {
            bail!("add: tensors of one shape are needed")
        }
        let sum = values(storage, layout)?
            .iter()
            .zip(values(other, other_layout)?)
            .map(|(a, b)| a + b)
            .collect();
        Ok((CpuStorage::F32(sum), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::kernels::testing::numbers;

    #[test]
    fn is_the_sum_also_of_parts() {
        let a = Tensor::from_vec(numbers(1, 30), (5, 6), &Device::Cpu).unwrap();
        let b = Tensor::from_vec(numbers(2, 60), (10, 6), &Device::Cpu).unwrap();
        assert!(a.apply_op2_no_bwd(&b, &Add).is_err());
        let part = b.narrow(0, 3, 5).unwrap();
        let found = a.apply_op2_no_bwd(&part, &Add).unwrap();
        let expected = (a + part).unwrap();
        assert_eq!(
            found.to_vec2::<f32>().unwrap(),
            expected.to_vec2::<f32>().unwrap()
        );
    }
}
