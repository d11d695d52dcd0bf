//! Dense weights as they are stored.

use half::{bf16, f16};

use crate::kernels::simd::Simd;

/// The weights of a dense layer, (out, in), in the type they are stored in;
/// products are summed in `f32`.
#[derive(Clone, Copy, Debug)]
pub enum DenseWeights<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [f16]),
    /// bfloat16.
    Bf16(&'a [bf16]),
}

impl DenseWeights<'_> {
    /// Numbers in it.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::Bf16(data) => data.len(),
        }
    }
}

/// A stored number.
pub(super) trait Element: Copy + Default + Send + Sync {
    /// Reads a vector of them.
    ///
    /// # Safety
    /// `source` is valid for reading `LANES` elements.
    unsafe fn load<S: Simd>(simd: S, source: *const Self) -> S::Vector;

    /// Reads the first `count` lanes of a vector, the others 0.
    #[inline(always)]
    fn load_tail<S: Simd>(simd: S, source: &[Self]) -> S::Vector {
        let mut lanes = [Self::default(); 16];
        for (lane, value) in lanes.iter_mut().zip(source) {
            *lane = *value;
        }
        // SAFETY: `lanes` holds 16, which no instruction set exceeds.
        unsafe { Self::load(simd, lanes.as_ptr()) }
    }
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, source: *const Self) -> S::Vector {
        // SAFETY: the caller vouches for `LANES` elements.
        unsafe { simd.load(source) }
    }
}

impl Element for f16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, source: *const Self) -> S::Vector {
        // SAFETY: the caller vouches for `LANES` elements; `f16` is a
        // transparent `u16`.
        unsafe { simd.load_f16(source.cast()) }
    }
}

impl Element for bf16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, source: *const Self) -> S::Vector {
        // SAFETY: the caller vouches for `LANES` elements; `bf16` is a
        // transparent `u16`.
        unsafe { simd.load_bf16(source.cast()) }
    }
}
