use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageReader, Limits, RgbImage};

use super::image::Image;
use super::size::{MAX_SIDE, Size};
use crate::error::{Error, ImageError, Result, io_error};

impl Image {
    /// Reads a PNG, JPEG or WebP file; see [`decode`](Self::decode).
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be read; otherwise as
    /// [`decode`](Self::decode).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
        decode(&bytes, &path.display().to_string())
    }

    /// Decodes PNG, JPEG or WebP, recognized by the first bytes, as Pillow's
    /// `Image.open(..).convert("RGB")` does: gray is repeated, a palette is
    /// looked up, the alpha channel is dropped, 16-bit values lose their lower
    /// 8 bits, and an animation is reduced to its first frame. EXIF orientation
    /// and color profiles are ignored.
    ///
    /// PNG and lossless WebP are decoded to the same bytes as in Pillow; JPEG
    /// decoders differ by a few levels.
    ///
    /// # Errors
    /// [`ImageError::Unreadable`] if the bytes are of another format or damaged, if
    /// decoding takes more than 512 MiB, or if the image is 16-bit gray,
    /// which `convert("RGB")` clips to white instead of scaling;
    /// [`ImageError::Size`] if it has too many pixels.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode(bytes, "image")
    }

    /// Writes the image as PNG, whatever the path's ending.
    ///
    /// # Errors
    /// [`Error::Io`] if the file can't be written; [`ImageError::Size`] if
    /// the image has no pixels.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        self.check()?;
        let failed = |source| io_error(path, source);
        let png = encode(self).map_err(|error| failed(io::Error::other(error)))?;
        fs::write(path, png).map_err(failed)
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

/// As [`Image::decode`] converts, but 16-bit gray loses its lower 8 bits as
/// other 16-bit images do. Floating point is scaled as
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

/// Reads the header alone.
pub(crate) fn probe(path: &Path) -> Result<Size> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    let name = path.display().to_string();
    let reader = known_format(ImageReader::new(BufReader::new(file)), &name)?;
    let size = reader.into_dimensions();
    let (width, height) = size.map_err(|error| unreadable(&name, error))?;
    let size = Size {
        width: width as usize,
        height: height as usize,
    };
    size.pixels().map(|_| size)
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
    if reader.format().is_none() {
        let reason = "it does not begin like a PNG, JPEG or WebP file; convert it to one of them";
        return Err(unreadable(file, reason));
    }
    Ok(reader)
}

fn decode(bytes: &[u8], file: &str) -> Result<Image> {
    let mut reader = known_format(ImageReader::new(Cursor::new(bytes)), file)?;
    let side = u32::try_from(MAX_SIDE).ok();
    let mut limits = Limits::default();
    limits.max_image_width = side;
    limits.max_image_height = side;
    reader.limits(limits);
    let image = reader.decode().map_err(|error| unreadable(file, error))?;
    if matches!(image, DynamicImage::ImageLuma16(_)) {
        let reason = "it is 16-bit gray; save it as 8-bit gray or as 16-bit RGB";
        return Err(unreadable(file, reason));
    }
    let image = Image::from(image);
    image.check()?;
    Ok(image)
}

/// Reads a gray image of 8 bits, also one that was saved in color. 16 bits and a
/// palette would lose what a mask counts with.
pub(crate) fn open_gray(path: &Path) -> Result<Image> {
    let image = Image::open(path)?;
    let mut pixels = image.as_rgb8().chunks_exact(3);
    if pixels.all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]) {
        return Ok(image);
    }
    let reason = "it is in color or has a palette, but a mask is gray: a byte for each pixel";
    Err(unreadable(&path.display().to_string(), reason))
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
