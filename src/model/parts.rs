use std::sync::atomic::Ordering;

use crate::error::Result;
use crate::graph::{Contract, Graph, NodeId, NodeRef};
use crate::layers::Layer;
use crate::preprocess::Labels;

use super::core::Model;

/// For training and explanations.
impl Model {
    /// The model in two parts; the second takes the output of the first. They
    /// share this model's tensors, variables and count of masks.
    pub(crate) fn parts_at(&self, last: impl NodeRef) -> Result<(Self, Self)> {
        let (front, back) = self.graph.split_at(last)?;
        Ok((self.with_graph(front), self.with_graph(back)))
    }

    /// A model of a graph that has only parameters of this model. It shares the
    /// tensors, variables and count of masks.
    pub(crate) fn with_graph(&self, graph: Graph) -> Self {
        Self {
            graph,
            tensors: self.tensors.clone(),
            device: self.device.clone(),
            dtype: self.dtype,
            memory_limit: self.memory_limit,
            masks_drawn: self.masks_drawn.clone(),
            workspace: self.workspace.clone(),
            programs: Default::default(),
        }
    }

    /// The model for training some layers only: dropout does nothing, and batch
    /// norms use their running statistics. It shares this model's tensors:
    /// training changes both models.
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

    pub(crate) fn note_learning(&mut self, what: String, layers: Vec<String>, contract: Contract) {
        self.graph.note_learning(what, layers, contract);
    }

    /// Sets the names of the classes that it is trained on, if they fit the output. A
    /// single value without an activation stands for two classes only if it
    /// `is_logit`, and then gets labels that say so.
    pub(crate) fn adopt_labels(&mut self, names: Option<&Labels>, is_logit: bool) -> Result<()> {
        let graph = &self.graph;
        let is_single = graph.is_single_linear();
        let fits = |names: &&Labels| {
            graph.takes_labels(names.len()) && (!is_single || is_logit || names.len() == 1)
        };
        let labels = match names.filter(fits) {
            Some(names) => names.clone(),
            None if is_single && is_logit && graph.labels().is_none() => {
                Labels::new(["class 0", "class 1"])
            }
            None => return Ok(()),
        };
        self.graph = graph.clone().with_labels(labels)?;
        Ok(())
    }

    pub(crate) fn masks_drawn(&self) -> u64 {
        self.masks_drawn.load(Ordering::Relaxed)
    }

    /// Continues as after this number of dropout masks.
    pub(crate) fn set_masks_drawn(&self, count: u64) {
        self.masks_drawn.store(count, Ordering::Relaxed);
    }
}
