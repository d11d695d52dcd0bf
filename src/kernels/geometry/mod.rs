//! The sizes of convolutions and pools. A configuration comes in. A geometry
//! goes out: its sizes fit each other, so the kernels need not check them.

mod conv2d;
mod error;
mod size;
mod window;

pub use conv2d::{Conv2dConfig, Conv2dGeometry};
pub use error::{GeometryError, countable, non_zero};
pub use size::{FeatureMaps, Padding, Size2};
pub use window::Window;
