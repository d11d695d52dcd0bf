//! Masks in PNG files with a palette or of few bits, and pixels without a class.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;
use vgg_surgery::data::{Batch, ImageMaskFolder, Loader, Mask, Sample, Target, Targets};
use vgg_surgery::error::ImageError;
use vgg_surgery::preprocess::{Resize, ResizeFilter};
use vgg_surgery::{Augmentation, Dataset, Error, Image, Labels, Loss, Preprocessing};

use crate::values;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/masks")
}

/// `numpy.array(Image.open(..))` of each file.
fn pillow() -> HashMap<String, Vec<u8>> {
    let text = fs::read_to_string(fixtures().join("pillow.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// One image, and a mask with these bytes.
fn folder(mask: &[u8]) -> TempDir {
    let root = TempDir::new().unwrap();
    for folder in ["images", "masks"] {
        fs::create_dir(root.path().join(folder)).unwrap();
    }
    let image = Image::from_rgb8(11, 5, vec![9; 165]).unwrap();
    image.save(root.path().join("images/1.png")).unwrap();
    fs::write(root.path().join("masks/1.png"), mask).unwrap();
    root
}

fn opened(root: &TempDir) -> ImageMaskFolder {
    ImageMaskFolder::open(root.path().join("images"), root.path().join("masks")).unwrap()
}

fn mask(data: &dyn Dataset) -> Mask {
    match data.sample(0).unwrap().target {
        Target::Mask(mask) => mask,
        other => panic!("{other:?} is no mask"),
    }
}

fn stored(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(name)).unwrap()
}

#[test]
fn stored_numbers_are_the_classes() {
    let expected = pillow();
    assert_eq!(expected.len(), 5);
    for (name, classes) in expected {
        let root = folder(&stored(&name));
        let found = mask(&opened(&root)).to_bytes();
        assert_eq!(found, classes, "{name}");
    }
}

#[test]
fn a_palette_has_no_fractions_and_one_bit_has_two() {
    let root = folder(&stored("palette8.png"));
    let error = opened(&root).fractions().sample(0).unwrap_err();
    assert!(
        matches!(&error, Error::Image(ImageError::Unreadable { reason, .. })
            if reason.contains("palette")),
        "{error}"
    );
    let root = folder(&stored("gray1.png"));
    let found = mask(&opened(&root).fractions()).to_bytes();
    let expected: Vec<u8> = pillow()["gray1.png"].iter().map(|&bit| 255 * bit).collect();
    assert_eq!(found, expected);
}

#[test]
fn damaged_masks_are_refused_wherever_they_end() {
    for name in ["palette8.png", "palette4.png", "gray1.png"] {
        let whole = stored(name);
        for length in 0..whole.len() {
            let root = folder(&whole);
            fs::write(root.path().join("masks/1.png"), &whole[..length]).unwrap();
            let images = root.path().join("images");
            let data = ImageMaskFolder::open(images, root.path().join("masks"));
            let read = data.and_then(|data| data.sample(0).map(drop));
            let error = read.unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Image(ImageError::Unreadable { .. }) | Error::Data(_)
                ),
                "{name} to {length}: {error}"
            );
        }
    }
}

fn batch(data: &dyn Dataset) -> Batch {
    let loader = Loader::new(data).preprocessing(Preprocessing::new());
    loader.batch(0, &[0]).unwrap()
}

#[test]
fn pixels_of_an_ignored_class_have_none() {
    let root = folder(&stored("palette8.png"));
    let names = Labels::new((0..21).map(|class| format!("class {class}")));
    let named = opened(&root).with_classes(names);
    let loader = Loader::new(&named).preprocessing(Preprocessing::new());
    let error = loader.batch(0, &[0]).unwrap_err();
    assert!(matches!(error, Error::ClassOutOfRange { class: 255, .. }));
    let text = error.to_string();
    assert!(
        text.contains("fractions()") && text.contains("ignore_class(255)"),
        "{text}"
    );
    let data = named.clone().ignore_class(255);
    assert_ne!(data.fingerprint(0), named.fingerprint(0));
    let Targets::Values(classes) = batch(&data).targets else {
        panic!("not values");
    };
    let found: Vec<u32> = classes.flatten_all().unwrap().to_vec1().unwrap();
    let expected = pillow()["palette8.png"].clone().into_iter();
    let expected = expected.map(|class| match class {
        255 => Mask::NO_CLASS,
        class => u32::from(class),
    });
    assert_eq!(found, expected.collect::<Vec<_>>());
}

