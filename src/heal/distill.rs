use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::error::{HealingError, Result};
use crate::graph::{Graph, Node, NodeId, Pick};
use crate::layers::Layer;
use crate::model::{Model, ModelVariable};
use crate::ops::{self, Extent};
use crate::optim::{Adam, Clip, OptimizerState, Update};
use crate::train::{Schedule, with_gradient};

use super::blocks::End;
use super::healing::{Adapting, Healing};
use super::lessons::{Each, Lessons};
use super::progress::{HealPhase, Progress};
use super::seam::{Seam, frozen};

const OUTPUT_RATE: f64 = 3e-3;
const FEATURE_RATE: f64 = 1e-3;
const ADAPTING_RATE: f64 = 1e-4;

/// The fraction of crops whose colors are exchanged. A few images have few
/// colors, and a layer that saw no others fails on an image that has them. A
/// layer that alone learns later features can't learn both.
const EXCHANGED: f64 = 0.3;

/// The fraction of a time limit that goes into the output.
const OUTPUT_FRACTION: f64 = 1.0 / 3.0;

/// Steps of a schedule that is followed by time.
const FINE: f64 = 1e9;

/// What sums in f64 leave of the variance of values that are all alike, as a
/// fraction of their squares.
const ROUNDING: f64 = 1e-12;

/// Values that are summed at a time: it fixes the order of sums.
const CHUNK: usize = 1 << 14;

struct Course {
    phase: HealPhase,
    /// Values of the new network, and of the old one.
    values: Vec<(Pick, Pick)>,
    /// The layers that learn, each with its rate.
    learners: Vec<(NodeId, f64)>,
    steps: usize,
    limit: Option<Duration>,
    /// The first crop.
    crop: u64,
    exchanged: f64,
}

/// How many steps were taken.
#[derive(Default)]
pub(super) struct Steps {
    /// On the output of what was replaced.
    pub(super) output: usize,
    /// On later features.
    pub(super) features: usize,
}

/// Learns from the output of what was replaced, then from later features.
pub(super) fn distill(
    seam: &Seam<'_>,
    lessons: &Lessons<'_>,
    (healing, adapting, ends): (&Healing, &[NodeId], &[End]),
    progress: &Progress<'_>,
) -> Result<Steps> {
    let started = Instant::now();
    let own = (Pick::whole(seam.node.id()), seam.target);
    let limit = healing.seconds.map(Duration::from_secs_f64);
    let later = features(seam, adapting, ends);
    let has_features = healing.feature_steps > 0 && !later.is_empty();
    let fraction = if has_features { OUTPUT_FRACTION } else { 1.0 };
    let output = Course {
        phase: HealPhase::Output,
        values: vec![own],
        learners: vec![(seam.node.id(), OUTPUT_RATE)],
        steps: healing.output_steps,
        limit: limit.map(|limit| limit.mul_f64(fraction)),
        crop: 0,
        exchanged: EXCHANGED,
    };
    let crops = healing.crops;
    let mut steps = Steps::default();
    if healing.output_steps > 0 {
        steps.output = output.follow(seam, lessons, crops, progress)?;
    }
    if !has_features || progress.is_stopped() {
        return Ok(steps);
    }
    let values = if adapting.is_empty() {
        std::iter::once(own).chain(later).collect()
    } else {
        later
    };
    let followers = adapting.iter().map(|&id| (id, ADAPTING_RATE));
    let features = Course {
        phase: HealPhase::Features,
        values,
        learners: followers.chain([(seam.node.id(), FEATURE_RATE)]).collect(),
        steps: healing.feature_steps,
        limit: limit.map(|limit| limit.saturating_sub(started.elapsed())),
        crop: steps.output as u64 * crops as u64,
        exchanged: if adapting.is_empty() { 0.0 } else { EXCHANGED },
    };
    steps.features = features.follow(seam, lessons, crops, progress)?;
    Ok(steps)
}

/// Ends of later blocks to learn from: the second that follows, or if layers
/// adapt, the first two from the last of them on.
fn features(seam: &Seam<'_>, adapting: &[NodeId], ends: &[End]) -> Vec<(Pick, Pick)> {
    let graph = seam.new.graph();
    let position = |id: NodeId| graph.position(id).unwrap_or(0);
    let first = adapting.iter().map(|&id| position(id)).max();
    let is_later = |end: &&End| match first {
        Some(first) => position(end.new.id) >= first,
        None => end.new.id != seam.node.id(),
    };
    let later = ends.iter().filter(is_later).map(|end| (end.new, end.old));
    let later: Vec<(Pick, Pick)> = later.take(2).collect();
    match first {
        Some(_) => later,
        None => later.last().copied().into_iter().collect(),
    }
}

