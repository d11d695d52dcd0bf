//! Whether an image file is whole. Decoders fill what is missing with gray, or
//! stop reading before they see that the rest is cut off.

use image::ImageFormat;

use super::jpeg;
use super::options::ImageOptions;

/// What is wrong with a file that a decoder would read.
pub(super) enum Damage {
    /// It is cut off.
    NoEnd,
    /// Bytes are missing in its middle, or changed.
    Middle,
}

/// What the decoder of this format does not report.
pub(super) fn damage(bytes: &[u8], format: ImageFormat, options: &ImageOptions) -> Option<Damage> {
    let has_end = match format {
        ImageFormat::Jpeg => {
            let limit = options.memory_limit_or_default();
            return jpeg::damage(bytes, limit).map(|damage| match damage {
                jpeg::Damage::NoEnd => Damage::NoEnd,
                jpeg::Damage::Blocks => Damage::Middle,
            });
        }
        ImageFormat::Png => png_has_end(bytes),
        ImageFormat::WebP => webp_has_end(bytes),
        ImageFormat::Gif => gif_has_end(bytes),
        _ => Some(true),
    };
    (has_end != Some(true)).then_some(Damage::NoEnd)
}

/// Walks over the chunks to the last one.
fn png_has_end(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let kind = rest.get(4..8)?;
        // Length, kind and checksum have four bytes each.
        let next = rest.get(length.checked_add(12)?..)?;
        if kind == b"IEND" {
            return Some(true);
        }
        rest = next;
    }
}

/// The container states its length.
fn webp_has_end(bytes: &[u8]) -> Option<bool> {
    let length = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?) as usize;
    Some(bytes.len() >= length.checked_add(8)?)
}

/// Walks over the blocks to the trailer. Bytes that no block begins with end it
/// too: what is before them is read.
fn gif_has_end(bytes: &[u8]) -> Option<bool> {
    let colors = |packed: u8| match packed & 0x80 {
        0 => 0,
        _ => 3 << ((packed & 7) + 1),
    };
    // Signature and logical screen.
    let mut at = 13 + colors(*bytes.get(10)?);
    loop {
        at = match bytes.get(at..)? {
            [] => return None,
            // An extension and its label.
            [0x21, _, ..] => at + 2,
            // A frame: its place and size, its colors, the width of its codes.
            [0x2c, rest @ ..] => at + 11 + colors(*rest.get(8)?),
            _ => return Some(true),
        };
        // Runs of bytes, to an empty one.
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1 + length;
            if length == 0 {
                break;
            }
        }
    }
}
