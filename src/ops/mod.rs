//! What layers compute, on candle's tensors: `(N, C, H, W)` or `(N, F)` in and
//! out, on any device, with gradients.

mod activation;
mod conv;
mod dense;
mod merge;
mod norm;
mod pool;
mod resample;
#[cfg(test)]
mod tests;

pub(crate) use activation::activate;
pub(crate) use conv::{Convolution, conv2d};
pub(crate) use dense::dense;
pub(crate) use merge::{add, concat, dropout, flatten, rescale, zero_pad2d};
pub(crate) use norm::{BatchStatistics, batch_norm, batch_statistics};
pub(crate) use pool::{
    adaptive_avg_pool2d, avg_pool2d, global_avg_pool2d, global_max_pool2d, max_pool2d,
};
pub(crate) use resample::upsample;
