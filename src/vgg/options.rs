use crate::error::{Error, Result};
use crate::graph::WeightSet;
use crate::layers::{Activation, Pooling};
use crate::preprocess::Labels;
use crate::shape::Shape;

use super::family::{CLASSES, FILTERS, Family, HIDDEN, IMAGE_SIZE};

/// The classifier on top of the convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Top {
    /// As torchvision's: an adaptive pool to 7x7 precedes the dense layers. Inputs
    /// of any size from 32x32 are legal.
    #[default]
    Torchvision,
    /// As Keras': the dense layers directly follow the last pool, and the input is
    /// 224x224.
    Keras,
    /// No classifier.
    None,
}

/// How a VGG is made: the options of Keras' and torchvision's constructors.
///
/// ```
/// use vgg_surgery::{Activation, Vgg11};
///
/// let graph = Vgg11::options()
///     .widths(16)
///     .hidden(32)
///     .classes(10)
///     .classifier_activation(Activation::Linear)
///     .untrained(7)?;
/// assert_eq!(graph.output_shapes()[0].channels(), 10);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct VggOptions {
    pub(super) family: Family,
    pub(super) top: Top,
    /// `None` unless it was set.
    pub(super) classes: Option<usize>,
    pub(super) classifier_activation: Activation,
    pub(super) pooling: Option<Pooling>,
    pub(super) dropout: f64,
    pub(super) input: Option<Shape>,
    pub(super) in_channels: usize,
    pub(super) divisor: usize,
    pub(super) hidden: Option<usize>,
}

impl VggOptions {
    pub(super) fn new(family: Family) -> Self {
        Self {
            family,
            top: Top::default(),
            classes: None,
            classifier_activation: Activation::Softmax,
            pooling: None,
            dropout: 0.0,
            input: None,
            in_channels: 3,
            divisor: 1,
            hidden: None,
        }
    }

    /// Chooses the classifier; [`Top::Torchvision`] by default.
    pub fn top(mut self, top: Top) -> Self {
        self.top = top;
        self
    }

    /// Leaves the classifier out, as Keras' `include_top=False`.
    pub fn without_top(self) -> Self {
        self.top(Top::None)
    }

    /// Sets the number of classes; by default, the number of the weights' labels,
    /// or 1000. If it differs from the number of labels, which is 1000 for ImageNet
    /// weights, the layer `predictions` is untrained.
    pub fn classes(mut self, classes: usize) -> Self {
        self.classes = Some(classes);
        self
    }

    /// Sets the activation of the layer `predictions`; softmax by default.
    pub fn classifier_activation(mut self, activation: Activation) -> Self {
        self.classifier_activation = activation;
        self
    }

    /// Ends a network without a classifier in a global pool, as Keras' option
    /// `pooling` does; by default, its output is the last pool's feature map.
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = Some(pooling);
        self
    }

    /// Puts dropout of this rate after `fc1` and `fc2`, as torchvision does
    /// with 0.5; 0 by default, which adds no layers.
    pub fn dropout(mut self, rate: f64) -> Self {
        self.dropout = rate;
        self
    }

    /// Sets the input's shape, `(C, H, W)`; by default any size, and 224x224
    /// under [`Top::Keras`].
    pub fn input(mut self, shape: impl Into<Shape>) -> Self {
        self.input = Some(shape.into());
        self
    }

    /// Sets the number of input channels; 3 by default.
    pub fn in_channels(mut self, in_channels: usize) -> Self {
        self.in_channels = in_channels;
        self
    }

    /// Divides the number of filters of every convolution, and the number of hidden
    /// features unless [`VggOptions::hidden`] sets it.
    pub fn widths(mut self, divisor: usize) -> Self {
        self.divisor = divisor;
        self
    }

    /// Sets the number of features of `fc1` and `fc2`; 4096 by default.
    pub fn hidden(mut self, features: usize) -> Self {
        self.hidden = Some(features);
        self
    }

    /// The classes that were set; else one for each label of the weights, or 1000.
    pub(super) fn classes_with(&self, weights: Option<&WeightSet>) -> usize {
        let labels = weights.and_then(WeightSet::get_labels).map(Labels::len);
        let classes = self.classes.or(labels.filter(|&labels| labels > 0));
        classes.unwrap_or(CLASSES)
    }

    /// Whether so many labels name the classes: two may name a single sigmoid.
    pub(super) fn are_named_by(&self, labels: usize, classes: usize) -> bool {
        let is_sigmoid = self.classifier_activation == Activation::Sigmoid;
        labels == classes || ((labels, classes) == (2, 1) && is_sigmoid)
    }

    pub(super) fn hidden_features(&self) -> usize {
        self.hidden
            .unwrap_or_else(|| (HIDDEN / self.divisor.max(1)).max(1))
    }

    pub(super) fn filters(&self, block: usize) -> usize {
        (FILTERS[block] / self.divisor.max(1)).max(1)
    }

    pub(super) fn input_shape(&self) -> Shape {
        match (self.input, self.top) {
            (Some(shape), _) => shape,
            (None, Top::Keras) => Shape::map(self.in_channels, IMAGE_SIZE, IMAGE_SIZE),
            (None, _) => Shape::any_size(self.in_channels),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let reason = if self.divisor == 0 {
            "widths(0) would leave no filters; use 1 or more"
        } else if self.top != Top::None && self.pooling.is_some() {
            "pooling closes a network without a classifier; add without_top()"
        } else {
            return Ok(());
        };
        Err(Error::Unsupported {
            what: "be made of these options",
            reason: reason.to_string(),
        })
    }
}
