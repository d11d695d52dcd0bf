use std::collections::HashMap;

use candle_core::{Device, Tensor};

use crate::preprocess::Image;

/// What Pillow made of one image, u8 `(H, W, 3)`.
pub(super) fn fixtures() -> HashMap<String, Tensor> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/augment/pillow.safetensors"
    );
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

pub(super) fn image(tensor: &Tensor) -> Image {
    let (height, width, _) = tensor.dims3().unwrap();
    let bytes: Vec<u8> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    Image::from_rgb8(width, height, bytes).unwrap()
}
