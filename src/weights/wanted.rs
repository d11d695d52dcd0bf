//! What is looked for in a place of stored tensors.

use crate::graph::WeightKey;

/// One parameter to be read.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The names it may go by, best first.
    pub(crate) keys: &'a [WeightKey],
    /// Its own shape, in PyTorch's layout.
    pub(crate) shape: &'a [usize],
    /// Whether the source may lack it.
    pub(crate) is_optional: bool,
}

impl Wanted<'_> {
    /// Whether a tensor of this shape is the parameter, if it has this name.
    pub(super) fn fits(&self, key: &WeightKey, stored: &[usize]) -> bool {
        stored == key.layout.stored_shape(self.shape) && elements(stored) == elements(self.shape)
    }
}

fn elements(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1, |product: usize, &side| product.checked_mul(side))
}
