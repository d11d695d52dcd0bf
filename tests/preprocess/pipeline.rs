//! What images, settings and batches become, and which are refused.

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::ImageError;
use vgg_surgery::preprocess::{ChannelOrder, PixelRange, Resize, ResizeFilter};
use vgg_surgery::{Error, Image, Preprocessing};

use crate::{FILTERS, fixtures, image, values};

fn gray(width: usize, height: usize) -> Image {
    Image::from_rgb8(width, height, vec![77; 3 * width * height]).unwrap()
}

#[test]
fn a_squash_is_a_resize() {
    let source = image(&fixtures()["source/noise"]);
    for filter in FILTERS {
        let squash = Preprocessing::caffe().with_size(9, 70).with_filter(filter);
        let resized = source.resize(70, 9, filter).unwrap();
        assert!(squash.fit(&source).unwrap() == resized);
    }
}

#[test]
fn without_a_crop_the_whole_resized_image_is_left() {
    let source = image(&fixtures()["source/noise"]);
    let preprocessing = Preprocessing::new().with_resize(Resize::ShortSide {
        short_side: 16,
        crop: None,
        filter: ResizeFilter::Bicubic,
    });
    // int(16 * 37 / 23) = 25
    let resized = source.resize(25, 16, ResizeFilter::Bicubic).unwrap();
    assert!(preprocessing.fit(&source).unwrap() == resized);
    assert_eq!(preprocessing.size(), None);
}

