//! Whole networks on the CPU, beside candle's own VGG16 with the feature
//! `candle-transformers`.

use candle_core::{Device, Tensor};
use divan::Bencher;
use vgg_surgery::{Graph, Model, Vgg16};

fn main() {
    divan::main();
}

fn model(graph: Graph) -> Model {
    graph
        .build(&Device::Cpu)
        .expect("an untrained network builds")
}

fn images(batch: usize, side: usize) -> Tensor {
    Tensor::rand(-1f32, 1f32, (batch, 3, side, side), &Device::Cpu).expect("there is memory")
}

#[divan::bench(sample_count = 9)]
fn vgg16_224_batch_1(bencher: Bencher<'_, '_>) {
    let (model, x) = (model(Vgg16::untrained(0)), images(1, 224));
    bencher.bench_local(|| model.forward(&x).expect("the image is legal"));
}

#[cfg(feature = "candle-transformers")]
#[divan::bench(sample_count = 9)]
fn candle_vgg16_224_batch_1(bencher: Bencher<'_, '_>) {
    use candle_core::{DType, ModuleT};
    use candle_transformers::models::vgg::{Models, Vgg};

    let weights = candle_nn::VarBuilder::zeros(DType::F32, &Device::Cpu);
    let model = Vgg::new(weights, Models::Vgg16).expect("zeros have every shape");
    let image = images(1, 224).squeeze(0).expect("there is one image");
    bencher.bench_local(|| model.forward_t(&image, false).expect("the image is legal"));
}

#[divan::bench(sample_count = 9)]
fn block2_pool_160_batch_8(bencher: Bencher<'_, '_>) {
    let graph = Vgg16::untrained(0).truncate("block2_pool");
    let model = model(graph.expect("VGG16 has a block2_pool"));
    let x = images(8, 160);
    bencher.bench_local(|| model.forward(&x).expect("the images are legal"));
}

fn nano(bencher: Bencher<'_, '_>, graph: Graph) {
    let (model, x) = (model(graph), images(1, 32));
    bencher.bench_local(|| model.forward(&x).expect("the image is legal"));
}

#[divan::bench(sample_count = 200)]
fn nano_32_batch_1_fixed(bencher: Bencher<'_, '_>) {
    let graph = Vgg16::nano().input((3, 32, 32));
    nano(bencher, graph.expect("the input is large enough"));
}

#[divan::bench(sample_count = 200)]
fn nano_32_batch_1_open(bencher: Bencher<'_, '_>) {
    nano(bencher, Vgg16::nano());
}

#[divan::bench]
fn edit_a_graph(bencher: Bencher<'_, '_>) {
    let graph = Vgg16::pretrained();
    bencher.bench_local(|| graph.clone().truncate("block2_pool"));
}

#[divan::bench]
fn plan(bencher: Bencher<'_, '_>) {
    let graph = Vgg16::pretrained();
    bencher.bench_local(|| graph.plan());
}
