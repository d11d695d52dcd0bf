//! A whole network made faster within a budget. In come a model and unlabeled
//! images. Out go a model with fewer channels, whose filters were fitted to give
//! what the old ones gave, and a report of its speed and of what it lost.

mod acceleration;
mod allocate;
mod assess;
mod closed_form;
mod cost;
mod frontier;
mod measure;
mod pruned;
mod report;
mod run;
mod sensitivity;
mod session;
mod units;

pub use acceleration::Acceleration;
pub use cost::LayerTimes;
pub use frontier::{Frontier, FrontierPoint};
pub use report::{AccelerationReport, BlockReport, LayerReport, PartReport, SpeedReport};

fn not_finite(node: &crate::graph::Node) -> crate::error::Error {
    crate::error::AccelerationError::NonFinite {
        layer: node.name().to_string(),
    }
    .into()
}
