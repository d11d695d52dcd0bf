use std::sync::Arc;

use candle_core::Tensor;

use crate::error::{ExplainError, Result};
use crate::explain::check::{check_any_layer, check_map};
use crate::model::Model;

/// Layers of a model at which images are compared.
#[derive(Clone, Debug)]
pub(super) struct Layers {
    pub(super) model: Arc<Model>,
    pub(super) names: Vec<String>,
}

impl Layers {
    pub(super) fn new<S: Into<String>>(
        model: impl Into<Arc<Model>>,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let model = model.into();
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        check_any_layer("layers", &names)?;
        for name in &names {
            check_map(&model, name)?;
        }
        Ok(Self { model, names })
    }

    pub(super) fn values(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(self.model.taps(&self.names, x)?.into_vec())
    }
}

/// The sum of a part of each layer, of which there is at least one.
pub(super) fn sum(parts: impl IntoIterator<Item = Result<Tensor>>) -> Result<Tensor> {
    let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&parts, 0)?.sum(0)?)
}

pub(super) fn mismatch(what: &'static str, expected: &'static str, x: &Tensor) -> crate::Error {
    let actual = x.dims().to_vec();
    ExplainError::Input {
        what,
        expected,
        actual,
    }
    .into()
}
