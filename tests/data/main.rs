//! Data sets, augmentation and batches.

mod augmentation;
mod datasets;
mod features;
#[cfg(feature = "image")]
mod folder;
#[cfg(feature = "image")]
mod label_classes;
#[cfg(feature = "image")]
mod labels;
mod loader;
mod masks;
mod nano;
mod procedural;
#[cfg(feature = "image")]
mod stored_masks;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::data::{Batch, MemoryDataset, Sample, SampleInput, Target, Targets};
use vgg_surgery::error::DataError;
use vgg_surgery::{Error, Image, Preprocessing, Result, TensorDataset};

/// `count` rows `[index, -index]`, of classes 0, 1, 2, 0, ..
fn numbered(count: usize) -> TensorDataset {
    let rows = (0..count).flat_map(|index| [index as f32, -(index as f32)]);
    let rows = Tensor::from_vec(rows.collect::<Vec<_>>(), (count, 2), &Device::Cpu).unwrap();
    TensorDataset::new(rows, (0..count).map(|index| index % 3).collect::<Vec<_>>()).unwrap()
}

/// An image without equal pixels.
fn gradient(width: usize, height: usize) -> Image {
    let mut bytes = Vec::new();
    for y in 0..height {
        for x in 0..width {
            bytes.extend([x, y, x + y].map(|value| (value * 7 % 256) as u8));
        }
    }
    Image::from_rgb8(width, height, bytes).unwrap()
}

fn images(count: usize) -> MemoryDataset {
    let sample = |index: usize| Sample::new(gradient(20 + index, 16), index % 2);
    (0..count).map(sample).collect()
}

/// 8x8, RGB from 0 to 255.
fn bytes_8x8() -> Preprocessing {
    Preprocessing::new()
        .with_size(8, 8)
        .with_range(vgg_surgery::preprocess::PixelRange::Byte)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.flatten_all().unwrap();
    flat.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn classes(batch: &Batch) -> &[usize] {
    match &batch.targets {
        Targets::Classes(classes) => classes,
        other => panic!("{other:?} are no classes"),
    }
}

fn class(sample: &Sample) -> usize {
    match sample.target {
        Target::Class(class) => class,
        ref other => panic!("{other:?} is no class"),
    }
}

fn image(sample: Sample) -> Image {
    match sample.input {
        SampleInput::Image(image) => image,
        other => panic!("{other:?} is no image"),
    }
}

/// The data error of a result.
fn data_error<T>(result: Result<T>) -> DataError {
    match result {
        Err(Error::Data(error)) => error,
        Err(other) => panic!("{other:?} is not about data"),
        Ok(_) => panic!("no error"),
    }
}

/// Errors compare by variant and fields.
fn assert_data_error<T>(result: Result<T>, expected: &DataError) {
    assert_eq!(format!("{:?}", data_error(result)), format!("{expected:?}"));
}
