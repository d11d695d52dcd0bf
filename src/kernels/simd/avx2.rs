//! AVX2 vectors with fused multiply-add.

use std::arch::x86_64::*;

use super::{Job, Simd};

/// Eight lanes with AVX2, FMA and F16C; made only where the CPU has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    pub(super) fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Self(()))
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn run_with_features<J: Job>(simd: Avx2, job: J) {
    job.run(simd);
}

impl Simd for Avx2 {
    type Vector = __m256;
    const NAME: &'static str = "avx2";
    const LANES: usize = 8;
    const MR: usize = 6;
    const WIDE: usize = 0;
    const AHEAD: usize = 1024;
    const SHARING: usize = 24;

    #[inline(always)]
    fn run<J: Job>(self, job: J) {
        // SAFETY: `Avx2::new` found the features.
        unsafe { run_with_features(self, job) }
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `Avx2::new` found the feature.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m256 {
        // SAFETY: `Avx2::new` found the feature; the caller vouches for the
        // memory.
        unsafe { _mm256_loadu_ps(source) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: __m256) {
        // SAFETY: as in `load`.
        unsafe { _mm256_storeu_ps(target, value) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, source: *const u16) -> __m256 {
        // SAFETY: as in `load`.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(source.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> __m256 {
        // SAFETY: as in `load`.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(source.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        // SAFETY: a prefetch may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    arithmetic! { __m256;
        add(a, b) = _mm256_add_ps;
        sub(a, b) = _mm256_sub_ps;
        mul(a, b) = _mm256_mul_ps;
        mul_add(a, b, c) = _mm256_fmadd_ps;
        neg_mul_add(a, b, c) = _mm256_fnmadd_ps;
        max(a, b) = _mm256_max_ps;
    }
    #[inline(always)]
    fn where_positive(self, gate: __m256, value: __m256) -> __m256 {
        // SAFETY: `Avx2::new` found the feature.
        unsafe {
            let keep = _mm256_cmp_ps::<_CMP_GT_OQ>(gate, _mm256_setzero_ps());
            _mm256_and_ps(keep, value)
        }
    }
    #[inline(always)]
    fn where_equal(self, a: __m256, b: __m256, value: __m256) -> __m256 {
        // SAFETY: `Avx2::new` found the feature.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b), value) }
    }
    #[inline(always)]
    fn where_exceeds(self, value: __m256, best: __m256, on: __m256, off: __m256) -> __m256 {
        // SAFETY: `Avx2::new` found the feature.
        unsafe {
            let larger = _mm256_cmp_ps::<_CMP_GT_OQ>(value, best);
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(value, value);
            _mm256_blendv_ps(off, on, _mm256_or_ps(larger, nan))
        }
    }
    #[inline(always)]
    fn sum(self, value: __m256) -> f32 {
        // SAFETY: `Avx2::new` found the feature.
        unsafe {
            let half = _mm_add_ps(
                _mm256_castps256_ps128(value),
                _mm256_extractf128_ps::<1>(value),
            );
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }
    #[inline(always)]
    fn transpose(self, square: &mut [__m256; 16]) {
        // Transposes each 4x4 block, then the matrix of blocks.
        for quarter in square[..8].as_chunks_mut::<4>().0 {
            let [a, b, c, d] = *quarter;
            // SAFETY: `Avx2::new` found the feature.
            unsafe {
                let low = [_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)];
                let high = [_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)];
                *quarter = [
                    _mm256_shuffle_ps::<0b01_00_01_00>(low[0], low[1]),
                    _mm256_shuffle_ps::<0b11_10_11_10>(low[0], low[1]),
                    _mm256_shuffle_ps::<0b01_00_01_00>(high[0], high[1]),
                    _mm256_shuffle_ps::<0b11_10_11_10>(high[0], high[1]),
                ];
            }
        }
        for i in 0..4 {
            let (a, b) = (square[i], square[4 + i]);
            // SAFETY: as above.
            unsafe {
                square[i] = _mm256_permute2f128_ps::<0x20>(a, b);
                square[4 + i] = _mm256_permute2f128_ps::<0x31>(a, b);
            }
        }
    }
}
