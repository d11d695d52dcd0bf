use vgg_surgery::{Augmentation, Error, Fill, Image, Preprocessing, Resize};

use crate::{bytes_8x8, gradient};

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
    let wide = apply(&Augmentation::new().flip(1.0), &image, 0);
    assert_eq!(wide.pixel(0, 3), image.pixel(4, 3));
    let tall = apply(&Augmentation::new().vertical_flip(1.0), &image, 0);
    assert_eq!(tall.pixel(2, 0), image.pixel(2, 3));
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
    // The rarest place, a corner, has one chance in 64 each time.
    for seed in 0..1000 {
        let shifted = apply(&augmentation, &image, seed);
        let place = (-4i64..=4).flat_map(|x| (-1i64..=1).map(move |y| (x, y)));
        let fits = |&(x, y): &(i64, i64)| {
            (0..20i64).all(|column| {
                let from = usize::try_from(column - x).ok();
                let row = 5 - y as i32;
                let expected = from.and_then(|from| image.pixel(from, row as usize));
                shifted.pixel(column as usize, 5) == Some(expected.unwrap_or([255; 3]))
            })
        };
        seen.insert(
            place
                .into_iter()
                .find(fits)
                .expect("a shift by whole pixels"),
        );
    }
    // 9 by 3 places.
    assert_eq!(seen.len(), 27);
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
                vgg_surgery::PixelRange::Byte => 1.0,
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

#[test]
fn a_crop_takes_the_place_of_the_resize() {
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

fn preprocessing_filter(preprocessing: &Preprocessing) -> vgg_surgery::ResizeFilter {
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
