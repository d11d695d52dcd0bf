use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{
    ColorType, DynamicImage, ExtendedColorType, ImageBuffer, ImageDecoder, ImageEncoder,
    ImageFormat, ImageReader, Limits, Pixel, RgbImage,
};

use super::ending::{Damage, damage};
use super::image::Image;
use super::options::ImageOptions;
use super::size::Size;
use crate::error::{Error, ImageError, Result, io_error, shown};
use crate::files;

const READ_THE_REST: &str =
    "copy it again, or read what is there with Image::options().allow_truncated()";

impl Image {
    /// Reads an image file; see [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be read;
    /// [`FileError::NotAFile`](crate::error::FileError::NotAFile) for a pipe or a
    /// device; otherwise as [`decode`](Self::decode), with the name of the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::options().open(path)
    }

    /// Decodes PNG, JPEG or WebP, recognized by the first bytes, as Pillow's
    /// `Image.open(..).convert("RGB")` does: gray is repeated, a palette is
    /// looked up, the alpha channel is dropped, and 16-bit values lose their lower
    /// 8 bits. Color profiles are ignored. The features `gif`, `bmp`, `tiff`
    /// and `avif` of this crate add these formats. `avif` needs the C library dav1d,
    /// 1.3 or newer, where the crate is built and where it runs; the size of an AVIF
    /// file is tested after it is decoded. HEIC is not read.
    ///
    /// Of an animated GIF, WebP or PNG it is the first frame, of a TIFF the first
    /// page. Pixels that a GIF leaves transparent are black.
    ///
    /// Unlike in Pillow, the image is turned as its EXIF orientation says, so
    /// that it is upright as in a viewer, and 16-bit gray is scaled as other
    /// 16-bit values are; [`options`](Self::options) change both.
    ///
    /// All formats but JPEG and lossy WebP are decoded to the same bytes as in
    /// Pillow; JPEG decoders differ by a few levels.
    ///
    /// Bytes that are missing are an error, as far as the format lets that be
    /// seen. PNG has checksums. A JPEG has none, but must have all its compressed
    /// blocks and restart markers: hundreds of missing bytes are seen. A few
    /// within one block often leave a legal file of other pixels, as does the loss
    /// of a whole scan of a progressive JPEG. In WebP, GIF, BMP and TIFF, bytes
    /// missing in the middle may change pixels without an error.
    ///
    /// # Errors
    /// [`ImageError::Unreadable`] if the bytes are of another format, damaged or
    /// truncated; [`Error::MissingFeature`] for a format whose feature is off;
    /// [`ImageError::Size`] and [`ImageError::Memory`] if it is too large, which is
    /// seen before its pixels are decoded.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        Self::options().decode(bytes)
    }

    /// Options for reading an image: truncated files, the stored orientation, a
    /// window of 16-bit gray.
    pub fn options() -> ImageOptions {
        ImageOptions::default()
    }

    /// Writes the image as PNG, whatever the path's ending. An existing file is
    /// replaced atomically, and kept if an error occurs. Missing folders are created.
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be written;
    /// [`FileError::NotAFile`](crate::error::FileError::NotAFile) for the path of a
    /// pipe or a device; [`ImageError::Size`] if the image has no pixels.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.check()?;
        let png = encode(self).map_err(|error| io_error(path, io::Error::other(error)))?;
        files::write_atomically(path, |out| out.write(&png))
    }

    /// The bytes of the image as a PNG file.
    ///
    /// # Errors
    /// [`ImageError::Size`] if the image has no pixels;
    /// [`ImageError::Unreadable`] if it can't be encoded.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.check()?;
        encode(self).map_err(|error| unreadable("image", error))
    }
}

impl ImageOptions {
    /// Reads a file, as [`Image::open`] with these options.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Image> {
        let path = path.as_ref();
        let bytes = files::read(path)?;
        Ok(self.convert(decode(&bytes, &shown(path), self)?))
    }

    /// Decodes a file in memory, as [`Image::decode`] with these options.
    ///
    /// # Errors
    /// As [`Image::decode`].
    pub fn decode(&self, bytes: &[u8]) -> Result<Image> {
        Ok(self.convert(decode(bytes, "image", self)?))
    }
}

