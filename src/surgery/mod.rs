//! Operations on the structure of a built model. In comes a model; out goes
//! another, its values derived from the first one's, with the contract in its
//! ledger. What an operation did can be measured against the model it began with.

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
