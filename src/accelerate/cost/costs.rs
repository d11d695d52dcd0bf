use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::layers::Conv2d;
use crate::model::Model;

use super::super::units::{Unit, plain_conv, tail};
use super::grid::Grid;
use super::timing::{Kind, Varies, median_ms};

/// What a network costs, by the channels that are left in each unit.
#[derive(Clone, Debug)]
pub(in super::super) struct Costs {
    layers: Vec<LayerCost>,
    /// What all other layers cost.
    rest: f64,
    /// The measured cost of the whole over the sum of its layers.
    scale: f64,
}

#[derive(Clone, Debug)]
struct LayerCost {
    name: String,
    /// The units whose channels it takes and gives.
    input: Option<usize>,
    output: Option<usize>,
    in_channels: usize,
    out_channels: usize,
    table: Table,
}

#[derive(Clone, Debug)]
enum Table {
    /// So much for each pair of channels, and for each output channel.
    Product {
        pair: f64,
        output: f64,
    },
    Grid(Grid),
}

impl Table {
    fn at(&self, inputs: usize, outputs: usize) -> f64 {
        match self {
            Self::Product { pair, output } => {
                inputs as f64 * outputs as f64 * pair + outputs as f64 * output
            }
            Self::Grid(grid) => grid.at(inputs, outputs),
        }
    }
}

impl Costs {
    /// The whole cost with these channels in the units.
    pub(in super::super) fn total(&self, widths: &[usize]) -> f64 {
        let layers = self.layers.iter().map(|layer| layer.cost(widths));
        (self.rest + layers.sum::<f64>()) * self.scale
    }

    /// The whole cost of a relative with other numbers of channels.
    pub(super) fn of(&self, graph: &Graph) -> f64 {
        let layers = self.layers.iter().filter_map(|layer| {
            let node = graph.named(&layer.name)?;
            let inputs = graph.input_shapes(node).first()?.channels();
            Some(layer.table.at(inputs, node.shape().channels()))
        });
        (self.rest + layers.sum::<f64>()) * self.scale
    }

    /// The cost of each layer.
    pub(in super::super) fn each(&self, widths: &[usize]) -> Vec<(&str, f64)> {
        let layers = self.layers.iter();
        let each = layers.map(|layer| (layer.name.as_str(), layer.cost(widths) * self.scale));
        each.collect()
    }

    fn layers(
        graph: &Graph,
        units: &[Unit],
        mut table: impl FnMut(&Node, &Conv2d) -> Result<Table>,
    ) -> Result<Vec<LayerCost>> {
        let mut layers = Vec::new();
        for node in graph.nodes() {
            let Some(conv) = plain_conv(node) else {
                continue;
            };
            layers.push(LayerCost {
                name: node.name().to_string(),
                input: units
                    .iter()
                    .position(|unit| unit.readers.contains(&node.id())),
                output: units.iter().position(|unit| unit.layer == node.id()),
                in_channels: graph.input_shapes(node)[0].channels(),
                out_channels: conv.out_channels,
                table: table(node, conv)?,
            });
        }
        Ok(layers)
    }

    /// Multiply-accumulates of one example `(C, H, W)`.
    pub(in super::super) fn macs(graph: &Graph, units: &[Unit], x: &Tensor) -> Result<Self> {
        let (_, channels, height, width) = x.dims4()?;
        let graph = graph.clone().input((channels, height, width))?;
        let layers = Self::layers(&graph, units, |node, conv| {
            let (height, width) = node.shape().size().unwrap_or((1, 1));
            let taps = conv.kernel_size.0 * conv.kernel_size.1;
            Ok(Table::Product {
                pair: (height * width * taps) as f64,
                output: 0.0,
            })
        })?;
        let all = graph.plan().macs.unwrap_or(0) as f64;
        Ok(Self::with_rest(layers, all))
    }

    pub(in super::super) fn parameters(graph: &Graph, units: &[Unit]) -> Result<Self> {
        let layers = Self::layers(graph, units, |_, conv| {
            Ok(Table::Product {
                pair: (conv.kernel_size.0 * conv.kernel_size.1) as f64,
                output: f64::from(u8::from(conv.bias)),
            })
        })?;
        Ok(Self::with_rest(layers, graph.parameter_count() as f64))
    }

    fn with_rest(layers: Vec<LayerCost>, all: f64) -> Self {
        let own: f64 = layers.iter().map(LayerCost::whole).sum();
        Self {
            layers,
            rest: (all - own).max(0.0),
            scale: 1.0,
        }
    }

    /// Milliseconds at this batch, measured on this machine: each kind of
    /// convolution at some numbers of channels, and the whole. Each is the median
    /// of some runs.
    pub(in super::super) fn milliseconds(
        model: &Model,
        units: &[Unit],
        x: &Tensor,
        runs: usize,
    ) -> Result<Self> {
        let graph = model.graph();
        let (_, channels, height, width) = x.dims4()?;
        let sized = graph.shapes_at((channels, height, width))?;
        let mut known: Vec<(Kind, Grid)> = Vec::new();
        let layers = Self::layers(graph, units, |node, conv| {
            let tail = tail(graph, node.id()).into_iter();
            let kind = Kind {
                conv: conv.clone(),
                input: sized.of(node.inputs()[0]),
                tail: tail
                    .map(|id| graph.expect_node(id).layer().clone())
                    .collect(),
                batch: x.dim(0)?,
                varies: Varies {
                    input: units.iter().any(|unit| unit.readers.contains(&node.id())),
                    output: units.iter().any(|unit| unit.layer == node.id()),
                },
            };
            if let Some((_, grid)) = known.iter().find(|(other, _)| *other == kind) {
                return Ok(Table::Grid(grid.clone()));
            }
            let grid = kind.measure(runs)?;
            known.push((kind, grid.clone()));
            Ok(Table::Grid(grid))
        })?;
        let own: f64 = layers.iter().map(LayerCost::whole).sum();
        let all = median_ms(model, x, runs)?;
        Ok(Self {
            layers,
            rest: (all - own).max(0.0),
            scale: (all / own).min(1.0),
        })
    }
}

impl LayerCost {
    fn cost(&self, widths: &[usize]) -> f64 {
        let inputs = self.input.map_or(self.in_channels, |unit| widths[unit]);
        let outputs = self.output.map_or(self.out_channels, |unit| widths[unit]);
        self.table.at(inputs, outputs)
    }

    fn whole(&self) -> f64 {
        self.table.at(self.in_channels, self.out_channels)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use candle_core::{DType, Device};

    use super::super::super::units::units;
    use super::*;
    use crate::surgery::Prune;
    use crate::vgg::Vgg16;

    #[test]
    fn a_relative_costs_what_its_own_plan_says() {
        let graph = Vgg16::options().widths(16).without_top().untrained(0);
        let graph = graph.and_then(|graph| graph.input((3, 64, 64)));
        let model = graph.unwrap().build(&Device::Cpu).unwrap();
        let units = units(model.graph(), &HashSet::new());
        let x = Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu).unwrap();
        let costs = Costs::macs(model.graph(), &units, &x).unwrap();
        let narrower = model
            .prune_filters("block2_conv2", Prune::fraction(0.25))
            .unwrap();
        for graph in [model.graph(), narrower.graph()] {
            assert_eq!(costs.of(graph), graph.plan().macs.unwrap() as f64);
        }
    }
}
