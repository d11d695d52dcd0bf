//! The layers of a graph, as plain values. Settings come in; output shapes, the
//! parameters that a layer needs and its cost go out. Nothing here knows tensors
//! or graphs.

mod activation;
mod conv;
mod custom;
mod dense;
mod init;
mod kind;
mod merge;
mod misfit;
mod norm;
mod pool;
mod reshape;
mod rules;
mod sequential;
#[cfg(test)]
mod tests;
mod upsample;
mod window;

pub use activation::Activation;
pub use conv::Conv2d;
pub use custom::{Custom, CustomLayer};
pub use dense::Dense;
pub use init::Init;
pub use kind::{Layer, LayerKind, NamedLayer};
pub use merge::{Add, Concat};
pub use norm::BatchNorm2d;
pub use pool::{
    AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d, Pooling,
};
pub use reshape::{Dropout, Flatten, FlattenOrder, Input, Rescale, ZeroPad2d};
pub use rules::ParameterSpec;
pub use sequential::{Head, Sequential};
pub use upsample::{Upsample, UpsampleMode, UpsampleSize};
pub use window::{IntoPair, Margins, Padding};

pub(crate) use misfit::Misfit;
pub(crate) use rules::{Arity, Rules};
pub(crate) use window::{LIMIT, Window};
