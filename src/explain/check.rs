//! What the methods of this room can look at.

use candle_core::Tensor;

use crate::error::{ExplainError, Result};
use crate::graph::NodeRef;
use crate::model::Model;
use crate::shape::Shape;

/// The value of a layer that gives a feature map, `(N, C, H, W)`.
pub(super) fn map_of(model: &Model, layer: &impl NodeRef, x: &Tensor) -> Result<Tensor> {
    check_map(model, layer)?;
    model.forward_to(layer, x)
}

pub(super) fn check_map(model: &Model, layer: &impl NodeRef) -> Result<()> {
    let node = model.graph().node(layer)?;
    match node.shape() {
        Shape::Map { .. } => Ok(()),
        shape @ Shape::Vector { .. } => Err(ExplainError::NoMap {
            layer: node.name().to_string(),
            shape,
        }
        .into()),
    }
}

/// Refuses a batch of several images.
pub(super) fn check_one(what: &'static str, x: &Tensor) -> Result<()> {
    if x.dims().first() == Some(&1) {
        return Ok(());
    }
    Err(ExplainError::Input {
        what,
        expected: "one image (1, C, H, W)",
        actual: x.dims().to_vec(),
    }
    .into())
}
