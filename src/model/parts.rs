use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::graph::{Contract, Graph, NodeId, NodeRef};
use crate::layer::Layer;
use crate::preprocess::Labels;

use super::core::Model;

/// For the trainer and for looks inside.
impl Model {
    /// The model in two parts, the second of which is fed with what the first
    /// gives. They share this model's tensors, variables and count of masks.
    pub(crate) fn parts_at(&self, last: impl NodeRef) -> Result<(Self, Self)> {
        let (front, back) = self.graph.split_at(last)?;
        Ok((self.with_graph(front), self.with_graph(back)))
    }

    /// A model of another graph of which every parameter is one of this
    /// model's. It shares the tensors, variables and count of masks.
    pub(crate) fn with_graph(&self, graph: Graph) -> Self {
        Self {
            graph,
            tensors: self.tensors.clone(),
            device: self.device.clone(),
            dtype: self.dtype,
            masks_drawn: self.masks_drawn.clone(),
            workspace: self.workspace.clone(),
            programs: Default::default(),
        }
    }

    /// The model as training runs it when only some layers learn: nothing is
    /// dropped, and batch norms use their running statistics. It shares this
    /// model's tensors, so that what those layers learn is this model's.
    pub(crate) fn learning_only(&self, layers: &[NodeId]) -> Result<Self> {
        let graph = self.graph.clone().rewrite(|graph| {
            for id in graph.ids() {
                graph.set_frozen(id, !layers.contains(&id));
                graph.change_layer(id, Layer::remove_randomness);
            }
            Ok(())
        })?;
        let mut learning = self.with_graph(self.graph.clone());
        learning.follow_flags(graph)?;
        Ok(learning)
    }

    /// Notes in the graph that some layers' values were learned again.
    pub(crate) fn note_learning(&mut self, what: String, layers: Vec<String>, contract: Contract) {
        self.graph.note_learning(what, layers, contract);
    }

    /// Names the classes, if there is one for each output.
    pub(crate) fn adopt_labels(&mut self, labels: &Labels) -> Result<()> {
        let outputs = self.graph.output_shapes();
        if outputs
            .first()
            .is_some_and(|shape| shape.channels() == labels.len())
        {
            self.graph = self.graph.clone().with_labels(labels.clone())?;
        }
        Ok(())
    }

    /// Number of dropout masks that training has drawn.
    pub(crate) fn masks_drawn(&self) -> u64 {
        self.masks_drawn.load(Ordering::Relaxed)
    }

    /// Goes on drawing dropout masks as after this many.
    pub(crate) fn set_masks_drawn(&self, count: u64) {
        self.masks_drawn.store(count, Ordering::Relaxed);
    }
}
