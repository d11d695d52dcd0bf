//! Whether the values of a pass fit into memory, asked before any is computed.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Shapes};
use crate::memory::has_room;
use crate::model::core::Model;
use crate::ops::Workspace;
use crate::shape::Shape;

use super::cache::Request;
use super::step::{Step, Work};

/// Refuses batches whose largest output, or largest input with the margins
/// around it, does not fit into memory.
pub(super) fn check_room(
    graph: &Graph,
    shapes: &Shapes<'_>,
    batch: usize,
    is_needed: impl Fn(NodeId) -> bool,
) -> Result<()> {
    for node in graph.nodes().filter(|node| is_needed(node.id())) {
        let output = shapes.of(node.id());
        let fits = |values: Option<usize>| {
            let values = values.and_then(|values| values.checked_mul(batch));
            values.is_some_and(has_room::<f32>)
        };
        let reason = if output.elements().is_some() && !fits(output.elements()) {
            format!(
                "its output {output} for a batch of {batch} does not fit into memory; run smaller \
                 batches"
            )
        } else if let Some(margins) = enlarged(node, shapes)
            && !margins.values().is_some_and(has_room::<f32>)
        {
            let Enlarged { height, width, .. } = margins;
            format!(
                "its input of {height}x{width} pixels, margins included, does not fit into memory; \
                 lower its padding or dilation"
            )
        } else {
            continue;
        };
        return Err(Error::InvalidLayer {
            layer: node.name().to_string(),
            reason,
        });
    }
    Ok(())
}

/// Refuses passes whose values need more bytes than the model's limit. Where gradients
/// are recorded, all values are kept.
pub(super) fn check_limit(
    model: &Model,
    request: &Request,
    shapes: &Shapes<'_>,
    is_recorded: bool,
) -> Result<()> {
    let Some(limit) = model.memory_limit else {
        return Ok(());
    };
    let wanted: Vec<NodeId> = request.picks.iter().map(|pick| pick.id).collect();
    let each = match is_recorded {
        true => shapes.all_values(),
        false => shapes.live_values(&wanted),
    };
    let inputs = (request.input.batch, request.input.shape());
    model.check_values(limit, each.unwrap_or(u64::MAX), inputs)
}

/// Refuses passes whose values for the backward pass do not fit into memory
/// together.
pub(super) fn check_recorded(steps: &[Step], workspace: &Workspace) -> Result<()> {
    let mut kept = 0_usize;
    for step in steps {
        let Work::Sequence(sequence) = &step.work else {
            continue;
        };
        kept = kept.saturating_add(sequence.recorded_values());
        if has_room::<f32>(kept) {
            continue;
        }
        // Buffers of earlier passes may be in the way.
        workspace.free_buffers();
        if !has_room::<f32>(kept) {
            let (layer, batch) = (step.layers.clone(), step.extent.batch);
            let reason = format!(
                "the {kept} values that its gradients need for a batch of {batch} do not fit into \
                 memory; run smaller batches or images, or freeze more layers"
            );
            return Err(Error::InvalidLayer { layer, reason });
        }
    }
    Ok(())
}

/// One image with the margins that a window reads.
struct Enlarged {
    channels: usize,
    height: usize,
    width: usize,
}

impl Enlarged {
    fn values(&self) -> Option<usize> {
        let pixels = self.height.checked_mul(self.width)?;
        pixels.checked_mul(self.channels)
    }
}

/// None if the window has no margins.
fn enlarged(node: &Node, shapes: &Shapes<'_>) -> Option<Enlarged> {
    let input: Shape = shapes.of(*node.inputs().first()?);
    let (height, width) = input.size()?;
    let margins = node.layer().rules().window().margins(height, width);
    let (rows, columns) = (
        margins.top.saturating_add(margins.bottom),
        margins.left.saturating_add(margins.right),
    );
    (rows > 0 || columns > 0).then(|| Enlarged {
        channels: input.channels(),
        height: height.saturating_add(rows),
        width: width.saturating_add(columns),
    })
}
