use crate::error::Result;
use crate::heal::Target;
use crate::model::Model;

use super::cost::{Costs, speedup};
use super::measure::{Measured, measure, targets_at};
use super::report::{AccelerationReport, BlockReport, LayerReport, SpeedReport};
use super::session::Session;
use super::units::plain_conv;

/// Batches that the report gives times for.
const BATCHES: [usize; 2] = [1, 8];

/// How near a network's values are to the old network's.
struct Compared {
    /// At the convolutions, in the graph's order.
    layers: Vec<BlockReport>,
    ends: Vec<BlockReport>,
}

impl Session<'_> {
    pub(super) fn report(
        &mut self,
        network: &Model,
        widths: &[usize],
        (targets, steps): (&[Target], usize),
    ) -> Result<AccelerationReport> {
        let all = self.all_channels();
        let predicted = self.cost(&all) / self.cost(widths);
        let mut speed = Vec::new();
        for batch in BATCHES {
            let found = speedup(
                &self.old,
                network,
                &self.batch(batch)?,
                self.settings.runs(),
            )?;
            let is_planned = self.settings.budget.is_time() && batch == self.settings.batch;
            speed.push(SpeedReport {
                batch,
                ms_before: found.before,
                ms: found.after,
                speedup: found.ratio,
                predicted: is_planned.then_some(predicted),
            });
        }
        let compared = self.compare(network, widths, targets)?;
        let macs = Costs::macs(self.old.graph(), &self.units, &self.batch(1)?)?;
        let counts = [&self.old, network].map(|model| model.graph().parameter_count() as f64);
        let top1 = network.verify(&self.old, self.measured_images)?.top1;
        self.clock.lap("measuring");
        Ok(AccelerationReport {
            layers: self.layers(network, widths, &compared),
            blocks: compared.ends,
            top1,
            speed,
            macs: macs.total(&all) / macs.total(widths),
            parameters: counts[0] / counts[1],
            bytes_before: parameter_bytes(&self.old),
            bytes: parameter_bytes(network),
            held_out: self.settings.measured.as_ref().map(|images| images.len()),
            steps,
            seconds: self.clock.seconds(),
            parts: self.clock.parts.clone(),
        })
    }

    /// How near all convolutions and the ends of blocks are to the old network's.
    fn compare(&self, network: &Model, widths: &[usize], ends: &[Target]) -> Result<Compared> {
        let convs = self
            .old
            .graph()
            .ids_where(|node| plain_conv(node).is_some());
        let mut targets = ends.to_vec();
        targets.extend(targets_at(&self.old, &convs, self.choice(widths))?);
        let exam = Measured::Whole(&self.exam);
        let mut ends_and_layers = measure(network, &self.old, &targets, exam)?;
        let layers = ends_and_layers.split_off(ends.len());
        Ok(Compared {
            layers,
            ends: ends_and_layers,
        })
    }

    fn layers(&self, network: &Model, widths: &[usize], compared: &Compared) -> Vec<LayerReport> {
        let is_time = self.settings.budget.is_time();
        let before = self.layer_costs(&self.all_channels()).into_iter();
        let rows = before.zip(self.layer_costs(widths));
        let channels = |model: &Model, layer: &str| {
            let node = model.graph().named(layer);
            node.map_or(0, |node| node.shape().channels())
        };
        let r2 = |layer: &str| {
            let mut rows = compared.layers.iter();
            rows.find(|row| row.layer == layer)
                .map_or(f64::NAN, |row| row.r2)
        };
        rows.map(|((layer, before), (_, now))| LayerReport {
            layer: layer.to_string(),
            channels_before: channels(&self.old, layer),
            channels: channels(network, layer),
            ms_before: is_time.then_some(before),
            ms: is_time.then_some(now),
            r2: r2(layer),
        })
        .collect()
    }
}

fn parameter_bytes(model: &Model) -> u64 {
    let sizes = model.parameters().map(|parameter| {
        let size = parameter.tensor.dtype().size_in_bytes();
        parameter.tensor.elem_count() as u64 * size as u64
    });
    sizes.sum()
}
