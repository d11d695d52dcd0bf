//! A whole network made faster within a budget. In come a model and unlabeled
//! images. Out go a model with fewer channels, whose filters were fitted to give
//! what the old ones gave, and a report of its speed and of what it lost.

mod acceleration;
mod allocate;
mod calibrate;
mod cost;
mod eliminate;
mod frontier;
mod grid;
mod inverse;
mod measure;
mod pruned;
mod reconstruct;
mod report;
mod run;
mod samples;
mod sensitivity;
mod session;
mod timing;
mod units;

pub use acceleration::Acceleration;
pub use frontier::{Frontier, FrontierPoint};
pub use report::{AccelerationReport, BlockReport, LayerReport, PartReport, SpeedReport};

fn not_finite(node: &crate::graph::Node) -> crate::error::Error {
    crate::error::AccelerationError::NonFinite {
        layer: node.name().to_string(),
    }
    .into()
}
