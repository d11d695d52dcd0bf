//! Gradient descent on values of another network.

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::{HealingError, Result};
use crate::graph::{NodeId, Pick};
use crate::model::{Model, ModelVariable};
use crate::ops::{self, Extent};
use crate::optim::{Adam, Clip, OptimizerState, Update, is_finite};
use crate::train::{Schedule, with_gradient};

use super::lessons::{Each, Lessons};
use super::progress::{HealPhase, Progress};

/// Steps of a schedule that is followed by time.
const FINE: f64 = 1e9;

/// What sums in f64 leave of the variance of values that are all alike, as a
/// fraction of their squares.
const ROUNDING: f64 = 1e-12;

/// Values that are summed at a time: it fixes the order of sums.
const CHUNK: usize = 1 << 14;

/// A network that learns, and the one that it learns from.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) new: &'a Model,
    pub(crate) old: &'a Model,
    /// The layer that errors name.
    pub(crate) layer: &'a str,
}

impl Pair<'_> {
    pub(super) fn non_finite(&self) -> crate::error::Error {
        HealingError::NonFinite {
            layer: self.layer.to_string(),
        }
        .into()
    }

    /// Checks what was learned: gradients may overflow where losses don't.
    fn check_finite(&self, learned: &Model) -> Result<()> {
        for found in learned.variables().filter(|found| !found.is_buffer) {
            if !is_finite(found.variable)? {
                return Err(self.non_finite());
            }
        }
        Ok(())
    }
}

/// A value to learn, and where the old network has it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) new: Pick,
    pub(crate) old: Pick,
    /// The channels of the old value that the new one has; `None` for all.
    pub(crate) kept: Option<Tensor>,
}

impl Target {
    pub(crate) fn same(new: Pick, old: Pick) -> Self {
        Self {
            new,
            old,
            kept: None,
        }
    }

    pub(crate) fn wanted(&self, old: &Tensor) -> Result<Tensor> {
        Ok(match &self.kept {
            Some(kept) => old.contiguous()?.index_select(kept, 1)?,
            None => old.clone(),
        })
    }
}

pub(crate) struct Course {
    pub(crate) phase: HealPhase,
    pub(crate) values: Vec<Target>,
    /// The layers that learn, each with its rate.
    pub(crate) learners: Vec<(NodeId, f64)>,
    pub(crate) steps: usize,
    pub(crate) limit: Option<Duration>,
    /// The first crop.
    pub(crate) crop: u64,
    pub(crate) exchanged: f64,
}

impl Course {
    pub(crate) fn follow(
        &self,
        pair: Pair<'_>,
        lessons: &Lessons<'_>,
        crops: usize,
        progress: &Progress<'_>,
    ) -> Result<usize> {
        progress.begin(self.phase, self.steps, self.limit);
        let ids: Vec<NodeId> = self.learners.iter().map(|(id, _)| *id).collect();
        let model = pair.new.learning_only(&ids)?;
        let mut optimizer = OptimizerState::new(Adam::new(1e-3));
        let started = Instant::now();
        let schedule = Schedule::cosine();
        let (mut step, mut continues) = (0, true);
        loop {
            let position = match self.limit {
                Some(limit) => started.elapsed().as_secs_f64() / limit.as_secs_f64(),
                None => step as f64 / self.steps as f64,
            };
            if position >= 1.0 || !continues {
                return pair.check_finite(&model).map(|()| step);
            }
            // The schedule counts steps; a time is a fraction of many small ones.
            let factor = schedule.factor((position * FINE) as u64, 1, FINE as u64);
            let first = self.crop + (step * crops) as u64;
            let x = lessons.crops(first, crops, self.exchanged)?;
            let loss = self.step(pair, &model, &x, (&mut optimizer, factor))?;
            step += 1;
            continues = progress.step(Some(loss))?;
        }
    }

