//! What a network costs by the channels of its layers: milliseconds as measured on
//! this machine, multiplications or parameters.

mod costs;
mod grid;
mod layer_times;
mod timing;

pub(super) use costs::Costs;
pub use layer_times::LayerTimes;
pub(super) use timing::{Speed, speedup};