#[test]
fn presets_map_black_and_white_as_their_sources_say() {
    let edges = Image::from_rgb8(2, 1, [0, 0, 0, 255, 255, 255]).unwrap();
    let mapped = |preprocessing: Preprocessing| {
        values(&preprocessing.without_resize().apply(&edges).unwrap())
    };
    let near = |actual: Vec<f32>, expected: [f32; 6]| {
        assert_eq!(actual.len(), expected.len());
        for (actual, expected) in actual.iter().zip(expected) {
            // Three roundings to f32 of numbers up to 152.
            assert!(
                (actual - expected).abs() <= 2e-5 * expected.abs(),
                "{actual} {expected}"
            );
        }
    };
    // Worked out by hand: (0 - mean) / std and (1 - mean) / std.
    let torchvision = [
        -2.117904, 2.2489083, -2.0357144, 2.4285715, -1.8044444, 2.64,
    ];
    near(mapped(Preprocessing::torchvision()), torchvision);
    let features = [
        -122.99925, 132.00075, -116.9991, 138.0009, -103.9992, 151.0008,
    ];
    near(mapped(Preprocessing::torchvision_features()), features);
    let lpips = [
        -2.117904, 2.2489083, -2.0357144, 2.4285715, -1.8044444, 2.64,
    ];
    near(mapped(Preprocessing::lpips()), lpips);
    let caffe = [-103.939, 151.061, -116.779, 138.221, -123.68, 131.32];
    near(mapped(Preprocessing::caffe()), caffe);
    assert_eq!(mapped(Preprocessing::new()), [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn sizes_follow_timm() {
    let resize_of = |size| Preprocessing::torchvision().with_size(size, size).resize();
    // timm: floor(size / 0.875)
    for (size, expected) in [
        (224, 256),
        (160, 182),
        (96, 109),
        (299, 341),
        (32, 36),
        (1, 1),
    ] {
        let Resize::ShortSide {
            short_side, crop, ..
        } = resize_of(size)
        else {
            panic!("with_size changed the kind of resize");
        };
        assert_eq!((short_side, crop), (expected, Some((size, size))));
    }
    assert_eq!(resize_of(224), Preprocessing::torchvision().resize());
    let caffe = Preprocessing::caffe().with_size(96, 80);
    assert_eq!(caffe.size(), Some((96, 80)));
    assert_eq!(caffe.apply(&gray(9, 9)).unwrap().dims(), [1, 3, 96, 80]);
}

#[test]
fn a_batch_is_its_images_one_after_the_other() {
    let fixtures = fixtures();
    let images = ["noise", "cat", "row"].map(|name| image(&fixtures[&format!("source/{name}")]));
    let preprocessing = Preprocessing::torchvision().with_size(20, 24);
    let batch = preprocessing.apply_batch(&images).unwrap();
    assert_eq!(batch.dims(), [3, 3, 20, 24]);
    let singly = images
        .iter()
        .map(|image| values(&preprocessing.apply(image).unwrap()));
    assert_eq!(values(&batch), singly.collect::<Vec<_>>().concat());
}

#[test]
fn tensors_become_the_images_they_came_from() {
    // All 256 levels in each channel.
    let bytes: Vec<u8> = (0..=255)
        .flat_map(|level| [level, 255 - level, level ^ 0x55])
        .collect();
    let levels = Image::from_rgb8(16, 16, bytes).unwrap();
    let presets = [
        Preprocessing::new(),
        Preprocessing::torchvision(),
        Preprocessing::torchvision_features(),
        Preprocessing::caffe(),
        Preprocessing::lpips(),
        Preprocessing::lpips().with_channel_order(ChannelOrder::Bgr),
        Preprocessing::caffe().with_range(PixelRange::Unit),
    ];
    for preset in presets.map(Preprocessing::without_resize) {
        let x = preset.apply(&levels).unwrap();
        assert!(preset.to_image(&x).unwrap() == levels, "{preset:?}");
        assert!(preset.to_image(&x.squeeze(0).unwrap()).unwrap() == levels);
        let double = x.to_dtype(DType::F64).unwrap();
        assert!(preset.to_image(&double).unwrap() == levels);
    }
}

#[test]
fn tensors_beyond_the_range_are_clipped() {
    let values = [
        -1.0f32,
        2.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        0.5,
    ];
    let x = Tensor::from_slice(&values, (3, 1, 2), &Device::Cpu).unwrap();
    let image = Preprocessing::new().to_image(&x).unwrap();
    assert_eq!(image.pixel(0, 0), Some([0, 0, 0]));
    assert_eq!(image.pixel(1, 0), Some([255, 255, 128]));
}

#[test]
fn no_image_comes_of_other_tensors() {
    let caffe = Preprocessing::caffe();
    for dims in [
        vec![],
        vec![3],
        vec![2, 4, 4],
        vec![2, 3, 4, 4],
        vec![1, 1, 3, 4, 4],
    ] {
        let x = Tensor::zeros(dims.clone(), DType::F32, &Device::Cpu).unwrap();
        let error = caffe.to_image(&x).unwrap_err();
        assert!(matches!(error, Error::Image(ImageError::Tensor { actual, .. }) if actual == dims));
    }
    let empty = Tensor::zeros((3, 0, 4), DType::F32, &Device::Cpu).unwrap();
    let error = caffe.to_image(&empty).unwrap_err();
    assert!(matches!(
        error,
        Error::Image(ImageError::Size {
            width: 4,
            height: 0,
            ..
        })
    ));
}

#[test]
fn crops_are_parts() {
    let source = image(&fixtures()["source/noise"]);
    let part = source.crop(30, 20, 7, 3).unwrap();
    assert_eq!((part.width(), part.height()), (7, 3));
    assert_eq!(part.pixel(6, 2), source.pixel(36, 22));
    assert_eq!(part.pixel(0, 0), source.pixel(30, 20));
    assert_eq!((part.pixel(7, 0), part.pixel(0, 3)), (None, None));
    for (x, y, width, height) in [(31, 20, 7, 3), (30, 21, 7, 3), (usize::MAX, 0, 1, 1)] {
        let error = source.crop(x, y, width, height).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Image(ImageError::Crop {
                    image_width: 37,
                    ..
                })
            ),
            "{error}"
        );
    }
    let error = source.crop(0, 0, 0, 3).unwrap_err();
    assert!(matches!(
        error,
        Error::Image(ImageError::Size { width: 0, .. })
    ));
}

#[test]
fn impossible_images_are_refused() {
    let size = |width, height| Image::from_rgb8(width, height, Vec::new()).unwrap_err();
    for (width, height) in [
        (0, 0),
        (0, 5),
        (5, 0),
        (usize::MAX, 1),
        (usize::MAX, usize::MAX),
    ] {
        assert!(
            matches!(size(width, height), Error::Image(ImageError::Size { .. })),
            "{width} {height}"
        );
    }
    let error = Image::from_rgb8(2, 2, vec![0; 11]).unwrap_err();
    assert!(matches!(
        error,
        Error::Image(ImageError::Bytes {
            expected: 12,
            actual: 11,
            ..
        })
    ));
    assert_eq!(
        error.to_string(),
        "2x2 pixels (width x height) are 12 bytes, but got 11"
    );
    for (width, height) in [(0, 3), (3, 0), (usize::MAX, 3)] {
        let error = gray(3, 3)
            .resize(width, height, ResizeFilter::Bilinear)
            .unwrap_err();
        assert!(
            matches!(error, Error::Image(ImageError::Size { .. })),
            "{width} {height}"
        );
    }
}

#[test]
fn long_images_are_worked_on() {
    for (width, height) in [(30_000, 1), (1, 30_000)] {
        for preset in [Preprocessing::torchvision(), Preprocessing::caffe()] {
            let fitted = preset.fit(&gray(width, height)).unwrap();
            assert_eq!((fitted.width(), fitted.height()), (224, 224));
            assert!(fitted.as_rgb8().iter().all(|&byte| byte == 77));
        }
    }
    let huge = Preprocessing::new().with_resize(Resize::ShortSide {
        short_side: 1 << 40,
        crop: Some((4, 4)),
        filter: ResizeFilter::Nearest,
    });
    let error = huge.apply(&gray(3, 3)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Image(ImageError::Size {
                width: 3,
                height: 3,
                ..
            })
        ),
        "{error}"
    );
    let whole = Preprocessing::torchvision().with_resize(Resize::ShortSide {
        short_side: 256,
        crop: None,
        filter: ResizeFilter::Bilinear,
    });
    let error = whole.apply(&gray(30_000, 1)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Image(ImageError::Size {
                width: 7_680_000,
                ..
            })
        ),
        "{error}"
    );
}

