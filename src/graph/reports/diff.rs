use std::fmt;

use crate::layers::Layer;

use super::super::core::Graph;
use super::super::node::Node;
use super::super::origin::Origin;
use super::describe::described;

/// What one graph has that another has not, layer by layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diff {
    /// Layers only the other graph has.
    pub added: Vec<String>,
    /// Layers only this graph has.
    pub removed: Vec<String>,
    /// Layers of one name that differ, each with what differs.
    pub changed: Vec<(String, Vec<String>)>,
    /// The output layers of this graph and of the other, if they differ.
    pub outputs: Option<(Vec<String>, Vec<String>)>,
}

impl Diff {
    /// Whether the graphs compute the same, as far as that shows without
    /// their parameters' values.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.removed.is_empty()
            && self.changed.is_empty()
            && self.outputs.is_none()
    }
}

impl Graph {
    /// What changes from this graph to another: layers are matched by name.
    ///
    /// ```
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let before = Vgg16::pretrained();
    /// let conv = Conv2d::new(64, 5).same().relu().named("new_conv");
    /// let after = before.clone().replace("block1_conv1"..="block1_conv2", conv)?;
    /// let diff = before.diff(&after);
    /// assert_eq!(diff.added, ["new_conv"]);
    /// assert_eq!(diff.removed, ["block1_conv1", "block1_conv2"]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn diff(&self, other: &Self) -> Diff {
        let mut diff = Diff::default();
        for node in self.nodes() {
            let Some(counterpart) = other.named(&node.name) else {
                diff.removed.push(node.name.clone());
                continue;
            };
            let what = self.differences(node, other, counterpart);
            if !what.is_empty() {
                diff.changed.push((node.name.clone(), what));
            }
        }
        let added = other
            .nodes()
            .filter(|node| self.named(&node.name).is_none());
        diff.added = added.map(|node| node.name.clone()).collect();
        let outputs = (self.names(&self.outputs), other.names(&other.outputs));
        diff.outputs = (outputs.0 != outputs.1).then_some(outputs);
        diff
    }

    fn differences(&self, node: &Node, other: &Self, counterpart: &Node) -> Vec<String> {
        let mut what = Vec::new();
        if differ_out_of_sight(node, counterpart) {
            what.push("layer: other settings".to_string());
        }
        let before = self.aspects(node).into_iter();
        for ((aspect, before), (_, after)) in before.zip(other.aspects(counterpart)) {
            if before != after {
                what.push(format!("{aspect}: {before} -> {after}"));
            }
        }
        what
    }

    /// What is compared of a node, in words.
    fn aspects(&self, node: &Node) -> [(&'static str, String); 5] {
        [
            ("layer", described(node)),
            ("shape", node.shape.to_string()),
            ("inputs", self.names(&node.inputs).join(", ")),
            ("frozen", node.frozen.to_string()),
            ("values", values(node).to_string()),
        ]
    }
}

/// Whether the layers differ in what their description leaves out; an input's
/// shape is compared as such.
fn differ_out_of_sight(node: &Node, counterpart: &Node) -> bool {
    node.layer != counterpart.layer
        && described(node) == described(counterpart)
        && !matches!(node.layer, Layer::Input(_))
}

fn values(node: &Node) -> &'static str {
    match node.parameters.first().map(|parameter| &parameter.origin) {
        None => "none",
        Some(Origin::Pretrained { .. }) => "pretrained",
        Some(Origin::Init { .. }) => "new",
        Some(Origin::Tensor { .. }) => "the model's",
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.removed {
            writeln!(f, "- {name}")?;
        }
        for name in &self.added {
            writeln!(f, "+ {name}")?;
        }
        for (name, what) in &self.changed {
            writeln!(f, "~ {name}: {}", what.join("; "))?;
        }
        if let Some((before, after)) = &self.outputs {
            writeln!(f, "outputs: {} -> {}", before.join(", "), after.join(", "))?;
        }
        Ok(())
    }
}
