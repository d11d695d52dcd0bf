use candle_core::{DType, Device, Tensor};

use crate::data::{Mask, Targets};
use crate::error::{Error, Result, TrainingError, require};

use super::definition::Loss;

/// The sizes of scores `(N, K, ..)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScoreShape {
    pub(super) batch: usize,
    pub(super) classes: usize,
    /// Pixels of a feature map, 1 of a vector.
    pub(super) positions: usize,
}

impl ScoreShape {
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

    pub(super) fn per_example(&self) -> usize {
        self.classes * self.positions
    }
}

/// Whether two tensors hold a batch of the same size and the same axes, apart
/// from axes of size 1.
pub(in crate::train) fn have_same_layout(one: &Tensor, other: &Tensor) -> bool {
    let long_axes = |tensor: &Tensor| -> Vec<usize> {
        let axes = tensor.dims().iter().skip(1).copied();
        axes.filter(|&size| size != 1).collect()
    };
    one.dims().first() == other.dims().first() && long_axes(one) == long_axes(other)
}

pub(in crate::train) fn f64_values(tensor: &Tensor) -> Result<Vec<f64>> {
    let tensor = tensor.detach().to_device(&Device::Cpu)?.flatten_all()?;
    Ok(tensor.to_dtype(DType::F64)?.to_vec1()?)
}

impl Loss {
    pub(super) fn check_classes(&self, shape: &ScoreShape, targets: &Targets) -> Result<()> {
        let is_cross_entropy = self.is_cross_entropy();
        require(
            !is_cross_entropy || shape.classes > 1,
            "a cross-entropy of one output",
            "is always 0; use Loss::binary_cross_entropy() and a sigmoid, or an output for each \
             class",
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
            "need one class for each example, but these targets may hold several or none",
        )
    }
}

pub(super) struct ScoreTargets<'a> {
    loss: &'a Loss,
    targets: Kept,
    shape: ScoreShape,
    /// The probability of a class in the uniform distribution.
    uniform: f64,
    is_binary: bool,
    labeled: Labeled,
}

/// The positions of a batch that count, of which some may have no class.
struct Labeled {
    /// `None` if all count.
    at: Option<Vec<bool>>,
    /// Makes the mean over all positions one over those that count.
    scale: f64,
}

impl Labeled {
    fn of(targets: &Targets) -> Result<Self> {
        let all = Self {
            at: None,
            scale: 1.0,
        };
        let Targets::Values(map) = targets else {
            return Ok(all);
        };
        if map.dtype() != DType::U32 {
            return Ok(all);
        }
        let classes = map.detach().flatten_all()?.to_vec1::<u32>()?;
        let at: Vec<bool> = classes.iter().map(|&c| c != Mask::NO_CLASS).collect();
        let count = at.iter().filter(|&&is_labeled| is_labeled).count();
        Ok(match count == at.len() {
            true => all,
            false => Self {
                scale: at.len() as f64 / count.max(1) as f64,
                at: Some(at),
            },
        })
    }

    fn weight(&self, position: usize) -> f64 {
        match &self.at {
            Some(at) if at.get(position) == Some(&false) => 0.0,
            _ => self.scale,
        }
    }

    /// The values, with 0 where none counts.
    fn only(&self, mut values: Vec<f64>) -> Vec<f64> {
        for (value, &is_labeled) in values.iter_mut().zip(self.at.iter().flatten()) {
            if !is_labeled {
                *value = 0.0;
            }
        }
        values
    }
}

enum Kept {
    /// The class of each position of each example.
    Classes(Vec<usize>),
    /// 0 or 1 for a single score.
    Binary(Vec<usize>),
    Values(Vec<f64>),
}

impl<'a> ScoreTargets<'a> {
    pub(super) fn new(
        loss: &'a Loss,
        targets: &Targets,
        scores: &Tensor,
        shape: ScoreShape,
    ) -> Result<Self> {
        let labeled = Labeled::of(targets)?;
        let targets = match targets {
            Targets::Classes(classes) => classes_of(loss, classes, scores, &shape)?,
            Targets::Values(map) if is_class_map(map, scores)? => {
                classes_of(loss, &map_classes(map)?, scores, &shape)?
            }
            Targets::Soft(tensor) | Targets::Values(tensor) => {
                if !have_same_layout(scores, tensor) {
                    return Err(misfit(loss, scores, format!("targets {:?}", tensor.dims())));
                }
                let values = labeled.only(f64_values(tensor)?);
                if loss.has_logits() {
                    check_fractions(loss, &values)?;
                }
                Kept::Values(values)
            }
        };
        Ok(Self {
            loss,
            targets,
            shape,
            uniform: if loss.is_cross_entropy() {
                1.0 / shape.classes as f64
            } else {
                0.5
            },
            is_binary: loss.is_binary(shape.classes),
            labeled,
        })
    }

    pub(super) fn target(&self, example: usize, score: usize) -> f64 {
        let target = self.unsmoothed(example, score);
        let smoothing = self.loss.smoothing;
        if smoothing == 0.0 {
            return target;
        }
        target * (1.0 - smoothing) + smoothing * self.uniform
    }

    fn unsmoothed(&self, example: usize, score: usize) -> f64 {
        match &self.targets {
            Kept::Classes(classes) => {
                let positions = self.shape.positions;
                let class = classes[example * positions + score % positions];
                f64::from(u8::from(class == score / positions))
            }
            Kept::Binary(classes) => classes[example] as f64,
            Kept::Values(values) => values[example * self.shape.per_example() + score],
        }
    }

    /// The weight of a position of an example: the mean of the class weights,
    /// weighted by the targets.
    pub(super) fn weight(&self, example: usize, position: usize) -> f64 {
        let labeled = self
            .labeled
            .weight(example * self.shape.positions + position);
        match labeled {
            0.0 => 0.0,
            scale => scale * self.class_weight(example, position),
        }
    }

    fn class_weight(&self, example: usize, position: usize) -> f64 {
        let Some(weights) = &self.loss.class_weights else {
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

/// Whether integers are the class of each position, `(N, ..)` for scores
/// `(N, K, ..)`.
fn is_class_map(map: &Tensor, scores: &Tensor) -> Result<bool> {
    let is_map = map.dtype().is_int() && !have_same_layout(scores, map);
    Ok(is_map && have_same_layout(&scores.narrow(1, 0, 1)?, map))
}

/// A negative class becomes one that no network has.
fn map_classes(map: &Tensor) -> Result<Vec<usize>> {
    let classes = map.detach().flatten_all()?.to_dtype(DType::I64)?;
    let classes = classes.to_vec1::<i64>()?.into_iter();
    Ok(classes
        .map(|class| usize::try_from(class).unwrap_or(usize::MAX))
        .collect())
}

fn classes_of(loss: &Loss, classes: &[usize], scores: &Tensor, shape: &ScoreShape) -> Result<Kept> {
    if classes.len() != shape.batch * shape.positions || !loss.has_logits() {
        return Err(misfit(loss, scores, format!("{} classes", classes.len())));
    }
    let is_binary = loss.is_binary(shape.classes);
    let count = if is_binary { 2 } else { shape.classes };
    let is_ignored = |class| shape.positions > 1 && class == Mask::NO_CLASS as usize;
    let is_beyond = |&class: &usize| class >= count && !is_ignored(class);
    if let Some(index) = classes.iter().position(is_beyond) {
        return Err(Error::ClassOutOfRange {
            example: Some(index / shape.positions),
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
    } else if loss.has_logits() {
        format!("targets {output:?}, like the output, or a class (u32) for each position")
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
