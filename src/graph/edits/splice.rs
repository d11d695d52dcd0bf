use std::collections::HashSet;

use crate::error::{Error, Result};
use crate::layers::Sequential;

use super::super::context::Claim;
use super::super::core::Graph;
use super::super::ledger::Operations;
use super::super::node::{Node, NodeId};
use super::super::select::{NodeRef, Select};

/// Edits that put layers in and take layers out.
impl Graph {
    /// Puts one or several layers in the place of a layer or a stretch of
    /// them. A single unnamed layer in the place of a single one takes over its
    /// name.
    ///
    /// ```
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let conv = Conv2d::new(64, 5).same().relu().named("new_conv");
    /// let graph = Vgg16::pretrained().replace("block1_conv1"..="block1_conv2", conv)?;
    /// assert_eq!(graph.nodes().nth(1).unwrap().name(), "new_conv");
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the selection; [`Error::IllegalEdit`] if more than one value
    /// goes in or comes out of it, or no layer is given;
    /// [`Error::DuplicateName`], [`Error::InvalidName`]; and
    /// [`Error::ShapeMismatch`] if the layers that follow can't take the new
    /// shape.
    pub fn replace(self, layers: impl Select, by: impl Into<Sequential>) -> Result<Self> {
        let selection = layers.select(&self)?;
        let mut by = by.into().into_layers();
        let what = format!("replace({})", selection.words);
        self.edit(what, Claim::Inferred, |graph| {
            let inner = graph.isolate_all(&selection)?;
            let (entry, exit) = graph.segment(&inner)?;
            let Some(entry) = entry else {
                return Err(graph.illegal(exit, INPUT_STAYS));
            };
            if by.is_empty() {
                return Err(graph.illegal(exit, "no layer was given; use remove(..)"));
            }
            let old = graph.expect_node(exit);
            let is_top = old.is_top;
            let mut taken_over = Vec::new();
            if inner.len() == 1 && by.len() == 1 && by[0].name.is_none() {
                by[0].name = Some(old.name.clone());
                taken_over.clone_from(&old.aliases);
            }
            graph.take_out(&inner);
            let last = graph.chain(entry, by)?;
            graph.change_aliases(last, |aliases| *aliases = taken_over);
            let new = graph.path_to(last).map(Node::id);
            let new: Vec<NodeId> = new.take_while(|&id| id != entry).collect();
            new.into_iter().for_each(|id| graph.set_top(id, is_top));
            graph.redirect(exit, last);
            Ok(())
        })
    }

    /// Puts layers before a layer, on its only input.
    ///
    /// # Errors
    /// The errors of [`Graph::node`] and [`Graph::replace`]; [`Error::IllegalEdit`] if
    /// the layer has no input or several.
    pub fn insert_before(self, layer: impl NodeRef, new: impl Into<Sequential>) -> Result<Self> {
        let pick = layer.pick(&self)?;
        let what = format!("insert_before({})", layer.in_words(&self));
        let new = new.into().into_layers();
        self.edit(what, Claim::Inferred, |graph| {
            let id = graph.isolate(pick)?;
            let &[source] = graph.expect_node(id).inputs.as_slice() else {
                return Err(graph.illegal(
                    id,
                    "it does not have exactly one input; use insert_after on one of its inputs",
                ));
            };
            let last = graph.chain(source, new)?;
            graph.set_inputs(id, vec![last]);
            Ok(())
        })
    }

    /// Puts layers after a layer, before all that takes its value.
    /// `"name:pre"` puts them before the layer's activation.
    ///
    /// # Errors
    /// The errors of [`Graph::node`] and [`Graph::replace`].
    pub fn insert_after(self, layer: impl NodeRef, new: impl Into<Sequential>) -> Result<Self> {
        let pick = layer.pick(&self)?.as_value();
        let what = format!("insert_after({})", layer.in_words(&self));
        let new = new.into().into_layers();
        self.edit(what, Claim::Inferred, |graph| {
            let id = graph.isolate(pick)?;
            let users = graph.users(id);
            let last = graph.chain(id, new)?;
            graph.redirect_users(&users, id, last);
            Ok(())
        })
    }

    /// Takes layers out; what took their values takes their inputs' instead.
    ///
    /// # Errors
    /// The errors of the selection; [`Error::IllegalEdit`] for the input and for
    /// layers with several inputs; [`Error::ShapeMismatch`] if the layers that
    /// follow can't take the new shape.
    pub fn remove(self, layers: impl Select) -> Result<Self> {
        let selection = layers.select(&self)?;
        let what = format!("remove({})", selection.words);
        self.edit(what, Claim::Inferred, |graph| {
            for id in graph.isolate_all(&selection)? {
                let node = graph.expect_node(id);
                match *node.inputs.as_slice() {
                    [source] => graph.redirect(id, source),
                    [] => return Err(graph.illegal(id, INPUT_STAYS)),
                    _ => {
                        return Err(graph.illegal(
                            id,
                            "it merges several inputs; use replace, or with_outputs",
                        ));
                    }
                }
            }
            Ok(())
        })
    }

