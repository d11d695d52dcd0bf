use crate::error::{Error, Result};
use crate::layers::Layer;
use crate::shape::Shape;

use super::super::context::Claim;
use super::super::core::Graph;
use super::super::ledger::Contract;
use super::super::node::NodeId;
use super::super::select::{NodeRef, Select};

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
        // The size of images doesn't matter to what layers compute.
        let claim = Claim::Is(Contract::Exact);
        self.edit(format!("input({shape})"), claim, |graph| {
            graph.set_input(shape);
            Ok(())
        })
    }

    /// Gives a layer another name, which may be its name in another dialect.
    ///
    /// # Errors
    /// The errors of [`Graph::node`], [`Error::DuplicateName`] or
    /// [`Error::InvalidName`].
    pub fn rename(self, layer: impl NodeRef, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let id = layer.pick(&self)?.id;
        let what = format!("rename({}, \"{name}\")", layer.in_words(&self));
        self.edit(what, Claim::Inferred, |graph| {
            if graph.expect_node(id).name != name {
                graph.check_name_for(Some(id), &name)?;
                graph.set_name(id, name);
            }
            Ok(())
        })
    }

    /// Puts a text before the names of all layers except the input, in all
    /// dialects.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    pub fn prefix(self, prefix: &str) -> Result<Self> {
        let what = format!("prefix(\"{prefix}\")");
        self.edit(what, Claim::Inferred, |graph| {
            let layers = graph.ids_where(|node| !matches!(node.layer, Layer::Input(_)));
            for &id in &layers {
                let name = format!("{prefix}{}", graph.expect_node(id).name);
                graph.set_name(id, name);
                graph.change_aliases(id, |aliases| {
                    let names = aliases.iter_mut().map(|alias| &mut alias.name);
                    names.for_each(|name| name.insert_str(0, prefix));
                });
            }
            let mut names = layers.iter().map(|&id| (id, &graph.expect_node(id).name));
            names.try_for_each(|(id, name)| graph.check_name_for(Some(id), name))
        })
    }

    /// Freezes layers: training leaves their parameters alone, and batch norms
    /// use their running statistics.
    ///
    /// # Errors
    /// The errors of the selection.
    pub fn freeze(self, layers: impl Select) -> Result<Self> {
        self.set_frozen(layers, true)
    }

    /// Lets training change layers.
    ///
    /// # Errors
    /// The errors of the selection.
    pub fn unfreeze(self, layers: impl Select) -> Result<Self> {
        self.set_frozen(layers, false)
    }

    fn set_frozen(self, layers: impl Select, frozen: bool) -> Result<Self> {
        let selection = layers.select(&self)?;
        let verb = if frozen { "freeze" } else { "unfreeze" };
        let what = format!("{verb}({})", selection.words);
        let ids = selection.picks.iter().map(|pick| pick.id);
        Ok(self.mark_frozen(what, ids, frozen))
    }

    fn mark_frozen(
        self,
        what: String,
        ids: impl IntoIterator<Item = NodeId>,
        frozen: bool,
    ) -> Self {
        self.mark(what, |graph| {
            ids.into_iter().for_each(|id| graph.set_frozen(id, frozen));
        })
    }

    /// Freezes a layer and all layers that it depends on.
    ///
    /// # Errors
    /// The errors of [`Graph::node`].
    pub fn freeze_through(self, last: impl NodeRef) -> Result<Self> {
        let what = format!("freeze_through({})", last.in_words(&self));
        let ids = self.ancestors(&[last.pick(&self)?.id]);
        Ok(self.mark_frozen(what, ids, true))
    }

    /// Freezes all current layers. Layers that are added later can be trained.
    pub fn freeze_all(self) -> Self {
        let ids = self.ids();
        self.mark_frozen("freeze_all()".to_string(), ids, true)
    }

    /// Draws all new parameters again from this seed, now and in later edits.
    pub fn seed(self, seed: u64) -> Self {
        self.mark(format!("seed({seed})"), |graph| graph.reseed(seed))
    }

    /// Discards the pretrained or trained values of layers. Their parameters are
    /// drawn again, and may take another shape.
    ///
    /// ```
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let graph = Vgg16::pretrained()
    ///     .without_top()?
    ///     .reinitialize("block1_conv2")?
    ///     .replace("block1_conv1", Conv2d::new(32, 7).same().relu())?;
    /// assert_eq!(graph.node("block1_conv2")?.parameters()[0].shape(), [64, 32, 3, 3]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of the selection.
    pub fn reinitialize(self, layers: impl Select) -> Result<Self> {
        let selection = layers.select(&self)?;
        let what = format!("reinitialize({})", selection.words);
        self.edit(what, Claim::Inferred, |graph| {
            let ids = selection.picks.iter().map(|pick| pick.id);
            ids.for_each(|id| graph.redraw(id));
            Ok(())
        })
    }

    /// The layer's index as in Keras' `model.layers`; the input has index 0.
    ///
    /// # Errors
    /// The errors of [`Graph::node`].
    pub fn index_of(&self, layer: impl NodeRef) -> Result<usize> {
        let pick = layer.pick(self)?;
        self.position(pick.id).ok_or(Error::UnknownNode)
    }
}
