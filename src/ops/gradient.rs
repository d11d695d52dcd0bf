//! A backward pass whose gradients of parameters are not copied.
//!
//! candle adds each gradient of a custom operator to a map of zeros, in one
//! thread; for dense layers that takes longer than the step of an optimizer.
//! Operators of ours therefore hand gradients of parameters over beside it.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId};

thread_local! {
    /// Where a backward pass of this thread gathers gradients.
    static GATHERED: RefCell<Option<HashMap<TensorId, Vec<Tensor>>>> = const { RefCell::new(None) };
}

/// The gradients that [`backward`] found.
pub struct Gradients {
    store: GradStore,
    direct: HashMap<TensorId, Vec<Tensor>>,
}

impl Gradients {
    /// Takes the gradient of a tensor, if the loss depends on it.
    ///
    /// # Errors
    /// candle's, if a tensor that is used several times can't be summed up.
    pub fn take(&mut self, tensor: &Tensor) -> Result<Option<Tensor>> {
        let direct = self.direct.remove(&tensor.id()).unwrap_or_default();
        let mut all = direct.into_iter().chain(self.store.remove(tensor));
        let Some(first) = all.next() else {
            return Ok(None);
        };
        all.try_fold(first, |sum, gradient| sum.add(&gradient))
            .map(Some)
    }
}

/// The gradients of a scalar, as candle's `backward` on it gives them, but
/// without a copy of the gradients of a model's parameters: for large dense layers the
/// copy takes longer than an optimizer's step. [`Trainer`](crate::Trainer) uses
/// it; so may your own loop.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vgg_surgery::{Vgg16, backward};
///
/// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block1_pool")?;
/// let model = graph.build(&Device::Cpu)?;
/// let x = Tensor::ones((1, 3, 8, 8), DType::F32, &Device::Cpu)?;
/// let loss = model.forward_training(&x)?.sqr()?.mean_all()?;
/// let mut gradients = backward(&loss)?;
/// for variable in model.trainable_variables() {
///     let gradient = gradients.take(&variable)?.expect("the loss depends on it");
///     assert_eq!(gradient.dims(), variable.dims());
/// }
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
///
/// # Errors
/// candle's, if the tensor is not one value or an operation fails.
pub fn backward(loss: &Tensor) -> Result<Gradients> {
    let before = GATHERED.replace(Some(HashMap::new()));
    let store = loss.backward();
    let direct = GATHERED.replace(before).unwrap_or_default();
    Ok(Gradients {
        store: store?,
        direct,
    })
}

/// Takes a variable's gradient if this thread gathers them, else gives it
/// back: of any other tensor candle needs it.
pub(super) fn hand_over(parameter: &Tensor, gradient: Tensor) -> Option<Tensor> {
    if !parameter.is_variable() {
        return Some(gradient);
    }
    GATHERED.with_borrow_mut(|gathered| match gathered {
        Some(gathered) => {
            gathered.entry(parameter.id()).or_default().push(gradient);
            None
        }
        None => Some(gradient),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Extent, Instruction, Parameters, Sequence, SequenceInput};
    use candle_core::{Device, Var};
    use std::sync::Arc;

    /// A weight that two sequences and one of candle's operators use.
    #[test]
    fn gradients_are_those_of_candles_backward_pass() -> Result<()> {
        let weight = Var::new(&[[1f32, 2.0], [3.0, -4.0]], &Device::Cpu)?;
        let x = Var::new(&[[0.5f32, 1.5], [2.5, -1.0]], &Device::Cpu)?;
        let loss = || -> Result<Tensor> {
            let dense = |x: &Tensor| -> Result<Tensor> {
                let parameters = Parameters {
                    weight: weight.as_tensor().clone(),
                    bias: None,
                    frozen: false,
                };
                let input = SequenceInput {
                    extent: Extent::of(x)?,
                    device: x.device(),
                    dtype: x.dtype(),
                    is_tracked: true,
                };
                let mut sequence = Sequence::new(&Arc::default(), input);
                sequence.push("dense", Instruction::dense(sequence.output(), parameters)?);
                sequence.push("relu", Instruction::relu());
                Arc::new(sequence).run(x)
            };
            let y = dense(&x)?;
            let z = dense(&(y * 2.0)?)?;
            z.sqr()?.sum_all()? + weight.sqr()?.sum_all()?
        };
        let expected = loss()?.backward()?;
        let mut actual = backward(&loss()?)?;
        for tensor in [&weight, &x] {
            let expected = expected.get(tensor).expect("the loss depends on it");
            let actual = actual.take(tensor)?.expect("the loss depends on it");
            assert_eq!(actual.to_vec2::<f32>()?, expected.to_vec2::<f32>()?);
        }
        assert!(actual.take(&weight)?.is_none());
        Ok(())
    }
}
