use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layer::{Layer, NamedLayer};

use super::core::Graph;
use super::node::{Alias, Node, NodeId, Part};
use super::operations::Claim;
use super::select::{Pick, Selection};
use super::shapes::Fit;

/// The longest name that a layer may bear.
const LONGEST_NAME: usize = 256;

/// What an underscore and a number take at most.
const NUMBER_BYTES: usize = 21;

impl Graph {
    /// Applies a change as a whole or not at all: dead nodes are pruned,
    /// shapes inferred again, and what came and went is recorded.
    pub(crate) fn edit(
        self,
        what: String,
        change: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Self> {
        self.edit_claiming(what, Claim::Found, change)
    }

    /// As [`Graph::edit`], for an edit that knows its contract.
    pub(crate) fn edit_claiming(
        mut self,
        what: String,
        claim: Claim,
        change: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Self> {
        let before = self.snapshot();
        change(&mut self)?;
        self.prune();
        self.sort()?;
        self.infer()?;
        self.drop_stale_labels();
        self.record(&what, &before, claim);
        Ok(self)
    }

    /// Infers every shape again, and fits the parameters to them: new ones
    /// take the new shape, pretrained and trained ones must keep theirs.
    pub(crate) fn infer(&mut self) -> Result<()> {
        let mut fits = self.fits(self.input_shape(), |_| true)?;
        for node in &mut self.nodes {
            let Some(Fit { shape, parameters }) = fits.remove(&node.id) else {
                continue;
            };
            if node.shape == shape && parameters.is_none() {
                continue;
            }
            let node = Arc::make_mut(node);
            node.shape = shape;
            if let Some(parameters) = parameters {
                node.parameters = parameters;
            }
        }
        Ok(())
    }

    /// Drops every node that no output depends on.
    pub(crate) fn prune(&mut self) {
        let alive = self.ancestors(&self.outputs);
        self.nodes.retain(|node| alive.contains(&node.id));
    }

    /// Puts every node after its inputs, and leaves the order alone otherwise.
    pub(crate) fn sort(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.nodes);
        let mut placed: HashSet<NodeId> = HashSet::with_capacity(waiting.len());
        while !waiting.is_empty() {
            let ready = waiting
                .iter()
                .position(|node| node.inputs.iter().all(|input| placed.contains(input)));
            let Some(ready) = ready else {
                return Err(Error::IllegalEdit {
                    layer: waiting[0].name.clone(),
                    reason: "its inputs would depend on its own output".to_string(),
                });
            };
            let node = waiting.remove(ready);
            placed.insert(node.id);
            self.nodes.push(node);
        }
        Ok(())
    }

    /// A node for what a name means: where that is a part of a layer, the
    /// layer's activation becomes a node of its own, and the function stays.
    pub(crate) fn isolate(&mut self, pick: Pick) -> Result<NodeId> {
        let node = self.find(pick.id).ok_or(Error::UnknownNode)?;
        if pick.part == Part::Whole || !node.has_activation() {
            return Ok(pick.id);
        }
        let activation = self.split_activation(pick.id);
        Ok(match pick.part {
            Part::Activation => activation,
            _ => pick.id,
        })
    }

    pub(crate) fn split_activation(&mut self, id: NodeId) -> NodeId {
        let node = self.expect_node_mut(id);
        let activation = node.layer.activation();
        node.layer.set_activation(Default::default());
        let mut split = Node::new(
            format!("{}_{activation}", node.name),
            activation.into(),
            vec![id],
        );
        let aliases = std::mem::take(&mut node.aliases);
        let behind = |alias: &Alias| is_behind_activation(alias, &aliases);
        let (moved, own) = aliases.iter().cloned().partition(behind);
        (node.aliases, split.aliases) = (own, moved);
        for alias in node.aliases.iter_mut().chain(&mut split.aliases) {
            alias.part = Part::Whole;
        }
        (split.frozen, split.is_top) = (node.frozen, node.is_top);
        (split.shape, split.added_by) = (node.shape, node.added_by.clone());
        split.name = self.free_name(&split.name);
        let split_id = split.id;
        self.redirect(id, split_id);
        let position = self.position(id).map_or(self.len(), |index| index + 1);
        self.nodes.insert(position, Arc::new(split));
        split_id
    }

    /// Lets all that took one node's value take another's.
    pub(crate) fn redirect(&mut self, from: NodeId, to: NodeId) {
        for user in self.users(from) {
            if user != to {
                for input in &mut self.expect_node_mut(user).inputs {
                    if *input == from {
                        *input = to;
                    }
                }
            }
        }
        for output in &mut self.outputs {
            if *output == from {
                *output = to;
            }
        }
    }

    /// Nodes of their own for all that a selection means.
    pub(crate) fn isolate_all(&mut self, selection: &Selection) -> Result<Vec<NodeId>> {
        selection
            .picks
            .iter()
            .map(|&pick| self.isolate(pick))
            .collect()
    }

    /// Puts a chain of new nodes behind a node, and returns the last one. What
    /// follows a part of the classifier belongs to it.
    pub(crate) fn chain(&mut self, source: NodeId, layers: Vec<NamedLayer>) -> Result<NodeId> {
        let mut last = source;
        let is_top = self.expect_node(source).is_top;
        for NamedLayer { name, layer } in layers {
            let position = self.position(last).map_or(self.len(), |index| index + 1);
            last = self.place(position, name, layer, vec![last])?;
            self.expect_node_mut(last).is_top = is_top;
        }
        Ok(last)
    }

    pub(crate) fn place(
        &mut self,
        position: usize,
        name: Option<String>,
        layer: Layer,
        inputs: Vec<NodeId>,
    ) -> Result<NodeId> {
        if matches!(layer, Layer::Input(_)) {
            return Err(Error::IllegalEdit {
                layer: name.unwrap_or_else(|| "input".to_string()),
                reason: "a graph has one input; set its shape with input(..)".to_string(),
            });
        }
        let name = match name {
            Some(name) => {
                self.check_new_name(&name)?;
                name
            }
            None => self.free_name(&snake_case(layer.kind())),
        };
        let node = Node::new(name, layer, inputs);
        let id = node.id;
        self.nodes.insert(position, Arc::new(node));
        Ok(id)
    }

    pub(crate) fn check_new_name(&self, name: &str) -> Result<()> {
        self.check_name_for(None, name)
    }

    /// Checks a name that a node is to bear, which may be one of its own in
    /// another dialect.
    pub(crate) fn check_name_for(&self, id: Option<NodeId>, name: &str) -> Result<()> {
        if let Err(reason) = Self::check_name(name) {
            return Err(Error::InvalidName {
                name: name.to_string(),
                reason,
            });
        }
        if self.is_taken(id, name) {
            return Err(Error::DuplicateName {
                name: name.to_string(),
            });
        }
        Ok(())
    }

    /// Whether a name is another node's, in any dialect.
    fn is_taken(&self, id: Option<NodeId>, name: &str) -> bool {
        let mut others = self.nodes().filter(|node| Some(node.id) != id);
        others.any(|node| node.name == name || node.aliases().any(|alias| alias == name))
    }

    /// A name may be any text that can stand in a message and in a file's key.
    pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
        if name.is_empty() {
            Err("it is empty")
        } else if name.len() > LONGEST_NAME {
            Err("it is longer than 256 bytes")
        } else if name.contains(':') {
            Err("a colon parts a name from \"pre\"")
        } else if name.chars().any(|c| c.is_control() || c == '"') {
            Err("it holds a control character or a quotation mark")
        } else if name.trim() != name {
            Err("it begins or ends with white space")
        } else {
            Ok(())
        }
    }

