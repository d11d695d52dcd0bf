use crate::error::{ExplainError, Result, require};
use crate::preprocess::{Image, Size, Span, View};

use super::color::ColorMap;

/// A number for each position of an image or feature map.
///
/// ```
/// use vgg_surgery::explain::{ColorMap, Heatmap};
/// use vgg_surgery::Image;
///
/// let heat = Heatmap::new(1, 2, vec![0.0, 4.0])?;
/// let image = Image::from_rgb8(2, 1, vec![0; 6])?;
/// let overlaid = heat.overlay(&image, ColorMap::Gray, 0.5)?;
/// assert_eq!(overlaid.pixel(1, 0), Some([128, 128, 128]));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    height: usize,
    width: usize,
    values: Vec<f32>,
    /// The part of an image that the map covers; `None`: all of any image.
    view: Option<View>,
    /// Whether the values are scaled to colors already.
    is_normalized: bool,
}

impl Heatmap {
    /// A heat map of these values, row by row from the top.
    ///
    /// # Errors
    /// [`ImageError::Size`](crate::error::ImageError::Size) if there are no
    /// positions or a side is too long; [`ExplainError::Input`] unless there are
    /// `height * width` values.
    pub fn new(height: usize, width: usize, values: impl Into<Vec<f32>>) -> Result<Self> {
        let values = values.into();
        Size { width, height }.check()?;
        if values.len() != width.saturating_mul(height) {
            return Err(ExplainError::Input {
                what: "a heat map",
                expected: "height * width values",
                actual: vec![height, width, values.len()],
            }
            .into());
        }
        Ok(Self {
            height,
            width,
            values,
            view: None,
            is_normalized: false,
        })
    }

    /// The map of a part of an image.
    pub(in crate::explain) fn with_view(mut self, view: View) -> Self {
        self.view = Some(view);
        self
    }

    /// Height in positions.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in positions.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, row by row from the top.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The smallest and the largest finite value; 0 and 0 if there is none.
    pub fn range(&self) -> (f32, f32) {
        let finite = || {
            self.values
                .iter()
                .copied()
                .filter(|value| value.is_finite())
        };
        let low = finite().reduce(f32::min).unwrap_or(0.0);
        (low, finite().reduce(f32::max).unwrap_or(0.0))
    }

    /// Row and column of the largest value; the first among equals.
    pub fn peak(&self) -> (usize, usize) {
        let (_, high) = self.range();
        let index = self.values.iter().position(|&value| value == high);
        let index = index.unwrap_or(0);
        (index / self.width, index % self.width)
    }

    /// Scales the values: the smallest becomes 0 and the largest 1. Equal values
    /// all become 0.
    pub fn normalized(&self) -> Self {
        let (low, high) = self.range();
        self.between(low, high)
    }

    /// As [`normalized`](Self::normalized), but this fraction of the values (0 to
    /// 1), the largest, all become 1: outliers do not darken the rest. If the rest
    /// are equal, they become 0. NaN stays NaN. Smilkov et al., "SmoothGrad", 2017,
    /// use 0.01.
    pub fn normalized_below(&self, fraction: f64) -> Self {
        let mut values = self.values.clone();
        values.retain(|value| value.is_finite());
        values.sort_by(f32::total_cmp);
        let kept = (1.0 - fraction.clamp(0.0, 1.0)) * values.len() as f64;
        let last = (kept.ceil() as usize).clamp(1, values.len().max(1)) - 1;
        let high = values.get(last).copied().unwrap_or(0.0);
        let scaled = self.between(self.range().0, high);
        let pairs = self.values.iter().zip(&scaled.values);
        let values = pairs.map(|(&value, &scaled)| if value > high { 1.0 } else { scaled });
        Self {
            values: values.collect(),
            ..scaled
        }
    }

    /// Scales the values for [`ColorMap::Diverging`]: 0 becomes 1/2, and the value
    /// of the largest magnitude becomes 0 or 1.
    pub fn normalized_about_zero(&self) -> Self {
        let (low, high) = self.range();
        let reach = high.abs().max(low.abs());
        if reach == 0.0 {
            return self.map(|_| 0.5);
        }
        self.between(-reach, reach)
    }

    /// Scales the values: `low` becomes 0 and `high` 1. All become 0 unless
    /// `low < high`.
    pub(in crate::explain) fn between(&self, low: f32, high: f32) -> Self {
        let scale = if high > low { 1.0 / (high - low) } else { 0.0 };
        self.map(|value| (value - low) * scale)
    }

    fn map(&self, change: impl Fn(f32) -> f32) -> Self {
        Self {
            values: self.values.iter().map(|&value| change(value)).collect(),
            is_normalized: true,
            ..*self
        }
    }

    /// Resizes with bilinear interpolation, as PyTorch's `interpolate` with
    /// `align_corners=False`.
    ///
    /// # Errors
    /// [`ImageError::Size`](crate::error::ImageError::Size) if there are no
    /// positions or a side is too long;
    /// [`ImageError::Memory`](crate::error::ImageError::Memory) if an image of this
    /// size would take more than 512 MiB.
    pub fn resize(&self, height: usize, width: usize) -> Result<Self> {
        Size { width, height }.pixels()?;
        let whole = View::whole(height, width);
        Ok(self.spread((whole.rows, height), (whole.columns, width)))
    }

