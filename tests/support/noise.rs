//! Tensors that several test crates compute with.

use candle_core::{Device, Shape, Tensor};

/// Values between -1 and 1 that look random, the same for the same seed.
pub fn noise(shape: impl Into<Shape>, seed: u32) -> Tensor {
    let shape = shape.into();
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let values: Vec<f32> = (0..shape.elem_count())
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}
