use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::graph::{Contract, Precision};
use crate::layers::Layer;
use crate::model::{Model, int8_steps};

use super::decompose::squares;

impl Model {
    /// Rounds the weights of all dense layers to a coarser grid of values. The
    /// model still computes in its type. Frozen layers of an f32 model hold f16
    /// and bf16 weights in these types. A file stores all rounded weights in as
    /// few bytes as the grid takes, until something changes them.
    ///
    /// Contract: approximate. The operation's `error` is the norm of the change
    /// of all these weights together, as a fraction of their norm.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::graph::Precision;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).hidden(32).classes(10).untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?.quantize_dense(Precision::Int8)?;
    /// let error = model.graph().operations().last().unwrap().error.unwrap();
    /// assert!(error < 0.01);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model of f16 or bf16, which can't hold the
    /// values, unless `precision` is its type; [`Error::IllegalEdit`] for weights
    /// that are not finite after rounding; [`Error::Candle`] if the device fails.
    pub fn quantize_dense(&self, precision: Precision) -> Result<Self> {
        let held = self.dtype();
        if matches!(held, DType::F16 | DType::BF16) && precision.dtype() != Some(held) {
            return Err(Error::Unsupported {
                what: "quantize dense layers",
                reason: format!(
                    "parameters of {} can't hold the values of {}; load the model in F32 \
                     (LoadOptions::dtype)",
                    held.as_str(),
                    precision.name()
                ),
            });
        }
        let what = format!("quantize_dense({})", precision.name());
        self.redraft(&what, Contract::Approximate, |draft| {
            let (mut off, mut all) = (0.0, 0.0);
            for id in draft.ids_where(|node| matches!(node.layer(), Layer::Dense(_))) {
                let weight = draft.value(id, "weight")?;
                let rounded = rounded(&weight, precision)?;
                let lost = squares(&(&rounded - &weight)?)?;
                if !lost.is_finite() {
                    let reason = format!("its weights are not finite in {}", precision.name());
                    return Err(draft.illegal(id, &reason));
                }
                off += lost;
                all += squares(&weight)?;
                // What it is held in now must not round it a second time.
                draft.hold_in(id, "weight", DType::F32)?;
                draft.set(id, &[("weight", rounded)])?;
                draft.set_precision(id, "weight", precision);
                if let Some(dtype) = precision.dtype() {
                    draft.hold_in(id, "weight", dtype)?;
                }
            }
            draft.set_error((off / all.max(f64::MIN_POSITIVE)).sqrt());
            Ok(())
        })
    }
}

/// The nearest values of a precision to a weight's `(out, in)`, in its own type.
fn rounded(weight: &Tensor, precision: Precision) -> candle_core::Result<Tensor> {
    let through = |dtype| weight.to_dtype(dtype)?.to_dtype(weight.dtype());
    match precision {
        Precision::F16 => through(DType::F16),
        Precision::Bf16 => through(DType::BF16),
        Precision::Int8 => match int8_steps(weight)? {
            Some((steps, scale)) => steps.broadcast_mul(&scale)?.to_dtype(weight.dtype()),
            None => Ok(weight.clone()),
        },
    }
}
