//! A backward pass that does not copy the gradients of parameters.
//!
//! candle adds each gradient of a custom operator to zeros, in one thread. For
//! dense layers this takes longer than an optimizer's step. The crate's operators
//! therefore hand the gradients of parameters to this file, not to candle.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId};

thread_local! {
    /// The gradients of this thread's backward pass, if one is running.
    static GATHERED: RefCell<Option<HashMap<TensorId, Vec<Tensor>>>> = const { RefCell::new(None) };
}

/// The gradients that [`backward`] found.
#[derive(Debug)]
pub struct Gradients {
    store: GradStore,
    direct: HashMap<TensorId, Vec<Tensor>>,
}

impl Gradients {
    /// Takes the gradient of a tensor, if the loss depends on it.
    ///
    /// # Errors
    /// candle's error if the gradients of a tensor with several uses can't be
    /// added.
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

/// The gradients of a scalar, as candle's `backward` computes them. The gradients
/// of a model's parameters are not copied: for large dense layers the copy takes
/// longer than an optimizer's step. [`Trainer`](crate::Trainer) uses this function,
/// and so can a custom training loop.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vgg_surgery::model::backward;
/// use vgg_surgery::Vgg16;
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
/// candle's error if the tensor is not one value or an operation fails.
pub fn backward(loss: &Tensor) -> Result<Gradients> {
    if loss.elem_count() != 1 {
        candle_core::bail!(
            "the loss has shape {:?}, but a gradient needs one value; reduce it, for example with \
             mean_all()",
            loss.dims()
        );
    }
    let gathering = Gathering(GATHERED.replace(Some(HashMap::new())));
    let store = loss.backward()?;
    let direct = GATHERED.take().unwrap_or_default();
    drop(gathering);
    Ok(Gradients { store, direct })
}

/// Restores what the thread gathered before, even if an operation panics: else
/// candle's own `backward` would find no gradients on this thread.
struct Gathering(Option<HashMap<TensorId, Vec<Tensor>>>);

impl Drop for Gathering {
    fn drop(&mut self) {
        GATHERED.set(self.0.take());
    }
}

/// Keeps the gradient of a variable if [`backward`] is running on this thread. All
/// other gradients are returned for candle.
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
