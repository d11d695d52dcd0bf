//! Stored tensors, wherever they are.

use std::any::Any;
use std::sync::Arc;

use candle_core::Tensor;

use crate::error::Result;
use crate::graph::AtHand;

/// Where stored tensors are looked up first and read afterwards.
pub(super) trait StoredTensors {
    /// The place in words, for messages.
    fn place(&self) -> String;

    /// The stored shape of a tensor, or `None` if there is none of this name.
    fn shape(&self, key: &str) -> Option<Vec<usize>>;

    /// All names there are, for messages.
    fn keys(&self) -> Vec<String>;

    /// The tensors of these names, in this order, as they are stored.
    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>>;
}

/// Stored tensors that are open already, as a weight set holds them.
pub(super) struct Open(pub(super) Arc<dyn StoredTensors + Send + Sync>);

impl Open {
    /// What a weight set holds.
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
