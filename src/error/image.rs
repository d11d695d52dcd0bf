use crate::shape::Shape;

/// What can be wrong with an image, or with the images of a batch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// An image can't be read.
    #[error("{file} can't be read as an image: {reason}")]
    Unreadable {
        /// The file, or "image" if it came from memory.
        file: String,
        /// The decoder's reason.
        reason: String,
    },
    /// An image has no pixels, or a side that is too long.
    #[error("an image of {width}x{height} pixels (width x height) {reason}")]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The rule it breaks.
        reason: String,
    },
    /// An image that would take too much memory.
    #[error(
        "an image of {width}x{height} pixels (width x height) takes {} MB, but the limit is {} MB; \
         make it smaller, or set another limit with Image::options().memory_limit() or \
         Image::with_memory_limit()",
        needed.div_ceil(1_000_000), limit / 1_000_000
    )]
    Memory {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Bytes of its pixels.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The preprocessed images of a batch do not fit into memory together.
    #[error(
        "a batch of {batch} images of {width}x{height} pixels (width x height) does not fit into \
         memory; use smaller batches, or set a smaller size with with_size()"
    )]
    BatchMemory {
        /// Number of images.
        batch: usize,
        /// Width of each in pixels.
        width: usize,
        /// Height of each in pixels.
        height: usize,
    },
    /// Inputs whose values in the network would take too much memory.
    #[error(
        "a batch of {batch} of the shape {input} takes about {} MB in the network, but the limit \
         is {} MB; take smaller batches or images, or raise the memory limit",
        needed.div_ceil(1_000_000), limit / 1_000_000
    )]
    NetworkMemory {
        /// Number of inputs.
        batch: usize,
        /// The shape of each.
        input: Shape,
        /// Bytes of the values that are held at once.
        needed: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The bytes given are not three for each pixel of an image, or one for each
    /// of a mask.
    #[error("{width}x{height} pixels (width x height) are {expected} bytes, but got {actual}")]
    Bytes {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Number of bytes needed.
        expected: usize,
        /// Number of bytes given.
        actual: usize,
    },
    /// A crop reaches beyond the image.
    #[error(
        "a crop of {width}x{height} pixels (width x height) at x = {x}, y = {y} does not lie \
         within an image of {image_width}x{image_height}"
    )]
    Crop {
        /// First column of the crop.
        x: usize,
        /// First row of the crop.
        y: usize,
        /// Width of the crop.
        width: usize,
        /// Height of the crop.
        height: usize,
        /// Width of the image.
        image_width: usize,
        /// Height of the image.
        image_height: usize,
    },
    /// A tensor that is no image.
    #[error(
        "an image is a ({channels}, H, W) or (1, {channels}, H, W) tensor of real numbers, but got \
         {actual:?}"
    )]
    Tensor {
        /// Number of channels that the preprocessing makes.
        channels: usize,
        /// The shape given.
        actual: Vec<usize>,
    },
    /// A batch without images.
    #[error("a batch takes at least one image, but got none")]
    EmptyBatch,
    /// The preprocessed images of a batch differ in size.
    #[error(
        "image {index} of the batch comes out at {actual:?} (height, width), but the first at \
         {expected:?}; set one size with with_size()"
    )]
    BatchSizes {
        /// Index of the image in the batch, from 0.
        index: usize,
        /// Height and width of the first image.
        expected: (usize, usize),
        /// Height and width of this image.
        actual: (usize, usize),
    },
}
