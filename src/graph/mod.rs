//! The network as a value: nodes, shapes, the origin of every parameter, and the
//! ledger of edits. Layers and descriptions of weights come in; checked graphs
//! and reports on them go out, never a tensor.

mod classes;
mod context;
mod core;
mod edits;
mod keras_key;
mod ledger;
mod lookup;
mod node;
mod origin;
mod record;
mod reports;
mod select;
mod shapes;
mod walks;
mod weight_key;
mod weight_set;

pub use self::core::Graph;
pub use crate::shape::Shape;
pub use edits::LayerCall;
pub use ledger::{Contract, Operation, Operations};
pub use node::{Node, NodeId, Parameter};
pub use origin::Precision;
pub use reports::{
    Diff, Fate, OutputPlan, Plan, Provenance, Summary, SummaryRow, WeightsReport, WeightsRow,
};
pub use select::{NodeRef, Pick, Select};
pub use shapes::Shapes;
pub use weight_set::WeightSet;

pub(crate) use classes::Scoring;
pub(crate) use context::{Claim, EditContext};
pub(crate) use keras_key::keras_name;
pub(crate) use node::{Alias, Part};
pub(crate) use origin::{Base, Found, Made, Origin, Source, TensorId};
pub(crate) use record::{GraphRecord, MakeCustom};
pub(crate) use reports::in_bytes;
#[cfg(feature = "image")]
pub(crate) use reports::{Style, style};
pub(crate) use weight_key::{Layout, WeightKey};
pub(crate) use weight_set::{AtHand, HubFile, Location, Rename};
