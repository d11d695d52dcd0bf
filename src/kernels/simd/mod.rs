//! One interface to the vector instructions of every CPU. A [`Job`] comes in;
//! the selected [`Kernel`] runs it with its own instructions.
//!
//! Arithmetic is written once over [`Simd`], and each job is compiled for each
//! instruction set. A value of a `Simd` type exists only where the CPU has the
//! features of this type. Holding one proves that its instructions may run.

/// Methods of [`Simd`] that are one intrinsic each.
#[cfg(target_arch = "x86_64")]
macro_rules! arithmetic {
    ($vector:ty; $($name:ident($($operand:ident),*) = $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($operand: $vector),*) -> $vector {
            // SAFETY: the instruction set's `new` found the features.
            unsafe { $intrinsic($($operand),*) }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod select;

pub use select::Kernel;

/// Work compiled for each instruction set.
pub(in crate::kernels) trait Job {
    /// Runs the work with the vectors of `simd`. Implementations are
    /// `#[inline(always)]`, and so is all they call with `simd`.
    fn run<S: Simd>(self, simd: S);
}

/// Steps of a product for a register tile, in memory.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Steps {
    pub count: usize,
    /// The value of a row at a step lies at `row * row_stride + step * step_stride`.
    pub left: *const f32,
    pub row_stride: usize,
    pub step_stride: usize,
    /// The `NR` values of a step lie at `step * right_stride`.
    pub right: *const f32,
    pub right_stride: usize,
}

/// The `f32` vectors of one instruction set.
///
/// Methods that read or write memory are unsafe: the pointer must be valid
/// for [`Simd::LANES`] elements, without any alignment.
pub(in crate::kernels) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of `LANES` values.
    type Vector: Copy + Send + Sync;
    /// The name that [`Kernel::named`] takes.
    const NAME: &'static str;
    const LANES: usize;
    /// Rows of a register tile.
    const MR: usize;
    /// Columns of a register tile, two vectors.
    const NR: usize = 2 * Self::LANES;
    /// Rows of a register tile with four vectors per row; 0 if this is not
    /// faster.
    const WIDE: usize;
    /// How many values ahead a packed operand is prefetched; 0 if the CPU's own
    /// prefetching is enough.
    const AHEAD: usize;
    /// The least number of rows that share a packed operand. With fewer, it
    /// would be read too often.
    const SHARING: usize;

    /// Runs a job compiled for this instruction set.
    fn run<J: Job>(self, job: J);
    /// Adds the products of the first steps to a register tile of `M` rows, and
    /// returns their number. It is 0 if no instruction multiplies by one lane of
    /// a vector: then nothing is faster than [`Simd::splat`], step by step.
    ///
    /// # Safety
    /// The operands of all steps are valid for reading.
    #[inline(always)]
    unsafe fn accumulate<const M: usize>(
        self,
        _steps: Steps,
        _tile: &mut [[Self::Vector; 2]; M],
    ) -> usize {
        0
    }
    fn splat(self, value: f32) -> Self::Vector;
    /// Reads a vector.
    ///
    /// # Safety
    /// `source` is valid for reading `LANES` values.
    unsafe fn load(self, source: *const f32) -> Self::Vector;
    /// Writes a vector.
    ///
    /// # Safety
    /// `target` is valid for writing `LANES` values.
    unsafe fn store(self, target: *mut f32, value: Self::Vector);
    /// Reads IEEE half-precision numbers.
    ///
    /// # Safety
    /// `source` is valid for reading `LANES` values of 16 bits.
    unsafe fn load_f16(self, source: *const u16) -> Self::Vector;
    /// Reads bfloat16 numbers.
    ///
    /// # Safety
    /// `source` is valid for reading `LANES` values of 16 bits.
    unsafe fn load_bf16(self, source: *const u16) -> Self::Vector;
    /// Prefetches the cache line at `address`, which need not be valid.
    #[inline(always)]
    fn prefetch(self, _address: *const f32) {}
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once where the CPU has a fused instruction.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// `c - a * b`, rounded as [`Simd::mul_add`].
    fn neg_mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The larger number; `b` if either is NaN.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `value` where `gate > 0`, else 0.
    fn where_positive(self, gate: Self::Vector, value: Self::Vector) -> Self::Vector;
    /// `value` where `a == b`, else 0.
    fn where_equal(self, a: Self::Vector, b: Self::Vector, value: Self::Vector) -> Self::Vector;
    /// `on` where `value` exceeds `best` or is NaN, else `off`.
    fn where_exceeds(
        self,
        value: Self::Vector,
        best: Self::Vector,
        on: Self::Vector,
        off: Self::Vector,
    ) -> Self::Vector;
    fn sum(self, value: Self::Vector) -> f32;
    /// Transposes the first `LANES` vectors: lane `j` of vector `i` becomes
    /// lane `i` of vector `j`. The other vectors do not change.
    #[inline(always)]
    fn transpose(self, square: &mut [Self::Vector; 16]) {
        let mut rows = [[0.0f32; 16]; 16];
        for (row, vector) in rows.iter_mut().zip(square.iter()).take(Self::LANES) {
            // SAFETY: no instruction set has more than 16 lanes.
            unsafe { self.store(row.as_mut_ptr(), *vector) }
        }
        for (j, vector) in square.iter_mut().enumerate().take(Self::LANES) {
            let column = rows.map(|row| row[j]);
            // SAFETY: as above.
            *vector = unsafe { self.load(column.as_ptr()) };
        }
    }

    /// Reads the first `count` lanes, the others 0.
    ///
    /// # Safety
    /// `source` is valid for reading `count` values, at most `LANES`.
    #[inline(always)]
    unsafe fn load_partial(self, source: *const f32, count: usize) -> Self::Vector {
        let mut lanes = [0.0f32; 16];
        // SAFETY: the caller vouches for `count` values; `lanes` holds 16,
        // which no instruction set exceeds.
        unsafe {
            std::ptr::copy_nonoverlapping(source, lanes.as_mut_ptr(), count);
            self.load(lanes.as_ptr())
        }
    }

    /// Writes the first `count` lanes.
    ///
    /// # Safety
    /// `target` is valid for writing `count` values, at most `LANES`.
    #[inline(always)]
    unsafe fn store_partial(self, target: *mut f32, count: usize, value: Self::Vector) {
        let mut lanes = [0.0f32; 16];
        // SAFETY: as in `load_partial`.
        unsafe {
            self.store(lanes.as_mut_ptr(), value);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), target, count);
        }
    }

    /// Reads `count` lanes, all or the first ones, the others 0.
    ///
    /// # Safety
    /// As [`Simd::load_partial`].
    #[inline(always)]
    unsafe fn load_up_to(self, source: *const f32, count: usize) -> Self::Vector {
        // SAFETY: the caller vouches for `count` values.
        unsafe {
            if count == Self::LANES {
                self.load(source)
            } else {
                self.load_partial(source, count)
            }
        }
    }

    /// Writes `count` lanes, all or the first ones.
    ///
    /// # Safety
    /// As [`Simd::store_partial`].
    #[inline(always)]
    unsafe fn store_up_to(self, target: *mut f32, count: usize, value: Self::Vector) {
        // SAFETY: the caller vouches for `count` values.
        unsafe {
            if count == Self::LANES {
                self.store(target, value);
            } else {
                self.store_partial(target, count, value);
            }
        }
    }
}
