use serde::{Deserialize, Serialize};

/// One name that a parameter may go by in a weight file, and how it is laid
/// out there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WeightKey {
    pub(crate) name: String,
    pub(crate) layout: Layout,
}

impl WeightKey {
    /// Whether the name is a number, as of a layer in a list, or Keras' class and
    /// number, `conv2d_1/kernel`. In another shape, the tensor of this name belongs
    /// to another layer.
    pub(crate) fn is_index(&self) -> bool {
        let is_digit = |character: char| character.is_ascii_digit();
        let layer = self.name.split_once('/').map(|(layer, _)| layer);
        let class = layer.map(|layer| layer.trim_end_matches(is_digit).trim_end_matches('_'));
        self.name.starts_with(is_digit) || class.is_some_and(|class| KERAS_CLASSES.contains(&class))
    }
}

/// Keras' classes of the layers that a VGG has parameters in.
const KERAS_CLASSES: [&str; 3] = ["conv2d", "batch_normalization", "dense"];

/// How a stored tensor becomes the parameter, whose own layout is PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Layout {
    /// Stored in the layout that is used.
    AsIs,
    /// A dense kernel `(out, C * H * W)` stored as a convolution
    /// `(out, C, H, W)`, as timm does.
    DenseAsConv {
        channels: usize,
        height: usize,
        width: usize,
    },
    /// A dense kernel `(out, in)` stored as a convolution `(out, in, 1, 1)`.
    DenseAsPointwise,
    /// A convolution `(O, I, kH, kW)` stored as Keras' `(kH, kW, I, O)`.
    Hwio,
    /// A dense kernel `(out, in)` stored as Keras' `(in, out)`.
    InOut,
    /// A dense kernel `(out, C * H * W)` stored as Keras' `(H * W * C, out)`,
    /// after a flatten of channels-last memory.
    InOutHwc {
        channels: usize,
        height: usize,
        width: usize,
    },
}

impl Layout {
    /// Whether a parameter of this shape can be stored so.
    pub(crate) fn fits(&self, shape: &[usize]) -> bool {
        match (*self, shape) {
            (
                Self::DenseAsConv {
                    channels,
                    height,
                    width,
                }
                | Self::InOutHwc {
                    channels,
                    height,
                    width,
                },
                &[_, inputs],
            ) => {
                let area = height.checked_mul(width);
                area.and_then(|area| area.checked_mul(channels)) == Some(inputs)
            }
            (Self::DenseAsPointwise | Self::InOut, shape) => shape.len() == 2,
            (Self::Hwio, shape) => shape.len() == 4,
            (Self::AsIs, _) => true,
            _ => false,
        }
    }

    /// The shape in the file of a parameter of this shape.
    pub(crate) fn stored_shape(&self, shape: &[usize]) -> Vec<usize> {
        match (*self, shape) {
            (
                Self::DenseAsConv {
                    channels,
                    height,
                    width,
                },
                &[out, _],
            ) => vec![out, channels, height, width],
            (Self::DenseAsPointwise, &[out, inputs]) => vec![out, inputs, 1, 1],
            (Self::Hwio, &[out, inputs, height, width]) => vec![height, width, inputs, out],
            (Self::InOut | Self::InOutHwc { .. }, &[out, inputs]) => vec![inputs, out],
            _ => shape.to_vec(),
        }
    }
}
