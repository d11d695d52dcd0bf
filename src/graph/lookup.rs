//! What names mean.

use crate::error::{Error, Result};
use crate::layers::LayerKind;
use crate::nearest::nearest;

use super::core::Graph;
use super::node::{Node, NodeId, Part};
use super::select::{NodeRef, Pick};

/// The ending that names the value before a layer's activation.
const PRE: &str = ":pre";

impl Graph {
    /// The layer of this name, as the kind that is asked for. Names of any
    /// dialect will do.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`] with the nearest names, [`Error::AmbiguousName`],
    /// or [`Error::WrongKind`] if the layer is of another kind.
    pub fn layer<L: LayerKind>(&self, name: &str) -> Result<&L> {
        let node = self.node(name)?;
        L::from_layer(node.layer()).ok_or_else(|| Error::WrongKind {
            layer: node.name.clone(),
            expected: L::KIND,
            actual: node.layer().kind().to_string(),
        })
    }

    /// The node of this name, in any dialect, or with this handle.
    ///
    /// # Errors
    /// [`Error::UnknownLayer`], [`Error::AmbiguousName`] or
    /// [`Error::UnknownNode`].
    pub fn node(&self, node: impl NodeRef) -> Result<&Node> {
        let pick = node.pick(self)?;
        self.find(pick.id).ok_or(Error::UnknownNode)
    }

    /// The handle of the node of this name, for [`Graph::add`].
    ///
    /// # Errors
    /// As [`Graph::node`]. A name that means the value before an activation is
    /// [`Error::IllegalEdit`]: it has no node of its own.
    pub fn node_id(&self, name: &str) -> Result<NodeId> {
        self.whole(name)
    }

    /// The node that is named, which must be a whole node.
    pub(super) fn whole(&self, node: impl NodeRef) -> Result<NodeId> {
        let pick = node.pick(self)?;
        let found = self.find(pick.id).ok_or(Error::UnknownNode)?;
        if pick.means_pre(found) {
            let words = node.in_words(self);
            return Err(Error::IllegalEdit {
                layer: found.name.clone(),
                reason: format!(
                    "{words} is the value before its activation, which has no node; set the \
                     layer's activation to linear with replace, or use insert_after({words}, ..)"
                ),
            });
        }
        Ok(pick.id)
    }

    /// Finds what a name means: a node's own name first, then the dialects'.
    pub(crate) fn resolve(&self, name: &str) -> Result<Pick> {
        if let Some(node) = self.named(name) {
            return Ok(Pick::whole(node.id));
        }
        let (stem, wants_pre) = match name.strip_suffix(PRE) {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        let mut found: Vec<Pick> = self
            .nodes()
            .filter_map(|node| {
                let part = if node.name == stem {
                    Part::Whole
                } else {
                    node.aliases.iter().find(|a| a.name == stem)?.part
                };
                let part = if wants_pre { Part::Pre } else { part };
                Some(Pick { id: node.id, part })
            })
            .collect();
        match (found.pop(), found.is_empty()) {
            (Some(pick), true) => Ok(pick),
            (Some(pick), false) => {
                found.push(pick);
                let candidates: Vec<NodeId> = found.iter().map(|pick| pick.id).collect();
                Err(Error::AmbiguousName {
                    name: name.to_string(),
                    candidates: self.names(&candidates),
                })
            }
            (None, _) => Err(Error::UnknownLayer {
                name: name.to_string(),
                nearest: self.nearest_names(stem),
            }),
        }
    }

    fn nearest_names(&self, name: &str) -> Vec<String> {
        let own = self.nodes().map(|node| node.name.as_str());
        let dialects = self.nodes().flat_map(Node::aliases);
        nearest(name, own.chain(dialects), 3)
    }
}
