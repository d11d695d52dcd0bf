//! Reports on a graph. In comes a graph; out go tables, plans,
//! diagrams, differences and where every parameter comes from. Nothing changes.

mod describe;
mod diagram;
mod diff;
mod plan;
mod provenance;
mod scores;
mod summary;
mod table;
mod weights;

pub use diff::Diff;
pub use plan::{OutputPlan, Plan};
pub use provenance::{Fate, Provenance};
pub use summary::{Summary, SummaryRow};
pub use weights::{WeightsReport, WeightsRow};

#[cfg(feature = "image")]
pub(crate) use diagram::{Style, style};
pub(crate) use table::in_bytes;
pub(super) use table::{aligned, with_commas};