    /// This name, or the first of `name_1`, `name_2`, .. that is free; of a
    /// name that may be too long, its beginning.
    fn free_name(&self, stem: &str) -> String {
        let stem = beginning(stem, LONGEST_NAME - NUMBER_BYTES);
        if !self.is_taken(None, stem) {
            return stem.to_string();
        }
        (1_u64..)
            .map(|number| format!("{stem}_{number}"))
            .find(|name| !self.is_taken(None, name))
            .expect("a graph does not have all the names there are")
    }
}

/// Whether a name means the activation or, in a numbering that counts the
/// activation, a layer after it.
fn is_behind_activation(alias: &Alias, aliases: &[Alias]) -> bool {
    let is_numbered_behind = |activation: &Alias| {
        let (place, after) = (numbered(&activation.name), numbered(&alias.name));
        let both = place.zip(after);
        both.is_some_and(|((stem, place), (other, after))| stem == other && place < after)
    };
    match alias.part {
        Part::Activation => true,
        Part::Pre => false,
        Part::Whole => {
            let mut activations = aliases.iter().filter(|a| a.part == Part::Activation);
            activations.any(is_numbered_behind)
        }
    }
}

/// `classifier.2` as `classifier` and 2.
fn numbered(name: &str) -> Option<(&str, usize)> {
    let (stem, number) = name.rsplit_once('.')?;
    Some((stem, number.parse().ok()?))
}

/// As much of a text as fits into a number of bytes.
fn beginning(text: &str, bytes: usize) -> &str {
    let fitting = text.char_indices().map(|(at, c)| at + c.len_utf8());
    let end = fitting.take_while(|&end| end <= bytes).last().unwrap_or(0);
    text[..end].trim_end()
}

fn snake_case(kind: &str) -> String {
    let mut name = String::with_capacity(kind.len() + 4);
    for c in kind.chars().filter(|c| c.is_alphanumeric()) {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    if name.is_empty() {
        name.push_str("layer");
    }
    name
}
