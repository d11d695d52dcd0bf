//! What several test crates need.

pub mod content;
pub mod local_hub;
