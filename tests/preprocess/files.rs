//! Files that are cut off, turned, or of more levels than the screen.

use std::fs;

use vgg_surgery::error::{FileError, ImageError};
use vgg_surgery::{Error, Image};

use crate::decode::{fixture, png_claiming};

const FILES: [&str; 8] = [
    "rgb.jpg",
    "grey.jpg",
    "progressive.jpg",
    "rgb.png",
    "palette.png",
    "rgb16.png",
    "rgb.webp",
    "rgba.webp",
];

#[test]
fn a_file_cut_off_anywhere_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut");
    for name in FILES {
        let whole = fs::read(fixture(name)).unwrap();
        Image::decode(&whole).unwrap();
        // The last bytes of a PNG or JPEG hold no pixels.
        let near_end = whole.len().saturating_sub(40)..whole.len();
        for length in (0..whole.len()).step_by(97).chain(near_end) {
            fs::write(&path, &whole[..length]).unwrap();
            let error = Image::open(&path).err();
            assert!(
                matches!(&error, Some(Error::Image(ImageError::Unreadable { file, .. }))
                    if file.ends_with("cut")),
                "{name} to {length} of {}: {error:?}",
                whole.len()
            );
        }
    }
}

/// It was written in place: a full disk or a kill left half an image.
#[test]
fn an_image_is_replaced_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/image.png");
    let image = Image::open(fixture("rgb.png")).unwrap();
    image.save(&path).unwrap();
    // Who has opened the old file keeps it.
    let old = folder.path().join("old.png");
    fs::hard_link(&path, &old).unwrap();
    let gray = Image::open(fixture("grey.jpg")).unwrap();
    gray.save(&path).unwrap();
    assert!(Image::open(&path).unwrap() == gray);
    assert!(Image::open(&old).unwrap() == image);
    assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 1);
}

/// Opening the pipe waited for ever.
#[test]
#[cfg(unix)]
fn a_pipe_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.png");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let image = Image::open(fixture("rgb.png")).unwrap();
    for error in [Image::open(&pipe).map(drop), image.save(&pipe)] {
        let error = error.unwrap_err();
        assert!(
            matches!(error, Error::File(FileError::NotAFile { .. })),
            "{error}"
        );
    }
}

#[test]
fn what_is_there_is_read_on_request() {
    let options = Image::options().allow_truncated();
    for name in ["rgb.jpg", "progressive.jpg", "rgb.png", "rgb16.png"] {
        let bytes = fs::read(fixture(name)).unwrap();
        let whole = Image::decode(&bytes).unwrap();
        assert!(options.decode(&bytes).unwrap() == whole, "{name}");
        let cut = options.decode(&bytes[..bytes.len() * 4 / 5]).unwrap();
        assert_eq!((cut.width(), cut.height()), (whole.width(), whole.height()));
        assert!(cut != whole, "{name}");
        // Later scans of a progressive file refine all rows.
        if name != "progressive.jpg" {
            let row = 3 * whole.width();
            assert!(cut.as_rgb8()[..row] == whole.as_rgb8()[..row], "{name}");
        }
    }
    assert!(options.decode(&[]).is_err());
}

