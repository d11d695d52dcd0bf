use image::DynamicImage;

use super::image::Image;
use super::size::MEMORY_LIMIT;
use crate::error::{Result, require};

/// Options for reading an image; see [`Image::options`].
///
/// ```no_run
/// use vgg_surgery::Image;
///
/// let scan = Image::options().window(900, 2100)?.open("thorax.png")?;
/// let torn = Image::options().allow_truncated().open("recovered.jpg")?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ImageOptions {
    pub(super) allows_truncated: bool,
    pub(super) keeps_orientation: bool,
    window: Option<Window>,
    pub(super) memory_limit: Option<u64>,
}

/// The levels of 16-bit gray that become black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    low: u16,
    high: u16,
}

impl ImageOptions {
    /// Reads what is there of a file in which bytes are missing, as Pillow with
    /// `LOAD_TRUNCATED_IMAGES` does. The rest of a JPEG is gray, that of PNG, GIF
    /// and BMP black; a WebP image is still an error, as is a TIFF that ends within
    /// its first strip. Of a JPEG without bytes in its middle, pixels after these
    /// may be another part of the image, in other colors.
    pub fn allow_truncated(mut self) -> Self {
        self.allows_truncated = true;
        self
    }

    /// Sets the most memory, in bytes, that an image may take; by default 512 MiB. Its
    /// pixels take 3 bytes each, or up to 16 as some files store them. A larger image
    /// is refused before it is decoded. The limit also holds for images that are
    /// [made](Image::with_memory_limit) from this one.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    pub(super) fn memory_limit_or_default(&self) -> u64 {
        self.memory_limit.unwrap_or(MEMORY_LIMIT)
    }

    /// Leaves pixels in the order of the file, as Pillow, torchvision and Keras
    /// do by default, instead of turning the image as its EXIF orientation says.
    pub fn stored_orientation(mut self) -> Self {
        self.keeps_orientation = true;
        self
    }

    /// Scales 16-bit gray: values up to `low` become black, and values from `high` on
    /// white, as for X-rays and microscopes. Without a window, 0 is
    /// black and 65535 white. Other images are not changed.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) unless `low` is
    /// below `high`.
    pub fn window(mut self, low: u16, high: u16) -> Result<Self> {
        require(
            low < high,
            format_args!("a window from {low} to {high}"),
            "shows nothing; the first number must be below the second",
        )?;
        self.window = Some(Window { low, high });
        Ok(self)
    }

    /// Converts an image of the crate `image`, as `Image::from` with this window and
    /// this memory limit.
    ///
    /// ```
    /// use vgg_surgery::Image;
    ///
    /// let counts = image::ImageBuffer::from_raw(3, 1, vec![900_u16, 1500, 4000]).unwrap();
    /// let options = Image::options().window(900, 2100)?;
    /// let scan = options.convert(image::DynamicImage::ImageLuma16(counts));
    /// assert_eq!(scan.as_rgb8(), [0, 0, 0, 128, 128, 128, 255, 255, 255]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn convert(&self, image: DynamicImage) -> Image {
        let image = self.windowed(image);
        image.with_memory_limit(self.memory_limit_or_default())
    }

    fn windowed(&self, image: DynamicImage) -> Image {
        let samples = match (self.window, image) {
            (Some(window), DynamicImage::ImageLuma16(gray)) => (window, gray),
            (Some(window), DynamicImage::ImageLumaA16(gray)) => {
                (window, DynamicImage::ImageLumaA16(gray).into_luma16())
            }
            (_, image) => return image.into(),
        };
        let (window, gray) = samples;
        DynamicImage::ImageLuma8(window.of(&gray)).into()
    }
}

impl Window {
    fn of(self, gray: &image::ImageBuffer<image::Luma<u16>, Vec<u16>>) -> image::GrayImage {
        let range = u32::from(self.high - self.low);
        image::GrayImage::from_fn(gray.width(), gray.height(), |x, y| {
            let level = gray.get_pixel(x, y).0[0].clamp(self.low, self.high) - self.low;
            // At most 255, as the level is at most the range.
            image::Luma([((u32::from(level) * 255 + range / 2) / range) as u8])
        })
    }
}
