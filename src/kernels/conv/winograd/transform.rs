//! Tiles of a map into the transformed domain and back.

use super::{Line, Tile};
use crate::kernels::conv::Epilogue;
use crate::kernels::conv::sweep::{Source, Sweep};
use crate::kernels::simd::Simd;

/// Where the transformed numbers of a tile go: position `p` lies at
/// `p * stride`.
pub(super) struct Scattered<'a> {
    /// From the tile's first number on.
    pub data: &'a mut [f32],
    /// Distance of two positions.
    pub stride: usize,
}

impl Scattered<'_> {
    /// Writes row `row` of the transformed tile, from `channel` on.
    #[inline(always)]
    fn store<S: Simd, T: Tile>(
        &mut self,
        simd: S,
        (row, channel): (usize, usize),
        line: Line<S::Vector>,
    ) {
        let first = row * T::IN * self.stride + channel;
        assert!(first + (T::IN - 1) * self.stride + S::LANES <= self.data.len());
        for (j, value) in line.iter().enumerate().take(T::IN) {
            // SAFETY: the assert above holds the last of the `IN` vectors.
            unsafe { simd.store(self.data.as_mut_ptr().add(first + j * self.stride), *value) }
        }
    }
}

/// Row `i` of a square given by its columns.
#[inline(always)]
fn across<V: Copy>(columns: &[Line<V>; 6], i: usize) -> Line<V> {
    let [a, b, c, d, e, f] = columns;
    [a[i], b[i], c[i], d[i], e[i], f[i]]
}

/// A square of pixels of one image, its corner maybe outside.
#[derive(Clone, Copy)]
struct Square<'a> {
    image: Source<'a>,
    /// Height and width of the image.
    size: (usize, usize),
    channels: usize,
    /// Row and column of the corner.
    corner: (isize, isize),
    /// Whether all of it lies in the image.
    inside: bool,
}

impl<'a> Square<'a> {
    #[inline(always)]
    fn new(
        image: Source<'a>,
        (size, channels): ((usize, usize), usize),
        corner: (isize, isize),
        side: usize,
    ) -> Self {
        let fits = |start: isize, size: usize| start >= 0 && start as usize + side <= size;
        let inside = fits(corner.0, size.0) && fits(corner.1, size.1);
        let len = size.0 * size.1 * channels;
        assert!(image.data.len() == len && image.gate.is_none_or(|gate| gate.len() == len));
        Self {
            image,
            size,
            channels,
            corner,
            inside,
        }
    }

    /// Column `j` of `side` pixels, `count` channels from `channel` on; zeros
    /// outside the image.
    #[inline(always)]
    fn column<S: Simd>(
        &self,
        simd: S,
        (j, side): (usize, usize),
        (channel, count): (usize, usize),
    ) -> Line<S::Vector> {
        debug_assert!(channel + count <= self.channels);
        let mut line = [simd.splat(0.0); 6];
        let (top, left) = self.corner;
        for (i, value) in line.iter_mut().enumerate().take(side) {
            let (y, x) = (top + i as isize, left + j as isize);
            let outside = y < 0 || x < 0 || y >= self.size.0 as isize || x >= self.size.1 as isize;
            if !self.inside && outside {
                continue;
            }
            let start = (y as usize * self.size.1 + x as usize) * self.channels + channel;
            // SAFETY: `new` has asserted the image's length, the pixel lies
            // inside, its channels below `self.channels`.
            unsafe {
                *value = simd.load_up_to(self.image.data.as_ptr().add(start), count);
                if let Some(gate) = self.image.gate {
                    let gate = simd.load_up_to(gate.as_ptr().add(start), count);
                    *value = simd.where_positive(gate, *value);
                }
            }
        }
        line
    }
}

/// `B^T d B` of the tile whose first output is `(row, column)`, all channels.
#[inline(always)]
pub(super) fn input_tile<S: Simd, T: Tile>(
    simd: S,
    sweep: &Sweep,
    image: Source,
    (row, column): (usize, usize),
    mut target: Scattered,
) {
    let corner = (
        row as isize - sweep.padding.0,
        column as isize - sweep.padding.1,
    );
    let square = Square::new(image, (sweep.in_size, sweep.in_channels), corner, T::IN);
    let whole = sweep.in_channels / S::LANES * S::LANES;
    let ungated = square.inside && image.gate.is_none();
    for channel in (0..whole).step_by(S::LANES) {
        // The same code with what is known told to the compiler.
        if ungated {
            let image = Source {
                gate: None,
                ..image
            };
            let square = Square {
                inside: true,
                image,
                ..square
            };
            input_vector::<S, T>(simd, square, (channel, S::LANES), &mut target);
        } else {
            input_vector::<S, T>(simd, square, (channel, S::LANES), &mut target);
        }
    }
    if whole < sweep.in_channels {
        input_vector::<S, T>(
            simd,
            square,
            (whole, sweep.in_channels - whole),
            &mut target,
        );
    }
}

/// Asks for the pixels that a tile adds to its left neighbour's.
#[inline(always)]
pub(super) fn prefetch_tile<S: Simd, T: Tile>(
    simd: S,
    sweep: &Sweep,
    image: Source,
    (row, column): (usize, usize),
) {
    let (top, left) = (
        row as isize - sweep.padding.0,
        column as isize - sweep.padding.1,
    );
    let line = sweep.in_size.1 * sweep.in_channels;
    for y in top.max(0)..(top + T::IN as isize).min(sweep.in_size.0 as isize) {
        let start = y as usize * line + left.max(0) as usize * sweep.in_channels;
        for i in (0..T::OUT * sweep.in_channels).step_by(16) {
            simd.prefetch(image.data.as_ptr().wrapping_add(start + i));
            if let Some(gate) = image.gate {
                simd.prefetch(gate.as_ptr().wrapping_add(start + i));
            }
        }
    }
}

