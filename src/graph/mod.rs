//! The network as a value: nodes, shapes, origins, and the edits on them.

mod core;
mod cut;
mod describe;
mod diagram;
mod diff;
mod edit;
mod flags;
mod functional;
mod node;
mod operations;
mod plan;
mod precision;
mod provenance;
mod record;
mod select;
mod shapes;
mod splice;
mod summary;
mod walks;
mod weight_set;
mod windows;

pub use self::core::Graph;
pub use diff::Diff;
pub use functional::LayerCall;
pub use node::{Node, NodeId, Parameter};
pub(crate) use operations::Claim;
pub use operations::{Contract, Operation, Operations};
pub use plan::{OutputPlan, Plan};
pub use precision::Precision;
pub use provenance::{Fate, Provenance};
pub use select::{NodeRef, Pick, Select};
pub use shapes::Shapes;
pub use summary::{Summary, SummaryRow};
pub use weight_set::{TensorSource, WeightSet};
pub use windows::PoolKind;

#[cfg(feature = "image")]
pub(crate) use diagram::{Style, style};
pub(crate) use node::{Alias, Base, Origin, Part, Source, TensorId};
pub(crate) use record::{GraphRecord, MakeCustom};
pub(crate) use weight_set::{HubFile, Layout, Location, StoredTensors, WeightKey};