    fn step(
        &self,
        pair: Pair<'_>,
        model: &Model,
        x: &Each<Tensor>,
        (optimizer, factor): (&mut OptimizerState, f64),
    ) -> Result<f64> {
        let news: Vec<Pick> = self.values.iter().map(|target| target.new).collect();
        let olds: Vec<Pick> = self.values.iter().map(|target| target.old).collect();
        let old = pair.old;
        let wanted = old.run(&x.old.to_device(old.device())?, &olds, false)?;
        let given = model.run(&x.new.to_device(model.device())?, &news, true)?;
        let values = self.values.iter().zip(&wanted);
        let wanted = values.map(|(target, old)| target.wanted(old));
        let losses = given.iter().zip(wanted);
        let losses = losses.map(|(given, wanted)| relative_error(pair, given, &wanted?));
        let losses = losses.collect::<Result<Vec<Tensor>>>()?;
        let loss = ops::add(&losses)?;
        let mut gradients = ops::backward(&loss)?;
        let mut found: Vec<(ModelVariable<'_>, f64, Tensor)> = Vec::new();
        for variable in model.variables().filter(|variable| !variable.is_buffer) {
            let mut learners = self.learners.iter();
            let rate = learners.find(|(id, _)| *id == variable.node.id());
            if let (Some(&(_, rate)), Some(gradient)) = (rate, gradients.take(variable.variable)?) {
                found.push((variable, rate * factor, gradient));
            }
        }
        let updates = found.iter().map(|(found, learning_rate, gradient)| Update {
            name: &found.name,
            variable: found.variable,
            gradient,
            learning_rate: *learning_rate,
            decay: None,
        });
        optimizer.step(&updates.collect::<Vec<_>>(), Clip::None)?;
        Ok(loss.to_dtype(DType::F64)?.to_scalar()?)
    }
}

/// The mean squared error over the variance of what is wanted, if that varies,
/// as a scalar with its gradient.
fn relative_error(pair: Pair<'_>, given: &Tensor, wanted: &Tensor) -> Result<Tensor> {
    let (values, targets) = (floats(given)?, floats(wanted)?);
    let count = targets.len() as f64;
    let chunks = targets.par_chunks(CHUNK);
    let sums: Vec<(f64, f64)> = chunks
        .map(|chunk| {
            let values = chunk.iter().map(|&value| f64::from(value));
            values.fold((0.0, 0.0), |(sum, squares), v| (sum + v, squares + v * v))
        })
        .collect();
    let sum: f64 = sums.iter().map(|sums| sums.0).sum();
    let squares: f64 = sums.iter().map(|sums| sums.1).sum();
    let deviation = squares - sum * sum / count;
    let varies = deviation > squares * ROUNDING;
    let deviation = if varies { deviation } else { count };
    let scale = (2.0 / deviation) as f32;
    let mut gradient = values;
    let errors: Vec<f64> = gradient
        .par_chunks_mut(CHUNK)
        .zip(targets.par_chunks(CHUNK))
        .map(|(values, targets)| {
            let pairs = values.iter_mut().zip(targets);
            pairs.fold(0.0, |sum, (value, target)| {
                let error = *value - target;
                *value = error * scale;
                sum + f64::from(error) * f64::from(error)
            })
        })
        .collect();
    let value = errors.iter().sum::<f64>() / deviation;
    if !value.is_finite() {
        return Err(pair.non_finite());
    }
    let gradient = Tensor::from_vec(gradient, given.shape(), &Device::Cpu)?;
    let gradient = gradient
        .to_dtype(given.dtype())?
        .to_device(given.device())?;
    with_gradient(given, value, gradient)
}

/// The numbers of a value, channels first.
fn floats(value: &Tensor) -> Result<Vec<f32>> {
    let value = value
        .detach()
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F32)?;
    if value.rank() != 4 || value.is_contiguous() {
        return Ok(value.flatten_all()?.to_vec1()?);
    }
    let last: Vec<f32> = value.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()?;
    Ok(ops::channels_first(Extent::of(&value)?, &last).0)
}
