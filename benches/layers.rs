//! The layers of VGG16 at 224x224, one by one, at batch 1 and 8, on the CPU:
//! forward, the gradient of the input, and the gradients of the parameters.
//!
//! Items are the floating-point operations of the direct algorithm, two for each
//! product, and Gitem/s are GFLOP/s. The actual algorithm may need fewer. A pool
//! counts one for each value it reads. The gradients' times include the time in
//! which candle adds them to the gradients of their tensors.

use std::fmt;

use candle_core::{Device, Tensor, Var};
use divan::Bencher;
use divan::counter::ItemsCount;
use vgg_surgery::graph::Shape;
use vgg_surgery::layers::Layer;
use vgg_surgery::{Conv2d, Dense, Graph, MaxPool2d, Model};

fn main() {
    divan::main();
}

/// A layer of VGG16 that represents all layers of the same shape.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    kind: Kind,
    batch: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Convolution {
        in_channels: usize,
        out_channels: usize,
        side: usize,
    },
    Pool {
        channels: usize,
        side: usize,
    },
    Dense {
        features: usize,
        units: usize,
    },
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x{}", self.name, self.batch)
    }
}

impl Kind {
    const fn convolution(in_channels: usize, out_channels: usize, side: usize) -> Self {
        Self::Convolution {
            in_channels,
            out_channels,
            side,
        }
    }

    fn input(self) -> Shape {
        match self {
            Self::Convolution {
                in_channels, side, ..
            } => Shape::map(in_channels, side, side),
            Self::Pool { channels, side } => Shape::map(channels, side, side),
            Self::Dense { features, .. } => Shape::vector(features),
        }
    }

    fn layer(self) -> Layer {
        match self {
            Self::Convolution { out_channels, .. } => {
                Conv2d::new(out_channels, 3).same().relu().into()
            }
            Self::Pool { .. } => MaxPool2d::new(2).into(),
            Self::Dense { units, .. } => Dense::new(units).relu().into(),
        }
    }

    fn operations(self) -> usize {
        match self {
            Self::Convolution {
                in_channels,
                out_channels,
                side,
            } => 2 * 9 * in_channels * out_channels * side * side,
            Self::Pool { channels, side } => channels * side * side,
            Self::Dense { features, units } => 2 * features * units,
        }
    }
}

impl Case {
    fn operations(self) -> ItemsCount {
        ItemsCount::new(self.kind.operations() * self.batch)
    }

    fn graph(self) -> Graph {
        let mut graph = Graph::new(self.name, self.kind.input()).expect("the input is legal");
        let input = graph.outputs()[0];
        let layer = graph
            .add(self.name, self.kind.layer(), [input])
            .expect("the layer fits its input");
        graph
            .with_outputs([layer])
            .expect("the layer is in the graph")
    }

    fn frozen(self) -> Model {
        build(self.graph().freeze_all())
    }

    /// Channels last in memory, as in feature maps between layers.
    fn input(self) -> Tensor {
        let (channels, side) = match self.kind {
            Kind::Convolution {
                in_channels, side, ..
            } => (in_channels, side),
            Kind::Pool { channels, side } => (channels, side),
            Kind::Dense { features, .. } => return random((self.batch, features)),
        };
        random((self.batch, side, side, channels))
            .permute((0, 3, 1, 2))
            .expect("there are four dimensions")
    }
}

fn random(shape: impl Into<candle_core::Shape>) -> Tensor {
    Tensor::rand(-1f32, 1f32, shape, &Device::Cpu).expect("there is memory")
}

fn build(graph: Graph) -> Model {
    graph
        .build(&Device::Cpu)
        .expect("an untrained layer builds")
}

const LAYERS: [(&str, Kind); 17] = [
    ("block1_conv1", Kind::convolution(3, 64, 224)),
    ("block1_conv2", Kind::convolution(64, 64, 224)),
    ("block2_conv1", Kind::convolution(64, 128, 112)),
    ("block2_conv2", Kind::convolution(128, 128, 112)),
    ("block3_conv1", Kind::convolution(128, 256, 56)),
    ("block3_conv2", Kind::convolution(256, 256, 56)),
    ("block4_conv1", Kind::convolution(256, 512, 28)),
    ("block4_conv2", Kind::convolution(512, 512, 28)),
    ("block5_conv1", Kind::convolution(512, 512, 14)),
    ("block1_pool", pool(64, 224)),
    ("block2_pool", pool(128, 112)),
    ("block3_pool", pool(256, 56)),
    ("block4_pool", pool(512, 28)),
    ("block5_pool", pool(512, 14)),
    ("fc1", dense(25_088, 4096)),
    ("fc2", dense(4096, 4096)),
    ("predictions", dense(4096, 1000)),
];

const fn pool(channels: usize, side: usize) -> Kind {
    Kind::Pool { channels, side }
}

const fn dense(features: usize, units: usize) -> Kind {
    Kind::Dense { features, units }
}

fn cases() -> impl Iterator<Item = Case> {
    LAYERS
        .into_iter()
        .flat_map(|(name, kind)| [1, 8].map(|batch| Case { name, kind, batch }))
}

fn cases_with_parameters() -> impl Iterator<Item = Case> {
    cases().filter(|case| !matches!(case.kind, Kind::Pool { .. }))
}

#[divan::bench(args = cases(), sample_count = 9, sample_size = 1)]
fn forward(bencher: Bencher<'_, '_>, case: Case) {
    let (model, x) = (case.frozen(), case.input());
    bencher
        .counter(case.operations())
        .bench_local(|| model.forward(&x).expect("the input is legal"));
}

#[divan::bench(args = cases(), sample_count = 9, sample_size = 1)]
fn input_gradient(bencher: Bencher<'_, '_>, case: Case) {
    let model = case.frozen();
    let x = Var::from_tensor(&case.input()).expect("there is memory");
    bencher
        .counter(case.operations())
        .with_inputs(|| model.forward_training(&x).expect("the input is legal"))
        .bench_local_values(|y| y.backward().expect("the layer has a gradient"));
}

#[divan::bench(args = cases_with_parameters(), sample_count = 9, sample_size = 1)]
fn parameter_gradients(bencher: Bencher<'_, '_>, case: Case) {
    let (model, x) = (build(case.graph()), case.input());
    bencher
        .counter(case.operations())
        .with_inputs(|| model.forward_training(&x).expect("the input is legal"))
        .bench_local_values(|y| y.backward().expect("the layer has a gradient"));
}
