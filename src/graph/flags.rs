use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layer::{Input, Layer};
use crate::shape::Shape;

use super::core::{Graph, parameter_seed};
use super::node::{NodeId, Parameter};
use super::operations::{Claim, Contract};
use super::select::{NodeRef, Select};

/// Names, flags and the size of pictures don't matter to what layers compute.
const EXACT: Claim = Claim::Is(Contract::Exact);

/// Edits that leave the connections alone.
impl Graph {
    /// Sets the shape of the input: `(channels, height, width)`, a vector's
    /// length, or a [`Shape`].
    ///
    /// # Errors
    /// [`Error::InvalidLayer`] for sizes of 0, [`Error::InputTooSmall`] if a
    /// pool or convolution can't take the size, [`Error::ShapeMismatch`] if
    /// pretrained layers need another.
    pub fn input(self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        self.edit_claiming(format!("input({shape})"), EXACT, |graph| {
            for node in &mut graph.nodes {
                if matches!(node.layer, Layer::Input(_)) {
                    Arc::make_mut(node).layer = Input::new(shape).into();
                }
            }
            Ok(())
        })
    }

    /// Gives a layer another name, which may be what it is called in another
    /// dialect.
    ///
    /// # Errors
    /// Those of the name, [`Error::DuplicateName`] or [`Error::InvalidName`].
    pub fn rename(self, layer: impl NodeRef, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let id = layer.pick(&self)?.id;
        let what = format!("rename({}, \"{name}\")", layer.in_words(&self));
        self.edit(what, |graph| {
            if graph.expect_node(id).name != name {
                graph.check_name_for(Some(id), &name)?;
                graph.expect_node_mut(id).name = name;
            }
            Ok(())
        })
    }

    /// Puts a text before every layer's name but the input's, and before the
    /// names it goes by in other dialects.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn prefix(self, prefix: &str) -> Result<Self> {
        self.edit(format!("prefix(\"{prefix}\")"), |graph| {
            let old: Vec<Arc<_>> = graph.nodes.drain(..).collect();
            for mut node in old {
                if !matches!(node.layer, Layer::Input(_)) {
                    let node = Arc::make_mut(&mut node);
                    node.name.insert_str(0, prefix);
                    graph.check_new_name(&node.name)?;
                    for alias in &mut node.aliases {
                        alias.name.insert_str(0, prefix);
                    }
                }
                graph.nodes.push(node);
            }
            Ok(())
        })
    }

    /// Freezes layers: training leaves their parameters alone, and batch norms
    /// use their running statistics.
    ///
    /// # Errors
    /// Those of the selection.
    pub fn freeze(self, layers: impl Select) -> Result<Self> {
        self.set_frozen(layers, true)
    }

    /// Lets training change layers.
    ///
    /// # Errors
    /// Those of the selection.
    pub fn unfreeze(self, layers: impl Select) -> Result<Self> {
        self.set_frozen(layers, false)
    }

    fn set_frozen(mut self, layers: impl Select, frozen: bool) -> Result<Self> {
        let before = self.snapshot();
        let selection = layers.select(&self)?;
        for pick in selection.picks {
            self.expect_node_mut(pick.id).frozen = frozen;
        }
        let verb = if frozen { "freeze" } else { "unfreeze" };
        self.note_operation(&format!("{verb}({})", selection.words), &before, EXACT);
        Ok(self)
    }

    /// Freezes a layer and all that it depends on.
    ///
    /// # Errors
    /// Those of the name.
    pub fn freeze_through(mut self, last: impl NodeRef) -> Result<Self> {
        let before = self.snapshot();
        let what = format!("freeze_through({})", last.in_words(&self));
        for id in self.ancestors(&[last.pick(&self)?.id]) {
            self.expect_node_mut(id).frozen = true;
        }
        self.note_operation(&what, &before, EXACT);
        Ok(self)
    }

    /// Freezes all layers there are; those that are added later can be
    /// trained.
    pub fn freeze_all(mut self) -> Self {
        let before = self.snapshot();
        for node in &mut self.nodes {
            Arc::make_mut(node).frozen = true;
        }
        self.note_operation("freeze_all()", &before, EXACT);
        self
    }

    /// Forgets the pretrained or trained values of layers: their parameters
    /// are drawn anew, and may take another shape.
    ///
    /// ```
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let graph = Vgg16::pretrained()
    ///     .without_top()?
    ///     .reinitialize("block1_conv2")?
    ///     .replace("block1_conv1", Conv2d::new(32, 7).same().relu())?;
    /// assert_eq!(graph.get("block1_conv2")?.parameters()[0].shape(), [64, 32, 3, 3]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the selection.
    pub fn reinitialize(self, layers: impl Select) -> Result<Self> {
        let selection = layers.select(&self)?;
        let what = format!("reinitialize({})", selection.words);
        self.edit(what, |graph| {
            let seed = graph.seed;
            for pick in &selection.picks {
                graph.reinitialize_node(pick.id, seed)?;
            }
            Ok(())
        })
    }

    fn reinitialize_node(&mut self, id: NodeId, seed: u64) -> Result<()> {
        let inputs: Vec<Shape> = self
            .expect_node(id)
            .inputs
            .iter()
            .map(|&input| self.expect_node(input).shape)
            .collect();
        let node = self.expect_node_mut(id);
        let specs = node.layer.rules().parameters(&inputs);
        node.parameters = specs
            .into_iter()
            .map(|spec| {
                let seed = parameter_seed(seed, &node.name, &spec.name);
                Parameter::new(spec, seed)
            })
            .collect();
        Ok(())
    }

    /// The layer's index as Keras' `model.layers` counts, the input first.
    ///
    /// # Errors
    /// Those of the name.
    pub fn index_of(&self, layer: impl NodeRef) -> Result<usize> {
        let pick = layer.pick(self)?;
        self.position(pick.id).ok_or(Error::UnknownNode)
    }
}
