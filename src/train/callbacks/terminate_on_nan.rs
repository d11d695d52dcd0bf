use crate::error::Result;

use super::callback::{Callback, Flow};
use super::events::BatchEvent;

/// Stops training, without an error, when the loss is NaN or infinite.
#[derive(Clone, Copy, Debug, Default)]
pub struct TerminateOnNan;

impl Callback for TerminateOnNan {
    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<Flow> {
        Ok(if event.loss.is_finite() {
            Flow::Continue
        } else {
            Flow::Stop
        })
    }
}
