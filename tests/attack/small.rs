//! A network and a training that take no time.

use std::path::Path;

use candle_core::{Device, Tensor};
use vgg_surgery::train::{Checkpoint, CsvLog, Schedule};
use vgg_surgery::{
    Adam, BatchNorm2d, Conv2d, Dense, Graph, Head, Model, TensorDataset, Trainer, Vgg16, WeightSet,
};

use crate::noise::noise;

pub const EPOCHS: u64 = 12;

pub fn images(count: usize) -> Tensor {
    noise((count, 3, 8, 8), 5)
}

pub fn built(graph: &Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

/// A head on frozen layers.
pub fn graph(base: Option<&Path>) -> Graph {
    let options = Vgg16::options().widths(16);
    let graph = match base {
        Some(base) => options.pretrained_from(WeightSet::file(base)),
        None => options.untrained(7),
    };
    let head = Head::new()
        .conv2d("conv", Conv2d::new(4, 3).same().relu())
        .batch_norm2d("norm", BatchNorm2d::new())
        .global_avg_pool2d("pool")
        .dropout("dropout", 0.25)
        .dense("out", Dense::new(2).softmax());
    let graph = graph.unwrap().truncate("block2_pool").unwrap();
    graph.freeze_all().attach(head).unwrap()
}

pub fn data() -> TensorDataset {
    let classes: Vec<usize> = (0..8).map(|index| index % 2).collect();
    TensorDataset::new(images(8), classes).unwrap()
}

/// A training with a state, without its callbacks.
pub fn plain(model: &mut Model) -> Trainer<'_> {
    Trainer::new(model)
        .optimizer(Adam::new(1e-2))
        .schedule(Schedule::cosine())
        .batch_size(4)
        .seed(3)
        .epochs(EPOCHS)
}

/// The training with a log and a checkpoint of every epoch in a folder.
pub fn trainer<'m>(model: &'m mut Model, folder: &Path) -> Trainer<'m> {
    plain(model)
        .callback(CsvLog::new(folder.join("log.csv")))
        .callback(Checkpoint::new(folder.join("run.safetensors")))
}

pub fn bits(tensor: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// All values of a model.
pub fn weights(model: &Model) -> Vec<Vec<u32>> {
    model.parameters().map(|found| bits(found.tensor)).collect()
}
