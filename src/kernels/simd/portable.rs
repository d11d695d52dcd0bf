//! Vectors in plain Rust, for every CPU.

use half::{bf16, f16};

use super::{Job, Simd};

const LANES: usize = 4;

/// Four lanes of ordinary arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portable(());

impl Portable {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

impl Simd for Portable {
    type Vector = [f32; LANES];
    const NAME: &'static str = "portable";
    const LANES: usize = LANES;
    const MR: usize = 6;
    const WIDE: usize = 0;
    const AHEAD: usize = 0;
    const SHARING: usize = 12;

    #[inline(always)]
    fn run<J: Job>(self, job: J) {
        job.run(self);
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::Vector {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(self, source: *const f32) -> Self::Vector {
        // SAFETY: the caller vouches for `LANES` values.
        unsafe { source.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, target: *mut f32, value: Self::Vector) {
        // SAFETY: the caller vouches for `LANES` values.
        unsafe { target.cast::<[f32; LANES]>().write_unaligned(value) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, source: *const u16) -> Self::Vector {
        // SAFETY: the caller vouches for `LANES` values.
        let bits = unsafe { source.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|bits| f16::from_bits(bits).to_f32())
    }
    #[inline(always)]
    unsafe fn load_bf16(self, source: *const u16) -> Self::Vector {
        // SAFETY: the caller vouches for `LANES` values.
        let bits = unsafe { source.cast::<[u16; LANES]>().read_unaligned() };
        bits.map(|bits| bf16::from_bits(bits).to_f32())
    }
    #[inline(always)]
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn where_positive(self, gate: Self::Vector, value: Self::Vector) -> Self::Vector {
        zip(
            gate,
            value,
            |gate, value| if gate > 0.0 { value } else { 0.0 },
        )
    }
    #[inline(always)]
    fn where_equal(self, a: Self::Vector, b: Self::Vector, value: Self::Vector) -> Self::Vector {
        let keep = |i: usize| if a[i] == b[i] { value[i] } else { 0.0 };
        [keep(0), keep(1), keep(2), keep(3)]
    }
    #[inline(always)]
    fn where_exceeds(
        self,
        value: Self::Vector,
        best: Self::Vector,
        on: Self::Vector,
        off: Self::Vector,
    ) -> Self::Vector {
        let mut chosen = off;
        for i in 0..LANES {
            if value[i] > best[i] || value[i].is_nan() {
                chosen[i] = on[i];
            }
        }
        chosen
    }
    #[inline(always)]
    fn sum(self, value: Self::Vector) -> f32 {
        (value[0] + value[2]) + (value[1] + value[3])
    }
}
