use serde::{Deserialize, Serialize};

use super::geometry::Resize;
use super::resample::ResizeFilter;

/// How an image becomes the input of a network: resized, scaled to a range,
/// its channels put in order, the mean taken off and divided by the standard
/// deviation.
///
/// ```
/// use vgg_surgery::{Image, Preprocessing};
///
/// let gray = Image::from_rgb8(40, 30, vec![128; 40 * 30 * 3])?;
/// let x = Preprocessing::torchvision().apply(&gray)?;
/// assert_eq!(x.dims(), [1, 3, 224, 224]);
///
/// let x = Preprocessing::caffe().without_resize().apply(&gray)?;
/// assert_eq!(x.dims(), [1, 3, 30, 40]);
/// assert_eq!(x.flatten_all()?.to_vec1::<f32>()?[0], 128.0 - 103.939); // blue first
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use]
pub struct Preprocessing {
    resize: Resize,
    channel_order: ChannelOrder,
    range: PixelRange,
    mean: [f32; 3],
    std: [f32; 3],
}

/// The channels of a tensor, and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChannelOrder {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
    /// One channel: the luma of ITU-R 601, 0.299 red + 0.587 green + 0.114 blue,
    /// rounded to 8 bits as Pillow's `convert("L")` does after the resize. Of a gray
    /// image it is the image itself.
    Gray,
}

/// What the bytes 0 to 255 of a channel become before the mean is taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PixelRange {
    /// 0 to 1.
    Unit,
    /// 0 to 255.
    Byte,
    /// -1 to 1.
    Signed,
}

/// The part of an image that torchvision's and timm's VGG see of its short
/// side is 7/8: 224 pixels of 256.
const SHORT_SIDE: (usize, usize) = (8, 7);

impl Default for Preprocessing {
    fn default() -> Self {
        Self::new()
    }
}

