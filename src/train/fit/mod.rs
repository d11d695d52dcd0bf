//! Training itself. Comes in: a trainer and its data. Goes out: a model that
//! learned, and its history; or an evaluation, or a search for a learning rate.

mod accepted;
mod epoch;
mod learner;
mod parameters;
mod rate_search;
mod session;
mod training_model;

pub(super) use accepted::Accepted;
pub use rate_search::RateSearch;
