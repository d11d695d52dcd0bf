//! Winograd's minimal filtering for 3x3 filters of stride 1 (Lavin and Gray,
//! "Fast Algorithms for Convolutional Neural Networks", 2015, section 4).
//! Weights come in and go out packed; a pass comes in, and its output or the
//! gradients of its parameters go out.
//!
//! A tile of `OUT x OUT` outputs depends on `IN x IN` inputs, `IN = OUT + 2`.
//! Inputs, filters and outputs are transformed along both axes. A convolution
//! becomes `IN * IN` independent matrix products: tiles by input channels by
//! output channels.

mod filter_gradient;
mod forward;
mod layer;
mod output;
mod pack;
mod shared;
mod tile;
mod transform;
mod upstream;

pub(super) use filter_gradient::filter_gradient;
pub(super) use forward::run;
pub(super) use pack::{is_blockwise, pack, packed_len};
pub(super) use tile::{Four, Two};
