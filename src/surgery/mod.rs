//! Operations on the structure of a built model. A model comes in; another model
//! goes out. Its values are derived from the first model's, and its ledger has
//! the contract. `verify` measures how near both models are.

mod channels;
mod convolutional;
mod decompose;
mod factorize;
mod fold;
mod grow;
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
pub use verify::VerificationInput;
