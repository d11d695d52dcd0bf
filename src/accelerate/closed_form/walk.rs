use candle_core::Tensor;

use crate::error::Result;
use crate::graph::Pick;
use crate::model::Model;

use super::calibrate::Course;
use super::samples::Sampling;

/// Bytes of the values that are held.
const ROOM: usize = 1 << 30;

/// The values inside a network for all crops of a course, while its layers are
/// fitted from the first to the last. What one layer takes is computed from what
/// the one before it took, as far as there is room to hold that.
pub(in super::super) struct Walk<'a> {
    model: &'a Model,
    sampling: Sampling,
    batches: Vec<Batch>,
    /// Where the held values are.
    at: Option<Pick>,
}

struct Batch {
    /// The number of the first crop.
    first: usize,
    x: Tensor,
    value: Option<Tensor>,
}

impl<'a> Walk<'a> {
    pub(in super::super) fn new(model: &'a Model, course: &Course<'_>) -> Result<Self> {
        let mut batches = Vec::new();
        course.each(|first, x| {
            batches.push(Batch {
                first,
                x: x.to_device(model.device())?,
                value: None,
            });
            Ok(())
        })?;
        Ok(Self {
            model,
            sampling: course.sampling,
            batches,
            at: None,
        })
    }

    pub(super) fn model(&self) -> &'a Model {
        self.model
    }

    pub(super) fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// Gives the function a value for each batch, with the number of the batch's
    /// first crop. No layer before the value may change afterwards.
    pub(super) fn each(
        &mut self,
        pick: Pick,
        mut run: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let count = self.batches.len();
        let graph = self.model.graph();
        let leads_there = |at: &Pick| graph.followers(at.id).contains(&pick.id);
        let at = self.at.filter(|at| *at == pick || leads_there(at));
        let mut is_held = true;
        for batch in &mut self.batches {
            let before = batch.value.take();
            let value = match (at, before) {
                (Some(at), Some(value)) if at == pick => value,
                (Some(at), Some(value)) => {
                    let given = Some((at, &value));
                    self.model.run_from(&batch.x, given, &[pick])?.remove(0)
                }
                _ => self.model.run_from(&batch.x, None, &[pick])?.remove(0),
            };
            run(batch.first, &value)?;
            let bytes = value.elem_count() * value.dtype().size_in_bytes();
            is_held &= bytes.saturating_mul(count) <= ROOM;
            batch.value = is_held.then_some(value);
        }
        self.at = is_held.then_some(pick);
        Ok(())
    }
}
