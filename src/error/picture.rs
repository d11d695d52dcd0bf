/// What can be wrong with a picture, or with pictures that go together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// A picture can't be read.
    #[error("{file} can't be read as a picture: {reason}")]
    Unreadable {
        /// The file, or "picture" if it came from memory.
        file: String,
        /// The decoder's reason.
        reason: String,
    },
    /// A picture has no pixels, or more than this crate works with.
    #[error("a picture of {width}x{height} pixels (width x height) {reason}")]
    Size {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// The rule it breaks.
        reason: String,
    },
    /// The bytes given for a picture are not three for each pixel.
    #[error("{width}x{height} RGB pixels (width x height) are {expected} bytes, but got {actual}")]
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
    /// A crop reaches beyond the picture.
    #[error(
        "a crop of {width}x{height} pixels (width x height) at x = {x}, y = {y} does not lie \
         within a picture of {picture_width}x{picture_height}"
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
        /// Width of the picture.
        picture_width: usize,
        /// Height of the picture.
        picture_height: usize,
    },
    /// A tensor that is no picture.
    #[error("a picture is a (3, H, W) or (1, 3, H, W) tensor of real numbers, but got {actual:?}")]
    Tensor {
        /// The shape given.
        actual: Vec<usize>,
    },
    /// A batch of no pictures.
    #[error("a batch takes at least one picture, but got none")]
    EmptyBatch,
    /// Pictures of one batch come out at different sizes.
    #[error(
        "picture {index} of the batch comes out at {actual:?} (height, width), but the first at \
         {expected:?}; set one size with with_size()"
    )]
    BatchSizes {
        /// Place of the picture in the batch, from 0.
        index: usize,
        /// Height and width of the first picture.
        expected: (usize, usize),
        /// Height and width of this picture.
        actual: (usize, usize),
    },
}
