use candle_core::Tensor;

use crate::data::Targets;
use crate::error::{Error, Result, TrainingError};

use super::definition::Loss;
use super::layout::{ScoreShape, f64_values, have_same_layout};

/// The target of every score of a batch.
pub(super) struct ScoreTargets {
    targets: Kept,
    shape: ScoreShape,
    smoothing: f64,
    uniform: f64,
    is_binary: bool,
}

enum Kept {
    /// The class of each example, of several.
    Classes(Vec<usize>),
    /// 0 or 1 for the only score.
    Binary(Vec<usize>),
    Values(Vec<f64>),
}

impl ScoreTargets {
    pub(super) fn new(loss: &Loss, targets: &Targets, scores: &Tensor) -> Result<Self> {
        let shape = ScoreShape::of(scores, loss.name())?;
        let targets = match targets {
            Targets::Classes(classes) => classes_of(loss, classes, scores, &shape)?,
            Targets::Soft(tensor) | Targets::Values(tensor) => {
                if !have_same_layout(scores, tensor) {
                    return Err(misfit(loss, scores, format!("targets {:?}", tensor.dims())));
                }
                let values = f64_values(tensor)?;
                if loss.has_logits() {
                    check_fractions(loss, &values)?;
                }
                Kept::Values(values)
            }
        };
        Ok(Self {
            targets,
            shape,
            smoothing: if loss.has_logits() {
                loss.smoothing
            } else {
                0.0
            },
            uniform: if loss.is_cross_entropy() {
                1.0 / shape.classes as f64
            } else {
                0.5
            },
            is_binary: loss.is_binary(shape.classes),
        })
    }

    /// The target of one of an example's scores.
    pub(super) fn target(&self, example: usize, score: usize) -> f64 {
        let target = self.unsmoothed(example, score);
        if self.smoothing == 0.0 {
            return target;
        }
        target * (1.0 - self.smoothing) + self.smoothing * self.uniform
    }

    fn unsmoothed(&self, example: usize, score: usize) -> f64 {
        match &self.targets {
            Kept::Classes(classes) => f64::from(u8::from(classes[example] == score)),
            Kept::Binary(classes) => classes[example] as f64,
            Kept::Values(values) => values[example * self.shape.per_example() + score],
        }
    }

    /// The weight of a position of an example: the mean of the class weights,
    /// weighted by the targets.
    pub(super) fn weight(
        &self,
        class_weights: Option<&[f64]>,
        example: usize,
        position: usize,
    ) -> f64 {
        let Some(weights) = class_weights else {
            return 1.0;
        };
        if self.is_binary {
            let target = self.unsmoothed(example, position);
            return target * weights[1] + (1.0 - target) * weights[0];
        }
        let classes = weights.iter().enumerate();
        let parts = classes.map(|(class, weight)| {
            let score = class * self.shape.positions + position;
            self.unsmoothed(example, score) * weight
        });
        parts.sum()
    }
}

/// How far sums of f32 fractions may lie outside 0 to 1.
const ROUNDING: f64 = 1e-5;

/// With targets outside 0 to 1 a cross-entropy has no minimum.
fn check_fractions(loss: &Loss, values: &[f64]) -> Result<()> {
    let is_fraction = |value: &&f64| (-ROUNDING..=1.0 + ROUNDING).contains(*value);
    match values.iter().find(|value| !is_fraction(value)) {
        None => Ok(()),
        Some(value) => Err(TrainingError::Targets {
            loss: loss.name(),
            expected: "targets from 0 to 1 (for other values use Loss::mean_squared_error())"
                .to_string(),
            actual: format!("{value}"),
        }
        .into()),
    }
}

fn classes_of(loss: &Loss, classes: &[usize], scores: &Tensor, shape: &ScoreShape) -> Result<Kept> {
    if classes.len() != shape.batch || shape.positions != 1 || !loss.has_logits() {
        return Err(misfit(loss, scores, format!("{} classes", classes.len())));
    }
    let is_binary = loss.is_binary(shape.classes);
    let count = if is_binary { 2 } else { shape.classes };
    if let Some(index) = classes.iter().position(|&class| class >= count) {
        return Err(Error::ClassOutOfRange {
            example: Some(index),
            class: classes[index],
            classes: count,
        });
    }
    Ok(if is_binary {
        Kept::Binary(classes.to_vec())
    } else {
        Kept::Classes(classes.to_vec())
    })
}

fn misfit(loss: &Loss, scores: &Tensor, actual: String) -> Error {
    let output = scores.dims();
    let is_feature_map = output.iter().skip(2).any(|&size| size != 1);
    let expected = if loss.has_logits() && !is_feature_map {
        format!("{} classes or targets {output:?}", output[0])
    } else {
        format!("targets {output:?}, like the output")
    };
    TrainingError::Targets {
        loss: loss.name(),
        expected,
        actual,
    }
    .into()
}
