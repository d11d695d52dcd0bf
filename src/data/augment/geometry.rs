//! Flips, shifts and affine transforms of 8-bit images.

use crate::error::Result;
use crate::preprocess::{Image, ResizeFilter, Size};

use super::settings::Fill;

/// Maps a pixel of the result to its source: `(x, y)` comes from
/// `(m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5])`, in pixels from the
/// corner of the image.
pub(super) type Matrix = [f64; 6];

/// torchvision's `_get_inverse_affine_matrix` around the center, without
/// shear.
pub(super) fn inverse_affine(
    Size { width, height }: Size,
    degrees: f64,
    (shift_x, shift_y): (f64, f64),
    zoom: f64,
) -> Matrix {
    let (sin, cos) = libm::sincos(degrees.to_radians());
    let (center_x, center_y) = (width as f64 * 0.5, height as f64 * 0.5);
    let (a, b) = (cos / zoom, sin / zoom);
    let (left, top) = (-center_x - shift_x, -center_y - shift_y);
    [
        a,
        b,
        a * left + b * top + center_x,
        -b,
        a,
        -b * left + a * top + center_y,
    ]
}

/// Pillow's `Image.transform(size, AFFINE, matrix, BILINEAR, fillcolor)`
/// (`affine_transform` and `bilinear_filter32RGB` in libImaging/Geometry.c of
/// Pillow 13.0), byte for byte if the fill is a color.
///
/// With [`ResizeFilter::Nearest`] each pixel is one of the source, as Pillow's
/// `NEAREST`.
pub(super) fn affine(
    image: &Image,
    matrix: &Matrix,
    fill: Fill,
    filter: ResizeFilter,
) -> Result<Image> {
    let value_at = match filter {
        ResizeFilter::Nearest => nearest,
        ResizeFilter::Bilinear | ResizeFilter::Bicubic => bilinear,
    };
    let (width, height) = (image.width(), image.height());
    let [a, b, c, d, e, f] = *matrix;
    let mut bytes = Vec::with_capacity(image.as_rgb8().len());
    for row in 0..height {
        for column in 0..width {
            let (x, y) = (column as f64 + 0.5, row as f64 + 0.5);
            let from = (a * x + b * y + c, d * x + e * y + f);
            bytes.extend(match source(image.size(), from, fill) {
                Source::At(x, y) => value_at(image, x, y),
                Source::Beyond(color) => color,
            });
        }
    }
    Image::from_rgb8(width, height, bytes)
}

/// What a pixel is made from: a position of the image, or a color beyond it.
enum Source {
    At(f64, f64),
    Beyond([u8; 3]),
}

fn source(size: Size, (x, y): (f64, f64), fill: Fill) -> Source {
    let (width, height) = (size.width as f64, size.height as f64);
    let inside = (0.0..width).contains(&x) && (0.0..height).contains(&y);
    match fill {
        Fill::Black if !inside => Source::Beyond([0; 3]),
        Fill::Color(color) if !inside => Source::Beyond(color),
        Fill::Reflect => Source::At(reflect(x, width), reflect(y, height)),
        _ => Source::At(x, y),
    }
}

fn nearest(image: &Image, x: f64, y: f64) -> [u8; 3] {
    // Beyond the edge the nearest pixel is on it.
    let column = (x.max(0.0) as usize).min(image.width() - 1);
    let row = (y.max(0.0) as usize).min(image.height() - 1);
    image.pixel(column, row).unwrap_or_default()
}

fn bilinear(image: &Image, x: f64, y: f64) -> [u8; 3] {
    let (width, height) = (image.width() as f64, image.height() as f64);
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (to_right, to_lower) = (x - left, y - top);
    let at = |dx: f64, dy: f64| {
        // Within the image, so it fits a usize.
        let column = (left + dx).clamp(0.0, width - 1.0) as usize;
        let row = (top + dy).clamp(0.0, height - 1.0) as usize;
        image.pixel(column, row).unwrap_or_default()
    };
    let [upper_left, upper_right] = [at(0.0, 0.0), at(1.0, 0.0)];
    let [lower_left, lower_right] = [at(0.0, 1.0), at(1.0, 1.0)];
    let between = |from: f64, to: f64, fraction: f64| from + (to - from) * fraction;
    std::array::from_fn(|channel| {
        let value = |pixel: [u8; 3]| f64::from(pixel[channel]);
        let upper = between(value(upper_left), value(upper_right), to_right);
        let lower = between(value(lower_left), value(lower_right), to_right);
        between(upper, lower, to_lower) as u8
    })
}

/// A position on an axis that is mirrored at every multiple of `length`.
fn reflect(x: f64, length: f64) -> f64 {
    let x = x.rem_euclid(2.0 * length);
    if x < length { x } else { 2.0 * length - x }
}

/// The image moved by whole pixels. Positive numbers move right and down.
pub(super) fn moved(image: &Image, right: i64, down: i64, fill: Fill) -> Result<Image> {
    let matrix = [1.0, 0.0, -right as f64, 0.0, 1.0, -down as f64];
    affine(image, &matrix, fill, ResizeFilter::Nearest)
}

pub(super) fn flipped(image: Image) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let mut bytes = image.into_rgb8();
    for row in bytes.chunks_exact_mut(3 * width) {
        row.reverse();
        row.chunks_exact_mut(3).for_each(<[u8]>::reverse);
    }
    Image::from_rgb8(width, height, bytes)
}

pub(super) fn flipped_vertically(image: &Image) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let rows = image.as_rgb8().chunks_exact(3 * width).rev();
    Image::from_rgb8(width, height, rows.collect::<Vec<_>>().concat())
}
