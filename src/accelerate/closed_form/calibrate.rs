use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::graph::{NodeId, Part, Pick};
use crate::heal::Lessons;
use crate::layers::Conv2d;
use crate::model::Model;

use super::super::units::{Unit, plain_conv};
use super::eliminate::{Curve, eliminate};
use super::equations::Equations;
use super::samples::{FeatureMaps, Sampling, unknowns};

/// Crops that run through a network at once.
pub(in super::super) const AT_A_TIME: usize = 4;

/// Rows that are multiplied at once.
const CHUNK: usize = 1024;

/// The fraction of crops whose colors are exchanged.
const EXCHANGED: f64 = 0.3;

/// The crops that a network is calibrated on, and how much of each is used.
pub(in super::super) struct Course<'a> {
    pub(in super::super) lessons: &'a Lessons<'a>,
    pub(in super::super) crops: usize,
    pub(in super::super) sampling: Sampling,
}

impl Course<'_> {
    /// Runs over all crops, a few at a time. The function gets the number of the
    /// first crop.
    pub(super) fn each(&self, mut run: impl FnMut(usize, &Tensor) -> Result<()>) -> Result<()> {
        self.starts()
            .try_for_each(|start| run(start, &self.batch(start)?))
    }

    /// The first crop of each batch.
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> + use<> {
        (0..self.crops).step_by(AT_A_TIME)
    }

    /// The crops from `start` on that run through a network at once.
    pub(super) fn batch(&self, start: usize) -> Result<Tensor> {
        let count = AT_A_TIME.min(self.crops - start);
        Ok(self.lessons.crops(start as u64, count, EXCHANGED)?.old)
    }
}

/// What a convolution takes and gives at the positions of a course.
pub(super) struct Recorder<'a> {
    conv: &'a Conv2d,
    key: usize,
    rows: Vec<f32>,
    width: usize,
    count: usize,
    products: Option<Tensor>,
    targets: Vec<f32>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(conv: &'a Conv2d, key: usize, in_channels: usize) -> Self {
        Self {
            conv,
            key,
            rows: Vec::new(),
            width: unknowns(conv, in_channels),
            count: 0,
            products: None,
            targets: Vec::new(),
        }
    }

    fn add(
        &mut self,
        course: &Course<'_>,
        first: usize,
        input: &Tensor,
        output: &Tensor,
    ) -> Result<()> {
        let (images, _, height, width) = output.dims4()?;
        let (input, output) = (FeatureMaps::of(input)?, FeatureMaps::of(output)?);
        for image in 0..images {
            let sampling = course.sampling;
            let positions = sampling.positions((height, width), first + image, self.key);
            input.patches(self.conv, image, &positions, &mut self.rows);
            output.points(image, &positions, &mut self.targets);
        }
        if self.rows.len() >= CHUNK * self.width {
            self.multiply()?;
        }
        Ok(())
    }

    fn multiply(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let count = rows.len() / self.width;
        if count == 0 {
            return Ok(());
        }
        let rows = Tensor::from_vec(rows, (count, self.width), &Device::Cpu)?;
        let products = rows.t()?.matmul(&rows)?;
        self.products = Some(match self.products.take() {
            Some(sum) => (sum + products)?,
            None => products,
        });
        self.count += count;
        Ok(())
    }

    /// The equations of these filters, and the outputs.
    fn finish(mut self, filters: Tensor) -> Result<(Equations, Tensor)> {
        self.multiply()?;
        let products = match self.products.take() {
            Some(products) => products.to_dtype(DType::F64)?,
            None => Tensor::zeros((self.width, self.width), DType::F64, &Device::Cpu)?,
        };
        let outputs = filters.dim(0)?;
        let targets = Tensor::from_vec(self.targets, (self.count, outputs), &Device::Cpu)?;
        let equations = Equations {
            products,
            filters,
            has_bias: self.conv.bias,
            rows: self.count,
        };
        Ok((equations, targets))
    }
}

/// What is known of a unit.
pub(in super::super) struct Studied {
    pub(in super::super) curve: Curve,
    /// The outputs of each reader before the activation, a row for each position.
    pub(in super::super) targets: Vec<Tensor>,
    pub(in super::super) sample: Sample,
}

/// Filters fitted to about half of the channels.
pub(in super::super) struct Sample {
    pub(in super::super) left: usize,
    /// Of each reader, `(outputs, n)`, for the channels that are left in their
    /// order.
    pub(in super::super) filters: Vec<Tensor>,
}

