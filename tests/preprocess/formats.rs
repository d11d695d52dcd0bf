//! Formats behind features, and files of several images.

use std::fs;

use vgg_surgery::error::ImageError;
use vgg_surgery::{Error, Image};

use crate::decode::{fixture, is_read};

#[test]
fn a_format_whose_feature_is_off_is_named_with_it() {
    for (name, expected) in [
        ("palette.gif", "gif"),
        ("rgb.bmp", "bmp"),
        ("rgb.tif", "tiff"),
        ("rgb.avif", "avif"),
    ] {
        let opened = Image::open(fixture(name));
        if is_read(name) {
            opened.unwrap();
            continue;
        }
        match opened.unwrap_err() {
            Error::MissingFeature { what, feature } => {
                assert_eq!(feature, expected);
                assert!(what.contains(name), "{what}");
            }
            error => panic!("{error}"),
        }
    }
}

/// Decoders of AV1 agree on every bit; the colors are rounded once.
#[test]
#[cfg(feature = "avif")]
fn avif_decodes_as_in_pillow() {
    let decoded = Image::open(fixture("rgb.avif")).unwrap();
    let expected = Image::open(fixture("rgb_avif.png")).unwrap();
    assert_eq!((decoded.width(), decoded.height()), (51, 41));
    let pairs = decoded.as_rgb8().iter().zip(expected.as_rgb8());
    let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(worst <= 1, "{worst} levels off");
}

/// The second frame is the first one upside down.
#[test]
fn an_animation_is_its_first_frame() {
    for (animated, single) in [
        ("animated.png", "rgb.png"),
        ("animated.webp", "rgb.webp"),
        ("animated.gif", "palette.gif"),
    ] {
        if is_read(animated) {
            let first = Image::open(fixture(animated)).unwrap();
            assert!(first == Image::open(fixture(single)).unwrap(), "{animated}");
        }
    }
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    for name in [
        "palette.gif",
        "animated.gif",
        "rgb.bmp",
        "palette.bmp",
        "rgb.tif",
        "lzw.tif",
        "deflate.tif",
        "grey.tif",
        "rgb.avif",
        "animated.png",
        "animated.webp",
    ] {
        if !is_read(name) {
            continue;
        }
        let whole = fs::read(fixture(name)).unwrap();
        let expected = Image::decode(&whole).unwrap();
        for length in 0..whole.len() {
            match Image::decode(&whole[..length]) {
                Err(Error::Image(ImageError::Unreadable { .. } | ImageError::Size { .. })) => {}
                // What follows the pixels may be missing.
                Ok(image) if image == expected => {}
                other => panic!("{name} to {length} of {}: {other:?}", whole.len()),
            }
        }
        let half = Image::decode(&whole[..whole.len() / 2]);
        assert!(half.is_err() || name.starts_with("animated"), "{name}");
    }
}

/// TIFF 6.0: orientation 6, which Pillow turns too.
#[cfg(feature = "tiff")]
#[test]
fn a_turned_tiff_is_upright() {
    let stored = Image::open(fixture("rgb.tif")).unwrap();
    let upright = Image::open(fixture("turned.tif")).unwrap();
    assert_eq!((upright.width(), upright.height()), (41, 51));
    assert_eq!(upright.pixel(40, 0), stored.pixel(0, 0));
    let kept = Image::options().stored_orientation();
    assert!(kept.open(fixture("turned.tif")).unwrap() == stored);
}

#[test]
fn what_is_there_of_other_formats_is_read_on_request() {
    let options = Image::options().allow_truncated();
    for name in ["palette.gif", "rgb.bmp", "rgb.tif", "lzw.tif"] {
        if !is_read(name) {
            continue;
        }
        let bytes = fs::read(fixture(name)).unwrap();
        let whole = Image::decode(&bytes).unwrap();
        assert!(options.decode(&bytes).unwrap() == whole, "{name}");
        let cut = options.decode(&bytes[..bytes.len() * 4 / 5]);
        // The one strip of a TIFF is read whole or not at all.
        if name.ends_with(".tif") {
            assert!(cut.is_err(), "{name}");
            continue;
        }
        let cut = cut.unwrap();
        let pairs = cut.as_rgb8().iter().zip(whole.as_rgb8());
        let same = pairs.filter(|(cut, whole)| cut == whole).count();
        assert!(
            cut != whole && same * 2 > whole.as_rgb8().len(),
            "{name}: {same}"
        );
    }
}
