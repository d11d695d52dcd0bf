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
    course: &'a Course<'a>,
    /// The held values of each batch of crops, and where they are.
    values: Vec<Option<Tensor>>,
    at: Option<Pick>,
}

impl<'a> Walk<'a> {
    pub(in super::super) fn new(model: &'a Model, course: &'a Course<'a>) -> Self {
        Self {
            model,
            course,
            values: course.starts().map(|_| None).collect(),
            at: None,
        }
    }

    pub(super) fn model(&self) -> &'a Model {
        self.model
    }

    pub(super) fn sampling(&self) -> Sampling {
        self.course.sampling
    }

    /// Gives the function a value for each batch, with the number of the batch's
    /// first crop. No layer before the value may change afterwards.
    pub(super) fn each(
        &mut self,
        pick: Pick,
        mut run: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let count = self.values.len();
        let graph = self.model.graph();
        let leads_there = |at: &Pick| graph.followers(at.id).contains(&pick.id);
        let at = self.at.filter(|at| *at == pick || leads_there(at));
        let mut is_held = true;
        for (start, held) in self.course.starts().zip(&mut self.values) {
            let value = match (at, held.take()) {
                (Some(at), Some(value)) if at == pick => value,
                (at, held) => {
                    let x = self.course.batch(start)?.to_device(self.model.device())?;
                    let given = at.zip(held.as_ref());
                    self.model.run_from(&x, given, &[pick])?.remove(0)
                }
            };
            run(start, &value)?;
            let bytes = value.elem_count() * value.dtype().size_in_bytes();
            is_held &= bytes.saturating_mul(count) <= ROOM;
            *held = is_held.then_some(value);
        }
        self.at = is_held.then_some(pick);
        Ok(())
    }
}
