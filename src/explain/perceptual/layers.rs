use candle_core::Tensor;

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::check_map;
use crate::model::Model;

/// Layers of a model at which images are compared.
#[derive(Debug)]
pub(super) struct Layers<'a> {
    model: &'a Model,
    pub(super) names: Vec<String>,
}

impl<'a> Layers<'a> {
    pub(super) fn new<S: Into<String>>(
        model: &'a Model,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Err(no_layers());
        }
        for name in &names {
            check_map(model, name)?;
        }
        Ok(Self { model, names })
    }

    pub(super) fn values(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        Ok(self.model.taps(&self.names, x)?.into_vec())
    }

    pub(super) fn mean(
        &self,
        a: &Tensor,
        b: &Tensor,
        loss: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let (a, b) = (self.values(a)?, self.values(b)?);
        let mut total: Option<Tensor> = None;
        for (a, b) in a.iter().zip(&b) {
            let part = loss(a, b)?;
            total = Some(match total {
                None => part,
                Some(total) => (total + part)?,
            });
        }
        Ok((total.ok_or_else(no_layers)? / self.names.len() as f64)?)
    }
}

pub(super) fn no_layers() -> Error {
    Error::setting("layers []", "must name at least one layer")
}

pub(super) fn same_shape(what: &'static str, a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() == b.dims() {
        return Ok(());
    }
    Err(ExplainError::Input {
        what,
        expected: "two batches of one shape",
        actual: b.dims().to_vec(),
    }
    .into())
}
