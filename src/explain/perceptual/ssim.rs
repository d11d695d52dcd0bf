use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::explain::check::check_positive;
use crate::ops::wide;

use super::loss::mismatch;

/// Height and width of the window, and the standard deviation of its Gaussian, in
/// pixels.
const SIDE: usize = 11;
const SIGMA: f64 = 1.5;

/// The constants against division by 0, as fractions of the range.
const K1: f64 = 0.01;
const K2: f64 = 0.03;

/// The exponents of the scales, finest first, and of the coarsest.
const FINER: [f64; 4] = [0.0448, 0.2856, 0.3001, 0.2363];
const COARSEST: f64 = 0.1333;

/// The least height and width whose coarsest scale is not below the window.
const LEAST_OF_SCALES: usize = (SIDE - 1) * (1 << FINER.len()) + 1;

/// SSIM and MS-SSIM, the structural similarity of images: how alike the mean,
/// the contrast and the pattern are in windows of 11x11 pixels. Equal images have 1, the
/// maximum. Sources: Wang et al., "Image Quality Assessment: From Error Visibility to
/// Structural Similarity", 2004, section III; Wang et al., "Multi-Scale Structural
/// Similarity for Image Quality Assessment", 2003, section 3.
///
/// No network takes part. Take pixels without normalization, for example by
/// [`Preprocessing::new`](crate::Preprocessing::new). Channels are compared one by one,
/// and their mean is returned.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::explain::Ssim;
///
/// let image = Tensor::rand(0f32, 1.0, (1, 3, 32, 32), &Device::Cpu)?;
/// let darker = (&image * 0.5)?;
/// let ssim = Ssim::new(1.0)?;
/// let similarity = ssim.similarity(&image, &darker)?.to_vec1::<f32>()?;
/// assert!((0.0..0.9).contains(&similarity[0]));
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Ssim {
    /// The constants C1 and C2.
    of_means: f64,
    of_variances: f64,
}

/// The means over all windows, `(N, C)`.
struct Similarity {
    /// Of mean, contrast and pattern.
    whole: Tensor,
    /// Of contrast and pattern.
    structure: Tensor,
}

impl Ssim {
    /// Compares images whose values have this range: 1 for values from 0 to 1, 2 for -1
    /// to 1, 255 for bytes.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) unless the range is
    /// finite and above 0.
    pub fn new(range: f64) -> Result<Self> {
        check_positive("range", range)?;
        Ok(Self {
            of_means: (K1 * range).powi(2),
            of_variances: (K2 * range).powi(2),
        })
    }

    /// The SSIM `(N)`, from -1 to 1, of the images of two batches `(N, C, H, W)` of at
    /// least 11 pixels in height and width. Only windows inside the images count. In
    /// f32, unless the images are in f64. Gradients of both are recorded.
    ///
    /// # Errors
    /// [`ExplainError::Input`](crate::error::ExplainError::Input) if the shapes differ
    /// or do not fit.
    pub fn similarity(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let expected = "two batches (N, C, H, W) of one shape, of at least 11x11 pixels";
        if !fits(a, b, SIDE) {
            return Err(mismatch("SSIM", expected, b));
        }
        let similarity = self.compare(&in_floats(a)?, &in_floats(b)?)?;
        Ok(similarity.whole.mean(1)?)
    }

    /// The MS-SSIM `(N)`, from 0 to 1, of the images of two batches `(N, C, H, W)` of at
    /// least 161 pixels in height and width. It is the product over five scales,
    /// each half as large as the one before; a scale whose similarity is below 0 counts
    /// as 0. Of an odd number of rows or columns the last counts twice when a
    /// scale is halved, as in the authors' code. In f32, unless the images are in f64.
    /// Gradients of both are recorded.
    ///
    /// # Errors
    /// As [`Ssim::similarity`].
    pub fn multi_scale(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let expected = "two batches (N, C, H, W) of one shape, of at least 161x161 pixels";
        if !fits(a, b, LEAST_OF_SCALES) {
            return Err(mismatch("MS-SSIM", expected, b));
        }
        let (mut a, mut b) = (in_floats(a)?, in_floats(b)?);
        let mut similarity = self.compare(&a, &b)?;
        let mut product = similarity.whole.ones_like()?;
        for exponent in FINER {
            product = (product * power(&similarity.structure, exponent)?)?;
            (a, b) = (halve(&a)?, halve(&b)?);
            similarity = self.compare(&a, &b)?;
        }
        Ok((product * power(&similarity.whole, COARSEST)?)?.mean(1)?)
    }

    /// Of batches in floats, of one shape.
    fn compare(&self, a: &Tensor, b: &Tensor) -> candle_core::Result<Similarity> {
        let images = a.dim(0)?;
        let moments = Tensor::cat(&[a, b, &a.sqr()?, &b.sqr()?, &(a * b)?], 0)?;
        let moments = blur(&blur(&moments, 2)?, 3)?;
        let moment = |index: usize| moments.narrow(0, index * images, images);
        let (mean_a, mean_b) = (moment(0)?, moment(1)?);
        let (square_a, square_b) = (mean_a.sqr()?, mean_b.sqr()?);
        let product = (mean_a * mean_b)?;
        let variances = ((moment(2)? - &square_a)? + (moment(3)? - &square_b)?)?;
        let covariance = (moment(4)? - &product)?;
        let structure = ratio(&covariance, &variances, self.of_variances)?;
        let whole = (ratio(&product, &(square_a + square_b)?, self.of_means)? * &structure)?;
        Ok(Similarity {
            whole: whole.flatten_from(2)?.mean(2)?,
            structure: structure.flatten_from(2)?.mean(2)?,
        })
    }
}

fn ratio(product: &Tensor, squares: &Tensor, constant: f64) -> candle_core::Result<Tensor> {
    ((product * 2.0)? + constant)? / (squares + constant)?
}

fn fits(a: &Tensor, b: &Tensor, least: usize) -> bool {
    let is_large = match *a.dims() {
        [images, channels, height, width] => {
            images > 0 && channels > 0 && height >= least && width >= least
        }
        _ => false,
    };
    is_large && a.dims() == b.dims()
}

/// Bytes would overflow.
fn in_floats(x: &Tensor) -> candle_core::Result<Tensor> {
    match x.dtype().is_float() {
        true => wide(x),
        false => x.to_dtype(DType::F32),
    }
}

/// The weighted means of the window along a dimension, where it lies inside.
fn blur(x: &Tensor, dimension: usize) -> candle_core::Result<Tensor> {
    let distance = |index: usize| index as f64 - (SIDE / 2) as f64;
    let weight = |index| (-distance(index).powi(2) / (2.0 * SIGMA * SIGMA)).exp();
    let total: f64 = (0..SIDE).map(weight).sum();
    let inside = x.dim(dimension)? - (SIDE - 1);
    let part = |index| x.narrow(dimension, index, inside)? * (weight(index) / total);
    (1..SIDE).try_fold(part(0)?, |sum, index| sum + part(index)?)
}

/// The means of 2x2 pixels.
fn halve(x: &Tensor) -> candle_core::Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let even = x.pad_with_same(2, 0, height % 2)?;
    even.pad_with_same(3, 0, width % 2)?.avg_pool2d(2)
}

/// 0 for bases that are not positive, with gradient 0: the gradient of the power is
/// infinite at 0.
fn power(base: &Tensor, exponent: f64) -> candle_core::Result<Tensor> {
    let is_positive = base.gt(0.0)?;
    let powers = is_positive.where_cond(base, &base.ones_like()?)?;
    is_positive.where_cond(&powers.powf(exponent)?, &base.zeros_like()?)
}
