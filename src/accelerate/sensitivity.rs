use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{NodeId, Pick};
use crate::heal::Lessons;
use crate::model::Model;
use crate::surgery::Comparison;

use super::calibrate::{AT_A_TIME, Studied};
use super::pruned::Fitted;
use super::units::Unit;

/// Batches of crops that are measured on.
const BATCHES: u64 = 2;

/// The first of these crops, beyond those of the calibration.
const FIRST: u64 = 1 << 20;

/// How much of a unit's error arrives at the network's outputs: about half of its
/// channels are left out, with the filters that read them fitted again, and
/// nothing else changes.
pub(super) fn gains(
    old: &Model,
    units: &[Unit],
    studied: &[Studied],
    lessons: &Lessons<'_>,
) -> Result<Vec<f64>> {
    let outputs = old.graph().outputs().iter();
    let outputs: Vec<Pick> = outputs.map(|&id| Pick::whole(id)).collect();
    let mut crops = Vec::new();
    for turn in 0..BATCHES {
        let x = lessons.crops(FIRST + turn * AT_A_TIME as u64, AT_A_TIME, 0.0)?;
        let x = x.old.to_device(old.device())?;
        let wanted = old.run(&x, &outputs, false)?;
        crops.push((x, wanted));
    }
    let units = units.iter().zip(studied);
    let gains = units.map(|(unit, studied)| {
        let sample = &studied.curve.sample;
        let mut values: Vec<(NodeId, &str, Tensor)> = Vec::new();
        for (&reader, filters) in unit.readers.iter().zip(&sample.filters) {
            let fitted = Fitted::of(filters, old, reader)?;
            let parameters = fitted.parameters();
            values.extend(parameters.map(|(name, values)| (reader, name, values.clone())));
        }
        let kept = studied.curve.kept(sample.left);
        let with = old.keep_filters("sample", unit.layer, &kept, &values)?;
        let mut lost = 0.0;
        for (index, _) in outputs.iter().enumerate() {
            let mut comparison = Comparison::default();
            for (x, wanted) in &crops {
                comparison.add(&with.run(x, &outputs, false)?[index], &wanted[index])?;
            }
            lost += 1.0 - comparison.check("").r2;
        }
        let own = studied.curve.error(sample.left).max(1e-9);
        Ok((lost / outputs.len() as f64 / own).max(1e-9))
    });
    gains.collect()
}