impl Preprocessing {
    /// No resize, RGB, 0 to 1, no normalization.
    pub const fn new() -> Self {
        Self {
            resize: Resize::None,
            channel_order: ChannelOrder::Rgb,
            range: PixelRange::Unit,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    /// What torchvision's `IMAGENET1K_V1` VGG weights and timm's `tv_in1k`
    /// were trained with: short side 256 (bilinear with antialias), center
    /// crop 224, RGB in 0-1, mean (0.485, 0.456, 0.406), standard deviation
    /// (0.229, 0.224, 0.225). Source: torchvision's
    /// `transforms._presets.ImageClassification`.
    pub const fn torchvision() -> Self {
        Self {
            resize: Resize::ShortSide {
                short_side: 256,
                crop: Some((224, 224)),
                filter: ResizeFilter::Bilinear,
            },
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
            ..Self::new()
        }
    }

    /// What the original Caffe weights and Keras' copy of them were trained
    /// with: squashed to 224x224 (nearest, the default of Keras' `load_img`),
    /// BGR in 0-255, mean (103.939, 116.779, 123.68), no standard
    /// deviation. Source: mode `caffe` of Keras'
    /// `applications.imagenet_utils.preprocess_input`.
    pub const fn caffe() -> Self {
        Self {
            resize: Resize::Squash {
                height: 224,
                width: 224,
                filter: ResizeFilter::Nearest,
            },
            channel_order: ChannelOrder::Bgr,
            range: PixelRange::Byte,
            mean: [103.939, 116.779, 123.68],
            std: [1.0; 3],
        }
    }

    /// The same as [`caffe`](Self::caffe): Keras' VGG weights are Caffe's.
    pub const fn keras() -> Self {
        Self::caffe()
    }

    /// What torchvision's `VGG16_Weights.IMAGENET1K_FEATURES` take, whose
    /// classifier is not valid: resized as [`torchvision`](Self::torchvision),
    /// RGB in 0-1, mean (0.48235, 0.45882, 0.40784), standard deviation 1/255.
    /// Source: torchvision's `models.vgg`.
    pub const fn torchvision_features() -> Self {
        Self {
            mean: [0.48235, 0.45882, 0.40784],
            std: [1.0 / 255.0; 3],
            ..Self::torchvision()
        }
    }

    /// The scaling layer of LPIPS: no resize, RGB in -1 to 1, mean (-0.030,
    /// -0.088, -0.188), standard deviation (0.458, 0.448, 0.450). Source:
    /// `ScalingLayer` of Zhang et al., "The Unreasonable Effectiveness of Deep
    /// Features as a Perceptual Metric", 2018, the authors' code.
    pub const fn lpips() -> Self {
        Self {
            range: PixelRange::Signed,
            mean: [-0.030, -0.088, -0.188],
            std: [0.458, 0.448, 0.450],
            ..Self::new()
        }
    }

    /// Sets the resize.
    pub const fn with_resize(mut self, resize: Resize) -> Self {
        self.resize = resize;
        self
    }

    /// Leaves images at their own size.
    pub const fn without_resize(self) -> Self {
        self.with_resize(Resize::None)
    }

    /// Sets the height and width of the result, in pixels. A squash stays
    /// one. A short side becomes 8/7 of the longer of the two, rounded down,
    /// as timm's `crop_pct` of 0.875 does for square inputs: 182 for 160.
    /// Where there was no resize, the image is squashed (bilinear).
    pub const fn with_size(self, height: usize, width: usize) -> Self {
        let resize = match self.resize {
            Resize::None => Resize::Squash {
                height,
                width,
                filter: ResizeFilter::Bilinear,
            },
            Resize::Squash { filter, .. } => Resize::Squash {
                height,
                width,
                filter,
            },
            Resize::ShortSide { filter, .. } => {
                let side = if height > width { height } else { width };
                Resize::ShortSide {
                    short_side: side.saturating_mul(SHORT_SIDE.0) / SHORT_SIDE.1,
                    crop: Some((height, width)),
                    filter,
                }
            }
        };
        self.with_resize(resize)
    }

    /// Crops the middle of the resized image to this height and width. The short side
    /// keeps its size; where there was none, it becomes the longer side of the crop, so
    /// that nothing is squashed and the crop is full.
    ///
    /// ```
    /// use vgg_surgery::Preprocessing;
    /// use vgg_surgery::preprocess::{Resize, ResizeFilter};
    ///
    /// let preprocessing = Preprocessing::torchvision().with_center_crop(240, 200);
    /// let filter = ResizeFilter::Bilinear;
    /// let expected = Resize::ShortSide { short_side: 256, crop: Some((240, 200)), filter };
    /// assert_eq!(preprocessing.resize(), expected);
    /// ```
    pub const fn with_center_crop(self, height: usize, width: usize) -> Self {
        let longer = if height > width { height } else { width };
        let (short_side, filter) = match self.resize {
            Resize::None => (longer, ResizeFilter::Bilinear),
            Resize::Squash { filter, .. } => (longer, filter),
            Resize::ShortSide {
                short_side, filter, ..
            } => (short_side, filter),
        };
        self.with_resize(Resize::ShortSide {
            short_side,
            crop: Some((height, width)),
            filter,
        })
    }

    /// Sets the filter of the resize, if there is one.
    pub const fn with_filter(mut self, new: ResizeFilter) -> Self {
        match &mut self.resize {
            Resize::None => {}
            Resize::Squash { filter, .. } | Resize::ShortSide { filter, .. } => *filter = new,
        }
        self
    }

    /// Sets the order of the channels; mean and standard deviation are in
    /// this order and stay unchanged. For gray they become the averages of the
    /// three channels.
    ///
    /// ```
    /// use vgg_surgery::preprocess::ChannelOrder;
    /// use vgg_surgery::{Image, Preprocessing};
    ///
    /// let gray = Preprocessing::caffe().with_channel_order(ChannelOrder::Gray);
    /// let image = Image::from_rgb8(2, 1, vec![255, 0, 0, 0, 0, 255])?;
    /// let x = gray.without_resize().with_mean([0.0; 3]).apply(&image)?;
    /// assert_eq!(x.dims(), [1, 1, 1, 2]);
    /// assert_eq!(x.flatten_all()?.to_vec1::<f32>()?, [76.0, 29.0]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub const fn with_channel_order(mut self, order: ChannelOrder) -> Self {
        self.channel_order = order;
        self.mean = self.for_order(self.mean);
        self.std = self.for_order(self.std);
        self
    }

    /// Sets the range of the values before the mean is taken off.
    pub const fn with_range(mut self, range: PixelRange) -> Self {
        self.range = range;
        self
    }

    /// Sets the mean of each channel, in the tensor's order, within the range.
    /// Gray has the average of the three.
    pub const fn with_mean(mut self, mean: [f32; 3]) -> Self {
        self.mean = self.for_order(mean);
        self
    }

    /// Sets the standard deviation of each channel, in the tensor's order. Gray
    /// has the average of the three.
    pub const fn with_std(mut self, std: [f32; 3]) -> Self {
        self.std = self.for_order(std);
        self
    }

    /// One number for each channel; three times the average for gray.
    const fn for_order(&self, [a, b, c]: [f32; 3]) -> [f32; 3] {
        match self.channel_order {
            ChannelOrder::Rgb | ChannelOrder::Bgr => [a, b, c],
            // In f64 the average of equal numbers is that number.
            ChannelOrder::Gray => [((a as f64 + b as f64 + c as f64) / 3.0) as f32; 3],
        }
    }

    /// Number of channels of the tensor: 1 for gray, else 3.
    pub const fn channels(&self) -> usize {
        match self.channel_order {
            ChannelOrder::Rgb | ChannelOrder::Bgr => 3,
            ChannelOrder::Gray => 1,
        }
    }

    /// The resize.
    pub const fn resize(&self) -> Resize {
        self.resize
    }

    /// Height and width of the result, unless they depend on the image.
    pub fn size(&self) -> Option<(usize, usize)> {
        self.resize.size()
    }

    /// The order of the channels.
    pub const fn channel_order(&self) -> ChannelOrder {
        self.channel_order
    }

    /// The range of the values before the mean is taken off.
    pub const fn range(&self) -> PixelRange {
        self.range
    }

    /// The mean of each channel, in the tensor's order; three times the same for
    /// gray.
    pub const fn mean(&self) -> [f32; 3] {
        self.mean
    }

    /// The standard deviation of each channel, in the tensor's order; three times
    /// the same for gray.
    pub const fn std(&self) -> [f32; 3] {
        self.std
    }
}
