use candle_core::Tensor;

use crate::data::Targets;
use crate::error::{Result, TrainingError};

use super::loss::{Loss, values};

/// The sizes of scores `(N, K, ..)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dims {
    pub(super) batch: usize,
    pub(super) classes: usize,
    /// Pixels of a map, 1 of a vector.
    pub(super) positions: usize,
}

impl Dims {
    pub(super) fn of(scores: &Tensor, loss: &'static str) -> Result<Self> {
        match *scores.dims() {
            [batch, classes, ref rest @ ..] if batch > 0 && classes > 0 => Ok(Self {
                batch,
                classes,
                positions: rest.iter().product(),
            }),
            _ => Err(TrainingError::Targets {
                loss,
                expected: "an output (N, K, ..)".to_string(),
                actual: format!("{:?}", scores.dims()),
            }
            .into()),
        }
    }

    fn each(&self) -> usize {
        self.classes * self.positions
    }
}

/// What every score should be.
pub(super) struct Goal {
    targets: Wanted,
    dims: Dims,
    smoothing: f64,
    uniform: f64,
    is_yes_or_no: bool,
}

enum Wanted {
    /// One class of several.
    Classes(Vec<usize>),
    /// 0 or 1 of one output.
    Binary(Vec<usize>),
    Values(Vec<f64>),
}

impl Goal {
    pub(super) fn new(loss: &Loss, targets: &Targets, scores: &Tensor) -> Result<Self> {
        let dims = &Dims::of(scores, loss.name())?;
        let targets = match targets {
            Targets::Classes(classes) => class_goals(loss, classes, scores, dims)?,
            Targets::Soft(tensor) | Targets::Values(tensor) => {
                if !are_laid_out_alike(scores, tensor) {
                    return Err(misfit(loss, scores, format!("targets {:?}", tensor.dims())));
                }
                let values = values(tensor)?;
                if loss.has_logits() {
                    check_shares(loss, &values)?;
                }
                Wanted::Values(values)
            }
        };
        let is_smoothed = loss.has_logits();
        Ok(Self {
            targets,
            dims: *dims,
            smoothing: if is_smoothed { loss.smoothing } else { 0.0 },
            uniform: if loss.is_cross_entropy() {
                1.0 / dims.classes as f64
            } else {
                0.5
            },
            is_yes_or_no: loss.is_yes_or_no(dims),
        })
    }

    /// What the `at`th score of an example should be.
    pub(super) fn at(&self, example: usize, at: usize) -> f64 {
        let goal = self.plain(example, at);
        if self.smoothing == 0.0 {
            return goal;
        }
        goal * (1.0 - self.smoothing) + self.smoothing * self.uniform
    }

    fn plain(&self, example: usize, at: usize) -> f64 {
        match &self.targets {
            Wanted::Classes(classes) => f64::from(u8::from(classes[example] == at)),
            Wanted::Binary(classes) => classes[example] as f64,
            Wanted::Values(values) => values[example * self.dims.each() + at],
        }
    }

    /// The weight of what is wanted at a position of an example.
    pub(super) fn weight(&self, weights: Option<&[f64]>, example: usize, position: usize) -> f64 {
        let Some(weights) = weights else {
            return 1.0;
        };
        if self.is_yes_or_no {
            let share = self.plain(example, position);
            return share * weights[1] + (1.0 - share) * weights[0];
        }
        let classes = weights.iter().enumerate();
        let parts = classes.map(|(class, weight)| {
            let at = class * self.dims.positions + position;
            self.plain(example, at) * weight
        });
        parts.sum()
    }
}

/// Whether each value of one belongs to one of the other: the same batch of the
/// same axes, but for those of size 1.
pub(super) fn are_laid_out_alike(one: &Tensor, other: &Tensor) -> bool {
    let long = |tensor: &Tensor| -> Vec<usize> {
        let axes = tensor.dims().iter().skip(1).copied();
        axes.filter(|&size| size != 1).collect()
    };
    one.dims().first() == other.dims().first() && long(one) == long(other)
}

/// What sums of shares in f32 may be beyond 0 and 1.
const ROUNDING: f64 = 1e-5;

/// Cross-entropies of other values than shares have no least value.
fn check_shares(loss: &Loss, values: &[f64]) -> Result<()> {
    let is_share = |value: &&f64| (-ROUNDING..=1.0 + ROUNDING).contains(*value);
    match values.iter().find(|value| !is_share(value)) {
        None => Ok(()),
        Some(value) => Err(TrainingError::Targets {
            loss: loss.name(),
            expected: "shares from 0 to 1 (for other values take Loss::mean_squared_error())"
                .to_string(),
            actual: format!("{value}"),
        }
        .into()),
    }
}

fn class_goals(loss: &Loss, classes: &[usize], scores: &Tensor, dims: &Dims) -> Result<Wanted> {
    if classes.len() != dims.batch || dims.positions != 1 || !loss.has_logits() {
        return Err(misfit(loss, scores, format!("{} classes", classes.len())));
    }
    let is_binary = loss.is_yes_or_no(dims);
    let count = if is_binary { 2 } else { dims.classes };
    if let Some(index) = classes.iter().position(|&class| class >= count) {
        return Err(TrainingError::ClassOutOfRange {
            index,
            class: classes[index],
            classes: count,
        }
        .into());
    }
    Ok(if is_binary {
        Wanted::Binary(classes.to_vec())
    } else {
        Wanted::Classes(classes.to_vec())
    })
}

fn misfit(loss: &Loss, scores: &Tensor, actual: String) -> crate::error::Error {
    let output = scores.dims();
    let is_map = output.iter().skip(2).any(|&size| size != 1);
    let expected = if loss.has_logits() && !is_map {
        format!("{} classes or targets {output:?}", output[0])
    } else {
        format!("targets {output:?}, as the output is")
    };
    TrainingError::Targets {
        loss: loss.name(),
        expected,
        actual,
    }
    .into()
}