impl Course {
    fn follow(
        &self,
        seam: &Seam<'_>,
        lessons: &Lessons<'_>,
        crops: usize,
        progress: &Progress<'_>,
    ) -> Result<usize> {
        progress.begin(self.phase, self.steps, self.limit);
        let ids: Vec<NodeId> = self.learners.iter().map(|(id, _)| *id).collect();
        let model = seam.new.learning_only(&ids)?;
        let mut optimizer = OptimizerState::new(Adam::new(OUTPUT_RATE));
        let started = Instant::now();
        let schedule = Schedule::cosine();
        let (mut step, mut continues) = (0, true);
        loop {
            let position = match self.limit {
                Some(limit) => started.elapsed().as_secs_f64() / limit.as_secs_f64(),
                None => step as f64 / self.steps as f64,
            };
            if position >= 1.0 || !continues {
                return seam.check_finite(&model).map(|()| step);
            }
            // The schedule counts steps; a time is a fraction of many small ones.
            let factor = schedule.factor((position * FINE) as u64, 1, FINE as u64);
            let first = self.crop + (step * crops) as u64;
            let x = lessons.crops(first, crops, self.exchanged)?;
            let loss = self.step(seam, &model, &x, (&mut optimizer, factor))?;
            step += 1;
            continues = progress.step(Some(loss))?;
        }
    }

    fn step(
        &self,
        seam: &Seam<'_>,
        model: &Model,
        x: &Each<Tensor>,
        (optimizer, factor): (&mut OptimizerState, f64),
    ) -> Result<f64> {
        let (news, olds): (Vec<Pick>, Vec<Pick>) = self.values.iter().copied().unzip();
        let wanted = seam
            .old
            .run(&x.old.to_device(seam.old.device())?, &olds, false)?;
        let given = model.run(&x.new.to_device(model.device())?, &news, true)?;
        let pairs = given.iter().zip(&wanted);
        let losses = pairs.map(|(given, wanted)| relative_error(seam, given, wanted));
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
fn relative_error(seam: &Seam<'_>, given: &Tensor, wanted: &Tensor) -> Result<Tensor> {
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
        return Err(seam.non_finite());
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

/// The layers that learn too, each checked.
pub(super) fn adapting(seam: &Seam<'_>, which: &Adapting) -> Result<Vec<NodeId>> {
    let graph = seam.new.graph();
    let ids: Vec<NodeId> = match which {
        Adapting::None => Vec::new(),
        Adapting::Next => next_convolutions(graph, seam.node.id()),
        Adapting::Layers(select) => {
            let picks = select.select(graph)?.picks;
            picks.iter().map(|pick| pick.id).collect()
        }
    };
    let following = graph.followers(seam.node.id());
    let refuse = |id: NodeId, reason| {
        Err(HealingError::NotAdaptable {
            layer: graph.expect_node(id).name().to_string(),
            reason,
        }
        .into())
    };
    if let Some(&id) = ids.iter().find(|id| !following.contains(id)) {
        return refuse(id, "it does not follow the healed layer");
    }
    let has_parameters = |id: &NodeId| !graph.expect_node(*id).parameters().is_empty();
    let learners: Vec<NodeId> = ids.iter().copied().filter(has_parameters).collect();
    if let (Some(&id), true) = (ids.first(), learners.is_empty()) {
        return refuse(id, "it has no parameters");
    }
    let mut nodes = learners.iter().map(|&id| graph.expect_node(id));
    match nodes.find(|node| node.is_frozen()) {
        Some(node) => Err(frozen(node)),
        None => Ok(learners),
    }
}

/// The first convolutions on every way from a node.
fn next_convolutions(graph: &Graph, id: NodeId) -> Vec<NodeId> {
    let is_next = |node: &Node| node.id() != id && matches!(node.layer(), Layer::Conv2d(_));
    let found = graph.descendants_through(id, |node| !is_next(node));
    graph.ids_where(|node| is_next(node) && found.contains(&node.id()))
}