    /// The value at each pixel of an image, interpolated as by
    /// [`resize`](Self::resize). A map from [`Explainer`](crate::Explainer)
    /// lies where the network saw it: if the preprocessing cropped the image, the
    /// pixels outside the crop are NaN.
    ///
    /// # Errors
    /// [`ExplainError::OtherImage`] if the image has another size than the
    /// explained one; [`ImageError::Memory`](crate::error::ImageError::Memory) if the
    /// image exceeds its [memory limit](Image::with_memory_limit).
    pub fn spread_over(&self, image: &Image) -> Result<Self> {
        let (height, width) = (image.height(), image.width());
        let whole = View::whole(height, width);
        let view = self.view.unwrap_or(whole);
        if (view.height, view.width) != (height, width) {
            return Err(ExplainError::OtherImage {
                expected: (view.height, view.width),
                actual: (height, width),
            }
            .into());
        }
        image.size().pixels_within(image.memory_limit())?;
        let placed = self.spread((view.rows, height), (view.columns, width));
        Ok(placed.with_view(whole))
    }

    /// Each side is given as the span that the map covers, and the number of
    /// pixels.
    fn spread(&self, rows: (Span, usize), columns: (Span, usize)) -> Self {
        let (height, width) = (rows.1, columns.1);
        let rows = mixtures(self.height, rows);
        let columns = mixtures(self.width, columns);
        let mut values = Vec::with_capacity(height * width);
        for row in &rows {
            values.extend(columns.iter().map(|column| match (row, column) {
                (Some(row), Some(column)) => {
                    let mixed = |row| {
                        let values = self.row(row);
                        column.mix(values[column.low], values[column.high])
                    };
                    row.mix(mixed(row.low), mixed(row.high))
                }
                _ => f32::NAN,
            }));
        }
        Self {
            height,
            width,
            values,
            ..*self
        }
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    /// Draws the values, from 0 to 1, as colors.
    ///
    /// # Errors
    /// Cannot fail for a heat map made by this crate.
    pub fn to_image(&self, colors: ColorMap) -> Result<Image> {
        let bytes = self.values.iter().flat_map(|&value| colors.color(value));
        Image::from_rgb8(self.width, self.height, bytes.collect::<Vec<u8>>())
    }

    /// The image with the heat map over it, placed as by
    /// [`spread_over`](Self::spread_over). An `alpha` of 0 shows only the image,
    /// 1 only the heat map. Pixels where the map is NaN show the image. A map that
    /// is not normalized yet is [normalized](Self::normalized) first, for
    /// [`ColorMap::Diverging`] [about zero](Self::normalized_about_zero).
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) unless alpha is
    /// from 0 to 1; the errors of [`spread_over`](Self::spread_over).
    pub fn overlay(&self, image: &Image, colors: ColorMap, alpha: f32) -> Result<Image> {
        require(
            (0.0..=1.0).contains(&alpha),
            format_args!("alpha {alpha}"),
            "must be from 0 (only the image) to 1 (only the heat map)",
        )?;
        let normalized = match colors {
            _ if self.is_normalized => self.clone(),
            ColorMap::Diverging => self.normalized_about_zero(),
            _ => self.normalized(),
        };
        let heat = normalized.spread_over(image)?;
        let pixels = image.as_rgb8().chunks_exact(3).zip(&heat.values);
        let mixed = pixels.flat_map(|(pixel, &value)| {
            let (alpha, color) = match value.is_nan() {
                true => (0.0, [0; 3]),
                false => (alpha, colors.color(value)),
            };
            std::array::from_fn::<u8, 3, _>(|channel| {
                let (below, above) = (f32::from(pixel[channel]), f32::from(color[channel]));
                (below + (above - below) * alpha).round() as u8
            })
        });
        let mixed = mixed.collect::<Vec<u8>>();
        let mixed = Image::from_rgb8(image.width(), image.height(), mixed)?;
        Ok(mixed.with_memory_limit(image.memory_limit()))
    }
}

/// The two input positions around an output position, and the weight of the second.
struct Mixture {
    low: usize,
    high: usize,
    fraction: f32,
}

impl Mixture {
    fn mix(&self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.fraction
    }
}

/// For each of `output` pixels, the positions that it lies between; `None`
/// outside the span that the `input` positions cover.
fn mixtures(input: usize, (span, output): (Span, usize)) -> Vec<Option<Mixture>> {
    let scale = input as f64 / span.length;
    let mixture = |index: usize| {
        let pixel = index as f64 + 0.5 - span.start;
        if !(0.0..=span.length).contains(&pixel) {
            return None;
        }
        let center = (pixel * scale - 0.5).max(0.0);
        let low = (center as usize).min(input - 1);
        Some(Mixture {
            low,
            high: (low + 1).min(input - 1),
            fraction: (center - low as f64) as f32,
        })
    };
    (0..output).map(mixture).collect()
}
