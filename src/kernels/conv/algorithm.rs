//! Which algorithm suits which sizes.

use super::sweep::{Direction, Sweep};
use super::weights::Shape;
use super::winograd;
use crate::kernels::geometry::{Conv2dGeometry, Size2};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A matrix product over the filter taps, for every geometry.
    Direct,
    /// Winograd's F(2x2, 3x3), for few tiles: 2.25 times fewer
    /// multiplications.
    Winograd2,
    /// Winograd's F(4x4, 3x3): 4 times fewer multiplications.
    Winograd4,
}

/// With fewer input or output channels, Winograd's transforms do not pay.
const WINOGRAD_CHANNELS: usize = 16;

/// Below this many F(4x4) tiles, F(2x2) is faster: it reads smaller filters.
const FEW_TILES: usize = 32;

/// The most multiplications per output value of a direct convolution that is
/// fused into the next one, which computes its rows on demand.
const CHEAP_TAPS: usize = 64;

impl Algorithm {
    /// The fastest algorithm for a convolution, or for its input gradient.
    pub fn of(geometry: &Conv2dGeometry, direction: Direction) -> Self {
        Self::choose(&Sweep::new(geometry, direction))
    }

    pub(super) fn choose(sweep: &Sweep) -> Self {
        let channels = sweep.in_channels.min(sweep.out_channels);
        if !sweep.is_winograd() || channels < WINOGRAD_CHANNELS {
            return Self::Direct;
        }
        let Size2 { height, width } = sweep.out_size;
        if sweep.batch * height.div_ceil(4) * width.div_ceil(4) < FEW_TILES {
            Self::Winograd2
        } else {
            Self::Winograd4
        }
    }
}

/// Whether `next` can compute the rows of a convolution without a pool as it
/// reads them, and whether that is fast.
pub fn computes_ahead(geometry: &Conv2dGeometry, next: &Conv2dGeometry) -> bool {
    let [sweep, next] = [geometry, next].map(|geometry| Sweep::new(geometry, Direction::Forward));
    let taps = sweep.kernel_size.pixels() * sweep.in_channels;
    Algorithm::choose(&sweep) == Algorithm::Direct
        && sweep.groups == 1
        && taps <= CHEAP_TAPS
        && Algorithm::choose(&next) != Algorithm::Direct
        && winograd::is_blockwise(Shape::new(&next))
}
