use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::graph::{NodeId, Pick};
use crate::heal::{Lessons, Target};
use crate::model::Model;
use crate::surgery::Comparison;

use super::closed_form::{AT_A_TIME, Studied};
use super::measure::source;
use super::pruned::Fitted;
use super::units::Unit;

/// The number of the first crop; the calibration uses lower numbers.
const FIRST: u64 = 1 << 20;

/// How much of a unit's error arrives at the layers that count: about half of its
/// channels are left out, with the filters that read them fitted again, and
/// nothing else changes. It is measured on `count` crops.
pub(super) fn gains(
    old: &Model,
    counting: &[NodeId],
    (units, studied): (&[Unit], &[Studied]),
    (lessons, count): (&Lessons<'_>, usize),
) -> Result<Vec<f64>> {
    let picks: Vec<Pick> = counting.iter().map(|&id| Pick::whole(id)).collect();
    let mut crops = Vec::new();
    for start in (0..count).step_by(AT_A_TIME) {
        let x = lessons.crops(FIRST + start as u64, AT_A_TIME, 0.0)?;
        let x = x.old.to_device(old.device())?;
        let wanted = old.run(&x, &picks, false)?;
        crops.push((x, wanted));
    }
    let units = units.iter().zip(studied);
    let gains = units.map(|(unit, studied)| {
        let sample = &studied.sample;
        let mut values: Vec<(NodeId, &str, Tensor)> = Vec::new();
        for (&reader, filters) in unit.readers.iter().zip(&sample.filters) {
            let fitted = Fitted::of(filters, old, reader)?;
            let parameters = fitted.parameters();
            values.extend(parameters.map(|(name, values)| (reader, name, values.clone())));
        }
        let kept = studied.curve.kept(sample.left);
        let with = old.keep_filters("sample", unit.layer, &kept, &values)?;
        let remaining = Tensor::new(kept.as_slice(), &Device::Cpu)?;
        let targets = counting.iter().map(|&id| Target {
            kept: (source(old.graph(), id) == unit.layer).then(|| remaining.clone()),
            ..Target::same(Pick::whole(id), Pick::whole(id))
        });
        let targets: Vec<Target> = targets.collect();
        let mut comparisons = vec![Comparison::default(); picks.len()];
        for (x, wanted) in &crops {
            let given = with.run(x, &picks, false)?;
            let values = given.iter().zip(wanted).zip(&targets);
            for (comparison, ((given, wanted), target)) in comparisons.iter_mut().zip(values) {
                comparison.add(given, &target.wanted(wanted)?)?;
            }
        }
        let lost = comparisons.iter().map(|found| 1.0 - found.check("").r2);
        let lost: f64 = lost.sum();
        let own = studied.curve.error(sample.left).max(1e-9);
        Ok((lost / picks.len() as f64 / own).max(1e-9))
    });
    gains.collect()
}