/// A side over 2^20 pixels, or no pixels, is an error when the image is used.
impl From<RgbImage> for Image {
    fn from(image: RgbImage) -> Self {
        // A side of a u32 fits a usize on every platform candle runs on.
        let (width, height) = (image.width() as usize, image.height() as usize);
        let mut bytes = image.into_raw();
        // The container may be longer than the image.
        bytes.truncate(3 * width * height);
        Self::unchecked(Size { width, height }, bytes)
    }
}

/// As [`Image::decode`] converts. Floating point is scaled as
/// [`DynamicImage::to_rgb8`] does it.
impl From<DynamicImage> for Image {
    fn from(image: DynamicImage) -> Self {
        fn high_bytes<const N: usize>(samples: &[u16], rgb: [usize; 3]) -> Vec<u8> {
            let pixels = samples.chunks_exact(N);
            pixels
                .flat_map(|pixel| rgb.map(|channel| pixel[channel].to_be_bytes()[0]))
                .collect()
        }
        let (width, height) = (image.width() as usize, image.height() as usize);
        let bytes = match &image {
            DynamicImage::ImageLuma16(samples) => high_bytes::<1>(samples, [0; 3]),
            DynamicImage::ImageLumaA16(samples) => high_bytes::<2>(samples, [0; 3]),
            DynamicImage::ImageRgb16(samples) => high_bytes::<3>(samples, [0, 1, 2]),
            DynamicImage::ImageRgba16(samples) => high_bytes::<4>(samples, [0, 1, 2]),
            _ => return Self::from(image.into_rgb8()),
        };
        Self::unchecked(Size { width, height }, bytes)
    }
}

/// Reads the header alone. The size is that of the image as [`Image::open`]
/// reads it with these options.
pub(crate) fn probe(path: &Path, options: &ImageOptions) -> Result<Size> {
    let file = files::open(path)?;
    let name = shown(path);
    let reader = known_format(ImageReader::new(BufReader::new(file)), &name)?;
    let mut decoder = reader
        .into_decoder()
        .map_err(|error| unreadable(&name, error))?;
    let Size { width, height } = checked_size(&decoder, options)?;
    let orientation = orientation(&mut decoder, options);
    Ok(match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => Size {
            width: height,
            height: width,
        },
        _ => Size { width, height },
    })
}

/// The size in the header. The image must be within the limit, both in its stored
/// form and in 8-bit RGB.
fn checked_size(decoder: &impl ImageDecoder, options: &ImageOptions) -> Result<Size> {
    let (width, height) = decoder.dimensions();
    let size = Size {
        width: width as usize,
        height: height as usize,
    };
    let limit = options.memory_limit_or_default();
    size.pixels_within(limit)?;
    size.check_memory(decoder.total_bytes(), limit)?;
    Ok(size)
}

/// As a viewer, one that can't be read is none.
fn orientation(decoder: &mut impl ImageDecoder, options: &ImageOptions) -> Orientation {
    if options.keeps_orientation {
        return Orientation::NoTransforms;
    }
    decoder.orientation().unwrap_or(Orientation::NoTransforms)
}

fn unreadable(file: &str, reason: impl Display) -> Error {
    Error::Image(ImageError::Unreadable {
        file: file.to_string(),
        reason: reason.to_string(),
    })
}

/// Finds the format by the first bytes.
fn known_format<R: BufRead + Seek>(reader: ImageReader<R>, file: &str) -> Result<ImageReader<R>> {
    let reader = reader.with_guessed_format();
    let reader = reader.map_err(|error| unreadable(file, error))?;
    let feature = match reader.format() {
        Some(format) if format.reading_enabled() => return Ok(reader),
        // `reading_enabled` asks for the encoder of AVIF.
        Some(ImageFormat::Avif) if cfg!(feature = "avif") => return Ok(reader),
        Some(ImageFormat::Gif) => "gif",
        Some(ImageFormat::Bmp) => "bmp",
        Some(ImageFormat::Tiff) => "tiff",
        Some(ImageFormat::Avif) => "avif",
        Some(format) => {
            let name = format!("{format:?}").to_uppercase();
            let reason = format!("{name} is not supported; convert it to PNG, JPEG or WebP");
            return Err(unreadable(file, reason));
        }
        None => {
            let reason =
                "it does not begin like a PNG, JPEG or WebP file; convert it to one of them";
            return Err(unreadable(file, reason));
        }
    };
    Err(Error::MissingFeature {
        what: format!("reading the {} file {file}", feature.to_uppercase()),
        feature,
    })
}