/// How the error without some channels is found.
#[derive(Clone, Copy)]
pub(in super::super) enum ChannelChoice {
    /// With all filters that read the others fitted again.
    FittedAgain,
    /// With one factor for each other channel, which is faster.
    Scaled,
}

/// About how many operations it takes to remove channels of all units, with all
/// filters fitted again each time.
pub(in super::super) fn elimination(model: &Model, units: &[Unit]) -> f64 {
    let graph = model.graph();
    let readers = units.iter().flat_map(|unit| &unit.readers);
    let each = readers.filter_map(|&reader| {
        let node = graph.expect_node(reader);
        let inputs = graph.input_shapes(node).first()?.channels();
        Some(5.0 * (unknowns(plain_conv(node)?, inputs) as f64).powi(3))
    });
    each.sum()
}

/// Runs the network over the crops and finds the curve of each unit.
pub(in super::super) fn study(
    model: &Model,
    units: &[Unit],
    course: &Course<'_>,
    choice: ChannelChoice,
) -> Result<Vec<Studied>> {
    let mut studied = Vec::new();
    let mut recorders = record(model, units, course)?.into_iter();
    for unit in units {
        let (mut equations, mut targets) = (Vec::new(), Vec::new());
        for (&reader, recorder) in unit.readers.iter().zip(recorders.by_ref()) {
            let (own, given) = recorder.finish(filters(model, reader)?)?;
            equations.push(own);
            targets.push(given);
        }
        let broken = || super::super::not_finite(model.graph().expect_node(unit.layer));
        let curve = match choice {
            ChannelChoice::FittedAgain => eliminate(unit.channels, &equations)?,
            ChannelChoice::Scaled => {
                let equations = equations.iter();
                let scales = equations.map(|equations| equations.by_channel(unit.channels));
                eliminate(unit.channels, &scales.collect::<Result<Vec<_>>>()?)?
            }
        };
        let curve = curve.ok_or_else(broken)?;
        let left = unit.channels.div_ceil(2);
        let kept = curve.kept(left);
        let filters = equations.iter().map(|equations| {
            let filters = equations.refit(unit.channels, &kept)?;
            filters.ok_or_else(broken)
        });
        studied.push(Studied {
            sample: Sample {
                left,
                filters: filters.collect::<Result<_>>()?,
            },
            curve,
            targets,
        });
    }
    Ok(studied)
}

/// A recorder for each reader of each unit.
fn record<'a>(model: &'a Model, units: &[Unit], course: &Course<'_>) -> Result<Vec<Recorder<'a>>> {
    let graph = model.graph();
    let (mut picks, mut recorders) = (Vec::new(), Vec::new());
    for unit in units {
        for &reader in &unit.readers {
            let node = graph.expect_node(reader);
            if let Some(conv) = plain_conv(node) {
                picks.push(Pick::whole(node.inputs()[0]));
                picks.push(before_activation(reader));
                let key = graph.position(reader).unwrap_or(0);
                recorders.push(Recorder::new(conv, key, unit.channels));
            }
        }
    }
    course.each(|first, x| {
        let x = x.to_device(model.device())?;
        let values = model.run(&x, &picks, false)?;
        for (recorder, pair) in recorders.iter_mut().zip(values.chunks_exact(2)) {
            recorder.add(course, first, &pair[0], &pair[1])?;
        }
        Ok(())
    })?;
    Ok(recorders)
}

pub(super) fn before_activation(id: NodeId) -> Pick {
    Pick {
        id,
        part: Part::Pre,
    }
}

/// The weights of a convolution, a row for each filter with its bias at the end,
/// in f64.
pub(super) fn filters(model: &Model, id: NodeId) -> Result<Tensor> {
    let name = model.graph().expect_node(id).name();
    let mut parts = Vec::new();
    for wanted in ["weight", "bias"] {
        let mut parameters = model.parameters();
        let found = parameters.find(|p| p.layer == name && p.name == wanted);
        if let Some(found) = found {
            let values = found.tensor.detach().to_device(&Device::Cpu)?;
            let values = values.to_dtype(DType::F64)?;
            let outputs = values.dim(0)?;
            parts.push(values.reshape((outputs, ()))?);
        }
    }
    Ok(Tensor::cat(&parts, 1)?)
}
