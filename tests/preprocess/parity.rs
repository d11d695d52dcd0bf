//! Against Pillow, torchvision and Keras, byte for byte.

use vgg_surgery::Preprocessing;
use vgg_surgery::preprocess::{Resize, ResizeFilter};

use crate::{fixtures, image, values};

pub fn mean_and_std(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let squares = values.iter().map(|&v| (f64::from(v) - mean).powi(2));
    (mean, (squares.sum::<f64>() / (count - 1.0)).sqrt())
}

/// `AxB` as two numbers.
fn pair(text: &str) -> (usize, usize) {
    let (first, second) = text.split_once('x').unwrap();
    (first.parse().unwrap(), second.parse().unwrap())
}

fn filter(name: &str) -> ResizeFilter {
    match name {
        "nearest" => ResizeFilter::Nearest,
        "bilinear" => ResizeFilter::Bilinear,
        "bicubic" => ResizeFilter::Bicubic,
        _ => panic!("no filter is called {name}"),
    }
}

#[test]
fn resizes_as_pillow_does() {
    let fixtures = fixtures();
    let mut checked = 0;
    for (key, expected) in &fixtures {
        let parts: Vec<_> = key.split('/').collect();
        let ["resize", name, filter_name, size] = parts[..] else {
            continue;
        };
        let (width, height) = pair(size);
        let source = image(&fixtures[&format!("source/{name}")]);
        let resized = source.resize(width, height, filter(filter_name)).unwrap();
        assert!(resized == image(expected), "{key} differs");
        checked += 1;
    }
    assert_eq!(checked, 87);
}

#[test]
fn scales_the_short_side_and_crops_as_torchvision_does() {
    let fixtures = fixtures();
    let mut checked = 0;
    for (key, expected) in &fixtures {
        let parts: Vec<_> = key.split('/').collect();
        let ["short", name, filter_name, short_side, crop] = parts[..] else {
            continue;
        };
        let source = image(&fixtures[&format!("source/{name}")]);
        let preprocessing = Preprocessing::torchvision().with_resize(Resize::ShortSide {
            short_side: short_side.parse().unwrap(),
            crop: Some(pair(crop)),
            filter: filter(filter_name),
        });
        let fitted = preprocessing.fit(&source).unwrap();
        assert!(fitted == image(expected), "{key} differs");
        checked += 1;
    }
    assert_eq!(checked, 66);
}

#[test]
fn normalizes_as_keras_does() {
    let fixtures = fixtures();
    let crop = image(&fixtures["keras/crop"]);
    let x = Preprocessing::keras()
        .without_resize()
        .apply(&crop)
        .unwrap();
    assert_eq!(x.dims(), [1, 3, 24, 80]);
    assert_eq!(values(&x), values(&fixtures["keras/preprocessed"]));
}

#[test]
fn normalizes_as_torchvision_does() {
    let fixtures = fixtures();
    let fitted = image(&fixtures["torchvision/u8"]);
    let preprocessing = Preprocessing::torchvision().without_resize();
    let x = preprocessing.apply(&fitted).unwrap();
    let (mean, std) = mean_and_std(&values(&x));
    // The stored figures are f32 sums of 150,528 values of up to 3.
    let expected = values(&fixtures["torchvision/stats"]);
    assert!((mean - f64::from(expected[0])).abs() < 1e-6, "{mean}");
    assert!((std - f64::from(expected[1])).abs() < 1e-6, "{std}");
}
