use candle_core::{Result, Tensor};

use crate::layers::Activation;

use super::order::{channels_first_view, channels_last_views};

/// Applies an activation; softmax over dimension 1.
pub(crate) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let pointwise = !matches!(activation, Activation::Linear | Activation::Softmax);
    if pointwise && let Some(last) = channels_last_views(std::slice::from_ref(x)) {
        return channels_first_view(&apply(&last[0], activation)?);
    }
    apply(x, activation)
}

fn apply(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Linear => Ok(x.clone()),
        Activation::Relu => relu(x),
        Activation::Softmax => candle_nn::ops::softmax(x, 1),
        Activation::Sigmoid => candle_nn::ops::sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => x.gelu_erf(),
    }
}

/// candle's own gives zeros the whole gradient and turns a NaN into 0; PyTorch
/// gives them none, and keeps it.
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
}
