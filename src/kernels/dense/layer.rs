//! Sizes and weights of dense layers.

use half::{bf16, f16};

use crate::kernels::simd::Simd;

/// The sizes of a dense layer; any may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DenseSizes {
    /// Number of images.
    pub batch: usize,
    pub inputs: usize,
    pub outputs: usize,
}

impl DenseSizes {
    #[track_caller]
    pub(super) fn assert_input(&self, len: usize) {
        assert_eq!(len, self.batch * self.inputs, "length of the input");
    }

    #[track_caller]
    pub(super) fn assert_weights(&self, len: usize) {
        assert_eq!(len, self.outputs * self.inputs, "length of the weights");
    }

    pub(super) fn output_len(&self) -> usize {
        self.batch * self.outputs
    }
}

/// A dense layer, without its input.
#[derive(Clone, Copy, Debug)]
pub struct DenseLayer<'a> {
    pub sizes: DenseSizes,
    /// (out, in).
    pub weights: DenseWeights<'a>,
    /// One value for each output.
    pub bias: Option<&'a [f32]>,
    /// Whether a ReLU is applied. NaN stays NaN.
    pub relu: bool,
}

/// The weights of a dense layer, (out, in), in the type in which they are
/// stored. Products are summed in `f32`.
#[derive(Clone, Copy, Debug)]
pub enum DenseWeights<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

impl DenseWeights<'_> {
    pub fn len(&self) -> usize {
        match self {
            Self::F32(data) => data.len(),
            Self::F16(data) => data.len(),
            Self::Bf16(data) => data.len(),
        }
    }
}

/// The type of stored weights.
pub(super) trait Element: Copy + Default + Send + Sync {
    /// Reads a vector and converts it to `f32`.
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
