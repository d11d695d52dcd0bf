//! Checks of a training. Comes in: model, settings and data, and after a
//! training its progress. Goes out: findings for the user, or an error where
//! `fit` must refuse.

mod classes;
mod guards;
mod network;
mod post_mortem;
mod preprocessing;
mod review;

pub(super) use classes::class_names_finding;
pub(super) use guards::check_classes;
pub(super) use network::output_findings;
pub(super) use post_mortem::look_back;
