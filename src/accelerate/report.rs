use std::fmt;

use serde::Serialize;

use crate::graph::in_bytes;

/// What an acceleration achieved. Prints as a table, and serializes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AccelerationReport {
    /// The convolutions, in the graph's order.
    pub layers: Vec<LayerReport>,
    /// The ends of blocks, before every pool, the outputs and the layers that were to be
    /// preserved.
    pub blocks: Vec<BlockReport>,
    /// The fraction of the images measured on, from 0 to 1, whose largest output is
    /// of the same class in both networks. Each position of a feature map counts.
    /// `None` if the output is a single value without classes.
    pub top1: Option<f64>,
    /// Measured in alternation with the old network, at batch 1 and 8.
    pub speed: Vec<SpeedReport>,
    /// How many times fewer multiplications there are.
    pub macs: f64,
    /// How many times fewer parameters there are.
    pub parameters: f64,
    /// Bytes of all parameters before.
    pub bytes_before: u64,
    /// Bytes of all parameters now.
    pub bytes: u64,
    /// How many images it was measured on, if they were not those learned from.
    pub held_out: Option<usize>,
    /// Steps of gradient descent whose result was kept.
    pub steps: usize,
    /// Seconds since the calibration began.
    pub seconds: f64,
    /// What they were spent on.
    pub parts: Vec<PartReport>,
}

/// Seconds of one part of the work.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PartReport {
    /// The part.
    pub part: String,
    /// Its seconds.
    pub seconds: f64,
}

/// A convolution before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerReport {
    /// The layer.
    pub layer: String,
    /// Its channels before.
    pub channels_before: usize,
    /// Its channels now.
    pub channels: usize,
    /// Predicted milliseconds before; `None` if the budget is no time.
    pub ms_before: Option<f64>,
    /// Predicted milliseconds now.
    pub ms: Option<f64>,
    /// How near its values are to the old ones, on the channels that are left: one
    /// minus the squared error over the squared deviation.
    pub r2: f64,
}

/// How near the end of a block is to the old network's, on the channels that are
/// left.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BlockReport {
    /// The layer.
    pub layer: String,
    /// One minus the squared error over the squared deviation; 1 if equal.
    pub r2: f64,
    /// The cosine of the angle between the values; 1 if equal.
    pub cosine: f64,
}

/// The time of a forward pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpeedReport {
    /// Images in the batch.
    pub batch: usize,
    /// Milliseconds of the old network.
    pub ms_before: f64,
    /// Milliseconds of the new one.
    pub ms: f64,
    /// The median of the ratios.
    pub speedup: f64,
    /// What the model of costs predicted; `None` for other batches.
    pub predicted: Option<f64>,
}

impl AccelerationReport {
    fn write_speed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for speed in &self.speed {
            write!(
                f,
                "batch {}: {:.1} ms -> {:.1} ms, {:.2} times as fast",
                speed.batch, speed.ms_before, speed.ms, speed.speedup
            )?;
            match speed.predicted {
                Some(predicted) => writeln!(f, " ({predicted:.2} predicted)")?,
                None => writeln!(f)?,
            }
        }
        writeln!(
            f,
            "{:.2} times fewer multiplications, {:.2} times fewer parameters, {} -> {}",
            self.macs,
            self.parameters,
            in_bytes(self.bytes_before),
            in_bytes(self.bytes)
        )
    }

    fn write_layers(&self, f: &mut fmt::Formatter<'_>, width: usize) -> fmt::Result {
        write!(f, "{:<width$} {:>8} {:>5}", "layer", "channels", "left")?;
        writeln!(f, " {:>9} {:>7} {:>7}", "ms before", "ms", "R2")?;
        for row in &self.layers {
            let (before, left) = (row.channels_before, row.channels);
            write!(f, "{:<width$} {before:>8} {left:>5}", row.layer)?;
            match (row.ms_before, row.ms) {
                (Some(before), Some(now)) => write!(f, " {before:>9.2} {now:>7.2}")?,
                _ => write!(f, "{:18}", "")?,
            }
            writeln!(f, " {:>7.4}", row.r2)?;
        }
        writeln!(f, "{:<width$} {:>8} {:>8}", "block", "R2", "cosine")?;
        for row in &self.blocks {
            let (r2, cosine) = (row.r2, row.cosine);
            writeln!(f, "{:<width$} {r2:>8.4} {cosine:>8.4}", row.layer)?;
        }
        Ok(())
    }
}

impl fmt::Display for AccelerationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_speed(f)?;
        let layers = self.layers.iter().map(|row| &row.layer);
        let names = layers.chain(self.blocks.iter().map(|row| &row.layer));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
        self.write_layers(f, width.max("layer".len()))?;
        match self.held_out {
            Some(1) => writeln!(f, "measured on 1 other image")?,
            Some(count) => writeln!(f, "measured on {count} other images")?,
            None => writeln!(f, "measured on the images learned from")?,
        }
        if let Some(top1) = self.top1 {
            writeln!(f, "same strongest output: {:.1} %", 100.0 * top1)?;
        }
        write!(f, "{:.1} s:", self.seconds)?;
        for (index, part) in self.parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {} {:.1} s", part.part, part.seconds)?;
        }
        match self.steps {
            0 => writeln!(f),
            steps => writeln!(f, "; {steps} steps"),
        }
    }
}