/// As with PyTorch's `ignore_index`: the mean over the other pixels.
#[test]
fn a_loss_is_the_mean_over_the_pixels_with_a_class() {
    let scores: Vec<f32> = (0..24).map(|index| (index * 7 % 11) as f32 / 4.0).collect();
    let scores = Tensor::from_vec(scores, (2, 3, 2, 2), &Device::Cpu).unwrap();
    let none = Mask::NO_CLASS;
    let classes = |map: [u32; 8]| {
        let map = Tensor::from_slice(&map, (2, 2, 2), &Device::Cpu).unwrap();
        Targets::Values(map)
    };
    let loss = |targets| {
        let loss = Loss::cross_entropy().label_smoothing(0.1);
        let loss = loss.compute(&scores, &targets, None).unwrap();
        loss.to_dtype(DType::F64)
            .unwrap()
            .to_scalar::<f64>()
            .unwrap()
    };
    // Whole losses of three pixels, from the losses with and without each.
    let one = |at: usize, class: u32| {
        let mut map = [none; 8];
        map[at] = class;
        loss(classes(map))
    };
    let expected = (one(0, 2) + one(3, 0) + one(6, 1)) / 3.0;
    let found = loss(classes([2, none, none, 0, none, none, 1, none]));
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    let all = [0, 1, 2, 0, 1, 2, 0, 1];
    let mean = all
        .iter()
        .enumerate()
        .map(|(at, &class)| one(at, class))
        .sum::<f64>()
        / 8.0;
    assert!((loss(classes(all)) - mean).abs() < 1e-6);
    assert_eq!(loss(classes([none; 8])), 0.0);
}

#[test]
fn one_output_ignores_pixels_too() {
    let scores = Tensor::new(&[[[[2f32, -1.0, 9.0]]]], &Device::Cpu).unwrap();
    let mask = Mask::classes(3, 1, [1, 0, 255]).unwrap().ignore_class(255);
    let image = Image::from_rgb8(3, 1, vec![0; 9]).unwrap();
    let data: vgg_surgery::data::MemoryDataset = [Sample::new(image, mask)].into_iter().collect();
    let targets = batch(&data).targets;
    let loss = Loss::binary_cross_entropy();
    let loss = loss.compute(&scores, &targets, None).unwrap();
    // ln(1 + e^-2) and ln(1 + e^-1), by Python's math module.
    let expected = (0.126_928_011_042_972_5 + 0.313_261_687_518_222_8) / 2.0;
    assert!((f64::from(values(&loss)[0]) - expected).abs() < 1e-6);
}

/// The image is white, and what a rotation or a crop brings in is black.
#[test]
fn pixels_from_beyond_the_edge_are_of_the_ignored_class() {
    let ones = Mask::classes(8, 8, [1; 64]).unwrap();
    let wide = Resize::ShortSide {
        short_side: 8,
        crop: Some((12, 10)),
        filter: ResizeFilter::Bilinear,
    };
    let plain = Preprocessing::new();
    for (mask, beyond) in [
        (ones.clone(), 0),
        (ones.clone().ignore_class(255), Mask::NO_CLASS),
        (ones.ignore_class(0), Mask::NO_CLASS),
    ] {
        let image = Image::from_rgb8(8, 8, vec![255; 192]).unwrap();
        let data: vgg_surgery::data::MemoryDataset =
            [Sample::new(image, mask)].into_iter().collect();
        for (augmentation, preprocessing) in [
            (Augmentation::new().rotation(45.0), plain.clone()),
            (Augmentation::new().padded_crop(6), plain.clone()),
            (Augmentation::new(), plain.clone().with_resize(wide)),
        ] {
            let loader = Loader::new(&data).preprocessing(preprocessing);
            let batch = loader.augment(augmentation).batch(1, &[0]).unwrap();
            let map = batch.targets.values().unwrap().flatten_all().unwrap();
            let map = map.to_vec1::<u32>().unwrap();
            let image = batch.inputs.narrow(1, 0, 1).unwrap();
            let mut padded = 0;
            for (class, level) in map.into_iter().zip(values(&image)) {
                if level == 0.0 {
                    assert_eq!(class, beyond);
                    padded += 1;
                } else if level == 1.0 {
                    assert_eq!(class, 1);
                }
            }
            assert!(padded > 0);
        }
    }
}
