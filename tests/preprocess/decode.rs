//! Image files against Pillow.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use vgg_surgery::error::ImageError;
use vgg_surgery::preprocess::ResizeFilter;
use vgg_surgery::{Error, Image, Preprocessing};

use crate::parity::mean_and_std;
use crate::{image, tensors, values};

pub(crate) fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess");
    folder.join(name)
}

#[test]
fn files_decode_as_in_pillow() {
    let path = fixture("pillow.safetensors");
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let mut checked = 0;
    for (key, expected) in &tensors {
        let Some(name) = key.strip_prefix("decode/") else {
            continue;
        };
        if !is_read(name) {
            continue;
        }
        let image = Image::open(fixture(name)).unwrap();
        let (height, width, _) = expected.dims3().unwrap();
        assert_eq!((image.height(), image.width()), (height, width), "{name}");
        let expected: Vec<u8> = expected.flatten_all().unwrap().to_vec1().unwrap();
        assert!(image.as_rgb8() == expected, "{name}");
        checked += 1;
    }
    let of = |name, files| if is_read(name) { files } else { 0 };
    assert_eq!(checked, 17 + of(".gif", 2) + of(".bmp", 2) + of(".tif", 5));
}

/// Whether the features of this build read files of this ending.
pub(crate) fn is_read(name: &str) -> bool {
    let optional = [
        (".gif", cfg!(feature = "gif")),
        (".bmp", cfg!(feature = "bmp")),
        (".tif", cfg!(feature = "tiff")),
        (".avif", cfg!(feature = "avif")),
    ];
    let known = optional.iter().find(|(ending, _)| name.ends_with(ending));
    known.is_none_or(|(_, is_read)| *is_read)
}

/// JPEG decoders are free to round: two of them were measured to differ by up
/// to 9 levels on photographs.
#[test]
fn jpeg_files_decode_nearly_as_in_pillow() {
    let tensors = tensors(fixture("pillow.safetensors"));
    for name in ["rgb.jpg", "grey.jpg"] {
        let decoded = Image::open(fixture(name)).unwrap();
        let expected = image(&tensors[&format!("jpeg/{name}")]);
        assert_eq!((decoded.width(), decoded.height()), (51, 41));
        let pairs = decoded.as_rgb8().iter().zip(expected.as_rgb8());
        let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 9, "{name} is {worst} levels off");
        if name == "grey.jpg" {
            let mut pixels = decoded.as_rgb8().chunks_exact(3);
            assert!(pixels.all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
        }
    }
}

#[test]
fn a_saved_image_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("saved.png");
    let image = Image::open(fixture("rgb.png")).unwrap();
    image.save(&path).unwrap();
    assert!(Image::open(&path).unwrap() == image);
    let error = image.save(path.join("below.png")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }));
}

#[test]
fn what_is_no_image_is_refused() {
    let error = Image::open(fixture("absent.png")).unwrap_err();
    assert!(matches!(error, Error::Io { path, .. } if path == fixture("absent.png")));
    let error = Image::open(fixture("README.md")).unwrap_err();
    assert!(
        matches!(error, Error::Image(ImageError::Unreadable { file, .. }) if file.ends_with("README.md"))
    );
    for name in ["rgb.png", "rgb.webp"] {
        let whole = fs::read(fixture(name)).unwrap();
        for length in [0, 1, 8, 30, 100, whole.len() / 2] {
            let error = Image::decode(&whole[..length]).unwrap_err();
            assert!(
                matches!(error, Error::Image(ImageError::Unreadable { file, .. }) if file == "image")
            );
        }
    }
}

/// A PNG header with the size it claims, and its checksum.
pub(crate) fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let crc = !header.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    });
    png.extend(header);
    png.extend(crc.to_be_bytes());
    png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    png
}

#[test]
fn absurd_claims_of_size_cost_nothing() {
    for (width, height) in [
        (0, 1),
        (1, 0),
        (1 << 21, 1),
        (1 << 20, 1 << 20),
        (20_000, 20_000),
    ] {
        let error = Image::decode(&png_claiming(width, height)).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Image(
                    ImageError::Unreadable { .. }
                        | ImageError::Size { .. }
                        | ImageError::Memory { .. }
                )
            ),
            "{error}"
        );
    }
}

