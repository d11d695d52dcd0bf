//! From pictures to tensors.

#[cfg(feature = "image")]
mod decode;
mod labels;
mod parity;
mod pipeline;
mod properties;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use vgg_surgery::{Filter, Picture};

const FILTERS: [Filter; 3] = [Filter::Nearest, Filter::Bilinear, Filter::Bicubic];

fn tensors(path: impl AsRef<Path>) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn fixtures() -> HashMap<String, Tensor> {
    tensors(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/preprocess/pillow.safetensors"
    ))
}

/// A picture from a u8 tensor `(H, W, 3)`.
fn picture(tensor: &Tensor) -> Picture {
    let (height, width, _) = tensor.dims3().unwrap();
    let bytes: Vec<u8> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    Picture::from_rgb8(width, height, bytes).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
