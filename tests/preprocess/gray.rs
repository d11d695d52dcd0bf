//! One channel, against Pillow's `convert("L")`.

use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::ImageError;
use vgg_surgery::preprocess::{ChannelOrder, PixelRange, Resize, ResizeFilter};
use vgg_surgery::{Error, Image, Preprocessing};

use crate::{fixtures, image, values};

fn gray() -> Preprocessing {
    Preprocessing::new()
        .with_channel_order(ChannelOrder::Gray)
        .with_range(PixelRange::Byte)
}

fn bytes(tensor: &Tensor) -> Vec<f32> {
    values(&tensor.to_dtype(DType::F32).unwrap())
}

#[test]
fn the_luma_is_that_of_pillow() {
    let fixtures = fixtures();
    for name in ["noise", "edges", "cat"] {
        let source = image(&fixtures[&format!("source/{name}")]);
        let x = gray().apply(&source).unwrap();
        assert_eq!(x.dims(), [1, 1, source.height(), source.width()]);
        assert_eq!(
            values(&x),
            bytes(&fixtures[&format!("luma/{name}")]),
            "{name}"
        );
    }
    for (name, filter) in [
        ("nearest", ResizeFilter::Nearest),
        ("bilinear", ResizeFilter::Bilinear),
        ("bicubic", ResizeFilter::Bicubic),
    ] {
        let resize = Resize::Squash {
            height: 24,
            width: 24,
            filter,
        };
        let source = image(&fixtures["source/cat"]);
        let x = gray().with_resize(resize).apply(&source).unwrap();
        assert_eq!(
            values(&x),
            bytes(&fixtures[&format!("luma/{name}")]),
            "{name}"
        );
    }
}

#[test]
fn a_gray_image_is_its_own_luma() {
    let levels: Vec<u8> = (0..=255).flat_map(|level| [level; 3]).collect();
    let levels = Image::from_rgb8(16, 16, levels).unwrap();
    let gray = gray();
    assert!(gray.fit(&levels).unwrap() == levels);
    let x = gray.apply(&levels).unwrap();
    assert!(values(&x).iter().copied().eq((0..=255u8).map(f32::from)));
    for x in [x.clone(), x.squeeze(0).unwrap()] {
        assert!(gray.to_image(&x).unwrap() == levels);
    }
    let color = Tensor::zeros((1, 3, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let error = gray.to_image(&color).unwrap_err();
    assert!(
        matches!(error, Error::Image(ImageError::Tensor { channels: 1, .. })),
        "{error}"
    );
}

#[test]
fn gray_has_the_average_mean_and_deviation() {
    let gray = Preprocessing::torchvision().with_channel_order(ChannelOrder::Gray);
    assert_eq!(gray.channels(), 1);
    assert_eq!(gray.mean(), [0.449; 3]);
    assert_eq!(gray.std(), [0.226; 3]);
    let white = Image::from_rgb8(1, 1, vec![255; 3]).unwrap();
    let x = gray.clone().without_resize().apply(&white).unwrap();
    assert_eq!(values(&x), [(1.0 - 0.449f32) / 0.226]);
    // Equal numbers stay as they are.
    let mean = Preprocessing::new().with_channel_order(ChannelOrder::Gray);
    assert_eq!(mean.with_mean([0.1; 3]).mean(), [0.1; 3]);
    let back = gray.clone().with_channel_order(ChannelOrder::Rgb);
    assert_eq!((back.channels(), back.mean()), (3, [0.449; 3]));

    let text = serde_json::to_string(&gray).unwrap();
    assert_eq!(serde_json::from_str::<Preprocessing>(&text).unwrap(), gray);
    assert!(gray.to_string().contains("gray, 0 to 1"), "{gray}");
    let three = serde_json::to_string(&Preprocessing::torchvision()).unwrap();
    let three = three.replace("rgb", "gray");
    let three: Preprocessing = serde_json::from_str(&three).unwrap();
    let error = three.apply(&white).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidPreprocessing { reason } if reason.contains("one mean")),
        "{error}"
    );
}
