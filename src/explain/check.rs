//! Checks that the methods of this room share.

use candle_core::Tensor;

use crate::error::{ExplainError, Result, require};
use crate::graph::{NodeId, NodeRef};
use crate::model::Model;
use crate::ops::wide_type;
use crate::preprocess::Size;
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

/// Refuses an image of this size if the outputs up to `nodes`, as a gradient
/// keeps them, would take more than `limit` bytes.
pub(super) fn check_memory(model: &Model, nodes: &[NodeId], image: Size, limit: u64) -> Result<()> {
    let Size { width, height } = image;
    let graph = model.graph();
    let input = Shape::map(graph.input_shape().channels(), height, width);
    // Running the network reports what else is wrong with the size.
    let Ok(shapes) = graph.shapes_of(input, nodes) else {
        return Ok(());
    };
    let size_of_value = wide_type(model.dtype()).size_in_bytes() as u64;
    let needed = (shapes.bytes() / 4).saturating_mul(size_of_value);
    if needed <= limit {
        return Ok(());
    }
    Err(ExplainError::Memory {
        width,
        height,
        needed,
        limit,
    }
    .into())
}

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
