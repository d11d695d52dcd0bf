//! Random networks with values that no constructor gives.

use candle_core::{Device, Tensor, Var};
use proptest::prelude::*;
use vgg_surgery::layers::{Add, Concat, Layer, Rescale, Upsample, ZeroPad2d};
use vgg_surgery::{
    Activation, AvgPool2d, BatchNorm2d, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, Graph,
    MaxPool2d, Model,
};

use crate::noise;

/// Height and width of the images.
pub const SIZE: (usize, usize) = (14, 11);

/// A layer: which, and of what size.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    kind: u8,
    size: usize,
}

#[derive(Clone, Debug)]
pub struct Network {
    steps: Vec<Step>,
    head: u8,
    pub seed: u32,
}

pub fn networks() -> impl Strategy<Value = Network> {
    let step = (0u8..13, 1usize..7).prop_map(|(kind, size)| Step { kind, size });
    let steps = prop::collection::vec(step, 1..9);
    (steps, 0u8..4, any::<u32>()).prop_map(|(steps, head, seed)| Network { steps, head, seed })
}

impl Step {
    fn layer(self, channels: usize) -> Layer {
        let size = self.size;
        match self.kind {
            0 | 1 => Conv2d::new(size, 3).same().relu().into(),
            2 => Conv2d::new(size, (2, 3))
                .padding((1, 0))
                .stride((1, 2))
                .into(),
            3 => Conv2d::new(size, 1).without_bias().gelu().into(),
            4 => BatchNorm2d::new().relu().into(),
            5 => BatchNorm2d::new().eps(1e-2).into(),
            6 => MaxPool2d::new(2).into(),
            7 => AvgPool2d::new(3).stride(1).padding(1).into(),
            8 => match size {
                1 | 2 => Activation::Tanh.into(),
                3 | 4 => Activation::Relu.into(),
                _ => Activation::Softmax.into(),
            },
            9 => Dropout::new(0.3).into(),
            10 => ZeroPad2d::new(1).into(),
            11 => Upsample::times(2).into(),
            _ => {
                let scale: Vec<f32> = (0..channels).map(|c| 0.5 + c as f32 * 0.25).collect();
                Rescale::per_channel(scale, vec![0.1]).into()
            }
        }
    }
}

impl Network {
    /// A chain, in the middle of which a branch may leave and come back.
    pub fn graph(&self) -> Graph {
        let mut graph = Graph::new("random", (3, SIZE.0, SIZE.1))
            .unwrap()
            .seed(self.seed.into());
        for (index, step) in self.steps.iter().enumerate() {
            let channels = graph.output_shapes()[0].channels();
            let name = format!("l{index}");
            let layer = vgg_surgery::layers::NamedLayer::new(name, step.layer(channels));
            let longer = graph.clone().attach(layer);
            if let Some(longer) = longer.ok().filter(is_small) {
                graph = longer;
            }
        }
        graph = self.branch(graph);
        let head: Vec<(&str, Layer)> = match self.head {
            0 => vec![
                ("flat", Flatten::new().into()),
                ("out", Dense::new(5).into()),
            ],
            1 => vec![
                ("flat", Flatten::hwc().into()),
                ("hidden", Dense::new(6).relu().into()),
                ("drop", Dropout::new(0.5).into()),
                ("out", Dense::new(4).softmax().into()),
            ],
            2 => vec![
                ("mean", GlobalAvgPool2d.into()),
                ("hidden", Dense::new(6).without_bias().into()),
                ("norm", BatchNorm2d::new().relu().into()),
                ("out", Dense::new(4).into()),
            ],
            _ => vec![("out", Conv2d::new(3, 1).into())],
        };
        for (name, layer) in head {
            graph = graph
                .attach(vgg_surgery::layers::NamedLayer::new(name, layer))
                .unwrap();
        }
        graph
    }

    fn branch(&self, mut graph: Graph) -> Graph {
        let last = graph.outputs()[0];
        if self.seed.is_multiple_of(3) {
            return graph;
        }
        let side = graph
            .add("side", Conv2d::new(2, 3).same().relu(), [last])
            .unwrap();
        let other = graph.add("other", Activation::Tanh, [last]).unwrap();
        let join = if self.seed % 3 == 1 {
            graph
                .add("join", Concat::channels(), [other, side, last])
                .unwrap()
        } else {
            graph.add("join", Add, [other, last]).unwrap()
        };
        graph.with_outputs([join]).unwrap()
    }

    /// The network with random biases and norms, and running statistics that
    /// differ from those of a new norm.
    pub fn model(&self) -> Model {
        trained(&self.graph(), self.seed)
    }

    pub fn images(&self) -> Tensor {
        noise((2, 3, SIZE.0, SIZE.1), self.seed ^ 77)
    }
}

/// Whether sums over the whole output stay as short as tolerances suppose.
fn is_small(graph: &Graph) -> bool {
    let elements = graph.output_shapes()[0].elements();
    elements.is_some_and(|count| count <= 8_000)
}

pub fn trained(graph: &Graph, seed: u32) -> Model {
    let model = graph.build(&Device::Cpu).unwrap();
    let variables: Vec<Var> = model.trainable_variables();
    for (index, variable) in variables.iter().enumerate() {
        let values = noise(variable.shape().clone(), seed.wrapping_add(index as u32));
        // Far enough from zero: no norm divides by almost nothing.
        let values = ((values * 0.4).unwrap() + 0.1).unwrap();
        // As many inputs, so much less each: a softmax makes a relative error
        // of the absolute one of large sums.
        let fan_in = values.dims().iter().skip(1).product::<usize>() as f64;
        let values = (values * (4.0 / fan_in.sqrt()).min(1.0)).unwrap();
        variable.set(&values).unwrap();
    }
    let (height, width) = graph.input_shape().size().unwrap();
    let channels = graph.input_shape().channels();
    for round in 0..3 {
        let x = noise((4, channels, height, width), seed ^ round);
        model.forward_training(&x).unwrap();
    }
    model
}

/// Whether a softmax that is a layer of its own follows a layer.
pub fn is_mixed_behind(model: &Model, layer: &str) -> bool {
    let nodes = model.graph().nodes();
    let mut behind = nodes.skip_while(|node| node.name() != layer).skip(1);
    behind.any(|node| *node.layer() == Layer::Activation(Activation::Softmax))
}

/// Names of layers of a kind.
pub fn named(model: &Model, wanted: impl Fn(&Layer) -> bool) -> Vec<String> {
    let nodes = model.graph().nodes().filter(|node| wanted(node.layer()));
    nodes.map(|node| node.name().to_string()).collect()
}
