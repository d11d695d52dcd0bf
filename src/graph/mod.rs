//! The network as a value: nodes, shapes, origins, and the edits on them.

mod core;
mod cut;
mod describe;
mod diagram;
mod diff;
mod edit;
mod flags;
mod functional;
mod infer;
mod node;
mod plan;
mod provenance;
mod select;
mod splice;
mod summary;
mod weight_set;

pub use self::core::Graph;
pub use diff::Diff;
pub use functional::LayerCall;
pub use node::{Node, NodeId, Parameter};
pub use plan::{OutputPlan, Plan};
pub use provenance::{Fate, Provenance};
pub use select::{NodeRef, Pick, Select};
pub use summary::{Summary, SummaryRow};
pub use weight_set::{TensorSource, WeightSet};

pub(crate) use node::{Alias, Origin, Part, TensorId};
pub(crate) use weight_set::{HubFile, Layout, Location, WeightKey};
