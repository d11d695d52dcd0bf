//! Checks of a training. Comes in: model, settings and data, and after a
//! training its progress. Goes out: findings for the user, or an error where
//! `fit` must refuse.

mod findings;
mod guards;
mod post_mortem;
mod review;

pub(super) use findings::{class_names_finding, output_findings};
pub(super) use guards::check_classes;
pub(super) use post_mortem::look_back;