    /// Puts a head, or any chain of layers, on the only output.
    ///
    /// ```
    /// use vgg_surgery::graph::Shape;
    /// use vgg_surgery::{Dense, Head, Vgg16};
    ///
    /// let graph = Vgg16::pretrained()
    ///     .truncate("block2_pool")?
    ///     .freeze_all()
    ///     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(10).softmax()))?;
    /// assert_eq!(graph.output_shapes(), [Shape::vector(10)]);
    /// assert_eq!(graph.trainable_count(), 1_290);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::IllegalEdit`] if there are several outputs;
    /// [`Error::DuplicateName`], [`Error::InvalidName`]; and the shape errors
    /// of the new layers, [`Error::UnknownSize`] among them.
    pub fn attach(self, head: impl Into<Sequential>) -> Result<Self> {
        let output = self.only_output("attach")?;
        let head = head.into().into_layers();
        self.edit("attach(..)".to_string(), Claim::Inferred, |graph| {
            let last = graph.chain(output, head)?;
            graph.set_outputs(vec![last]);
            Ok(())
        })
    }

    /// Puts a head, or any chain of layers, on a layer. Its end is a new output
    /// after those that there are.
    ///
    /// ```
    /// use vgg_surgery::{Dense, Head, Vgg16};
    ///
    /// let head = |name| Head::new().global_avg_pool2d(format!("{name}_pool")).dense(name, Dense::new(2));
    /// let graph = Vgg16::pretrained()
    ///     .truncate("block4_pool")?
    ///     .attach(head("color"))?
    ///     .attach_to("block2_pool", head("texture"))?;
    /// assert_eq!(graph.output_names(), ["color", "texture"]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::AmbiguousName`], [`Error::UnknownNode`];
    /// [`Error::IllegalEdit`] for a name that means the value before an
    /// activation; the errors of the new layers as in [`Graph::attach`].
    pub fn attach_to(self, layer: impl NodeRef, head: impl Into<Sequential>) -> Result<Self> {
        let node = self.whole(&layer)?;
        let words = layer.in_words(&self);
        let head = head.into().into_layers();
        self.edit(
            format!("attach_to({words}, ..)"),
            Claim::Inferred,
            |graph| {
                let last = graph.chain(node, head)?;
                let outputs = graph.outputs().iter().copied().chain([last]);
                graph.set_outputs(outputs.collect());
                Ok(())
            },
        )
    }

    /// Feeds the only output into another graph's input.
    ///
    /// # Errors
    /// [`Error::IllegalEdit`] if there are several outputs;
    /// [`Error::ShapeMismatch`] if the other graph can't take the shape;
    /// [`Error::DuplicateName`] if both have a layer of one name
    /// ([`Graph::prefix`] helps).
    pub fn append(self, other: Graph) -> Result<Self> {
        let output = self.only_output("append")?;
        let what = format!("append(\"{}\")", other.name);
        let other = other.with_fresh_ids_where(|id| self.find(id).is_some());
        self.edit(what, Claim::Inferred, |graph| {
            let fed = graph.expect_node(output);
            if !other.input_shape().accepts(&fed.shape) {
                return Err(Error::ShapeMismatch {
                    layer: other.nodes[0].name.clone(),
                    expected: other.input_shape().to_string(),
                    actual: fed.shape,
                });
            }
            graph.set_labels(other.labels.clone());
            let outputs = graph.graft(other, output, Operations::push)?;
            graph.set_outputs(outputs);
            Ok(())
        })
    }

    fn only_output(&self, verb: &str) -> Result<NodeId> {
        match *self.outputs.as_slice() {
            [output] => Ok(output),
            _ => Err(self.illegal(
                self.outputs[0],
                &format!(
                    "{verb} needs one output, but there are {}; choose one with truncate, or use \
                     add",
                    self.outputs.len()
                ),
            )),
        }
    }

    /// What goes into and comes out of a stretch of nodes: the node that feeds
    /// it (none if it holds the input) and its last node.
    pub(crate) fn segment(&self, inner: &[NodeId]) -> Result<(Option<NodeId>, NodeId)> {
        let inside: HashSet<NodeId> = inner.iter().copied().collect();
        let first = inner[0];
        let mut entries: Vec<NodeId> = inner
            .iter()
            .flat_map(|&id| &self.expect_node(id).inputs)
            .copied()
            .filter(|input| !inside.contains(input))
            .collect();
        entries.sort_unstable();
        entries.dedup();
        let leaves = |&id: &NodeId| {
            self.outputs.contains(&id) || self.users(id).iter().any(|user| !inside.contains(user))
        };
        let exits: Vec<NodeId> = inner.iter().copied().filter(leaves).collect();
        let holds_input = inner
            .iter()
            .any(|&id| self.expect_node(id).inputs.is_empty());
        match (entries.as_slice(), exits.as_slice()) {
            (&[entry], &[exit]) if !holds_input => Ok((Some(entry), exit)),
            ([], &[exit]) => Ok((None, exit)),
            (entries, [_]) => Err(self.illegal(
                first,
                &format!(
                    "the stretch that begins here takes {} values; choose layers with one",
                    entries.len() + usize::from(holds_input)
                ),
            )),
            (_, exits) => Err(self.illegal(
                first,
                &format!(
                    "{} layers of the stretch that begins here are used outside it; choose layers \
                     that follow each other",
                    exits.len()
                ),
            )),
        }
    }
}

const INPUT_STAYS: &str = "the input stays; set its shape with input(..)";
