//! Settings of a loss that mean nothing.

use crate::data::Targets;
use crate::error::Result;
use crate::optim::require;

use super::definition::{Loss, LossKind};
use super::layout::ScoreShape;

impl Loss {
    pub(super) fn check(&self) -> Result<()> {
        let (name, smoothing, has_logits) = (self.name(), self.smoothing, self.has_logits());
        require(
            smoothing == 0.0 || has_logits,
            format_args!("label_smoothing({smoothing}) of {name}"),
            "means nothing; it is for the cross-entropies",
        )?;
        require(
            self.class_weights.is_none() || has_logits,
            format_args!("class_weights of {name}"),
            "mean nothing; they are for the cross-entropies",
        )?;
        require(
            (0.0..=1.0).contains(&smoothing),
            format_args!("label_smoothing({smoothing})"),
            "must be from 0 to 1",
        )?;
        if let LossKind::Huber(delta) = self.kind {
            require(
                delta > 0.0 && delta.is_finite(),
                format_args!("huber({delta})"),
                "must be above 0",
            )?;
        }
        let mut weights = self.class_weights.iter().flatten();
        require(
            weights.all(|weight| weight.is_finite() && *weight >= 0.0),
            "class_weights",
            "must be finite and at least 0",
        )
    }

    /// Refuses a loss and class weights that do not fit the number of classes.
    pub(super) fn check_classes(&self, shape: &ScoreShape, targets: &Targets) -> Result<()> {
        let is_cross_entropy = self.is_cross_entropy();
        require(
            !is_cross_entropy || shape.classes > 1,
            "a cross-entropy of one output",
            "is always 0; use Loss::binary_cross_entropy() and a logistic function, or an output \
             for each class",
        )?;
        let Some(weights) = &self.class_weights else {
            return Ok(());
        };
        let is_binary = self.is_binary(shape.classes);
        let setting = format!("class_weights of {} classes", weights.len());
        require(
            weights.len() == if is_binary { 2 } else { shape.classes },
            &setting,
            "must hold one weight for each output of the network, and two for a single output",
        )?;
        require(
            is_binary || is_cross_entropy || matches!(targets, Targets::Classes(_)),
            setting,
            "mean nothing where an example may be of several classes or of none",
        )
    }
}
