use std::collections::HashMap;

use crate::error::{Error, Result};

use super::super::context::Claim;
use super::super::context::EditContext;
use super::super::core::Graph;
use super::super::ledger::Contract;
use super::super::node::{Node, NodeId, Part};
use super::super::select::{NodeRef, Pick, Select};

/// The layers that stay compute the same values.
const EXACT: Claim = Claim::Is(Contract::Exact);

/// Edits that leave a part of the graph.
impl Graph {
    /// Ends the network after this layer, and drops all layers that it does not
    /// need. `"name:pre"` ends before the layer's activation.
    ///
    /// ```
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::pretrained().truncate("block2_pool")?;
    /// assert_eq!(graph.nodes().last().unwrap().name(), "block2_pool");
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLayer`] or [`Error::AmbiguousName`].
    pub fn truncate(self, last: impl NodeRef) -> Result<Self> {
        let pick = last.pick(&self)?;
        let what = format!("truncate({})", last.in_words(&self));
        self.edit(what, EXACT, |graph| graph.end_at(&[pick]))
    }

    /// Makes these nodes the outputs, in this order, and drops all layers that
    /// they do not need.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::AmbiguousName`],
    /// [`Error::UnknownNode`], or [`Error::EmptySelection`] if there are none.
    pub fn with_outputs<R: NodeRef>(self, outputs: impl IntoIterator<Item = R>) -> Result<Self> {
        let mut picks = Vec::new();
        let mut words = Vec::new();
        for output in outputs {
            picks.push(output.pick(&self)?);
            words.push(output.in_words(&self));
        }
        if picks.is_empty() {
            return Err(Error::EmptySelection {
                selection: "with_outputs([])".to_string(),
                layers: self.len(),
            });
        }
        let what = format!("with_outputs([{}])", words.join(", "));
        self.edit(what, EXACT, |graph| graph.end_at(&picks))
    }

    /// Removes the classifier: all layers after the last pool, as Keras'
    /// `include_top=False`.
    ///
    /// # Errors
    /// [`Error::IllegalEdit`] if there is no classifier, or if it takes several
    /// inputs.
    pub fn without_top(self) -> Result<Self> {
        let top = self.nodes().filter(|node| node.is_top);
        let inputs: Vec<NodeId> = top.flat_map(|node| node.inputs.clone()).collect();
        let feeds_top = |node: &Node| !node.is_top && inputs.contains(&node.id);
        match *self.ids_where(feeds_top).as_slice() {
            [last] => self.edit("without_top()".to_string(), EXACT, |graph| {
                graph.end_at(&[Pick::whole(last)])
            }),
            _ => {
                let reason = "there is no classifier on one layer to take off; use truncate(..)";
                Err(self.illegal(self.outputs[0], reason))
            }
        }
    }

    /// Keeps only a part of the network. A new input feeds its first layer.
    ///
    /// # Errors
    /// The errors of the selection; [`Error::IllegalEdit`] if more than one value
    /// goes into it or comes out.
    pub fn slice(self, layers: impl Select) -> Result<Self> {
        let selection = layers.select(&self)?;
        let what = format!("slice({})", selection.words);
        self.edit(what, EXACT, |graph| {
            let inner = graph.isolate_all(&selection)?;
            let (entry, exit) = graph.segment(&inner)?;
            graph.set_outputs(vec![exit]);
            if let Some(entry) = entry {
                graph.start_after(entry);
            }
            Ok(())
        })
    }

    /// Splits the network after this layer. The second part, applied to the
    /// output of the first, computes the same as the whole.
    ///
    /// ```
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::untrained(0);
    /// let (front, back) = graph.split_at("block3_pool")?;
    /// assert_eq!(front.output_shapes()[0], back.input_shape());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`]; [`Error::IllegalEdit`] if other connections
    /// bypass the layer, or if it is the last.
    pub fn split_at(&self, last: impl NodeRef) -> Result<(Self, Self)> {
        let pick = last.pick(self)?.as_value();
        let what = format!("split_at({})", last.in_words(self));
        let front = self
            .clone()
            .edit(what.clone(), EXACT, |graph| graph.end_at(&[pick]))?;
        let back = self.clone().edit(what, EXACT, |graph| {
            let cut_in_back = graph.isolate(pick)?;
            graph.check_nothing_bypasses(cut_in_back)?;
            graph.start_after(cut_in_back);
            Ok(())
        })?;
        Ok((front, back))
    }

    fn check_nothing_bypasses(&self, cut: NodeId) -> Result<()> {
        let before = self.ancestors(&[cut]);
        if self.outputs.iter().any(|output| before.contains(output)) {
            let reason = "an output lies before the cut, so no layer would be left after it";
            return Err(self.illegal(cut, reason));
        }
        for node in self.nodes().filter(|node| !before.contains(&node.id)) {
            let reaches_back = |input: &&NodeId| before.contains(*input) && **input != cut;
            if let Some(&input) = node.inputs.iter().find(reaches_back) {
                let (from, to) = (self.expect_node(input).name(), node.name());
                let reason =
                    format!("\"{from}\" feeds \"{to}\" past the cut; cut where one value passes");
                return Err(self.illegal(cut, &reason));
            }
        }
        Ok(())
    }
}

impl EditContext {
    fn end_at(&mut self, picks: &[Pick]) -> Result<()> {
        let mut activations: HashMap<NodeId, NodeId> = HashMap::new();
        for pick in picks {
            let node = self.find(pick.id).ok_or(Error::UnknownNode)?;
            if pick.means_pre(node) {
                activations.insert(pick.id, self.split_activation(pick.id));
            }
        }
        let outputs = picks.iter().map(|pick| match pick.part {
            Part::Pre => pick.id,
            _ => activations.get(&pick.id).copied().unwrap_or(pick.id),
        });
        self.set_outputs(outputs.collect());
        Ok(())
    }
}
