//! The memory that a model keeps between passes, packed filters and buffers, and
//! the order of values in memory. In come candle's tensors. Out go slices with
//! their channels last for the kernels, and tensors again.

mod buffers;
mod extent;
mod filters;
mod tensors;

use std::sync::Arc;

pub(super) use buffers::{Buffer, Buffers};
pub(crate) use extent::Extent;
pub(super) use filters::{FilterSlot, Filters, Request};
pub(crate) use tensors::channels_first;
pub(super) use tensors::{
    channels_first_view, channels_last, copy_channels_last, in_memory_order, to_vec, values,
    with_slice, with_storage,
};

/// The packed filters and buffers that a model keeps between passes.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(super) filters: Filters,
    pub(super) buffers: Arc<Buffers>,
}

impl Workspace {
    /// Frees memory that recent passes over the network did not use.
    pub(crate) fn begin_pass(&self) {
        self.buffers.begin_pass();
    }

    /// Frees the memory that is kept between passes.
    pub(crate) fn free_buffers(&self) {
        self.buffers.free();
    }
}
