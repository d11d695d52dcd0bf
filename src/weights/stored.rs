//! The interface of all places that store tensors.

use std::any::Any;
use std::sync::Arc;

use candle_core::Tensor;

use crate::error::Result;
use crate::graph::AtHand;

/// A place of stored tensors: shapes are looked up first, then tensors read.
pub(super) trait StoredTensors {
    /// The place in words, for messages.
    fn place(&self) -> String;

    /// The stored shape of a tensor, or `None` if there is none of this name.
    fn shape(&self, key: &str) -> Option<Vec<usize>>;

    /// All names, for messages.
    fn keys(&self) -> Vec<String>;

    /// The tensors with these names, in this order, in their stored layout.
    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>>;
}

/// Stored tensors that are open already, as a weight set holds them.
pub(super) struct Open(pub(super) Arc<dyn StoredTensors + Send + Sync>);

impl Open {
    /// The tensors that a weight set contains.
    pub(super) fn of(tensors: &dyn AtHand) -> &dyn StoredTensors {
        let open: Option<&Self> = (tensors as &dyn Any).downcast_ref();
        let open = open.expect("tensors at hand are made here alone");
        &*open.0
    }
}

impl AtHand for Open {
    fn place(&self) -> String {
        self.0.place()
    }
}

/// What identifies a file on a hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) commit: Option<String>,
    /// The hash of the whole file, if it is known.
    pub(crate) sha256: Option<String>,
}
