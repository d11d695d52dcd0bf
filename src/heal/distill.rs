use std::time::{Duration, Instant};

use crate::error::{HealingError, Result};
use crate::graph::{Graph, Node, NodeId, Pick};
use crate::layers::Layer;

use super::blocks::End;
use super::course::{Course, Target};
use super::healing::{Adapting, Healing};
use super::lessons::Lessons;
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
    let own = Target::same(Pick::whole(seam.node.id()), seam.target);
    let pair = seam.pair();
    let limit = healing.seconds.map(Duration::from_secs_f64);
    let later = features(seam, adapting, ends);
    let has_features = healing.feature_steps > 0 && !later.is_empty();
    let fraction = if has_features { OUTPUT_FRACTION } else { 1.0 };
    let output = Course {
        phase: HealPhase::Output,
        values: vec![own.clone()],
        learners: vec![(seam.node.id(), OUTPUT_RATE)],
        steps: healing.output_steps,
        limit: limit.map(|limit| limit.mul_f64(fraction)),
        crop: 0,
        exchanged: EXCHANGED,
    };
    let crops = healing.crops;
    let mut steps = Steps::default();
    if healing.output_steps > 0 {
        steps.output = output.follow(pair, lessons, crops, progress)?;
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
    steps.features = features.follow(pair, lessons, crops, progress)?;
    Ok(steps)
}

/// Ends of later blocks to learn from: the second that follows, or if layers
/// adapt, the first two from the last of them on.
fn features(seam: &Seam<'_>, adapting: &[NodeId], ends: &[End]) -> Vec<Target> {
    let graph = seam.new.graph();
    let position = |id: NodeId| graph.position(id).unwrap_or(0);
    let first = adapting.iter().map(|&id| position(id)).max();
    let is_later = |end: &&End| match first {
        Some(first) => position(end.new.id) >= first,
        None => end.new.id != seam.node.id(),
    };
    let later = ends
        .iter()
        .filter(is_later)
        .map(|end| Target::same(end.new, end.old));
    let later: Vec<Target> = later.take(2).collect();
    match first {
        Some(_) => later,
        None => later.last().cloned().into_iter().collect(),
    }
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
