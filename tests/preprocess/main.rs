//! From images to tensors.

mod crop;
#[cfg(feature = "image")]
mod damage;
#[cfg(feature = "image")]
mod decode;
#[cfg(feature = "image")]
mod files;
#[cfg(feature = "image")]
mod formats;
mod gray;
mod labels;
mod limits;
mod parity;
mod pipeline;
mod properties;

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use vgg_surgery::Image;
use vgg_surgery::preprocess::ResizeFilter;

const FILTERS: [ResizeFilter; 3] = [
    ResizeFilter::Nearest,
    ResizeFilter::Bilinear,
    ResizeFilter::Bicubic,
];

fn tensors(path: impl AsRef<Path>) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn fixtures() -> HashMap<String, Tensor> {
    tensors(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/preprocess/pillow.safetensors"
    ))
}

/// An image from a u8 tensor `(H, W, 3)`.
fn image(tensor: &Tensor) -> Image {
    let (height, width, _) = tensor.dims3().unwrap();
    let bytes: Vec<u8> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    Image::from_rgb8(width, height, bytes).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
