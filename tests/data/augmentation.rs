use candle_core::{Device, Tensor};
use vgg_surgery::data::{Fill, Loader, MemoryDataset, Sample, Target, Targets};
use vgg_surgery::preprocess::Resize;
use vgg_surgery::{Augmentation, Dataset, Error, Image, Labels, Preprocessing, TensorDataset};

use crate::{bytes_8x8, gradient, values};

fn apply(augmentation: &Augmentation, image: &Image, seed: u64) -> Image {
    let plain = Preprocessing::new().without_resize();
    augmentation.apply(image, &plain, seed).unwrap()
}

#[test]
fn none_is_the_preprocessing_alone() {
    let image = gradient(20, 16);
    let seen = Augmentation::new().apply(&image, &bytes_8x8(), 1).unwrap();
    assert_eq!(seen, bytes_8x8().fit(&image).unwrap());
    assert_eq!(Augmentation::default(), Augmentation::new());
}

#[test]
fn certain_flips_are_flips() {
    let image = gradient(5, 4);
    let flip = Augmentation::new().flip(1.0);
    let wide = apply(&flip, &image, 0);
    assert_eq!(wide.pixel(0, 3), image.pixel(4, 3));
    assert_eq!(wide.pixel(2, 1), image.pixel(2, 1));
    assert_eq!(apply(&flip, &wide, 0), image);
    let flip = Augmentation::new().vertical_flip(1.0);
    let tall = apply(&flip, &image, 0);
    assert_eq!(tall.pixel(2, 0), image.pixel(2, 3));
    assert_eq!(apply(&flip, &tall, 0), image);
}

/// Compares mean and variance with the expected ones: within five standard
/// errors of the mean, and 5 % of the variance.
fn assert_moments(draws: &[f64], mean: f64, variance: f64) {
    let count = draws.len() as f64;
    let found = draws.iter().sum::<f64>() / count;
    let bound = 5.0 * (variance / count).sqrt();
    assert!((found - mean).abs() < bound, "mean {found}, not {mean}");
    let spread = draws.iter().map(|x| (x - found).powi(2)).sum::<f64>() / count;
    let ratio = spread / variance;
    assert!(
        (ratio - 1.0).abs() < 0.05,
        "variance {spread}, not {variance}"
    );
}

#[test]
fn noise_is_normal_and_clipped() {
    let gray = |level| Image::from_rgb8(200, 100, vec![level; 60_000]).unwrap();
    let noise = Augmentation::new().noise(20.0 / 255.0);
    let noisy = apply(&noise, &gray(128), 1);
    let draws: Vec<f64> = noisy
        .as_rgb8()
        .iter()
        .map(|&byte| f64::from(byte))
        .collect();
    // Rounding to bytes adds 1/12.
    assert_moments(&draws, 128.0, 400.0 + 1.0 / 12.0);
    let white = apply(&noise, &gray(255), 1);
    let clipped = white.as_rgb8().iter().filter(|&&byte| byte == 255).count() as f64;
    // Half of the draws, and those that round to 0: 2 % of 60000 at most.
    assert!(
        (clipped - 30_000.0).abs() < 5.0 * 15_000f64.sqrt() + 1200.0,
        "{clipped}"
    );
}

#[test]
fn brightness_factors_are_uniform() {
    let gray = Image::from_rgb8(1, 1, vec![100; 3]).unwrap();
    for (strength, least, most) in [(0.5, 0.5, 1.5), (1.5, 0.0, 2.5)] {
        let brightness = Augmentation::new().brightness(strength);
        let level = |seed| f64::from(apply(&brightness, &gray, seed).as_rgb8()[0]);
        // Half a level, because levels are truncated.
        let factors: Vec<f64> = (0..20_000)
            .map(|seed| (level(seed) + 0.5) / 100.0)
            .collect();
        let range = least..=most + 0.006;
        assert!(factors.iter().all(|factor| range.contains(factor)));
        let width: f64 = most - least;
        assert_moments(&factors, least + 0.5 * width, width.powi(2) / 12.0);
    }
}

#[test]
fn a_probability_is_how_often() {
    let image = gradient(5, 4);
    let augmentation = Augmentation::new().flip(0.3);
    let flipped = (0..2000).filter(|&seed| apply(&augmentation, &image, seed) != image);
    let flipped = flipped.count() as f64;
    assert!((flipped - 600.0).abs() < 5.0 * (2000.0f64 * 0.3 * 0.7).sqrt());
}

