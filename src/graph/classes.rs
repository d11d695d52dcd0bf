use crate::error::{Error, Result};
use crate::layers::Activation;
use crate::preprocess::Labels;
use crate::shape::Shape;

use super::core::Graph;
use super::node::Node;

/// The classes that a single score stands for.
const TWO: usize = 2;

/// What the channels of the first output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scoring {
    /// A score for each class, label or quantity.
    Each,
    /// One value: the probability of class 1 of two.
    Probability,
    /// One value: the logarithm of the odds of class 1 of two.
    Logit,
}

impl Graph {
    /// Number of classes that the first output distinguishes: one for each channel,
    /// or two for a single value `p` that ends in a sigmoid. `p` is the probability of
    /// class 1, and `1 - p` that of class 0.
    ///
    /// The rule holds wherever classes count: predictions, labels, explanations,
    /// metrics, `grow_classes`. A single value without an activation is a quantity, as
    /// in a regression, unless it has two labels: then it is the logit of class 1, and
    /// its sigmoid the probability. Training with
    /// [`Loss::binary_cross_entropy`](crate::Loss::binary_cross_entropy) gives it
    /// labels: the names of the classes, or else "class 0" and "class 1". A single
    /// value with one label is a score of this label alone.
    ///
    /// ```
    /// use vgg_surgery::{Dense, Graph, Labels};
    ///
    /// let graph = |head: Dense| Graph::new("g", 8)?.attach(head.named("out"));
    /// assert_eq!(graph(Dense::new(5).softmax())?.classes(), 5);
    /// let pets = graph(Dense::new(1).sigmoid())?.with_labels(Labels::new(["cat", "dog"]))?;
    /// assert_eq!(pets.classes(), 2);
    /// assert_eq!(graph(Dense::new(1))?.classes(), 1);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn classes(&self) -> usize {
        match self.scoring() {
            Scoring::Each => self.output_channels(),
            Scoring::Probability | Scoring::Logit => TWO,
        }
    }

    /// The names of the classes, as long as the layer they belong to is the
    /// output, or feeds it through activations alone.
    pub fn labels(&self) -> Option<&Labels> {
        let (labeled, labels) = self.labels.as_ref()?;
        let keeps = |node: &&Node| node.id != *labeled && node.layer.rules().passes_input_on();
        let last = self
            .path_to(*self.outputs.first()?)
            .find(|node| !keeps(node))?;
        (last.id == *labeled && self.takes_labels(labels.len())).then_some(labels)
    }

    /// Names the channels of the first output, or the two classes of a single value:
    /// the probability of the second label after a sigmoid, its logit without an
    /// activation; see [`Graph::classes`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] unless there is a label for each.
    pub fn with_labels(mut self, labels: Labels) -> Result<Self> {
        if !self.takes_labels(labels.len()) {
            return Err(Error::Unsupported {
                what: "take these labels",
                reason: format!(
                    "there are {} for the {} classes of \"{}\"",
                    labels.len(),
                    self.classes(),
                    self.expect_node(self.outputs[0]).name
                ),
            });
        }
        self.labels = Some((self.outputs[0], labels));
        Ok(self)
    }

    pub(crate) fn scoring(&self) -> Scoring {
        let labels = self.labels().map(Labels::len);
        match (self.final_activation(), labels) {
            _ if self.output_channels() != 1 || labels == Some(1) => Scoring::Each,
            (Activation::Sigmoid, _) => Scoring::Probability,
            (Activation::Linear, Some(TWO)) => Scoring::Logit,
            _ => Scoring::Each,
        }
    }

    /// Whether the first output is a vector of one value without an activation, which
    /// may be a logit.
    pub(crate) fn is_single_linear(&self) -> bool {
        let shape = self.expect_node(self.outputs[0]).shape;
        matches!(shape, Shape::Vector { features: 1 })
            && self.final_activation() == Activation::Linear
    }

    /// Whether so many labels name the classes of the first output.
    pub(crate) fn takes_labels(&self, count: usize) -> bool {
        let channels = self.output_channels();
        let last = self.final_activation();
        let may_be_score = matches!(last, Activation::Sigmoid | Activation::Linear);
        count == channels || (may_be_score && can_name(count, channels))
    }

    /// The activation that makes the first output of scores.
    pub(crate) fn final_activation(&self) -> Activation {
        let mut path = self.path_to(self.outputs[0]);
        let passes = |node: &&Node| {
            let layer = node.layer();
            layer.activation() == Activation::Linear && layer.rules().passes_input_on()
        };
        path.find(|node| !passes(node))
            .map_or(Activation::Linear, |node| node.layer().activation())
    }

    fn output_channels(&self) -> usize {
        self.expect_node(self.outputs[0]).shape.channels()
    }
}

/// Whether so many labels can name the classes of a layer of so many channels.
pub(super) fn can_name(labels: usize, channels: usize) -> bool {
    labels == channels || (labels, channels) == (TWO, 1)
}