#[test]
fn damaged_files_never_panic() {
    for name in [
        "rgb.png",
        "palette.png",
        "rgb16.png",
        "rgb.webp",
        "rgba.webp",
        "rgb.jpg",
        "progressive.jpg",
        "progressive_restarts.jpg",
        "animated.gif",
        "palette.bmp",
        "lzw.tif",
    ] {
        if !is_read(name) {
            continue;
        }
        let whole = fs::read(fixture(name)).unwrap();
        let healthy = Image::decode(&whole).unwrap();
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x55;
            if let Ok(image) = Image::decode(&damaged) {
                assert!(image.width() * image.height() > 0);
            }
        }
        assert!(Image::decode(&whole).unwrap() == healthy);
    }
}

#[test]
fn images_come_from_the_image_crate() {
    let image = image::open(fixture("rgb.png")).unwrap();
    let opened = Image::open(fixture("rgb.png")).unwrap();
    assert!(Image::from(image.clone()) == opened);
    assert!(Image::from(image.into_rgb8()) == opened);

    let long = image::RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    assert!(Image::from(long) == Image::from_rgb8(2, 1, [1, 2, 3, 4, 5, 6]).unwrap());

    let gray16 = image::ImageBuffer::from_raw(2, 1, vec![0x12ff_u16, 0xfe80]).unwrap();
    let image = Image::from(image::DynamicImage::ImageLuma16(gray16));
    assert_eq!(image.as_rgb8(), [0x12, 0x12, 0x12, 0xfe, 0xfe, 0xfe]);
}

#[test]
fn an_empty_image_is_an_error_where_it_is_used() {
    let empty = Image::from(image::RgbImage::new(0, 4));
    let path = tempfile::tempdir().unwrap().path().join("empty.png");
    let refused = [
        empty.resize(2, 2, ResizeFilter::Bilinear).map(|_| ()),
        empty.crop(0, 0, 1, 1).map(|_| ()),
        empty.save(&path),
        Preprocessing::torchvision().apply(&empty).map(|_| ()),
        Preprocessing::new().apply(&empty).map(|_| ()),
    ];
    for result in refused {
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Image(ImageError::Size { .. }) | Error::Image(ImageError::Crop { .. })
            ),
            "{error}"
        );
    }
    assert_eq!(empty.pixel(0, 0), None);
}

#[test]
#[ignore = "needs ../shared: whole photographs and what torchvision and Keras make of them"]
fn whole_images_come_out_as_in_torchvision_and_keras() {
    let shared = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared"));
    let golden = tensors(shared.join("golden/preprocess.golden.safetensors"));
    let crops = tensors(shared.join("golden/trunk_keras.golden.safetensors"));
    for name in ["astronaut.png", "chelsea.png", "coffee.png"] {
        let whole = Image::open(shared.join("images").join(name)).unwrap();
        let fitted = Preprocessing::torchvision().fit(&whole).unwrap();
        assert!(
            fitted == image(&golden[&format!("{name}.torchvision.u8")]),
            "{name}"
        );
        let squashed = Preprocessing::keras().fit(&whole).unwrap();
        assert!(
            squashed == image(&golden[&format!("{name}.keras_nearest.u8")]),
            "{name}"
        );
        let x = Preprocessing::torchvision().apply(&whole).unwrap();
        let (mean, std) = mean_and_std(&values(&x));
        let expected = values(&golden[&format!("{name}.torchvision.stats")]);
        assert!(
            (mean - f64::from(expected[0])).abs() < 1e-6,
            "{name} {mean}"
        );
        assert!((std - f64::from(expected[1])).abs() < 1e-6, "{name} {std}");
        let crop = whole.crop(60, 100, 80, 96).unwrap();
        assert!(crop == image(&crops[&format!("{name}.crop.u8")]), "{name}");
        let x = Preprocessing::caffe()
            .without_resize()
            .apply(&crop)
            .unwrap();
        assert_eq!(values(&x), values(&crops[&format!("{name}.preprocessed")]));
    }
}