#[test]
fn each_change_changes_and_a_seed_repeats_it() {
    let image = gradient(24, 20);
    let new = Augmentation::new;
    let changes = [
        new().resized_crop(0.1..=0.5, 0.75..=1.33),
        new().padded_crop(4),
        new().rotation(30.0),
        new().shift(0.3, 0.3),
        new().zoom(1.2..=1.6),
        new().brightness(0.5),
        new().contrast(0.5),
        new().saturation(0.5),
        new().noise(0.1),
        new().erasing(1.0, 0.1..=0.3, 0.3..=3.3),
    ];
    for change in &changes {
        let seen = apply(change, &image, 3);
        assert_eq!((seen.width(), seen.height()), (24, 20), "{change:?}");
        assert_ne!(seen, image, "{change:?}");
        assert_eq!(seen, apply(change, &image, 3), "{change:?}");
        let others = (4..9).filter(|&seed| apply(change, &image, seed) != seen);
        assert!(others.count() > 0, "{change:?}");
    }
}

#[test]
fn shifts_are_within_their_share_and_along_both_axes() {
    let image = gradient(20, 10);
    let augmentation = Augmentation::new()
        .shift(0.2, 0.1)
        .fill(Fill::Color([255; 3]));
    let mut seen = std::collections::BTreeSet::new();
    // The rarest shift, a corner, has a probability of 1 in 64.
    for seed in 0..1000 {
        let shifted = apply(&augmentation, &image, seed);
        let shifts = (-4i64..=4).flat_map(|x| (-1i64..=1).map(move |y| (x, y)));
        let fits = |&(x, y): &(i64, i64)| {
            (0..20i64).all(|column| {
                let from = usize::try_from(column - x).ok();
                let row = 5 - y as i32;
                let expected = from.and_then(|from| image.pixel(from, row as usize));
                shifted.pixel(column as usize, 5) == Some(expected.unwrap_or([255; 3]))
            })
        };
        seen.insert(
            shifts
                .into_iter()
                .find(fits)
                .expect("a shift by whole pixels"),
        );
    }
    // 9 by 3 shifts.
    assert_eq!(seen.len(), 27);
}

/// Inputs `[x, 10 x]` for x of 1, 2 and 4.
fn inputs() -> Tensor {
    Tensor::new(&[[1f32, 10.0], [2.0, 20.0], [4.0, 40.0]], &Device::Cpu).unwrap()
}

#[test]
fn one_fraction_mixes_inputs_targets_and_weights() {
    let inputs = inputs();
    let samples = [(0, 1.0), (1, 0.0), (1, 1.0)].into_iter().enumerate();
    let samples = samples.map(|(row, (class, weight))| {
        let input = inputs.get(row).unwrap();
        Sample::new(input, Target::Class(class)).with_weight(weight)
    });
    let data: MemoryDataset = samples.collect();
    let data = data.with_classes(Labels::new(["a", "b"])).unwrap();
    let loader = Loader::new(&data).augment(Augmentation::new().mixup(1.0));
    let mixed = loader.batch(0, &[0, 1, 2]).unwrap();
    let x = mixed.inputs.to_vec2::<f32>().unwrap();
    // 1 s + 4 (1 - s) = 4 - 3 s.
    let fraction = (4.0 - x[0][0]) / 3.0;
    assert!(fraction > 0.0 && fraction < 1.0);
    let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a}, not {b}");
    for (row, [own, other]) in x.iter().zip([[1.0, 4.0], [2.0, 1.0], [4.0, 2.0]]) {
        let expected = fraction * own + (1.0 - fraction) * other;
        close(row[0], expected);
        close(row[1], 10.0 * expected);
    }
    let Targets::Soft(targets) = &mixed.targets else {
        panic!("classes become fractions");
    };
    let rest = 1.0 - fraction;
    for (found, expected) in values(targets)
        .iter()
        .zip([fraction, rest, rest, fraction, 0.0, 1.0])
    {
        close(*found, expected);
    }
    close(values(&mixed.weights.unwrap())[1], rest);
    assert_eq!(mixed.indices, [0, 1, 2]);
}

