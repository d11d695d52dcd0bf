use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::graph::{Contract, Precision};
use crate::layer::Layer;
use crate::model::{Model, int8_steps};

use super::decompose::squares;

impl Model {
    /// Rounds the weights of all dense layers to a coarser grid of values. The
    /// model keeps computing in its own type; frozen layers of an f32 model
    /// hold f16 and bf16 weights as such, and a file holds all of them in as
    /// few bytes as the grid takes, for as long as nothing changes them.
    ///
    /// Contract: approximate. The operation's `error` tells how far all those
    /// weights together are off, as a share of their norm.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Precision, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).hidden(32).classes(10).untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?.quantize_dense(Precision::Int8)?;
    /// let error = model.graph().operations().last().unwrap().error.unwrap();
    /// assert!(error < 0.01);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a model of f16 or bf16, unless its own type
    /// is asked for: it can't hold the values; [`Error::IllegalEdit`] for
    /// weights that are not finite once they are rounded; [`Error::Candle`] if
    /// the device fails.
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
        self.redraft(&what, Contract::Approximate, |graph, draft| {
            let dense = graph.ids_where(|node| matches!(node.layer(), Layer::Dense(_)));
            let (mut off, mut all) = (0.0, 0.0);
            for id in dense {
                let weight = draft.value(graph, id, "weight")?;
                let rounded = rounded(&weight, precision)?;
                let lost = squares(&(&rounded - &weight)?)?;
                if !lost.is_finite() {
                    let reason = format!("its weights are not finite in {}", precision.name());
                    return Err(graph.illegal(id, &reason));
                }
                off += lost;
                all += squares(&weight)?;
                // What it is held in now must not round it a second time.
                draft.hold_in(graph, id, "weight", DType::F32)?;
                draft.set(graph, id, &[("weight", rounded)])?;
                graph.set_precision(id, "weight", precision);
                if let Some(dtype) = precision.dtype() {
                    draft.hold_in(graph, id, "weight", dtype)?;
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
