use vgg_surgery::data::{Batch, Fill, FnDataset, Loader, Mask, Sample};
use vgg_surgery::error::{DataError, ImageError};
use vgg_surgery::preprocess::{PixelRange, Resize, ResizeFilter};
use vgg_surgery::{Augmentation, Dataset, Error, Image, Preprocessing, Result};

use crate::{assert_data_error, values};

const SIDE: usize = 24;

/// The class of a pixel: the bits of its column and row. No two corners
/// are equal.
fn byte(x: usize, y: usize) -> u8 {
    (40 * (x * 3 / SIDE) + 80 * (y * 3 / SIDE)) as u8
}

fn bytes() -> Vec<u8> {
    let pixels = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| byte(x, y)));
    pixels.collect()
}

/// One example whose image shows what its mask says.
fn example(mask: fn(usize, usize, Vec<u8>) -> Result<Mask>) -> impl Dataset {
    FnDataset::new(1, move |_| {
        let rgb: Vec<u8> = bytes().into_iter().flat_map(|byte| [byte; 3]).collect();
        let image = Image::from_rgb8(SIDE, SIDE, rgb)?;
        Ok(Sample::new(image, mask(SIDE, SIDE, bytes())?))
    })
}

fn classes() -> impl Dataset {
    example(Mask::classes)
}

/// Inputs from 0 to 255.
fn plain() -> Preprocessing {
    Preprocessing::new().with_range(PixelRange::Byte)
}

fn batch(data: &dyn Dataset, preprocessing: Preprocessing, augmentation: Augmentation) -> Batch {
    let loader = Loader::new(data).preprocessing(preprocessing);
    loader.augment(augmentation).batch(3, &[0]).unwrap()
}

/// The first channel of the input, and the mask.
fn both(batch: &Batch) -> (Vec<f32>, Vec<f32>) {
    let image = batch.inputs.narrow(1, 0, 1).unwrap();
    (values(&image), values(batch.targets.values().unwrap()))
}

/// With a filter that mixes no pixels the two must stay equal.
#[test]
fn a_mask_moves_as_its_image() {
    let zoomed = Augmentation::new().zoom(0.5..=0.5);
    let (before, _) = both(&batch(&classes(), plain(), Augmentation::new()));
    for augmentation in [
        Augmentation::new().flip(1.0),
        Augmentation::new().vertical_flip(1.0),
        Augmentation::new().padded_crop(9),
        Augmentation::new().padded_crop(9).fill(Fill::Edge),
        Augmentation::new().padded_crop(9).fill(Fill::Reflect),
        Augmentation::new().shift(0.3, 0.3),
    ] {
        let (image, mask) = both(&batch(&classes(), plain(), augmentation.clone()));
        assert_eq!(image, mask, "{augmentation:?}");
        assert_ne!(image, before, "{augmentation:?}");
    }
    let (_, mask) = both(&batch(&classes(), plain(), zoomed));
    assert_eq!(mask[0], 0.0, "beyond the edge");
}

#[test]
fn a_mask_is_cropped_and_resized_as_its_image() {
    for resize in [
        Resize::Squash {
            height: 12,
            width: 31,
            filter: ResizeFilter::Nearest,
        },
        Resize::ShortSide {
            short_side: 15,
            crop: Some((11, 19)),
            filter: ResizeFilter::Nearest,
        },
    ] {
        for augmentation in [
            Augmentation::new(),
            Augmentation::new().resized_crop(0.2..=0.6, 0.5..=2.0),
        ] {
            let (image, mask) = both(&batch(
                &classes(),
                plain().with_resize(resize),
                augmentation,
            ));
            assert_eq!(image, mask, "{resize:?}");
        }
    }
}

#[test]
fn rotation_and_zoom_make_no_new_classes_and_agree_with_the_image() {
    let augmentation = Augmentation::new().rotation(40.0).zoom(0.8..=1.3);
    let preprocessing = plain().with_size(40, 40);
    let moved = batch(&classes(), preprocessing, augmentation);
    let (image, mask) = both(&moved);
    assert!(mask.iter().all(|class| class % 40.0 == 0.0));
    // The image is bilinear, and differs along edges alone.
    let near = image
        .iter()
        .zip(&mask)
        .filter(|(image, mask)| (*image - *mask).abs() < 1.0);
    assert!(near.count() > mask.len() * 3 / 4);
}

#[test]
fn colors_noise_and_erasing_leave_a_mask_alone() {
    let colored = Augmentation::new()
        .brightness(0.9)
        .contrast(0.9)
        .noise(0.3)
        .erasing(1.0, 0.2..=0.3, 0.5..=2.0)
        .fill(Fill::Color([9; 3]));
    let (image, mask) = both(&batch(&classes(), plain(), colored));
    let before: Vec<f32> = bytes().into_iter().map(f32::from).collect();
    assert_eq!(mask, before);
    assert_ne!(image, before);
}

