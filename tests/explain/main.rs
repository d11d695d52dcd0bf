//! Explanations of networks: images, attributions, distances, probes.

mod binary;
mod edges;
mod evidence;
mod gray;
mod half;
#[path = "../../examples/common/hed.rs"]
mod hed;
mod images;
mod oracle;
mod placed;
mod probe;
#[cfg(feature = "image")]
mod report;
mod synthesis;

use candle_core::{Device, Tensor};
use vgg_surgery::{Graph, Model, Vgg16};

/// An untrained VGG16 at 1/16 of its width, for images of any size and 10 classes.
fn whole() -> Graph {
    Vgg16::options()
        .widths(16)
        .hidden(32)
        .classes(10)
        .untrained(7)
        .unwrap()
}

fn built(graph: Graph) -> Model {
    graph.build(&Device::Cpu).unwrap()
}

fn tensor(values: &[f32], shape: impl Into<candle_core::Shape>) -> Tensor {
    Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
}

/// Pseudorandom values between -1 and 1, the same each time.
fn noise(shape: impl Into<candle_core::Shape>) -> Tensor {
    let shape = shape.into();
    let mut state = 1u32;
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}
