use std::io::Cursor;
use std::path::Path;

use image::ImageFormat;
use png::{BitDepth, ColorType, Decoder, Transformations};

use super::decode::open_gray;
use super::ending::damage;
use super::image::Image;
use super::options::ImageOptions;
use super::size::Size;
use crate::error::{Error, ImageError, Result, shown};
use crate::files;

/// Reads a mask of classes, each pixel as three equal bytes: the numbers that a PNG
/// stores, which are indices if it has a palette; of other images the gray.
pub(crate) fn open_classes(path: &Path, options: &ImageOptions) -> Result<Image> {
    let bytes = files::read(path)?;
    match stored_numbers(&bytes, &shown(path), options)? {
        Some(image) => Ok(image),
        None => open_gray(path, options),
    }
}

/// What a PNG with a palette, or with gray of fewer than 8 bits, stores; `None` for
/// other files.
fn stored_numbers(bytes: &[u8], name: &str, options: &ImageOptions) -> Result<Option<Image>> {
    if image::guess_format(bytes).ok() != Some(ImageFormat::Png) {
        return Ok(None);
    }
    let unreadable = |reason: String| {
        let file = name.to_string();
        Error::Image(ImageError::Unreadable { file, reason })
    };
    let failed = |error: png::DecodingError| unreadable(error.to_string());
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(failed)?;
    let info = reader.info();
    let bits = match (info.color_type, info.bit_depth) {
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::One) => 1,
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::Two) => 2,
        (ColorType::Indexed | ColorType::Grayscale, BitDepth::Four) => 4,
        (ColorType::Indexed, BitDepth::Eight) => 8,
        _ => return Ok(None),
    };
    let size = Size {
        width: info.width as usize,
        height: info.height as usize,
    };
    // Before decoding: a file of a few bytes may claim any size.
    let limit = options.memory_limit_or_default();
    let pixels = size.pixels_within(limit)?;
    if damage(bytes, ImageFormat::Png, options).is_some() {
        return Err(unreadable("its end is missing; copy it again".to_string()));
    }
    let row = (size.width * bits).div_ceil(8);
    let length = reader.output_buffer_size().unwrap_or(0);
    let mut rows = vec![0; length.max(row * size.height)];
    reader.next_frame(&mut rows).map_err(failed)?;
    let mut rgb = Vec::with_capacity(3 * pixels);
    for row in rows.chunks_exact(row).take(size.height) {
        let numbers = (0..size.width).map(|column| number(row, column, bits));
        rgb.extend(numbers.flat_map(|number| [number; 3]));
    }
    let image = Image::unchecked(size, rgb);
    Ok(Some(image.with_memory_limit(limit)))
}

/// The number of a pixel in a row whose highest bits come first.
fn number(row: &[u8], column: usize, bits: usize) -> u8 {
    let first = column * bits;
    let byte = u16::from(row[first / 8]);
    let shift = 8 - bits - first % 8;
    let mask = (1u16 << bits) - 1;
    (byte >> shift & mask) as u8
}
