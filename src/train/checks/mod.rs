//! Checks of a training. Comes in: model, settings and data, and after a
//! training its progress. Goes out: findings for the user, or an error if `fit`
//! must refuse.

mod findings;
mod review;

pub(super) use findings::{check_classes, early_findings, look_back};
