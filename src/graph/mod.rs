//! The network as a value: nodes, shapes, origins, and the edits on them.

mod changes;
mod core;
mod cut;
mod describe;
mod diagram;
mod diff;
mod edit;
mod flags;
mod functional;
mod ledger;
mod lookup;
mod names;
mod node;
mod origin;
mod plan;
mod precision;
mod provenance;
mod record;
mod select;
mod shapes;
mod splice;
mod summary;
mod table;
mod verbs;
mod walks;
mod weight_set;
mod windows;

pub use self::core::Graph;
pub(crate) use changes::Claim;
pub use diff::Diff;
pub(crate) use edit::EditContext;
pub use functional::LayerCall;
pub use ledger::{Contract, Operation, Operations};
pub use node::{Node, NodeId, Parameter};
pub use plan::{OutputPlan, Plan};
pub use precision::Precision;
pub use provenance::{Fate, Provenance};
pub use select::{NodeRef, Pick, Select};
pub use shapes::Shapes;
pub use summary::{Summary, SummaryRow};
pub use weight_set::WeightSet;
pub use windows::PoolKind;

#[cfg(feature = "image")]
pub(crate) use diagram::{Style, style};
pub(crate) use node::{Alias, Part};
pub(crate) use origin::{Base, Made, Origin, Source, TensorId};
pub(crate) use record::{GraphRecord, MakeCustom};
pub(crate) use weight_set::{AtHand, HubFile, Layout, Location, WeightKey};
