use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::graph::{Graph, NodeId, Pick};
use crate::heal::{Lessons, Target};
use crate::layers::Layer;
use crate::model::Model;
use crate::surgery::Comparison;

use super::pruned::Choice;
use super::report::BlockReport;
use super::units::keeps_channels;

/// The ends of blocks: the values before every pool, and the layers that count.
fn ends(graph: &Graph, counting: &[NodeId]) -> Vec<NodeId> {
    let is_pool = |id: &NodeId| {
        let layer = graph.expect_node(*id).layer();
        matches!(layer, Layer::MaxPool2d(_) | Layer::AvgPool2d(_))
    };
    let pools = graph.ids().into_iter().filter(|id| is_pool(id));
    let mut ends: Vec<NodeId> = pools.map(|id| graph.expect_node(id).inputs()[0]).collect();
    for id in counting {
        if !ends.contains(id) && !is_pool(id) {
            ends.push(*id);
        }
    }
    ends
}

/// The layer whose channels a value has, before pools and activations.
pub(super) fn source(graph: &Graph, id: NodeId) -> NodeId {
    let mut path = graph.path_to(id);
    let found = path.find(|node| !keeps_channels(node.layer()));
    found.map_or(id, |node| node.id())
}

/// The ends of blocks, on the channels that are left.
pub(super) fn targets(old: &Model, counting: &[NodeId], choice: Choice<'_>) -> Result<Vec<Target>> {
    targets_at(old, &ends(old.graph(), counting), choice)
}

/// The values of layers, on the channels that are left.
pub(super) fn targets_at(old: &Model, ids: &[NodeId], choice: Choice<'_>) -> Result<Vec<Target>> {
    let targets = ids.iter().map(|&id| {
        let source = source(old.graph(), id);
        let kept = choice.kept(source);
        let kept = kept
            .map(|kept| Tensor::new(kept, &Device::Cpu))
            .transpose()?;
        Ok(Target {
            new: Pick::whole(id),
            old: Pick::whole(id),
            kept,
        })
    });
    targets.collect()
}

/// What two networks are compared on.
#[derive(Clone, Copy)]
pub(super) enum Measured<'a> {
    /// Whole images.
    Whole(&'a Lessons<'a>),
    /// Crops of the images that no filter was fitted to.
    Crops(&'a Lessons<'a>),
}

/// The first of these crops, and how many there are.
const FIRST_CROP: u64 = 1 << 28;
const CROPS: usize = 12;

impl Measured<'_> {
    fn len(self) -> usize {
        match self {
            Self::Whole(lessons) => lessons.len(),
            Self::Crops(_) => CROPS,
        }
    }

    fn input(self, index: usize) -> Result<Tensor> {
        Ok(match self {
            Self::Whole(lessons) => lessons.whole(index)?.old,
            Self::Crops(lessons) => lessons.crops(FIRST_CROP + index as u64, 1, 0.0)?.old,
        })
    }
}

/// How near the ends of blocks are to the old network's.
pub(super) fn measure(
    new: &Model,
    old: &Model,
    targets: &[Target],
    measured: Measured<'_>,
) -> Result<Vec<BlockReport>> {
    let picks: Vec<Pick> = targets.iter().map(|target| target.new).collect();
    let mut comparisons = vec![Comparison::default(); targets.len()];
    for index in 0..measured.len() {
        let x = measured.input(index)?.to_device(old.device())?;
        let (news, olds) = (new.run(&x, &picks, false)?, old.run(&x, &picks, false)?);
        let values = news.iter().zip(&olds);
        for ((comparison, target), (new, old)) in comparisons.iter_mut().zip(targets).zip(values) {
            comparison.add(new, &target.wanted(old)?)?;
        }
    }
    let rows = targets.iter().zip(&comparisons);
    let rows = rows.map(|(target, comparison)| {
        let layer = old.graph().expect_node(target.old.id).name();
        let check = comparison.check(layer);
        BlockReport {
            layer: check.layer,
            r2: check.r2,
            cosine: check.cosine,
        }
    });
    Ok(rows.collect())
}
