//! AVX-512 vectors.

use std::arch::x86_64::*;

use super::{Job, Simd};

/// Sixteen lanes with AVX-512F; made only where the CPU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

impl Avx512 {
    pub(super) fn new() -> Option<Self> {
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"))
        .then_some(Self(()))
    }
}

#[target_feature(enable = "avx512f,avx2,fma")]
fn run_with_features<J: Job>(simd: Avx512, job: J) {
    job.run(simd);
}

impl Simd for Avx512 {
    type Vector = __m512;
    const NAME: &'static str = "avx512";
    const LANES: usize = 16;
    const MR: usize = 14;
    const WIDE: usize = 6;
    const AHEAD: usize = 0;
    const SHARING: usize = 14;

    #[inline(always)]
    fn run<J: Job>(self, job: J) {
        // SAFETY: `Avx512::new` found the features.
        unsafe { run_with_features(self, job) }
    }
    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `Avx512::new` found the feature.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> __m512 {
        // SAFETY: `Avx512::new` found the feature; the caller vouches for
        // the memory.
        unsafe { _mm512_loadu_ps(source) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: __m512) {
        // SAFETY: as in `load`.
        unsafe { _mm512_storeu_ps(target, value) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, source: *const u16) -> __m512 {
        // SAFETY: as in `load`.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(source.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> __m512 {
        // SAFETY: as in `load`.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(source.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn prefetch(self, address: *const f32) {
        // SAFETY: a prefetch may name any address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    arithmetic! { __m512;
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        mul_add(a, b, c) = _mm512_fmadd_ps;
        neg_mul_add(a, b, c) = _mm512_fnmadd_ps;
        max(a, b) = _mm512_max_ps;
    }
    #[inline(always)]
    fn where_positive(self, gate: __m512, value: __m512) -> __m512 {
        // SAFETY: `Avx512::new` found the feature.
        unsafe {
            let keep = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(keep, value)
        }
    }
    #[inline(always)]
    fn where_equal(self, a: __m512, b: __m512, value: __m512) -> __m512 {
        // SAFETY: `Avx512::new` found the feature.
        unsafe {
            let keep = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
            _mm512_maskz_mov_ps(keep, value)
        }
    }
    #[inline(always)]
    fn where_exceeds(self, value: __m512, best: __m512, on: __m512, off: __m512) -> __m512 {
        // SAFETY: `Avx512::new` found the feature.
        unsafe {
            let larger = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(value, best);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(value, value);
            _mm512_mask_blend_ps(larger | nan, off, on)
        }
    }
    #[inline(always)]
    fn sum(self, value: __m512) -> f32 {
        // SAFETY: `Avx512::new` found the feature.
        unsafe { _mm512_reduce_add_ps(value) }
    }
    #[inline(always)]
    fn transpose(self, square: &mut [__m512; 16]) {
        // Transposes each 4x4 block, then the matrix of blocks.
        for quarter in square.as_chunks_mut::<4>().0 {
            let [a, b, c, d] = quarter.map(|row| {
                // SAFETY: `Avx512::new` found the feature.
                unsafe { _mm512_castps_pd(row) }
            });
            // SAFETY: as above.
            unsafe {
                let low = |a, b| {
                    _mm512_castps_pd(_mm512_unpacklo_ps(_mm512_castpd_ps(a), _mm512_castpd_ps(b)))
                };
                let high = |a, b| {
                    _mm512_castps_pd(_mm512_unpackhi_ps(_mm512_castpd_ps(a), _mm512_castpd_ps(b)))
                };
                let [ab_low, ab_high] = [low(a, b), high(a, b)];
                let [cd_low, cd_high] = [low(c, d), high(c, d)];
                *quarter = [
                    _mm512_unpacklo_pd(ab_low, cd_low),
                    _mm512_unpackhi_pd(ab_low, cd_low),
                    _mm512_unpacklo_pd(ab_high, cd_high),
                    _mm512_unpackhi_pd(ab_high, cd_high),
                ]
                .map(|row| _mm512_castpd_ps(row));
            }
        }
        for i in 0..4 {
            let [a, b, c, d] = [square[i], square[4 + i], square[8 + i], square[12 + i]];
            // SAFETY: as above.
            unsafe {
                let even = [
                    _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b),
                    _mm512_shuffle_f32x4::<0b10_00_10_00>(c, d),
                ];
                let odd = [
                    _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b),
                    _mm512_shuffle_f32x4::<0b11_01_11_01>(c, d),
                ];
                square[i] = _mm512_shuffle_f32x4::<0b10_00_10_00>(even[0], even[1]);
                square[4 + i] = _mm512_shuffle_f32x4::<0b10_00_10_00>(odd[0], odd[1]);
                square[8 + i] = _mm512_shuffle_f32x4::<0b11_01_11_01>(even[0], even[1]);
                square[12 + i] = _mm512_shuffle_f32x4::<0b11_01_11_01>(odd[0], odd[1]);
            }
        }
    }
    #[inline(always)]
    unsafe fn load_partial(self, source: *const f32, count: usize) -> __m512 {
        let mask = ((1u32 << count) - 1) as __mmask16;
        // SAFETY: as in `load`; masked lanes are not read.
        unsafe { _mm512_maskz_loadu_ps(mask, source) }
    }
    #[inline(always)]
    unsafe fn store_partial(self, target: *mut f32, count: usize, value: __m512) {
        let mask = ((1u32 << count) - 1) as __mmask16;
        // SAFETY: as in `store`; masked lanes are not written.
        unsafe { _mm512_mask_storeu_ps(target, mask, value) }
    }
}
