use crate::shape::Shape;

/// What can go wrong in looking inside a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// A layer whose value is no map has no pixels to show.
    #[error(
        "layer \"{layer}\" gives a vector {shape}, but a map (C, H, W) is needed; name a layer before it is flattened or pooled away"
    )]
    NoMap {
        /// The layer.
        layer: String,
        /// The shape of its value.
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
    /// A class that the network does not distinguish.
    #[error(
        "the network tells {classes} classes apart, counted from 0, so there is no class {class}"
    )]
    ClassOutOfRange {
        /// The class asked for.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// The network's output is no vector of classes.
    #[error(
        "the network's output is a map {shape}, so it has no classes to explain; attach a classifier first"
    )]
    NoClasses {
        /// The shape of the output.
        shape: Shape,
    },
    /// A batch of another size than the one that is looked at.
    #[error("{what} takes {expected}, but got {actual:?}")]
    Input {
        /// What takes it.
        what: &'static str,
        /// What it takes, in words.
        expected: &'static str,
        /// The shape given.
        actual: Vec<usize>,
    },
    /// An image of the batch that is not there.
    #[error("the batch has {images} images, counted from 0, so there is no image {image}")]
    ImageOutOfRange {
        /// The image asked for.
        image: usize,
        /// Number of images.
        images: usize,
    },
    /// A setting is not legal.
    #[error("{setting} {reason}")]
    Setting {
        /// The setting, with its value.
        setting: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// What was given or computed holds NaN or infinity.
    #[error("{what} holds NaN or infinity; {advice}")]
    NonFinite {
        /// What holds it.
        what: &'static str,
        /// What to do.
        advice: &'static str,
    },
}
