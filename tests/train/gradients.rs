use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::data::Targets;
use vgg_surgery::layers::{Add, Concat, Upsample};
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{Activation, AvgPool2d, BatchNorm2d, Conv2d, Dense, Graph, Head, Loss, Model};

use crate::{assert_near, noise, values};

/// A chain with every kind of layer that learns or passes gradients on.
fn chain() -> Graph {
    let head = Head::new()
        .conv2d(
            "conv1",
            Conv2d::new(4, 3).same().activation(Activation::Gelu),
        )
        .max_pool2d("max_pool", 2)
        .batch_norm2d("norm", BatchNorm2d::new().activation(Activation::Tanh))
        .conv2d("conv2", Conv2d::new(6, 3).relu())
        .avg_pool2d("avg_pool", AvgPool2d::new(2))
        .flatten("flatten")
        .dense("fc", Dense::new(5).sigmoid())
        .dense("out", Dense::new(3));
    let graph = Graph::new("chain", (2, 12, 12)).unwrap().seed(5);
    graph.attach(head).unwrap()
}

/// Branches that are added and joined.
fn branches() -> Graph {
    let mut graph = Graph::new("branches", (2, 8, 8)).unwrap().seed(6);
    let input = graph.node_id("input").unwrap();
    let a = graph
        .add("a", Conv2d::new(3, 3).same().relu(), [input])
        .unwrap();
    let b = graph
        .add("b", Conv2d::new(3, 3).same().stride(2), [a])
        .unwrap();
    let up = graph.add("up", Upsample::to(a), [b]).unwrap();
    let sum = graph.add("sum", Add, [a, up]).unwrap();
    let join = graph.add("join", Concat::channels(), [sum, a]).unwrap();
    let graph = graph.with_outputs([join]).unwrap();
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(3));
    graph.attach(head).unwrap()
}

fn built(graph: &Graph, dtype: DType) -> Model {
    let options = BuildOptions::new().dtype(dtype);
    graph.build_with(&Device::Cpu, &options).unwrap()
}

fn loss(model: &Model, x: &Tensor) -> Tensor {
    let scores = model.forward_training(x).unwrap();
    let targets = Targets::Classes(vec![0, 2, 1]);
    let loss = Loss::cross_entropy().label_smoothing(0.1);
    loss.compute(&scores, &targets, None).unwrap()
}

fn gradients(model: &Model, x: &Tensor) -> Vec<Vec<f64>> {
    let gradients = loss(model, x).backward().unwrap();
    let variables = model.trainable_variables();
    let of = |variable: &Var| values(gradients.get(variable).unwrap());
    variables.iter().map(of).collect()
}

/// Central differences of the loss in f64, for some values of each parameter.
/// Rounding changes them by 1e-16 over the step, 1e-10. Such a small step moves no
/// value past the bend of a ReLU or to another maximum of a window.
fn assert_are_slopes(graph: &Graph, x: &Tensor) {
    const STEP: f64 = 1e-6;
    let model = built(graph, DType::F64);
    let found = gradients(&model, x);
    for (variable, gradient) in model.trainable_variables().iter().zip(&found) {
        let start = values(variable);
        for place in (0..start.len()).step_by(start.len().div_ceil(7)) {
            let mut side = [0.0; 2];
            for (loss_there, sign) in side.iter_mut().zip([1.0, -1.0]) {
                let mut moved = start.clone();
                moved[place] += sign * STEP;
                let moved = Tensor::from_vec(moved, variable.shape(), &Device::Cpu).unwrap();
                variable.set(&moved).unwrap();
                *loss_there = values(&loss(&model, x))[0];
            }
            let slope = (side[0] - side[1]) / (2.0 * STEP);
            assert_near(&[gradient[place]], &[slope], 1e-8, "slope");
        }
        let start = Tensor::from_vec(start, variable.shape(), &Device::Cpu).unwrap();
        variable.set(&start).unwrap();
    }
}

/// The same in f32, which on the CPU other code computes.
fn assert_agree_in_f32(graph: &Graph, x: &Tensor) {
    let expected = gradients(&built(graph, DType::F64), x);
    let actual = gradients(&built(graph, DType::F32), x);
    assert_eq!(actual.len(), expected.len());
    for (actual, expected) in actual.iter().zip(&expected) {
        assert_near(actual, expected, 1e-5, "f32");
    }
}

#[test]
fn gradients_through_a_chain_are_slopes_of_the_loss() {
    let x = noise((3, 2, 12, 12), 3);
    assert_are_slopes(&chain(), &x);
    assert_agree_in_f32(&chain(), &x);
}

#[test]
fn gradients_through_branches_are_slopes_of_the_loss() {
    let x = noise((3, 2, 8, 8), 4);
    assert_are_slopes(&branches(), &x);
    assert_agree_in_f32(&branches(), &x);
}
