use crate::error::Result;
use crate::graph::{Graph, NodeId, Pick};
use crate::layers::Layer;
use crate::model::Model;
use crate::surgery::{Comparison, LayerCheck};

use super::lessons::Lessons;
use super::progress::{HealPhase, Progress};
use super::seam::Twins;

/// The end of a block, in two networks.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) layer: String,
    pub(super) new: Pick,
    pub(super) old: Pick,
}

/// The ends of blocks that two networks have, in the order of the new one.
pub(super) fn ends(new: &Graph, old: &Graph) -> Vec<End> {
    let twins = Twins::between(new, old);
    let mut ends: Vec<End> = Vec::new();
    let mut push = |id: NodeId, old: Option<Pick>| {
        let Some(old) = old.filter(|_| !ends.iter().any(|end| end.new.id == id)) else {
            return;
        };
        ends.push(End {
            layer: new.expect_node(id).name().to_string(),
            new: Pick::whole(id),
            old,
        });
    };
    for pool in new.nodes().filter(|node| is_pool(node.layer())) {
        let twin = twins.of(pool).filter(|twin| is_pool(twin.layer()));
        push(
            pool.inputs()[0],
            twin.map(|twin| Pick::whole(twin.inputs()[0])),
        );
    }
    for (&id, &other) in new.outputs().iter().zip(old.outputs()) {
        let node = new.expect_node(id);
        if !is_pool(node.layer()) {
            let same = twins.value(id);
            push(id, same.or(Some(Pick::whole(other))));
        }
    }
    ends.retain(|end| new.expect_node(end.new.id).shape() == old.expect_node(end.old.id).shape());
    ends
}

fn is_pool(layer: &Layer) -> bool {
    matches!(layer, Layer::MaxPool2d(_) | Layer::AvgPool2d(_))
}

/// All images are taken together.
pub(super) fn measure(
    new: &Model,
    old: &Model,
    ends: &[End],
    (lessons, progress): (&Lessons<'_>, &Progress<'_>),
) -> Result<Vec<LayerCheck>> {
    progress.begin(HealPhase::Measure, lessons.len(), None);
    let mut comparisons = vec![Comparison::default(); ends.len()];
    let news: Vec<Pick> = ends.iter().map(|end| end.new).collect();
    let olds: Vec<Pick> = ends.iter().map(|end| end.old).collect();
    for index in 0..lessons.len() {
        let x = lessons.whole(index)?;
        let news = new.run(&x.new.to_device(new.device())?, &news, false)?;
        let olds = old.run(&x.old.to_device(old.device())?, &olds, false)?;
        for (comparison, (new, old)) in comparisons.iter_mut().zip(news.iter().zip(&olds)) {
            comparison.add(new, old)?;
        }
        progress.step(None)?;
    }
    let rows = ends.iter().zip(&comparisons);
    Ok(rows.map(|(end, found)| found.check(&end.layer)).collect())
}
