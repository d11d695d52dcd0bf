use std::collections::{HashMap, HashSet};

use crate::error::{Error, Result};

use super::super::context::Claim;
use super::super::context::EditContext;
use super::super::core::Graph;
use super::super::ledger::Contract;
use super::super::node::{NodeId, Part};
use super::super::select::{NodeRef, Pick, Select};

/// Their values are those of the whole, be it at a new input.
const EXACT: Claim = Claim::Is(Contract::Exact);

/// Edits that leave a part of the graph.
impl Graph {
    /// Ends the network after this layer, and drops all that is not needed for
    /// it. `"name:pre"` ends before the layer's activation.
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

    /// Gives these nodes' values as outputs, in this order, and drops all that
    /// is not needed for them.
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

    /// Takes the classifier off: all after the last pool, as Keras'
    /// `include_top=False`.
    ///
    /// # Errors
    /// [`Error::IllegalEdit`] if there is no classifier, or if it does not hang
    /// on one layer.
    pub fn without_top(self) -> Result<Self> {
        let feeding: HashSet<NodeId> = self
            .nodes()
            .filter(|node| node.is_top)
            .flat_map(|node| node.inputs.iter().copied())
            .filter(|&input| !self.expect_node(input).is_top)
            .collect();
        let mut feeding = feeding.into_iter();
        match (feeding.next(), feeding.next()) {
            (Some(last), None) => self.edit("without_top()".to_string(), EXACT, |graph| {
                graph.end_at(&[Pick::whole(last)])
            }),
            _ => Err(Error::IllegalEdit {
                layer: self.expect_node(self.outputs[0]).name.clone(),
                reason: "there is no classifier on one layer to take off; use truncate(..)"
                    .to_string(),
            }),
        }
    }

    /// Keeps a stretch of the network: a new input takes the place of what fed
    /// its first layer.
    ///
    /// # Errors
    /// Those of the selection, [`Error::IllegalEdit`] if more than one value
    /// goes in or comes out of it.
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

    /// Parts the network after this layer: the second part, fed with the
    /// output of the first, computes what the whole did.
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
    /// Those of the name, [`Error::IllegalEdit`] if other connections bypass
    /// the layer, or if it is the last.
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
        let illegal = |reason: String| Error::IllegalEdit {
            layer: self.expect_node(cut).name.clone(),
            reason,
        };
        if self.outputs.iter().any(|output| before.contains(output)) {
            return Err(illegal(
                "an output lies before the cut, so nothing would follow it".to_string(),
            ));
        }
        let bypassed = self.nodes().find_map(|node| {
            let reaches_back = |input: &&NodeId| before.contains(*input) && **input != cut;
            let outside = !before.contains(&node.id);
            let input = node.inputs.iter().find(reaches_back).filter(|_| outside)?;
            Some((&self.expect_node(*input).name, &node.name))
        });
        match bypassed {
            None => Ok(()),
            Some((from, to)) => Err(illegal(format!(
                "\"{from}\" feeds \"{to}\" past the cut; cut where one value passes"
            ))),
        }
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
