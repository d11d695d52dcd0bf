use crate::error::{Error, ImageError, Result};
use crate::preprocess::{Image, MEMORY_LIMIT, ResizeFilter, Size};

/// Arranges images in rows, as one image.
///
/// ```
/// use vgg_surgery::explain::Sheet;
/// use vgg_surgery::Image;
///
/// let dot = Image::from_rgb8(1, 1, vec![255; 3])?;
/// let sheet = Sheet::new().columns(2).gap(1).cell(4).arrange(&[dot.clone(), dot.clone(), dot])?;
/// assert_eq!((sheet.width(), sheet.height()), (11, 11));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Sheet {
    columns: Option<usize>,
    gap: usize,
    cell: usize,
    background: [u8; 3],
}

impl Default for Sheet {
    fn default() -> Self {
        Self::new()
    }
}

impl Sheet {
    /// About as many columns as rows, with 2 pixels of dark gray around images.
    /// Images keep their size.
    pub const fn new() -> Self {
        Self {
            columns: None,
            gap: 2,
            cell: 0,
            background: [32; 3],
        }
    }

    /// Sets the number of columns.
    pub const fn columns(mut self, columns: usize) -> Self {
        self.columns = Some(columns);
        self
    }

    /// Sets the number of pixels around images.
    pub const fn gap(mut self, gap: usize) -> Self {
        self.gap = gap;
        self
    }

    /// Enlarges each image by the smallest whole factor that makes it at least this
    /// wide, in pixels.
    pub const fn cell(mut self, width: usize) -> Self {
        self.cell = width;
        self
    }

    /// Sets the color around images.
    pub const fn background(mut self, color: [u8; 3]) -> Self {
        self.background = color;
        self
    }

    /// Arranges images row by row, in columns as wide as the widest image.
    ///
    /// # Errors
    /// [`ImageError::EmptyBatch`] if there are no images; [`ImageError::Size`] if a
    /// side of the sheet is too long; [`ImageError::Memory`] if it would exceed the
    /// [memory limits](Image::with_memory_limit) of all images; [`Error::InvalidSetting`] if the number of
    /// columns is 0.
    pub fn arrange(&self, images: &[Image]) -> Result<Image> {
        let Self { gap, .. } = *self;
        let sizes = || images.iter().map(|image| self.enlarged(image));
        let widest = sizes().map(|size| size.width).max();
        let highest = sizes().map(|size| size.height).max();
        let (Some(width), Some(height)) = (widest, highest) else {
            return Err(Error::Image(ImageError::EmptyBatch));
        };
        let columns = self.columns_for(images.len())?;
        let rows = images.len().div_ceil(columns);
        let whole = |count: usize, side: usize| {
            let cells = side.saturating_add(gap).saturating_mul(count);
            cells.saturating_add(gap)
        };
        let full = Size {
            width: whole(columns, width),
            height: whole(rows, height),
        };
        let limit = images.iter().map(Image::memory_limit).max();
        let limit = limit.unwrap_or(MEMORY_LIMIT);
        let mut bytes = self.background.repeat(full.pixels_within(limit)?);
        for (index, (image, size)) in images.iter().zip(sizes()).enumerate() {
            let image = image.clone().with_memory_limit(limit);
            let image = image.resize(size.width, size.height, ResizeFilter::Nearest)?;
            let left = gap + (index % columns) * (width + gap);
            let top = gap + (index / columns) * (height + gap);
            let from = image.as_rgb8().chunks_exact(3 * image.width());
            let to = bytes.chunks_exact_mut(3 * full.width).skip(top);
            for (to, from) in to.zip(from) {
                to[3 * left..][..from.len()].copy_from_slice(from);
            }
        }
        Ok(Image::from_rgb8(full.width, full.height, bytes)?.with_memory_limit(limit))
    }

    fn columns_for(&self, count: usize) -> Result<usize> {
        match self.columns {
            Some(0) => Err(Error::setting("columns 0", "must be at least 1")),
            Some(columns) => Ok(columns.min(count)),
            None => Ok((1..=count).find(|side| side * side >= count).unwrap_or(1)),
        }
    }

    fn enlarged(&self, image: &Image) -> Size {
        let factor = self.cell.div_ceil(image.width().max(1)).max(1);
        Size {
            width: image.width().saturating_mul(factor),
            height: image.height().saturating_mul(factor),
        }
    }
}
