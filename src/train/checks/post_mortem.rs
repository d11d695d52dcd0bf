use crate::graph::Graph;
use crate::train::history::{EpochRecord, Finding, Progress};
use crate::train::loss::Loss;

use super::findings::class_count;

/// Notes a validation loss that was not finite, and a loss that is still that of
/// guessing.
pub(in crate::train) fn look_back(progress: &mut Progress, loss: &Loss, graph: &Graph) {
    let is_broken = |record: &&EpochRecord| {
        let validation = record.validation.as_ref();
        validation.is_some_and(|validation| !validation.loss.is_finite())
    };
    if let Some(epoch) = progress
        .epochs
        .iter()
        .find(is_broken)
        .map(|record| record.epoch)
    {
        progress.note(Finding::ValidationNotFinite { epoch });
    }
    let is_chance = |finding: &Finding| matches!(finding, Finding::LossOfChance { .. });
    progress.findings.retain(|finding| !is_chance(finding));
    if let Some(finding) = chance_finding(&progress.epochs, loss, graph) {
        progress.note(finding);
    }
}

fn chance_finding(epochs: &[EpochRecord], loss: &Loss, graph: &Graph) -> Option<Finding> {
    if epochs.len() < 2 || !loss.is_cross_entropy() {
        return None;
    }
    let chance = (class_count(graph, loss)? as f64).ln();
    let loss = epochs.last()?.train.loss;
    let is_close = (loss - chance).abs() <= 0.01 * chance;
    is_close.then_some(Finding::LossOfChance { loss, chance })
}
