use crate::shape::Shape;

/// What can go wrong when looking inside a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The layer outputs a vector, which has no pixels to show.
    #[error(
        "layer \"{layer}\" outputs a vector {shape}, but a feature map (C, H, W) is needed; name \
         a layer before flattening and global pooling"
    )]
    NoMap {
        /// The layer.
        layer: String,
        /// The shape of its output.
        shape: Shape,
    },
    /// A channel that a layer does not have.
    #[error(
        "layer \"{layer}\" has {channels} channels, counted from 0, so there is no channel {channel}"
    )]
    ChannelOutOfRange {
        /// The layer.
        layer: String,
        /// The channel asked for.
        channel: usize,
        /// Number of channels.
        channels: usize,
    },
    /// The network's output is a feature map, not a vector of class scores.
    #[error(
        "the network outputs a feature map {shape}, so it has no classes to explain; attach a \
         classifier first"
    )]
    NoClasses {
        /// The shape of the output.
        shape: Shape,
    },
    /// An input whose shape does not suit the method.
    #[error("{what} takes {expected}, but got {actual:?}")]
    Input {
        /// The method.
        what: &'static str,
        /// What it takes, in words.
        expected: &'static str,
        /// The shape given.
        actual: Vec<usize>,
    },
    /// An index that is not below the number of images in the batch.
    #[error("the batch has {images} images, counted from 0, so there is no image {image}")]
    ImageOutOfRange {
        /// The image asked for.
        image: usize,
        /// Number of images.
        images: usize,
    },
    /// A heat map is laid over an image of another size than the explained one.
    #[error(
        "the heat map explains an image of {} pixels in height and {} in width, but this image has \
         {} and {}; give the image that was explained, or explain this one, so that the map lies \
         where it belongs", expected.0, expected.1, actual.0, actual.1
    )]
    OtherImage {
        /// Height and width of the explained image or tensor.
        expected: (usize, usize),
        /// Height and width of the image given.
        actual: (usize, usize),
    },
    /// An input or a result contains NaN or infinity.
    #[error("{what} contains NaN or infinity; {advice}")]
    NonFinite {
        /// The input or the result, in words.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
}