#[test]
fn impossible_settings_are_refused() {
    let plain = Preprocessing::new();
    let no_short_side = plain.clone().with_resize(Resize::ShortSide {
        short_side: 0,
        crop: None,
        filter: ResizeFilter::Bilinear,
    });
    let settings = [
        plain.clone().with_std([1.0, 0.0, 1.0]),
        plain.clone().with_std([1.0, -1.0, 1.0]),
        plain.clone().with_std([1.0, f32::NAN, 1.0]),
        plain.clone().with_mean([f32::INFINITY, 0.0, 0.0]),
        no_short_side,
    ];
    for setting in settings {
        let error = setting.apply(&gray(4, 4)).unwrap_err();
        assert!(
            matches!(error, Error::InvalidPreprocessing { .. }),
            "{error}"
        );
    }
    for (height, width) in [(0, 4), (4, 0), (usize::MAX, usize::MAX)] {
        for preset in [plain.clone(), Preprocessing::caffe()] {
            let error = preset
                .with_size(height, width)
                .apply(&gray(4, 4))
                .unwrap_err();
            assert!(
                matches!(error, Error::Image(ImageError::Size { .. })),
                "{error}"
            );
        }
    }
}

#[test]
fn impossible_batches_are_refused() {
    let plain = Preprocessing::new();
    let error = plain.apply_batch::<Image>(&[]).unwrap_err();
    assert!(matches!(error, Error::Image(ImageError::EmptyBatch)));
    let error = plain
        .apply_batch(&[gray(4, 3), gray(4, 3), gray(3, 4)])
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Image(ImageError::BatchSizes {
                index: 2,
                expected: (3, 4),
                actual: (4, 3)
            })
        ),
        "{error}"
    );
}

#[test]
fn preprocessing_is_written_down_and_read_back() {
    let presets = [
        Preprocessing::default(),
        Preprocessing::torchvision(),
        Preprocessing::torchvision_features(),
        Preprocessing::caffe(),
        Preprocessing::lpips(),
        Preprocessing::torchvision().with_size(160, 96),
    ];
    for preset in presets {
        let text = serde_json::to_string(&preset).unwrap();
        assert_eq!(
            serde_json::from_str::<Preprocessing>(&text).unwrap(),
            preset
        );
    }
    let caffe = r#"{"resize":{"squash":{"height":224,"width":224,"filter":"nearest"}},"channel_order":"bgr","range":"byte","mean":[103.939,116.779,123.68],"std":[1.0,1.0,1.0]}"#;
    assert_eq!(
        serde_json::to_string(&Preprocessing::caffe()).unwrap(),
        caffe
    );
}

#[test]
fn preprocessing_prints_in_words() {
    assert_eq!(
        Preprocessing::caffe().to_string(),
        "values:        BGR, 0 to 255\n\
         mean:          [103.939, 116.779, 123.68]\n\
         deviation:     [1.0, 1.0, 1.0]\n\
         resize:        to 224x224, nearest"
    );
    let torchvision = Preprocessing::torchvision().to_string();
    assert!(torchvision.starts_with("values:        RGB, 0 to 1\n"));
    assert!(
        torchvision.ends_with("resize:        short side to 256, bilinear, the middle 224x224"),
        "{torchvision}"
    );
    let plain = Preprocessing::new().without_resize().to_string();
    assert!(plain.ends_with("resize:        none"), "{plain}");
}
