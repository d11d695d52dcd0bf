//! The sizes of convolutions and pools. A configuration comes in; a geometry
//! goes out, whose sizes fit each other and can be computed with, so that the
//! kernels need not check them again.

mod conv2d;
mod error;
mod pool2d;
mod size;
mod window;

pub use conv2d::{Conv2dConfig, Conv2dGeometry};
pub use error::GeometryError;
pub use pool2d::{AdaptivePool2dConfig, Pool2dConfig, Pool2dGeometry};
pub use size::{Padding, Size2};
