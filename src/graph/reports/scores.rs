use std::fmt;

use crate::layers::{Activation, Layer};
use crate::shape::Shape;

use super::super::core::Graph;
use super::super::node::Node;

/// The last layer of a VGG's classifier. Other layers with a sigmoid may be hidden
/// ones.
const CLASSIFIER: &str = "predictions";

/// A layer with weights that reads the scores of a classifier: most likely, the
/// classifier was not cut off before a head was attached.
pub(crate) struct ScoreReader<'a> {
    pub(crate) reader: &'a Node,
    pub(crate) classifier: &'a Node,
}

impl fmt::Display for ScoreReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reader, classifier) = (self.reader.name(), self.classifier.name());
        let activation = self.classifier.layer().activation();
        write!(
            f,
            "\"{reader}\" reads class scores, the {activation} of \"{classifier}\"; use \
             truncate(..) or without_top() before attach(..)"
        )
    }
}

impl Graph {
    /// Dense layers and convolutions after a softmax, after the sigmoid of a single
    /// value, or after that of a VGG's own classifier. Layers without weights may stand between them.
    /// Layers with several inputs, such as gates, are meant to read scores.
    pub(crate) fn score_readers(&self) -> Vec<ScoreReader<'_>> {
        let readers = self.nodes().filter(|node| has_weights(node));
        let found = readers.filter_map(|reader| {
            let classifier = self.classifier_before(reader)?;
            Some(ScoreReader { reader, classifier })
        });
        found.collect()
    }

    fn classifier_before(&self, reader: &Node) -> Option<&Node> {
        let before = |node: &Node| match node.inputs() {
            &[input] => self.find(input),
            _ => None,
        };
        let gives_scores = |node: &Node| match node.layer().activation() {
            Activation::Softmax => true,
            Activation::Sigmoid => {
                let is_single = matches!(node.shape(), Shape::Vector { features: 1 });
                is_single || (node.is_top() && node.name() == CLASSIFIER)
            }
            _ => false,
        };
        let mut node = before(reader)?;
        while !gives_scores(node) {
            if !node.parameters().is_empty() || matches!(node.layer(), Layer::Custom(_)) {
                return None;
            }
            node = before(node)?;
        }
        Some(node)
    }
}

fn has_weights(node: &Node) -> bool {
    matches!(node.layer(), Layer::Dense(_) | Layer::Conv2d(_))
}