#[test]
fn values_are_mixed_and_fractions_follow_beta() {
    let targets = Tensor::new(&[[1f32], [2.0], [4.0]], &Device::Cpu).unwrap();
    let data = TensorDataset::values(inputs(), targets).unwrap();
    assert_eq!(data.classes(), None);
    for alpha in [0.2, 1.0, 4.0] {
        let loader = Loader::new(&data).augment(Augmentation::new().mixup(alpha));
        let draws = (0..8000).map(|epoch| {
            let batch = loader.batch(epoch, &[0, 1, 2]).unwrap();
            let Targets::Values(mixed) = &batch.targets else {
                panic!("values stay values");
            };
            let first = values(mixed)[0];
            assert_eq!(first, values(&batch.inputs)[0]);
            (4.0 - f64::from(first)) / 3.0
        });
        // The variance is a b / ((a + b)^2 (a + b + 1)).
        assert_moments(
            &draws.collect::<Vec<_>>(),
            0.5,
            1.0 / (4.0 * (2.0 * alpha + 1.0)),
        );
    }
    let loader = Loader::new(&data).augment(Augmentation::new().mixup(1e-3));
    let draws = (0..1000).map(|epoch| values(&loader.batch(epoch, &[0, 1]).unwrap().inputs)[0]);
    assert!(draws.into_iter().all(f32::is_finite));
}

#[test]
fn erasing_paints_in_the_color_that_becomes_zero() {
    let black = Image::from_rgb8(32, 32, vec![0; 3 * 32 * 32]).unwrap();
    let erasing = Augmentation::new().erasing(1.0, 0.2..=0.3, 0.5..=2.0);
    for preprocessing in [Preprocessing::torchvision(), Preprocessing::caffe()] {
        let preprocessing = preprocessing.without_resize();
        let seen = erasing.apply(&black, &preprocessing, 5).unwrap();
        let x = preprocessing.apply(&seen).unwrap().flatten_from(2).unwrap();
        let planes = x.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(planes.len(), 3);
        for (plane, std) in planes.iter().zip(preprocessing.std()) {
            let level = match preprocessing.range() {
                vgg_surgery::preprocess::PixelRange::Byte => 1.0,
                _ => 1.0 / 255.0,
            };
            // Half a level at most from rounding to a byte.
            let near = plane
                .iter()
                .filter(|value| value.abs() <= 0.51 * level / std);
            let painted = near.count();
            // 205 to 307 pixels, each side rounded by half a pixel at most.
            assert!((180..=335).contains(&painted), "{painted}");
        }
    }
}

/// Column and row of each pixel, in red and green, and blue of 255.
fn coordinates(width: u8, height: u8) -> Image {
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x, y, 255]));
    Image::from_rgb8(width.into(), height.into(), pixels.collect::<Vec<_>>()).unwrap()
}

#[test]
fn crops_keep_to_area_and_aspect() {
    let image = coordinates(240, 180);
    let crop = Augmentation::new().resized_crop(0.1..=0.4, 0.5..=2.0);
    let areas = (0..1000).map(|seed| {
        // Enlarging keeps the corners of the crop.
        let seen = apply(&crop, &image, seed);
        let [left, top, _] = seen.pixel(0, 0).unwrap().map(f64::from);
        let [right, bottom, _] = seen.pixel(239, 179).unwrap().map(f64::from);
        let (width, height) = (right - left + 1.0, bottom - top + 1.0);
        // Sides of over 45 pixels, each rounded by half a pixel at most.
        assert!(
            (0.48..=2.07).contains(&(width / height)),
            "{width} {height}"
        );
        width * height / (240.0 * 180.0)
    });
    let areas: Vec<f64> = areas.collect();
    assert!(areas.iter().all(|area| (0.097..=0.403).contains(area)));
    let mean = areas.iter().sum::<f64>() / areas.len() as f64;
    // A few of the widest don't fit and are drawn again.
    assert!((mean - 0.25).abs() < 0.02, "{mean}");
}

#[test]
fn a_crop_that_fits_nowhere_is_the_middle_at_the_nearest_aspect() {
    let crop = Augmentation::new().resized_crop(1.0..=1.0, 0.75..=1.25);
    let filter = vgg_surgery::preprocess::ResizeFilter::Bilinear;
    // width > 1.25 height: 12.5 rounds to the even 12.
    let wide = gradient(100, 10);
    let middle = wide.crop(44, 0, 12, 10).unwrap();
    assert_eq!(
        apply(&crop, &wide, 0),
        middle.resize(100, 10, filter).unwrap()
    );
    let tall = gradient(10, 100);
    let middle = tall.crop(0, 43, 10, 13).unwrap();
    assert_eq!(
        apply(&crop, &tall, 0),
        middle.resize(10, 100, filter).unwrap()
    );
}

