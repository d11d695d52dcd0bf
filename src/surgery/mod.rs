//! Operations on the structure of a built model, each with a contract.

mod channels;
mod convolutional;
mod decompose;
mod factorize;
mod fold;
mod input;
mod prune;
mod quantize;
mod transplant;
mod verification;
mod verify;
mod widen;

pub use decompose::Rank;
pub use prune::{Criterion, Prune};
pub use verification::{LayerCheck, OtherShape, Verification};
pub(crate) use verify::Comparison;
