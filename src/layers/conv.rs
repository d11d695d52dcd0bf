use serde::{Deserialize, Serialize};

use crate::shape::Shape;

use super::activation::activated;
use super::window::{Window, check_sizes};
use super::{Activation, Init, IntoPair, Misfit, Padding, ParameterSpec, Rules};

/// A 2-D convolution with an optional bias and activation.
///
/// Takes `(N, C, H, W)`, returns `(N, out_channels, H', W')`. Parameters are
/// `weight` `(out_channels, C / groups, kH, kW)` and `bias` `(out_channels)`.
/// The number of input channels is the number of its input's channels.
///
/// ```
/// use vgg_surgery::layers::Padding;
/// use vgg_surgery::Conv2d;
///
/// let conv = Conv2d::new(64, 5).same().relu();
/// assert_eq!(conv.kernel_size, (5, 5));
/// assert_eq!(conv.padding, Padding::Same);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
#[must_use]
pub struct Conv2d {
    /// Number of filters.
    pub out_channels: usize,
    /// Height and width of a filter.
    pub kernel_size: (usize, usize),
    /// Vertical and horizontal stride.
    pub stride: (usize, usize),
    /// How far filters reach over the border.
    pub padding: Padding,
    /// Vertical and horizontal distance between the taps of a filter.
    pub dilation: (usize, usize),
    /// Number of groups that the channels are divided into.
    pub groups: usize,
    /// Whether a bias is added.
    pub bias: bool,
    /// What is applied to the output.
    pub activation: Activation,
    /// The distribution of a new kernel.
    pub kernel_init: Init,
}

impl Conv2d {
    /// A convolution as Keras makes it by default: stride 1, no padding, a
    /// bias, no activation, Glorot-uniform kernel.
    pub fn new(out_channels: usize, kernel_size: impl IntoPair) -> Self {
        Self {
            out_channels,
            kernel_size: kernel_size.pair(),
            stride: (1, 1),
            padding: Padding::Valid,
            dilation: (1, 1),
            groups: 1,
            bias: true,
            activation: Activation::Linear,
            kernel_init: Init::GlorotUniform,
        }
    }

    /// Sets the stride.
    pub fn stride(mut self, stride: impl IntoPair) -> Self {
        self.stride = stride.pair();
        self
    }

    /// Sets the padding: a [`Padding`], or margins as PyTorch counts them.
    pub fn padding(mut self, padding: impl Into<Padding>) -> Self {
        self.padding = padding.into();
        self
    }

    /// Pads such that the output is as large as the input at stride 1.
    pub fn same(self) -> Self {
        self.padding(Padding::Same)
    }

    /// Sets the dilation.
    pub fn dilation(mut self, dilation: impl IntoPair) -> Self {
        self.dilation = dilation.pair();
        self
    }

    /// Sets the number of groups; it must divide both channel counts.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Leaves the bias out.
    pub fn without_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Sets the distribution of a new kernel.
    pub fn kernel_init(mut self, init: Init) -> Self {
        self.kernel_init = init;
        self
    }

    fn check_groups(&self, in_channels: usize) -> Result<(), Misfit> {
        let (groups, out_channels) = (self.groups, self.out_channels);
        let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
        if !divides(in_channels) || !divides(out_channels) {
            return Err(Misfit::Invalid(format!(
                "groups {groups} must divide both {in_channels} input and {out_channels} output \
                 channels"
            )));
        }
        Ok(())
    }
}

activated!(Conv2d);

impl Rules for Conv2d {
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        check_sizes("out_channels", self.out_channels)?;
        let output = self.window().slide(inputs[0], self.out_channels)?;
        self.check_groups(inputs[0].channels())?;
        Ok(output)
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let (height, width) = self.kernel_size;
        let in_channels = inputs[0].channels() / self.groups;
        let weight = [self.out_channels, in_channels, height, width];
        ParameterSpec::weight_and_bias(&weight, self.kernel_init, self.bias)
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> Option<u64> {
        let (height, width) = self.kernel_size;
        let in_channels = inputs[0].channels() / self.groups;
        let factors = [in_channels as u64, height as u64, width as u64];
        let each = factors.into_iter().fold(1, u64::saturating_mul);
        Some((output.elements()? as u64).saturating_mul(each))
    }

    fn window(&self) -> Window {
        Window {
            kernel_size: self.kernel_size,
            stride: self.stride,
            dilation: self.dilation,
            padding: self.padding,
        }
    }

    fn activation(&self) -> Activation {
        self.activation
    }
}