fn decode(bytes: &[u8], file: &str, options: &ImageOptions) -> Result<DynamicImage> {
    let reader = known_format(ImageReader::new(Cursor::new(bytes)), file)?;
    let format = reader.format();
    let failed = |error| unreadable(file, error);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    // Before decoding: a file of a few bytes may claim any size.
    checked_size(&decoder, options)?;
    let mut limits = Limits::default();
    limits.max_alloc = limits.max_alloc.max(options.memory_limit);
    decoder.set_limits(limits).map_err(failed)?;
    let orientation = orientation(&mut decoder, options);
    let mut image = if options.allows_truncated {
        decode_what_is_there(decoder, format, file)?
    } else {
        if let Some(damage) = format.and_then(|format| damage(bytes, format, options)) {
            let found = match damage {
                Damage::NoEnd => "its end is missing",
                Damage::Middle => "bytes in its middle are missing or damaged",
            };
            return Err(unreadable(file, format!("{found}; {READ_THE_REST}")));
        }
        DynamicImage::from_decoder(decoder).map_err(failed)?
    };
    image.apply_orientation(orientation);
    Ok(image)
}

/// The part before the first error, and zeros. Decoders write rows as they read
/// them.
fn decode_what_is_there(
    decoder: impl ImageDecoder,
    format: Option<ImageFormat>,
    file: &str,
) -> Result<DynamicImage> {
    let ((width, height), color) = (decoder.dimensions(), decoder.color_type());
    // Within the limit.
    let mut bytes = vec![0; decoder.total_bytes() as usize];
    let outcome = decoder.read_image(&mut bytes);
    // The decoder of PNG swaps bytes at the end.
    let sample_of = match (&outcome, format) {
        (Err(_), Some(ImageFormat::Png)) => u16::from_be_bytes,
        _ => u16::from_ne_bytes,
    };
    let is_empty = bytes.iter().all(|&byte| byte == 0);
    if let Err(error) = outcome
        && is_empty
    {
        return Err(unreadable(file, error));
    }
    let wide = || {
        let samples = bytes.chunks_exact(2);
        samples
            .map(|pair| sample_of([pair[0], pair[1]]))
            .collect::<Vec<_>>()
    };
    let image = match color {
        ColorType::L8 => from_raw(width, height, bytes).map(DynamicImage::ImageLuma8),
        ColorType::La8 => from_raw(width, height, bytes).map(DynamicImage::ImageLumaA8),
        ColorType::Rgb8 => from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
        ColorType::Rgba8 => from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
        ColorType::L16 => from_raw(width, height, wide()).map(DynamicImage::ImageLuma16),
        ColorType::La16 => from_raw(width, height, wide()).map(DynamicImage::ImageLumaA16),
        ColorType::Rgb16 => from_raw(width, height, wide()).map(DynamicImage::ImageRgb16),
        ColorType::Rgba16 => from_raw(width, height, wide()).map(DynamicImage::ImageRgba16),
        _ => None,
    };
    image.ok_or_else(|| unreadable(file, format!("a truncated image of {color:?}")))
}

fn from_raw<P: Pixel>(
    width: u32,
    height: u32,
    samples: Vec<P::Subpixel>,
) -> Option<ImageBuffer<P, Vec<P::Subpixel>>> {
    ImageBuffer::from_raw(width, height, samples)
}

/// Reads a gray image of 8 bits, also one that was saved in color. 16 bits and a
/// palette would lose what a mask counts with.
pub(crate) fn open_gray(path: &Path, options: &ImageOptions) -> Result<Image> {
    let bytes = files::read(path)?;
    let name = shown(path);
    let image = decode(&bytes, &name, options)?;
    if matches!(image.color(), ColorType::L16 | ColorType::La16) {
        let reason = "it is 16-bit gray, but a mask has 8 bits: a byte for each pixel";
        return Err(unreadable(&name, reason));
    }
    let image = Image::from(image).with_memory_limit(options.memory_limit_or_default());
    let mut pixels = image.as_rgb8().chunks_exact(3);
    if pixels.all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]) {
        return Ok(image);
    }
    let reason = "it is in color or has a palette, but a mask is gray: a byte for each pixel";
    Err(unreadable(&name, reason))
}

fn encode(image: &Image) -> image::ImageResult<Vec<u8>> {
    let side = |side: usize| u32::try_from(side).expect("check() bounds sides by 2^20");
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(
        image.as_rgb8(),
        side(image.width()),
        side(image.height()),
        ExtendedColorType::Rgb8,
    )?;
    Ok(png)
}
