//! JPEG files with bytes missing, changed or added within their compressed data.

use std::fs;
use std::ops::Range;

use vgg_surgery::error::ImageError;
use vgg_surgery::{Error, Image};

use crate::decode::fixture;

const FILES: [&str; 6] = [
    "rgb.jpg",
    "full.jpg",
    "grey.jpg",
    "restarts.jpg",
    "progressive.jpg",
    "progressive_restarts.jpg",
];

/// The longest run of compressed data, with the restart markers in it.
fn longest_scan(jpeg: &[u8]) -> Range<usize> {
    let marker = |at: usize| (jpeg[at] == 0xff).then(|| jpeg[at + 1]);
    let mut longest = 0..0;
    for start in 0..jpeg.len() - 1 {
        if marker(start) == Some(0xda) {
            let length = usize::from(jpeg[start + 2]) * 256 + usize::from(jpeg[start + 3]);
            let from = start + 2 + length;
            let is_data = |at: &usize| matches!(marker(*at), None | Some(0 | 0xd0..=0xd7));
            let to = (from..jpeg.len() - 1).find(|at| !is_data(at)).unwrap();
            if to - from > longest.len() {
                longest = from..to;
            }
        }
    }
    longest
}

fn without(jpeg: &[u8], range: Range<usize>) -> Vec<u8> {
    [&jpeg[..range.start], &jpeg[range.end..]].concat()
}

fn assert_refused(jpeg: &[u8], what: &str) {
    match Image::decode(jpeg) {
        Err(Error::Image(ImageError::Unreadable { reason, .. })) => {
            assert!(reason.contains("in its middle"), "{what}: {reason}");
            assert!(reason.contains("allow_truncated()"), "{what}: {reason}");
        }
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn bytes_missing_in_the_middle_are_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("holed.jpg");
    for name in FILES {
        let whole = fs::read(fixture(name)).unwrap();
        let data = longest_scan(&whole);
        let hole = data.len() / 3;
        for start in (data.start + 1..data.end - hole - 1).step_by(7) {
            let holed = without(&whole, start..start + hole);
            assert_refused(&holed, &format!("{name} without {hole} bytes at {start}"));
            fs::write(&path, &holed).unwrap();
            let error = Image::open(&path).unwrap_err().to_string();
            assert!(error.contains("holed.jpg"), "{error}");
            let read = Image::options().allow_truncated().open(&path).unwrap();
            assert_eq!((read.width(), read.height()), (51, 41));
        }
    }
}

/// T.81, F.1.1.5.2: restart markers are numbered modulo 8.
#[test]
fn restart_markers_must_be_there_in_order() {
    for name in ["restarts.jpg", "progressive_restarts.jpg"] {
        let whole = fs::read(fixture(name)).unwrap();
        let data = longest_scan(&whole);
        let is_restart = |at: &usize| whole[*at] == 0xff && matches!(whole[*at + 1], 0xd0..=0xd7);
        let markers: Vec<usize> = data.filter(is_restart).collect();
        assert!(markers.len() > 1, "{name}");
        for pair in markers.windows(2) {
            let interval = without(&whole, pair[0]..pair[1]);
            assert_refused(&interval, &format!("{name} without an interval"));
            let mut renumbered = whole.clone();
            renumbered[pair[0] + 1] ^= 7;
            assert_refused(&renumbered, &format!("{name} with another number"));
        }
    }
}

#[test]
fn a_few_bytes_too_many_are_passed_over() {
    for name in FILES {
        let whole = fs::read(fixture(name)).unwrap();
        let end = longest_scan(&whole).end;
        let with = |count| [&whole[..end], &vec![0x55; count], &whole[end..]].concat();
        let expected = Image::decode(&whole).unwrap();
        assert!(Image::decode(&with(8)).unwrap() == expected, "{name}");
        assert_refused(&with(100), name);
    }
}