/// A JPEG with an EXIF orientation, which the first segment holds.
fn oriented(orientation: u8) -> Vec<u8> {
    let jpeg = fs::read(fixture("rgb.jpg")).unwrap();
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend(u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

/// EXIF 2.3: the position of the stored pixel `(0, 0)` in the upright image.
#[test]
fn images_are_turned_upright() {
    let stored = Image::open(fixture("rgb.jpg")).unwrap();
    let (right, bottom) = (stored.width() - 1, stored.height() - 1);
    let corners = [
        (1, (0, 0)),
        (2, (right, 0)),
        (3, (right, bottom)),
        (4, (0, bottom)),
        (5, (0, 0)),
        (6, (bottom, 0)),
        (7, (bottom, right)),
        (8, (0, right)),
    ];
    for (orientation, (x, y)) in corners {
        let upright = Image::decode(&oriented(orientation)).unwrap();
        let is_turned = upright.width() == stored.height();
        assert_eq!(is_turned, orientation > 4);
        assert_eq!(upright.pixel(x, y), stored.pixel(0, 0), "{orientation}");
        let kept = Image::options().stored_orientation();
        assert!(kept.decode(&oriented(orientation)).unwrap() == stored);
    }
}

#[test]
fn gray_of_16_bits_is_scaled_in_files_as_in_memory() {
    let file = image::open(fixture("grey16.png")).unwrap();
    let samples = file.as_luma16().unwrap().clone();
    let opened = Image::open(fixture("grey16.png")).unwrap();
    assert!(opened == Image::from(file.clone()));
    let high: Vec<u8> = samples.iter().map(|sample| (sample >> 8) as u8).collect();
    let reds: Vec<u8> = opened.as_rgb8().iter().step_by(3).copied().collect();
    assert_eq!(reds, high);

    let options = Image::options().window(20_000, 40_000).unwrap();
    let windowed = options.open(fixture("grey16.png")).unwrap();
    assert!(windowed == options.convert(file));
    let expected = samples.iter().map(|&sample| {
        let level = (f64::from(sample) - 20_000.0) / 20_000.0;
        (level.clamp(0.0, 1.0) * 255.0).round() as u8
    });
    let reds = windowed.as_rgb8().iter().step_by(3).copied();
    assert!(reds.eq(expected));
    // Other images have no window.
    let color = options.open(fixture("rgb16.png")).unwrap();
    assert!(color == Image::open(fixture("rgb16.png")).unwrap());
    let setting = Image::options().window(7, 7);
    assert!(matches!(setting, Err(Error::InvalidSetting { .. })));
}

/// 64 kB of gray of 1 bit were decoded to 2 GB before they were refused.
#[test]
fn the_size_is_checked_before_pixels_are_decoded() {
    let error = Image::decode(&png_claiming(30_000, 20_000)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Image(ImageError::Memory { width: 30_000, .. })
        ),
        "{error}"
    );
    // Within a higher limit it is the end of the file that is missing.
    let options = Image::options().memory_limit(1_800_000_000);
    let error = options.decode(&png_claiming(30_000, 20_000)).unwrap_err();
    assert!(error.to_string().contains("end is missing"), "{error}");
}

/// 51 x 41 pixels of 3 bytes.
#[test]
fn the_memory_of_an_image_has_a_limit() {
    let options = |limit| Image::options().memory_limit(limit);
    let bytes = fs::read(fixture("rgb.png")).unwrap();
    assert!(options(6273).decode(&bytes).unwrap() == Image::decode(&bytes).unwrap());
    for options in [options(6272), options(0).allow_truncated()] {
        let error = options.open(fixture("rgb.png")).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Image(ImageError::Memory {
                    width: 51,
                    height: 41,
                    needed: 6273,
                    ..
                })
            ),
            "{error}"
        );
    }
}

/// Gray takes a byte a pixel in a file and three in memory, and 16-bit color six in a
/// file.
#[test]
fn the_limit_holds_in_the_file_and_in_memory() {
    for (name, bytes) in [("grey.png", 3), ("bilevel.png", 3), ("rgb16.png", 6)] {
        let image = Image::open(fixture(name)).unwrap();
        let expected = bytes * (image.width() * image.height()) as u64;
        let options = |limit| Image::options().memory_limit(limit);
        assert!(options(expected).open(fixture(name)).unwrap() == image);
        let error = options(expected - 1).open(fixture(name)).unwrap_err();
        assert!(
            matches!(error, Error::Image(ImageError::Memory { needed, .. }) if needed == expected),
            "{name}: {error}"
        );
        let opened = options(expected).open(fixture(name)).unwrap();
        assert_eq!(opened.memory_limit(), expected);
    }
}
