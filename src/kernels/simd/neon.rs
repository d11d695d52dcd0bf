//! NEON vectors. A vector is a pair of registers: a register tile is then four
//! registers wide, and one load of the left operand serves sixteen fused
//! multiply-adds.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::{Job, Simd, Steps};

/// Eight lanes with NEON; made only where the CPU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    pub(super) fn new() -> Option<Self> {
        let little = cfg!(target_endian = "little");
        (little && is_aarch64_feature_detected!("neon")).then_some(Self(()))
    }
}

#[target_feature(enable = "neon")]
fn run_with_features<J: Job>(simd: Neon, job: J) {
    job.run(simd);
}

type Pair = float32x4x2_t;

/// Methods of [`Simd`] that are one instruction for each register of a pair.
macro_rules! pairwise {
    ($($name:ident($($operand:ident),*) = $intrinsic:ident($($order:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(self, $($operand: Pair),*) -> Pair {
            // SAFETY: `Neon::new` found the feature.
            unsafe {
                float32x4x2_t($intrinsic($($order.0),*), $intrinsic($($order.1),*))
            }
        }
    )*};
}

/// Half a step of [`Neon::add_fours_of_six`]: two registers of the right operand,
/// times lane `$lane` of each row.
macro_rules! half_step {
    ($lane:literal; $($row:literal: $first:literal, $second:literal;)*) => {
        concat!(
            "ldp q30, q31, [{right}], #32\n",
            $(
                "fmla v", $first, ".4s, v30.4s, v", $row, ".s[", $lane, "]\n",
                "fmla v", $second, ".4s, v31.4s, v", $row, ".s[", $lane, "]\n",
            )*
        )
    };
}

/// A step of [`Neon::add_fours_of_six`].
macro_rules! step {
    ($lane:literal) => {
        concat!(
            half_step!($lane; 24: 0, 1; 25: 4, 5; 26: 8, 9; 27: 12, 13; 28: 16, 17; 29: 20, 21;),
            half_step!($lane; 24: 2, 3; 25: 6, 7; 26: 10, 11; 27: 14, 15; 28: 18, 19; 29: 22, 23;),
        )
    };
}

/// `value` where `keep` is set, else 0.
#[target_feature(enable = "neon")]
#[inline]
fn masked(keep: uint32x4_t, value: float32x4_t) -> float32x4_t {
    vreinterpretq_f32_u32(vandq_u32(keep, vreinterpretq_u32_f32(value)))
}

#[target_feature(enable = "neon")]
#[inline]
fn max(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    vbslq_f32(vcgtq_f32(a, b), a, b)
}

#[target_feature(enable = "neon")]
#[inline]
fn where_positive(gate: float32x4_t, value: float32x4_t) -> float32x4_t {
    masked(vcgtzq_f32(gate), value)
}

#[target_feature(enable = "neon")]
#[inline]
fn where_equal(a: float32x4_t, b: float32x4_t, value: float32x4_t) -> float32x4_t {
    masked(vceqq_f32(a, b), value)
}

#[target_feature(enable = "neon")]
#[inline]
fn where_exceeds(
    value: float32x4_t,
    best: float32x4_t,
    on: float32x4_t,
    off: float32x4_t,
) -> float32x4_t {
    let or_nan = vbslq_f32(vceqq_f32(value, value), off, on);
    vbslq_f32(vcgtq_f32(value, best), on, or_nan)
}

/// The transpose of a square of four registers.
#[target_feature(enable = "neon")]
#[inline]
fn transposed(square: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let [a, b, c, d] = square;
    let wide = |a, b| [vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)];
    let [ab_even, ab_odd] = wide(vtrn1q_f32(a, b), vtrn2q_f32(a, b));
    let [cd_even, cd_odd] = wide(vtrn1q_f32(c, d), vtrn2q_f32(c, d));
    [
        vtrn1q_f64(ab_even, cd_even),
        vtrn1q_f64(ab_odd, cd_odd),
        vtrn2q_f64(ab_even, cd_even),
        vtrn2q_f64(ab_odd, cd_odd),
    ]
    .map(|row| vreinterpretq_f32_f64(row))
}

impl Neon {
    /// Adds lane `LANE` of `a` times `b`.
    #[inline(always)]
    fn add_lane<const LANE: i32>(self, a: float32x4_t, b: Pair, sum: &mut Pair) {
        // SAFETY: `Neon::new` found the feature.
        unsafe {
            sum.0 = vfmaq_laneq_f32::<LANE>(sum.0, b.0, a);
            sum.1 = vfmaq_laneq_f32::<LANE>(sum.1, b.1, a);
        }
    }

    /// Adds the products of a step. The left operand is lane `LANE` of a register
    /// for each row.
    ///
    /// # Safety
    /// `right` is valid for reading two vectors.
    #[inline(always)]
    unsafe fn add_step<const LANE: i32, const M: usize>(
        self,
        rows: &[float32x4_t; M],
        right: *const f32,
        tile: &mut [[Pair; 2]; M],
    ) {
        for v in 0..2 {
            // SAFETY: the caller vouches for two vectors.
            let b = unsafe { self.load(right.add(v * Self::LANES)) };
            for (sums, a) in tile.iter_mut().zip(rows) {
                self.add_lane::<LANE>(*a, b, &mut sums[v]);
            }
        }
    }

    /// Adds the products of the steps whose values are contiguous in a row: four
    /// steps at a time.
    ///
    /// # Safety
    /// As [`Simd::accumulate`].
    #[inline(always)]
    unsafe fn add_fours<const M: usize>(self, steps: Steps, tile: &mut [[Pair; 2]; M]) -> usize {
        let fours = steps.count / 4;
        let packed = steps.right_stride == Self::NR;
        if let (true, 1.., Ok(tile)) = (packed, fours, tile.as_mut_slice().try_into()) {
            // SAFETY: the caller vouches for the operands.
            unsafe { self.add_fours_of_six(fours, steps, tile) }
            return 4 * fours;
        }
        let (mut left, mut right, stride) = (steps.left, steps.right, steps.right_stride);
        for _ in 0..fours {
            // SAFETY: `Neon::new` found the feature; the caller vouches for four
            // steps more.
            unsafe {
                let rows: [_; M] =
                    std::array::from_fn(|m| vld1q_f32(left.add(m * steps.row_stride)));
                self.add_step::<0, M>(&rows, right, tile);
                self.add_step::<1, M>(&rows, right.add(stride), tile);
                self.add_step::<2, M>(&rows, right.add(2 * stride), tile);
                self.add_step::<3, M>(&rows, right.add(3 * stride), tile);
            }
            left = left.wrapping_add(4);
            right = right.wrapping_add(4 * stride);
        }
        4 * fours
    }

    /// As [`Neon::add_fours`] for six rows and a packed right operand. The sums and
    /// the operands take all 32 registers, for which the compiler does not find an
    /// order without moving sums to memory.
    ///
    /// # Safety
    /// As [`Simd::accumulate`], for a number of steps that is `4 * fours` and not 0.
    #[inline(always)]
    unsafe fn add_fours_of_six(self, fours: usize, steps: Steps, tile: &mut [[Pair; 2]; 6]) {
        let [a, b, c, d, e, f] = tile;
        let row = |m: usize| steps.left.wrapping_add(m * steps.row_stride);
        // SAFETY: `Neon::new` found the feature; the caller vouches for the memory,
        // which is read in order. All registers written are listed.
        unsafe {
            asm!(
                "2:",
                "ldr q24, [{row0}], #16",
                "ldr q25, [{row1}], #16",
                "ldr q26, [{row2}], #16",
                "ldr q27, [{row3}], #16",
                "ldr q28, [{row4}], #16",
                "ldr q29, [{row5}], #16",
                step!(0), step!(1), step!(2), step!(3),
                "subs {fours}, {fours}, #1",
                "b.ne 2b",
                row0 = inout(reg) row(0) => _, row1 = inout(reg) row(1) => _,
                row2 = inout(reg) row(2) => _, row3 = inout(reg) row(3) => _,
                row4 = inout(reg) row(4) => _, row5 = inout(reg) row(5) => _,
                right = inout(reg) steps.right => _, fours = inout(reg) fours => _,
                inout("v0") a[0].0, inout("v1") a[0].1, inout("v2") a[1].0, inout("v3") a[1].1,
                inout("v4") b[0].0, inout("v5") b[0].1, inout("v6") b[1].0, inout("v7") b[1].1,
                inout("v8") c[0].0, inout("v9") c[0].1, inout("v10") c[1].0, inout("v11") c[1].1,
                inout("v12") d[0].0, inout("v13") d[0].1, inout("v14") d[1].0, inout("v15") d[1].1,
                inout("v16") e[0].0, inout("v17") e[0].1, inout("v18") e[1].0, inout("v19") e[1].1,
                inout("v20") f[0].0, inout("v21") f[0].1, inout("v22") f[1].0, inout("v23") f[1].1,
                out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                options(nostack, readonly),
            );
        }
    }

    /// Adds the products of steps in which the values of four to six rows are
    /// contiguous.
    ///
    /// # Safety
    /// As [`Simd::accumulate`].
    #[inline(always)]
    unsafe fn add_columns<const M: usize>(self, steps: Steps, tile: &mut [[Pair; 2]; M]) -> usize {
        let [first, second, third, fourth, rest @ ..] = &mut tile[..] else {
            return 0;
        };
        if rest.len() > 2 {
            return 0;
        }
        let (mut left, mut right) = (steps.left, steps.right);
        for _ in 0..steps.count {
            // SAFETY: `Neon::new` found the feature; the caller vouches for a step
            // more of all `M` rows.
            let [a, end] = unsafe { [vld1q_f32(left), vld1q_f32(left.add(rest.len()))] };
            for v in 0..2 {
                // SAFETY: the caller vouches for two vectors.
                let b = unsafe { self.load(right.add(v * Self::LANES)) };
                self.add_lane::<0>(a, b, &mut first[v]);
                self.add_lane::<1>(a, b, &mut second[v]);
                self.add_lane::<2>(a, b, &mut third[v]);
                self.add_lane::<3>(a, b, &mut fourth[v]);
                match rest {
                    [fifth, sixth] => {
                        self.add_lane::<2>(end, b, &mut fifth[v]);
                        self.add_lane::<3>(end, b, &mut sixth[v]);
                    }
                    [fifth] => self.add_lane::<3>(end, b, &mut fifth[v]),
                    _ => {}
                }
            }
            left = left.wrapping_add(steps.step_stride);
            right = right.wrapping_add(steps.right_stride);
        }
        steps.count
    }
}

impl Simd for Neon {
    type Vector = Pair;
    const NAME: &'static str = "neon";
    const LANES: usize = 8;
    const MR: usize = 6;
    const WIDE: usize = 0;
    const AHEAD: usize = 0;
    const SHARING: usize = 24;

    #[inline(always)]
    fn run<J: Job>(self, job: J) {
        // SAFETY: `Neon::new` found the feature.
        unsafe { run_with_features(self, job) }
    }
    #[inline(always)]
    unsafe fn accumulate<const M: usize>(self, steps: Steps, tile: &mut [[Pair; 2]; M]) -> usize {
        // SAFETY: the caller vouches for the operands.
        unsafe {
            match (steps.row_stride, steps.step_stride) {
                (_, 1) => self.add_fours(steps, tile),
                (1, _) => self.add_columns(steps, tile),
                _ => 0,
            }
        }
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Pair {
        // SAFETY: `Neon::new` found the feature.
        unsafe { float32x4x2_t(vdupq_n_f32(value), vdupq_n_f32(value)) }
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> Pair {
        // SAFETY: `Neon::new` found the feature; the caller vouches for the
        // memory.
        unsafe { float32x4x2_t(vld1q_f32(source), vld1q_f32(source.add(4))) }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: Pair) {
        // SAFETY: as in `load`.
        unsafe {
            vst1q_f32(target, value.0);
            vst1q_f32(target.add(4), value.1);
        }
    }
    #[inline(always)]
    unsafe fn load_f16(self, source: *const u16) -> Pair {
        let (low, high): (float32x4_t, float32x4_t);
        // SAFETY: as in `load`. The conversions read and write registers alone;
        // every CPU with NEON has them.
        unsafe {
            let halves = vld1q_u16(source);
            asm!(
                "fcvtl {low:v}.4s, {halves:v}.4h",
                "fcvtl2 {high:v}.4s, {halves:v}.8h",
                low = out(vreg) low,
                high = lateout(vreg) high,
                halves = in(vreg) halves,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        float32x4x2_t(low, high)
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> Pair {
        // SAFETY: as in `load`.
        unsafe {
            let (zeros, halves) = (vdupq_n_u16(0), vld1q_u16(source));
            float32x4x2_t(
                vreinterpretq_f32_u16(vzip1q_u16(zeros, halves)),
                vreinterpretq_f32_u16(vzip2q_u16(zeros, halves)),
            )
        }
    }
    pairwise! {
        add(a, b) = vaddq_f32(a, b);
        sub(a, b) = vsubq_f32(a, b);
        mul(a, b) = vmulq_f32(a, b);
        mul_add(a, b, c) = vfmaq_f32(c, a, b);
        neg_mul_add(a, b, c) = vfmsq_f32(c, a, b);
        max(a, b) = max(a, b);
        where_positive(gate, value) = where_positive(gate, value);
        where_equal(a, b, value) = where_equal(a, b, value);
        where_exceeds(value, best, on, off) = where_exceeds(value, best, on, off);
    }
    #[inline(always)]
    fn sum(self, value: Pair) -> f32 {
        // SAFETY: `Neon::new` found the feature.
        unsafe { vaddvq_f32(vaddq_f32(value.0, value.1)) }
    }
    #[inline(always)]
    fn transpose(self, square: &mut [Pair; 16]) {
        // Transposes each 4x4 block, then the matrix of blocks.
        let [a, b, c, d, e, f, g, h, ..] = *square;
        // SAFETY: `Neon::new` found the feature.
        let [left, right] = unsafe {
            [
                [[a.0, b.0, c.0, d.0], [e.0, f.0, g.0, h.0]].map(|block| transposed(block)),
                [[a.1, b.1, c.1, d.1], [e.1, f.1, g.1, h.1]].map(|block| transposed(block)),
            ]
        };
        for i in 0..4 {
            square[i] = float32x4x2_t(left[0][i], left[1][i]);
            square[4 + i] = float32x4x2_t(right[0][i], right[1][i]);
        }
    }
}
