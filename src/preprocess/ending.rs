//! Whether an image file has its end. Decoders fill what is missing with gray,
//! or stop reading before they see that the rest is cut off.

use image::ImageFormat;

/// Whether the bytes reach to the end of the image. True for formats whose
/// decoder reports what is missing.
pub(super) fn has_end(bytes: &[u8], format: ImageFormat) -> bool {
    match format {
        ImageFormat::Jpeg => jpeg_has_end(bytes),
        ImageFormat::Png => png_has_end(bytes).unwrap_or(false),
        ImageFormat::WebP => webp_has_end(bytes).unwrap_or(false),
        _ => true,
    }
}

/// Walks from marker to marker to that of the end (ITU-T T.81, annex B). The
/// thumbnails of cameras lie within segments and are passed over. In compressed
/// data, FF is followed by 0 or by a marker without a length.
fn jpeg_has_end(bytes: &[u8]) -> bool {
    const END: u8 = 0xd9;
    let mut at = 0;
    while let Some(found) = bytes
        .get(at..)
        .and_then(|rest| rest.iter().position(|&b| b == 0xff))
    {
        at += found + 1;
        match bytes.get(at..) {
            Some([END, ..]) => return true,
            // Fill, stuffing, restarts and the start have no length.
            Some([0xff, ..]) => {}
            Some([0 | 1 | 0xd0..=0xd8, ..]) => at += 1,
            Some(&[_, high, low, ..]) => at += 1 + usize::from(u16::from_be_bytes([high, low])),
            _ => return false,
        }
    }
    false
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
