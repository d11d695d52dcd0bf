use crate::error::Result;
use crate::graph::Graph;

use super::build::{BuildOptions, assemble};
use super::core::Model;

impl Model {
    /// Runs surgery on a built model and returns the edited model. The remaining
    /// layers keep their tensors; tensors of new layers are loaded or drawn.
    ///
    /// Frozen tensors are shared between the two models, others are copied.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block2_pool")?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
    /// let lighter = model.edit(|graph| graph.replace("block1_conv1"..="block1_conv2", conv))?;
    /// assert_eq!(lighter.graph().len(), model.graph().len() - 1);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the edits and of [`Graph::build`].
    pub fn edit(&self, surgery: impl FnOnce(Graph) -> Result<Graph>) -> Result<Self> {
        self.edit_with(&BuildOptions::new(), surgery)
    }

    /// As [`Model::edit`], with options for loading weights. The model keeps its
    /// type.
    ///
    /// # Errors
    /// As [`Model::edit`].
    pub fn edit_with(
        &self,
        options: &BuildOptions,
        surgery: impl FnOnce(Graph) -> Result<Graph>,
    ) -> Result<Self> {
        let graph = surgery(self.graph.clone())?;
        let options = options.clone().dtype(self.dtype);
        assemble(graph, &self.device, &options, &self.tensors)
    }
}
