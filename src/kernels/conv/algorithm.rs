//! Which algorithm suits which sizes.

use super::sweep::Sweep;
use crate::kernels::geometry::{Conv2dGeometry, Size2};

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A matrix product over the taps; serves every geometry.
    Direct,
    /// Winograd's F(2x2, 3x3): 2.25 times fewer multiplications; few tiles.
    Winograd2,
    /// Winograd's F(4x4, 3x3): 4 times fewer multiplications.
    Winograd4,
}

/// Channels in from which on Winograd's transforms pay.
const WINOGRAD_CHANNELS: usize = 16;

/// Tiles of F(4x4) below which the bytes of its filters cost more than the
/// multiplications that F(2x2) adds.
const FEW_TILES: usize = 32;

impl Algorithm {
    /// What suits the forward pass.
    pub fn forward(geometry: &Conv2dGeometry) -> Self {
        Self::choose(&Sweep::forward(geometry))
    }

    /// What suits the input gradient.
    pub fn input_gradient(geometry: &Conv2dGeometry) -> Self {
        Self::choose(&Sweep::input_gradient(geometry))
    }

    /// What suits a sweep.
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