#[test]
fn an_erased_part_is_a_rectangle_within_the_image() {
    let image = coordinates(40, 30);
    let erasing = Augmentation::new().erasing(1.0, 0.02..=0.33, 0.3..=3.3);
    for seed in 0..500 {
        let seen = apply(&erasing, &image, seed);
        let all = (0..30).flat_map(|y| (0..40).map(move |x| (x, y)));
        let is_painted = |&(x, y): &(usize, usize)| seen.pixel(x, y) == Some([0; 3]);
        let (painted, kept): (Vec<_>, Vec<_>) = all.partition(is_painted);
        assert!(
            kept.iter()
                .all(|&(x, y)| seen.pixel(x, y) == image.pixel(x, y))
        );
        // 24 to 396 pixels, sides rounded.
        assert!((12..=460).contains(&painted.len()), "{}", painted.len());
        let (&(left, top), &(right, bottom)) = (painted.first().unwrap(), painted.last().unwrap());
        let (width, height) = (right - left + 1, bottom - top + 1);
        assert!(width < 40 && height < 30);
        assert_eq!(painted.len(), width * height);
    }
    // No part of the whole area fits.
    let whole = Augmentation::new().erasing(1.0, 1.0..=1.0, 1.0..=1.0);
    assert_eq!(apply(&whole, &image, 0), image);
}

#[test]
fn a_crop_replaces_the_resize() {
    let image = gradient(60, 30);
    let crop = Augmentation::new().resized_crop(1.0..=1.0, 1.0..=1.0);
    // At this aspect it can only be the middle 30x30.
    let preprocessing = Preprocessing::torchvision().with_size(12, 12);
    let seen = crop.apply(&image, &preprocessing, 0).unwrap();
    let middle = image.crop(15, 0, 30, 30).unwrap();
    let expected = middle
        .resize(12, 12, preprocessing_filter(&preprocessing))
        .unwrap();
    assert_eq!(seen, expected);
    let own_size = apply(&crop, &image, 0);
    assert_eq!((own_size.width(), own_size.height()), (60, 30));
}

fn preprocessing_filter(preprocessing: &Preprocessing) -> vgg_surgery::preprocess::ResizeFilter {
    match preprocessing.resize() {
        Resize::ShortSide { filter, .. } => filter,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_strip_of_an_image_survives_everything() {
    let strip = Image::from_rgb8(30_000, 1, vec![90; 90_000]).unwrap();
    let all = Augmentation::new()
        .resized_crop(0.08..=1.0, 0.75..=1.33)
        .rotation(180.0)
        .shift(1.0, 1.0)
        .zoom(0.1..=10.0)
        .erasing(1.0, 0.02..=0.33, 0.3..=3.3)
        .contrast(5.0);
    let seen = all.apply(&strip, &bytes_8x8(), 0).unwrap();
    assert_eq!((seen.width(), seen.height()), (8, 8));
}

#[test]
fn illegal_settings_are_refused() {
    let new = Augmentation::new;
    let reversed = || std::ops::RangeInclusive::new(0.9, 0.1);
    let illegal = [
        new().flip(1.5),
        new().flip(f64::NAN),
        new().vertical_flip(-0.1),
        new().rotation(181.0),
        new().shift(0.0, 2.0),
        new().zoom(0.0..=1.0),
        new().zoom(1.0..=f64::INFINITY),
        new().brightness(-0.1),
        new().contrast(f64::INFINITY),
        new().saturation(f64::NAN),
        new().noise(-1.0),
        new().mixup(0.0),
        new().resized_crop(0.1..=1.1, 0.5..=2.0),
        new().resized_crop(reversed(), 0.5..=2.0),
        new().erasing(2.0, 0.1..=0.2, 1.0..=1.0),
        new().erasing(0.5, 0.0..=0.2, 1.0..=1.0),
    ];
    for augmentation in illegal {
        let error = augmentation.apply(&gradient(4, 4), &bytes_8x8(), 0);
        assert!(
            matches!(error, Err(Error::InvalidSetting { .. })),
            "{augmentation:?}"
        );
    }
}
