//! Grad-CAM on VGG16, compared with its lower bound: a forward pass to the layer,
//! and a pass from there to a class and back.

use candle_core::{Device, Tensor, Var};
use divan::Bencher;
use vgg_surgery::{Explainer, Graph, Model, Vgg16};

fn main() {
    divan::main();
}

const LAYER: &str = "block5_conv3";
const CLASS: usize = 281;

fn model(graph: Graph) -> Model {
    graph
        .build(&Device::Cpu)
        .expect("an untrained network builds")
}

fn image() -> Tensor {
    Tensor::rand(-1f32, 1f32, (1, 3, 224, 224), &Device::Cpu).expect("there is memory")
}

#[divan::bench(sample_count = 15)]
fn grad_cam(bencher: Bencher<'_, '_>) {
    let (model, x) = (model(Vgg16::untrained(0)), image());
    let explainer = Explainer::new(&model).expect("VGG16 has classes");
    bencher.bench_local(|| explainer.grad_cam(LAYER, &x, CLASS));
}

#[divan::bench(sample_count = 15)]
fn to_the_layer_and_back_to_it(bencher: Bencher<'_, '_>) {
    let (front, back) = Vgg16::untrained(0)
        .input((3, 224, 224))
        .and_then(|graph| graph.split_at(LAYER))
        .expect("VGG16 can be split at its last convolution");
    let (front, back, x) = (model(front), model(back), image());
    bencher.bench_local(|| -> vgg_surgery::Result<Option<Tensor>> {
        let value = Var::from_tensor(&front.forward(&x)?)?;
        let scores = back.forward(&value)?;
        let gradients = scores.narrow(1, CLASS, 1)?.sum_all()?.backward()?;
        Ok(gradients.get(&value).cloned())
    });
}
