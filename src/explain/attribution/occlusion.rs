use candle_core::Tensor;

use crate::error::{Error, Result, require};
use crate::explain::display::Heatmap;
use crate::explain::numbers::values_of;

use super::explainer::{Explained, Explainer, Subject};

/// Options of [`Explainer::occlusion`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Occlusion {
    window: (usize, usize),
    stride: (usize, usize),
    fill: f64,
    batch_size: usize,
}

impl Occlusion {
    /// A window of this many rows and columns, with a stride of half its size.
    /// Covered pixels become 0, the mean color in most preprocessings.
    pub const fn new(height: usize, width: usize) -> Self {
        Self {
            window: (height, width),
            stride: (half_of(height), half_of(width)),
            fill: 0.0,
            batch_size: 16,
        }
    }

    /// Sets the stride of the window, in rows and columns.
    pub const fn stride(mut self, rows: usize, columns: usize) -> Self {
        self.stride = (rows, columns);
        self
    }

    /// Sets the value of covered pixels.
    pub const fn fill(mut self, fill: f64) -> Self {
        self.fill = fill;
        self
    }

    /// Sets the batch size.
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }
}

impl Explainer<'_> {
    /// Occlusion: how much the score falls when a window of the image is
    /// covered. A pixel's value is the mean over the windows that cover it.
    /// Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional
    /// Networks", 2014, section 4.2.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::explain::Occlusion;
    /// use vgg_surgery::{Explainer, Vgg16};
    ///
    /// let options = Vgg16::options().widths(16).hidden(32).classes(10);
    /// let model = options.untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
    /// let heat = Explainer::new(&model)?.occlusion(&x, 7, &Occlusion::new(16, 16))?;
    /// assert_eq!((heat.height(), heat.width()), (32, 32));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Explainer::saliency`]; [`Error::InvalidSetting`] if the window,
    /// stride or batch size is 0, or the window is larger than the image.
    pub fn occlusion<'i>(
        &self,
        image: impl Into<Explained<'i>>,
        class: usize,
        options: &Occlusion,
    ) -> Result<Heatmap> {
        let Subject { x, view } = self.checked(image.into(), class)?;
        let (_, _, height, width) = x.dims4()?;
        let rows = starts("window height", height, options.window.0, options.stride.0)?;
        let columns = starts("window width", width, options.window.1, options.stride.1)?;
        Error::at_least_one("batch_size", options.batch_size)?;
        let windows: Vec<(usize, usize)> = rows
            .iter()
            .flat_map(|&row| columns.iter().map(move |&column| (row, column)))
            .collect();
        let whole = f64::from(self.scores(&x)?[class]);
        let (mut sums, mut counts) = (vec![0.0; height * width], vec![0u32; height * width]);
        for group in windows.chunks(options.batch_size) {
            let covered = group.iter().map(|&at| cover(&x, at, options));
            let covered = Tensor::cat(&covered.collect::<Result<Vec<_>>>()?, 0)?;
            let scores = self.score_tensor(&covered, None)?.narrow(1, class, 1)?;
            for (&(top, left), score) in group.iter().zip(values_of(&scores)?) {
                for row in top..top + options.window.0 {
                    for pixel in row * width + left..row * width + left + options.window.1 {
                        sums[pixel] += whole - f64::from(score);
                        counts[pixel] += 1;
                    }
                }
            }
        }
        let means = sums.iter().zip(&counts);
        let means = means.map(|(sum, &count)| (sum / f64::from(count.max(1))) as f32);
        let heat = Heatmap::new(height, width, means.collect::<Vec<_>>())?;
        Ok(heat.with_view(view))
    }
}

const fn half_of(side: usize) -> usize {
    if side < 2 { 1 } else { side / 2 }
}

/// Where windows start along a side. The last window ends at the border.
fn starts(name: &str, side: usize, window: usize, stride: usize) -> Result<Vec<usize>> {
    require(
        (1..=side).contains(&window) && stride > 0,
        format_args!("{name} {window} with stride {stride} over {side} pixels"),
        "is not possible: a window has 1 pixel to the image's size, and a stride of at least 1",
    )?;
    let last = side - window;
    let mut starts: Vec<usize> = (0..last).step_by(stride).collect();
    starts.push(last);
    Ok(starts)
}

fn cover(x: &Tensor, (top, left): (usize, usize), options: &Occlusion) -> Result<Tensor> {
    let (_, channels, _, _) = x.dims4()?;
    let (height, width) = options.window;
    let patch = Tensor::full(
        options.fill as f32,
        (1, channels, height, width),
        x.device(),
    )?;
    let ranges = [0..1, 0..channels, top..top + height, left..left + width];
    Ok(x.contiguous()?
        .slice_assign(&ranges, &patch.to_dtype(x.dtype())?)?)
}