#[inline(always)]
fn input_vector<S: Simd, T: Tile>(
    simd: S,
    square: Square,
    channels: (usize, usize),
    target: &mut Scattered,
) {
    let mut columns = [[simd.splat(0.0); 6]; 6];
    for (j, column) in columns.iter_mut().enumerate().take(T::IN) {
        *column = T::input(simd, square.column(simd, (j, T::IN), channels));
    }
    for i in 0..T::IN {
        let line = T::input(simd, across(&columns, i));
        target.store::<S, T>(simd, (i, channels.0), line);
    }
}

/// `A y A^T` of the tile whose first output is `(row, column)`: what the
/// gradient of the outputs is in the transformed domain.
#[inline(always)]
pub(super) fn spread_tile<S: Simd, T: Tile>(
    simd: S,
    map: ((usize, usize), usize),
    image: Source,
    (row, column): (usize, usize),
    mut target: Scattered,
) {
    let square = Square::new(image, map, (row as isize, column as isize), T::OUT);
    for channel in (0..map.1).step_by(S::LANES) {
        let channels = (channel, S::LANES.min(map.1 - channel));
        if square.inside && channels.1 == S::LANES {
            let square = Square {
                inside: true,
                ..square
            };
            spread_vector::<S, T>(simd, square, (channel, S::LANES), &mut target);
        } else {
            spread_vector::<S, T>(simd, square, channels, &mut target);
        }
    }
}

#[inline(always)]
fn spread_vector<S: Simd, T: Tile>(
    simd: S,
    square: Square,
    channels: (usize, usize),
    target: &mut Scattered,
) {
    let mut columns = [[simd.splat(0.0); 6]; 6];
    for (j, column) in columns.iter_mut().enumerate().take(T::OUT) {
        *column = T::spread(simd, square.column(simd, (j, T::OUT), channels));
    }
    for i in 0..T::IN {
        let line = T::spread(simd, across(&columns, i));
        target.store::<S, T>(simd, (i, channels.0), line);
    }
}

/// Products of a block of tiles: position `p` of the tile lies at
/// `p * stride`.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    /// From the tile's first number on.
    pub data: &'a [f32],
    /// Distance of two positions.
    pub stride: usize,
}

impl Products<'_> {
    /// `A^T m A` of one vector of channels.
    #[inline(always)]
    pub fn transform<S: Simd, T: Tile>(&self, simd: S) -> [Line<S::Vector>; 4] {
        let zero = simd.splat(0.0);
        assert!((T::IN * T::IN - 1) * self.stride + S::LANES <= self.data.len());
        let mut columns = [[zero; 6]; 6];
        for (j, column) in columns.iter_mut().enumerate().take(T::IN) {
            let mut line = [zero; 6];
            for (i, value) in line.iter_mut().enumerate().take(T::IN) {
                let position = (i * T::IN + j) * self.stride;
                // SAFETY: the assert above holds the last position.
                *value = unsafe { simd.load(self.data.as_ptr().add(position)) };
            }
            *column = T::output(simd, line);
        }
        let mut square = [[zero; 6]; 4];
        for (i, row) in square.iter_mut().enumerate().take(T::OUT) {
            *row = T::output(simd, across(&columns, i));
        }
        square
    }
}

/// A row of tiles of the output, as the epilogue leaves it.
pub(super) struct TileRow<'a> {
    /// The image it is of.
    pub image: usize,
    /// Its first row in the convolution's output.
    pub row: usize,
    /// The rows written, `(rows, width, C)`.
    pub output: &'a mut [f32],
}

/// Writes `count` channels of a tile from `channel` on, its first column
/// `column`.
#[inline(always)]
pub(super) fn write_tile<S: Simd, T: Tile>(
    simd: S,
    square: [Line<S::Vector>; 4],
    (sweep, epilogue): (&Sweep, &Epilogue),
    (column, channel, count): (usize, usize, usize),
    output: &mut [f32],
) {
    let bias = epilogue.bias_vector(simd, channel, count);
    let step = if epilogue.pool { 2 } else { 1 };
    let width = sweep.out_size.1 / step;
    let line = width * sweep.out_channels;
    let rows = (output.len() / line).min(T::OUT / step);
    let column = column / step;
    let columns = width.saturating_sub(column).min(T::OUT / step);
    let first = column * sweep.out_channels + channel;
    if columns == 0 || rows == 0 {
        return;
    }
    let last = (rows - 1) * line + (columns - 1) * sweep.out_channels;
    assert!(first + last + count <= output.len());
    for i in 0..T::OUT / step {
        for j in 0..T::OUT / step {
            if i >= rows || j >= columns {
                continue;
            }
            let value = if epilogue.pool {
                let top = simd.max(square[2 * i][2 * j], square[2 * i][2 * j + 1]);
                let bottom = simd.max(square[2 * i + 1][2 * j], square[2 * i + 1][2 * j + 1]);
                simd.max(top, bottom)
            } else {
                square[i][j]
            };
            let value = epilogue.finish(simd, value, bias);
            let start = first + i * line + j * sweep.out_channels;
            // SAFETY: the assert above holds the last pixel's channels.
            unsafe { simd.store_up_to(output.as_mut_ptr().add(start), count, value) }
        }
    }
}