#[test]
fn fractions_are_from_0_to_1_and_smooth() {
    let data = example(Mask::fractions);
    let loaded = batch(&data, plain().with_size(10, 10), Augmentation::new());
    let targets = loaded.targets.values().unwrap();
    assert_eq!(targets.dims(), [1, 1, 10, 10]);
    let (image, mask) = both(&loaded);
    let scaled: Vec<f32> = image.iter().map(|value| value / 255.0).collect();
    assert_eq!(mask, scaled);
    let loaded = batch(&classes(), plain(), Augmentation::new());
    let targets = loaded.targets.values().unwrap();
    assert_eq!(targets.dims(), [1, SIDE, SIDE]);
    assert_eq!(targets.dtype(), candle_core::DType::U32);
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let small = FnDataset::new(1, |_| {
        let image = Image::from_rgb8(3, 2, vec![0; 18])?;
        Ok(Sample::new(image, Mask::classes(2, 3, [0; 6])?))
    });
    let loader = Loader::new(&small).preprocessing(plain());
    let expected = DataError::MaskSize {
        image: "example 0".to_string(),
        expected: (2, 3),
        mask: (3, 2),
    };
    assert_data_error(loader.batch(0, &[0]), &expected);
    let bytes = Mask::classes(2, 3, [0; 5]);
    assert!(matches!(
        bytes,
        Err(Error::Image(ImageError::Bytes {
            expected: 6,
            actual: 5,
            ..
        }))
    ));
    let labels = vgg_surgery::Labels::new(["a", "b"]);
    let named = FnDataset::new(1, |_| classes().sample(0)).with_classes(labels);
    let beyond = Loader::new(&named).preprocessing(plain()).batch(0, &[0]);
    assert!(matches!(
        beyond,
        Err(Error::ClassOutOfRange {
            class: 240,
            classes: 2,
            ..
        })
    ));
    let (data, soft) = (classes(), example(Mask::fractions));
    let mixing = |data| {
        let mixup = Augmentation::new().mixup(0.4);
        Loader::new(data)
            .preprocessing(plain())
            .augment(mixup)
            .batch(0, &[0])
    };
    assert!(matches!(mixing(&data), Err(Error::InvalidSetting { .. })));
    assert!(mixing(&soft as &dyn Dataset).is_ok());
}

#[cfg(feature = "image")]
mod folder {
    use std::fs;

    use tempfile::TempDir;
    use vgg_surgery::data::{ImageMaskFolder, SampleInput, Target};

    use super::*;
    use crate::{data_error, gradient};

    fn gray(width: usize, height: usize, level: u8) -> Image {
        Image::from_rgb8(width, height, vec![level; 3 * width * height]).unwrap()
    }

    /// `a` and `below/b`, with masks of class 1 and 2.
    fn folders() -> TempDir {
        let root = TempDir::new().unwrap();
        for (name, class) in [("a", 1), ("below/b", 2)] {
            let photo = root.path().join("photos").join(name).with_extension("png");
            let mask = root.path().join("masks").join(name).with_extension("PNG");
            for path in [&photo, &mask] {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
            }
            gradient(7, 5).save(photo).unwrap();
            gray(7, 5, class).save(mask).unwrap();
        }
        root
    }

    fn open(root: &TempDir) -> Result<ImageMaskFolder> {
        ImageMaskFolder::open(root.path().join("photos"), root.path().join("masks"))
    }

    #[test]
    fn images_are_paired_with_masks_by_name() {
        let root = folders();
        fs::write(root.path().join("masks/stray.png"), "not read").unwrap();
        let data = open(&root).unwrap();
        assert_eq!(data.len(), 2);
        data.verify().unwrap();
        for index in 0..2 {
            let sample = data.sample(index).unwrap();
            assert!(matches!(sample.input, SampleInput::Image(image) if image == gradient(7, 5)));
            let class = index as u8 + 1;
            assert!(matches!(sample.target, Target::Mask(mask) if mask.to_bytes() == [class; 35]));
        }
        let prints = |data: &ImageMaskFolder| data.fingerprint(0).unwrap();
        assert_ne!(prints(&data), prints(&data.clone().fractions()));
        let (one, other) = data.split(0.5, 1).unwrap();
        assert_eq!((one.len(), other.len()), (1, 1));
    }

    #[test]
    fn an_image_needs_exactly_one_mask_of_its_size() {
        let root = folders();
        let masks = root.path().join("masks");
        gray(5, 7, 0).save(masks.join("a.PNG")).unwrap();
        let error = data_error(open(&root));
        assert!(
            matches!(
                error,
                DataError::MaskSize {
                    expected: (5, 7),
                    mask: (7, 5),
                    ..
                }
            ),
            "{error}"
        );
        gray(7, 5, 0).save(masks.join("a.png")).unwrap();
        let error = data_error(open(&root));
        assert!(
            matches!(error, DataError::MaskCount { masks: 2, .. }),
            "{error}"
        );
        for mask in ["a.png", "a.PNG"] {
            fs::remove_file(masks.join(mask)).unwrap();
        }
        let error = data_error(open(&root));
        assert!(
            matches!(error, DataError::MaskCount { masks: 0, .. }),
            "{error}"
        );
        let nothing = ImageMaskFolder::open(TempDir::new().unwrap().path(), &masks);
        assert!(nothing.is_err());
        let empty = TempDir::new().unwrap();
        let error = data_error(ImageMaskFolder::open(empty.path(), &masks));
        assert!(matches!(error, DataError::EmptyFolder { .. }), "{error}");
    }

    #[test]
    fn a_mask_in_color_is_refused() {
        let root = folders();
        gradient(7, 5)
            .save(root.path().join("masks/a.PNG"))
            .unwrap();
        let data = open(&root).unwrap();
        for error in [data.sample(0).unwrap_err(), data.verify().unwrap_err()] {
            let is_named = error.to_string().contains("a.PNG");
            let is_image = matches!(error, Error::Image(ImageError::Unreadable { .. }));
            assert!(is_named && is_image, "{error}");
        }
    }
}
