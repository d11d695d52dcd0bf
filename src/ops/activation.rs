use candle_core::{Result, Tensor};

use crate::layers::Activation;

use super::memory::in_memory_order;

/// Applies an activation; softmax over dimension 1.
pub(crate) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let pointwise = match activation {
        Activation::Linear => return Ok(x.clone()),
        Activation::Softmax => return candle_nn::ops::softmax(x, 1),
        Activation::Relu => relu,
        Activation::Sigmoid => candle_nn::ops::sigmoid,
        Activation::Tanh => Tensor::tanh,
        Activation::Gelu => Tensor::gelu_erf,
    };
    in_memory_order(std::slice::from_ref(x), |x, _| pointwise(&x[0]))
}

/// At 0, PyTorch's ReLU has no gradient, and it keeps NaN. candle's passes the
/// whole gradient at 0, and turns NaN into 0.
pub(super) fn relu(x: &Tensor) -> Result<Tensor> {
    let zeros = x.zeros_like()?;
    x.le(0.0)?.where_cond(&zeros, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn relu_keeps_a_nan() -> Result<()> {
        let x = Tensor::new(&[f32::NAN, -1.0, 1.0], &Device::Cpu)?;
        let y = activate(&x, Activation::Relu)?.to_vec1::<f32>()?;
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [0.0, 1.0]);
        Ok(())
    }

    #[test]
    fn relu_gives_zeros_no_gradient() -> Result<()> {
        let x = Var::new(&[-1.0f32, 0.0, 2.0], &Device::Cpu)?;
        let y = activate(&x, Activation::Relu)?;
        assert_eq!(y.to_vec1::<f32>()?, [0.0, 0.0, 2.0]);
        let gradients = y.sum_all()?.backward()?;
        let gradient = gradients.get(&x).expect("x is a variable");
        assert_eq!(gradient.to_vec1::<f32>()?, [0.0, 0.0, 1.0]);
        Ok(())
    }

    /// `s (1 - s)`, at +-100 below the least f32: 0 and never NaN.
    #[test]
    fn the_sigmoid_and_its_gradient_do_not_overflow() -> Result<()> {
        let x = Var::new(&[-1e4f32, -100.0, -2.0, 0.0, 2.0, 100.0, 1e4], &Device::Cpu)?;
        let y = activate(&x, Activation::Sigmoid)?;
        let gradients = y.sum_all()?.backward()?;
        let gradient = gradients
            .get(&x)
            .expect("x is a variable")
            .to_vec1::<f32>()?;
        let (x, y) = (x.to_vec1::<f32>()?, y.to_vec1::<f32>()?);
        for ((x, y), gradient) in x.into_iter().zip(y).zip(gradient) {
            let expected = 1.0 / (1.0 + f64::from(-x).exp());
            assert!((f64::from(y) - expected).abs() < 1e-7, "{x}: {y}");
            let slope = expected * (1.0 - expected);
            assert!(
                (f64::from(gradient) - slope).abs() < 1e-7,
                "{x}: {gradient}"
            );
        }
        Ok(())
    }
}
