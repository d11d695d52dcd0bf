//! What a model keeps between passes: packed filters and buffers; and how
//! values lie in memory. Tensors come in as candle has them, slices with
//! their channels last go out to the kernels, and back.

mod buffers;
mod extent;
mod filters;
mod tensors;

use std::sync::Arc;

pub(super) use buffers::{Buffer, Buffers};
pub(crate) use extent::Extent;
pub(super) use filters::{Direction, FilterSlot, Filters, Request};
pub(crate) use tensors::channels_first;
pub(super) use tensors::{
    channels_first_view, channels_last, copy_channels_last, to_vec, values, with_slice,
    with_storage,
};

/// What a model keeps between passes: packed filters and memory.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(super) filters: Filters,
    pub(super) buffers: Arc<Buffers>,
}

impl Workspace {
    /// Frees memory that recent passes over the network had no use for.
    pub(crate) fn begin_pass(&self) {
        self.buffers.begin_pass();
    }

    /// Frees the memory that is kept between passes.
    pub(crate) fn free_buffers(&self) {
        self.buffers.free();
    }
}
