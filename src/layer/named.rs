use serde::{Deserialize, Serialize};

use super::Layer;

/// A layer with the name it shall bear in a graph; without one, the graph
/// makes it up from the kind, as Keras does: `conv2d`, `conv2d_1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedLayer {
    pub(crate) name: Option<String>,
    pub(crate) layer: Layer,
}

impl NamedLayer {
    /// A layer of this name.
    pub fn new(name: impl Into<String>, layer: impl Into<Layer>) -> Self {
        Self {
            name: Some(name.into()),
            layer: layer.into(),
        }
    }
}

impl<L: Into<Layer>> From<L> for NamedLayer {
    fn from(layer: L) -> Self {
        Self {
            name: None,
            layer: layer.into(),
        }
    }
}
