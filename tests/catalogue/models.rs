use candle_core::{Device, Tensor};
use vgg_surgery::{Dense, Graph, Head, Model, Vgg16, Vgg16Bn};

pub fn built(graph: &Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

pub fn nano() -> Graph {
    Vgg16::nano().input((3, 32, 32)).unwrap()
}

pub fn frozen() -> Model {
    built(&nano().truncate("block2_conv1").unwrap().freeze_all())
}

/// The last pool and the classifier.
pub fn top() -> Model {
    let whole = Vgg16::options().widths(16).untrained(0).unwrap();
    let sized = whole.input((3, 32, 32)).unwrap();
    built(&sized.slice("block5_pool"..).unwrap())
}

/// Block 1 and a layer more.
pub fn chain() -> Model {
    built(&nano().truncate("block2_conv1").unwrap())
}

/// Block 1 under a classifier of two dense layers.
pub fn classifier() -> Model {
    let head = Head::new()
        .max_pool2d("pool", 4)
        .flatten("flatten")
        .dense("fc1", Dense::new(16).relu())
        .dense("out", Dense::new(4));
    let graph = nano().truncate("block1_pool").unwrap();
    built(&graph.attach(head).unwrap())
}

pub fn normed() -> Model {
    let whole = Vgg16Bn::options().widths(16).untrained(0).unwrap();
    let sized = whole.input((3, 32, 32)).unwrap();
    built(&sized.truncate("block1_pool").unwrap())
}

/// An input of the networks, with a value of its own in every place.
pub fn input() -> Tensor {
    let values = (0..3 * 32 * 32).map(|i| ((i * i) % 251) as f32 / 251.0 - 0.5);
    let values = Tensor::from_iter(values, &Device::Cpu).unwrap();
    values.reshape((1, 3, 32, 32)).unwrap()
}
