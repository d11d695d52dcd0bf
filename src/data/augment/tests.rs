use std::collections::HashMap;

use candle_core::{Device, Tensor};

use crate::preprocess::{Image, ResizeFilter};

use super::color::Change;
use super::geometry::{affine, inverse_affine, moved};
use super::settings::Fill;

/// Results of Pillow for one image, u8 `(H, W, 3)`.
fn fixtures() -> HashMap<String, Tensor> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/augment/pillow.safetensors"
    );
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn image(tensor: &Tensor) -> Image {
    let (height, width, _) = tensor.dims3().unwrap();
    let bytes: Vec<u8> = tensor.flatten_all().unwrap().to_vec1().unwrap();
    Image::from_rgb8(width, height, bytes).unwrap()
}

#[test]
fn brightness_contrast_and_saturation_are_pillows() {
    let tensors = fixtures();
    let source = image(&tensors["source"]);
    let changes = [
        ("brightness", Change::Brightness),
        ("contrast", Change::Contrast),
        ("saturation", Change::Saturation),
    ];
    for (name, change) in changes {
        for factor in ["0.0", "0.25", "0.7", "1.0", "1.3", "2.0"] {
            let mut bytes = source.as_rgb8().to_vec();
            change.apply(&mut bytes, factor.parse().unwrap());
            let expected = image(&tensors[&format!("{name}/{factor}")]);
            assert!(bytes == expected.as_rgb8(), "{name} by {factor}");
        }
    }
}

#[test]
fn affine_maps_are_pillows() {
    let tensors = fixtures();
    let source = image(&tensors["source"]);
    let size = source.size();
    let mut compared = 0;
    for (name, expected) in &tensors {
        let Some(settings) = name.strip_prefix("affine/") else {
            continue;
        };
        let fields: Vec<&str> = settings.split('/').collect();
        let number = |field: usize| -> f64 { fields[field].parse().unwrap() };
        let fill = match fields[4] {
            "black" => Fill::Black,
            _ => Fill::Color([9, 200, 77]),
        };
        let matrix = inverse_affine(size, number(0), (number(1), number(2)), number(3));
        let mapped = affine(&source, &matrix, fill, ResizeFilter::Bilinear).unwrap();
        assert_eq!(mapped, image(expected), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 12);
}

fn row(bytes: [u8; 3]) -> Image {
    let pixels = bytes.into_iter().flat_map(|byte| [byte; 3]);
    Image::from_rgb8(3, 1, pixels.collect::<Vec<_>>()).unwrap()
}

fn reds(image: &Image) -> Vec<u8> {
    image.as_rgb8().iter().step_by(3).copied().collect()
}

#[test]
fn pixels_beyond_the_edge_are_filled() {
    let source = row([10, 20, 30]);
    let shifted = |right, fill| reds(&moved(&source, right, 0, fill).unwrap());
    assert_eq!(shifted(2, Fill::Black), [0, 0, 10]);
    assert_eq!(shifted(2, Fill::Color([7; 3])), [7, 7, 10]);
    assert_eq!(shifted(2, Fill::Edge), [10, 10, 10]);
    assert_eq!(shifted(2, Fill::Reflect), [20, 10, 10]);
    assert_eq!(shifted(-2, Fill::Reflect), [30, 30, 20]);
    assert_eq!(shifted(-4, Fill::Reflect), [20, 10, 10]);
    assert_eq!(shifted(1 << 30, Fill::Black), [0, 0, 0]);
    assert_eq!(shifted(1 << 30, Fill::Edge), [10, 10, 10]);
}
