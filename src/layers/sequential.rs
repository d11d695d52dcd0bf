use super::{
    Activation, AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, Dense, Dropout, Flatten,
    GlobalAvgPool2d, GlobalMaxPool2d, Layer, MaxPool2d, NamedLayer,
};

/// A chain of layers, to be attached to a graph or put into one.
///
/// ```
/// use vgg_surgery::{Conv2d, Dense, Head};
///
/// let head = Head::new()
///     .conv2d("head_conv", Conv2d::new(64, 3).relu())
///     .max_pool2d("head_pool", 2)
///     .flatten("head_flatten")
///     .dense("head_out", Dense::new(10).softmax());
/// assert_eq!(head.len(), 4);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct Sequential {
    layers: Vec<NamedLayer>,
}

/// A chain of layers for the end of a network.
pub type Head = Sequential;

impl Sequential {
    /// A chain of no layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer of any kind under this name.
    pub fn layer(mut self, name: impl Into<String>, layer: impl Into<Layer>) -> Self {
        self.layers.push(NamedLayer::new(name, layer));
        self
    }

    /// Appends a convolution.
    pub fn conv2d(self, name: impl Into<String>, layer: Conv2d) -> Self {
        self.layer(name, layer)
    }

    /// Appends a max pool: a [`MaxPool2d`], or the size of its window.
    pub fn max_pool2d(self, name: impl Into<String>, layer: impl Into<MaxPool2d>) -> Self {
        self.layer(name, layer.into())
    }

    /// Appends an average pool: an [`AvgPool2d`], or the size of its window.
    pub fn avg_pool2d(self, name: impl Into<String>, layer: impl Into<AvgPool2d>) -> Self {
        self.layer(name, layer.into())
    }

    /// Appends the mean of each channel.
    pub fn global_avg_pool2d(self, name: impl Into<String>) -> Self {
        self.layer(name, GlobalAvgPool2d)
    }

    /// Appends the maximum of each channel.
    pub fn global_max_pool2d(self, name: impl Into<String>) -> Self {
        self.layer(name, GlobalMaxPool2d)
    }

    /// Appends an average pool to a fixed size.
    pub fn adaptive_avg_pool2d(self, name: impl Into<String>, layer: AdaptiveAvgPool2d) -> Self {
        self.layer(name, layer)
    }

    /// Appends a batch norm.
    pub fn batch_norm2d(self, name: impl Into<String>, layer: BatchNorm2d) -> Self {
        self.layer(name, layer)
    }

    /// Appends a flatten in PyTorch's order.
    pub fn flatten(self, name: impl Into<String>) -> Self {
        self.layer(name, Flatten::new())
    }

    /// Appends a dense layer.
    pub fn dense(self, name: impl Into<String>, layer: Dense) -> Self {
        self.layer(name, layer)
    }

    /// Appends a dropout of this rate.
    pub fn dropout(self, name: impl Into<String>, rate: f64) -> Self {
        self.layer(name, Dropout::new(rate))
    }

    /// Appends an activation.
    pub fn activation(self, name: impl Into<String>, activation: Activation) -> Self {
        self.layer(name, activation)
    }

    /// Number of layers.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether there is no layer.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    pub(crate) fn into_layers(self) -> Vec<NamedLayer> {
        self.layers
    }
}

impl<L: Into<NamedLayer>> From<L> for Sequential {
    fn from(layer: L) -> Self {
        Self {
            layers: vec![layer.into()],
        }
    }
}

impl<L: Into<NamedLayer>> FromIterator<L> for Sequential {
    fn from_iter<I: IntoIterator<Item = L>>(layers: I) -> Self {
        Self {
            layers: layers.into_iter().map(Into::into).collect(),
        }
    }
}

impl<L: Into<NamedLayer>> From<Vec<L>> for Sequential {
    fn from(layers: Vec<L>) -> Self {
        layers.into_iter().collect()
    }
}

impl<L: Into<NamedLayer>, const N: usize> From<[L; N]> for Sequential {
    fn from(layers: [L; N]) -> Self {
        layers.into_iter().collect()
    }
}
