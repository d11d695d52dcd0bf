//! Register tiles: the inner loops of every matrix product. A tile is `MR`
//! rows of the left operand `a` by `NR` columns, two vectors, of the right
//! operand `b`.

use super::simd::{Simd, Steps};
use super::span::{Span, pieces};

/// Rows of the left operand: `(row, step)` lies at `row * row_stride + step *
/// step_stride`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub data: &'a [f32],
    pub row_stride: usize,
    pub step_stride: usize,
}

/// `NR` columns of the right operand. The values of one step are contiguous.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    pub data: &'a [f32],
    pub step_stride: usize,
}

/// A product: the sum over `step` of `a[row, step] * b[step]`.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub steps: usize,
    pub a: Rows<'a>,
    pub b: Panel<'a>,
}

/// The sums of a register tile of `M` rows.
pub(super) type Tile<V, const M: usize> = [[V; 2]; M];

#[inline(always)]
pub(super) fn accumulate<S: Simd, const M: usize>(
    simd: S,
    product: Product,
    sums: &mut Tile<S::Vector, M>,
) {
    let Product { steps, a, b } = product;
    if steps == 0 {
        return;
    }
    assert!((M - 1) * a.row_stride + (steps - 1) * a.step_stride < a.data.len());
    assert!((steps - 1) * b.step_stride + S::NR <= b.data.len());
    // Only in a packed operand do the next steps follow directly.
    let packed = b.step_stride == S::NR;
    let ahead = if packed { S::AHEAD } else { 0 };
    let mut tile = *sums;
    let first = Steps {
        count: steps,
        left: a.data.as_ptr(),
        row_stride: a.row_stride,
        step_stride: a.step_stride,
        right: b.data.as_ptr(),
        right_stride: b.step_stride,
    };
    // SAFETY: by the asserts above, the last elements read lie inside the slices.
    let done = unsafe { simd.accumulate(first, &mut tile) };
    let mut left = first.left.wrapping_add(done * first.step_stride);
    let mut right = first.right.wrapping_add(done * first.right_stride);
    for _ in done..steps {
        // SAFETY: by the asserts above, the last elements read lie inside the
        // slices; `wrapping_add` may step past them after the last step.
        unsafe {
            if S::AHEAD > 0 {
                simd.prefetch(right.wrapping_add(ahead));
            }
            let b0 = simd.load(right);
            let b1 = simd.load(right.add(S::LANES));
            for (m, row) in tile.iter_mut().enumerate() {
                let a = simd.splat(*left.add(m * a.row_stride));
                row[0] = simd.mul_add(a, b0, row[0]);
                row[1] = simd.mul_add(a, b1, row[1]);
            }
        }
        left = left.wrapping_add(first.step_stride);
        right = right.wrapping_add(first.right_stride);
    }
    *sums = tile;
}

#[inline(always)]
pub(super) fn multiply<S: Simd, const M: usize>(simd: S, product: Product) -> Tile<S::Vector, M> {
    let mut sums = [[simd.splat(0.0); 2]; M];
    accumulate(simd, product, &mut sums);
    sums
}

/// Calls a generic function with `M` = the number of rows, 1 to 14.
macro_rules! with_rows {
    ($rows:expr, $simd:ty, $function:ident ( $($argument:expr),* )) => {
        match $rows {
            1 => $function::<$simd, 1>($($argument),*),
            2 => $function::<$simd, 2>($($argument),*),
            3 => $function::<$simd, 3>($($argument),*),
            4 => $function::<$simd, 4>($($argument),*),
            5 => $function::<$simd, 5>($($argument),*),
            6 if <$simd>::MR >= 6 => $function::<$simd, 6>($($argument),*),
            7 if <$simd>::MR >= 7 => $function::<$simd, 7>($($argument),*),
            8 if <$simd>::MR >= 8 => $function::<$simd, 8>($($argument),*),
            9 if <$simd>::MR >= 9 => $function::<$simd, 9>($($argument),*),
            10 if <$simd>::MR >= 10 => $function::<$simd, 10>($($argument),*),
            11 if <$simd>::MR >= 11 => $function::<$simd, 11>($($argument),*),
            12 if <$simd>::MR >= 12 => $function::<$simd, 12>($($argument),*),
            13 if <$simd>::MR >= 13 => $function::<$simd, 13>($($argument),*),
            14 if <$simd>::MR >= 14 => $function::<$simd, 14>($($argument),*),
            _ => const { assert!(<$simd>::MR <= 14, "there is one arm for each number of rows") },
        }
    };
}
pub(super) use with_rows;

/// Writes `rows` rows of products, `NR` values each, one after the other.
#[inline(always)]
pub(super) fn multiply_panel<S: Simd>(simd: S, rows: usize, product: Product, out: &mut [f32]) {
    for Span { start, count } in pieces(rows, S::MR) {
        let a = Rows {
            data: &product.a.data[start * product.a.row_stride..],
            ..product.a
        };
        let product = Product { a, ..product };
        let out = &mut out[start * S::NR..];
        with_rows!(count, S, multiply_tile(simd, product, out));
    }
}

#[inline(always)]
fn multiply_tile<S: Simd, const M: usize>(simd: S, product: Product, out: &mut [f32]) {
    store_tile(simd, &multiply::<S, M>(simd, product), out, S::NR);
}

#[inline(always)]
pub(super) fn store_tile<S: Simd, const M: usize>(
    simd: S,
    tile: &Tile<S::Vector, M>,
    out: &mut [f32],
    pitch: usize,
) {
    assert!((M - 1) * pitch + S::NR <= out.len());
    for (m, row) in tile.iter().enumerate() {
        for (v, value) in row.iter().enumerate() {
            // SAFETY: by the assert above, `out` holds the last row's two vectors.
            unsafe { simd.store(out.as_mut_ptr().add(m * pitch + v * S::LANES), *value) }
        }
    }
}

#[inline(always)]
pub(super) fn add_tile<S: Simd, const M: usize>(
    simd: S,
    tile: &Tile<S::Vector, M>,
    sums: &mut [f32],
    pitch: usize,
) {
    assert!((M - 1) * pitch + S::NR <= sums.len());
    for (m, row) in tile.iter().enumerate() {
        for (v, value) in row.iter().enumerate() {
            // SAFETY: by the assert above, `sums` holds the last row's two vectors.
            unsafe {
                let sum = sums.as_mut_ptr().add(m * pitch + v * S::LANES);
                simd.store(sum, simd.add(simd.load(sum), *value));
            }
        }
    }
}
