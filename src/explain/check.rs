//! Checks that the methods of this room share.

use candle_core::Tensor;

use crate::error::{ExplainError, Result, require};
use crate::graph::NodeRef;
use crate::model::Model;
use crate::shape::Shape;

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

pub(super) fn check_any_layer(name: &str, layers: &[String]) -> Result<()> {
    require(
        !layers.is_empty(),
        format_args!("{name} []"),
        "must name at least one layer",
    )
}

/// Bytes that may be taken by default.
pub(super) const MEMORY_LIMIT: u64 = 8_000_000_000;

pub(super) fn check_positive(name: &str, value: f64) -> Result<()> {
    let is_legal = value.is_finite() && value > 0.0;
    require(is_legal, format_args!("{name} {value}"), "must be above 0")
}

pub(super) fn check_not_negative(name: &str, value: f64) -> Result<()> {
    let is_legal = value.is_finite() && value >= 0.0;
    require(
        is_legal,
        format_args!("{name} {value}"),
        "must be at least 0",
    )
}
