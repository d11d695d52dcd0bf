use crate::error::{ImageError, Result};
use crate::graph::NodeId;
use crate::ops::wide_type;
use crate::preprocess::Size;
use crate::shape::Shape;

use super::core::Model;

impl Model {
    /// Refuses an image whose values in the network would take more than `limit`
    /// bytes, before anything is computed. These are the outputs of all layers for
    /// one image of this height and width, as a gradient keeps them; a forward pass
    /// of frozen layers takes less. A size that the network can't take for another
    /// reason is reported by [`forward`](Self::forward).
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// model.check_memory(256, 256, 1_000_000_000)?;
    /// let error = model.check_memory(256, 256_000, 1_000_000_000).unwrap_err();
    /// assert!(error.to_string().contains("(3, 256, 256000)"));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ImageError::NetworkMemory`] with the bytes needed.
    pub fn check_memory(&self, height: usize, width: usize, limit: u64) -> Result<()> {
        self.check_memory_of(self.graph.outputs(), Size { width, height }, limit)
    }

    /// As [`check_memory`](Self::check_memory), of the layers up to `nodes`.
    pub(crate) fn check_memory_of(&self, nodes: &[NodeId], image: Size, limit: u64) -> Result<()> {
        let Size { width, height } = image;
        let input = Shape::map(self.graph.input_shape().channels(), height, width);
        // Running the network reports what else is wrong with the size.
        let Ok(shapes) = self.graph.shapes_of(input, nodes) else {
            return Ok(());
        };
        self.check_values(limit, shapes.all_values().unwrap_or(0), (1, input))
    }

    /// Refuses a batch of inputs for each of which so many values need more bytes than
    /// the limit.
    pub(super) fn check_values(
        &self,
        limit: u64,
        each: u64,
        (batch, input): (usize, Shape),
    ) -> Result<()> {
        let size = wide_type(self.dtype).size_in_bytes() as u64;
        let needed = each.saturating_mul(batch as u64).saturating_mul(size);
        if needed <= limit {
            return Ok(());
        }
        Err(ImageError::NetworkMemory {
            batch,
            input,
            needed,
            limit,
        }
        .into())
    }
}
