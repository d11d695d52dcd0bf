//! Tiles of a map into the transformed domain and back.

use super::{Line, Tile};
use crate::kernels::conv::sweep::{Corner, Sweep};
use crate::kernels::gated::Gated;
use crate::kernels::geometry::Size2;
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

/// Rows of one image: row `y` is the `y % kept`th of `image`.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The rows, `(kept, W, C)`.
    pub image: Gated<'a>,
    /// How many are there at a time; all of them unless they are made as
    /// they are read.
    pub kept: usize,
}

/// A square of pixels of one image, its corner maybe outside.
#[derive(Clone, Copy)]
struct Square<'a> {
    image: Gated<'a>,
    /// Height and width of the image.
    size: Size2,
    channels: usize,
    /// Row and column of the corner.
    corner: Corner,
    /// Where its rows start in the image; unspecified outside.
    lines: [usize; 6],
    /// Whether all of it lies in the image.
    inside: bool,
}

impl<'a> Square<'a> {
    #[inline(always)]
    fn new(rows: Rows<'a>, (size, channels): (Size2, usize), corner: Corner, side: usize) -> Self {
        let Rows { image, kept } = rows;
        let fits = |start: isize, size: usize| start >= 0 && start as usize + side <= size;
        let inside = fits(corner.top, size.height) && fits(corner.left, size.width);
        let len = kept * size.width * channels;
        assert!(image.values.len() == len && image.gate.is_none_or(|gate| gate.len() == len));
        let mut lines = [0; 6];
        let mut y = corner.top.rem_euclid(kept.max(1) as isize) as usize;
        for line in &mut lines {
            *line = y * size.width * channels;
            y = if y + 1 < kept { y + 1 } else { 0 };
        }
        Self {
            image,
            size,
            channels,
            corner,
            lines,
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
        let Corner { top, left } = self.corner;
        for (i, value) in line.iter_mut().enumerate().take(side) {
            let (y, x) = (top + i as isize, left + j as isize);
            let outside =
                y < 0 || x < 0 || y >= self.size.height as isize || x >= self.size.width as isize;
            if !self.inside && outside {
                continue;
            }
            let start = self.lines[i] + x as usize * self.channels + channel;
            // SAFETY: `new` has asserted the image's length and made the lines
            // start below it, the pixel lies inside, its channels below
            // `self.channels`.
            unsafe {
                *value = simd.load_up_to(self.image.values.as_ptr().add(start), count);
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
    rows: Rows,
    (row, column): (usize, usize),
    mut target: Scattered,
) {
    let image = rows.image;
    let corner = Corner {
        top: row as isize - sweep.padding.top,
        left: column as isize - sweep.padding.left,
    };
    let square = Square::new(rows, (sweep.in_size, sweep.in_channels), corner, T::IN);
    let whole = sweep.in_channels / S::LANES * S::LANES;
    let ungated = square.inside && image.gate.is_none();
    for channel in (0..whole).step_by(S::LANES) {
        // The same code with what is known told to the compiler.
        if ungated {
            let image = Gated {
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
    image: Gated,
    (row, column): (usize, usize),
) {
    let (top, left) = (
        row as isize - sweep.padding.top,
        column as isize - sweep.padding.left,
    );
    let line = sweep.in_size.width * sweep.in_channels;
    for y in top.max(0)..(top + T::IN as isize).min(sweep.in_size.height as isize) {
        let start = y as usize * line + left.max(0) as usize * sweep.in_channels;
        for i in (0..T::OUT * sweep.in_channels).step_by(16) {
            simd.prefetch(image.values.as_ptr().wrapping_add(start + i));
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
/// gradient of the outputs is in the transformed domain. Adds the tile's
/// numbers to `sums`, one a channel, unless it is empty.
#[inline(always)]
pub(super) fn spread_tile<S: Simd, T: Tile>(
    simd: S,
    (map, image): ((Size2, usize), Gated),
    (row, column): (usize, usize),
    sums: &mut [f32],
    mut target: Scattered,
) {
    let rows = Rows {
        image,
        kept: map.0.height,
    };
    let square = Square::new(
        rows,
        map,
        Corner {
            top: row as isize,
            left: column as isize,
        },
        T::OUT,
    );
    assert!(sums.is_empty() || sums.len() == map.1);
    for channel in (0..map.1).step_by(S::LANES) {
        let channels = (channel, S::LANES.min(map.1 - channel));
        let sum = if square.inside && channels.1 == S::LANES {
            let square = Square {
                inside: true,
                ..square
            };
            spread_vector::<S, T>(simd, square, (channel, S::LANES), &mut target)
        } else {
            spread_vector::<S, T>(simd, square, channels, &mut target)
        };
        if !sums.is_empty() {
            let sums = &mut sums[channel..channel + channels.1];
            // SAFETY: the slice just taken holds as many numbers.
            unsafe {
                let all = simd.add(simd.load_up_to(sums.as_ptr(), channels.1), sum);
                simd.store_up_to(sums.as_mut_ptr(), channels.1, all);
            }
        }
    }
}

/// Returns the sum of the pixels.
#[inline(always)]
fn spread_vector<S: Simd, T: Tile>(
    simd: S,
    square: Square,
    channels: (usize, usize),
    target: &mut Scattered,
) -> S::Vector {
    let mut columns = [[simd.splat(0.0); 6]; 6];
    let mut sum = simd.splat(0.0);
    for (j, column) in columns.iter_mut().enumerate().take(T::OUT) {
        let line = square.column(simd, (j, T::OUT), channels);
        for value in line.iter().take(T::OUT) {
            sum = simd.add(sum, *value);
        }
        *column = T::spread(simd, line);
    }
    for i in 0..T::IN {
        let line = T::spread(simd, across(&columns, i));
        target.store::<S, T>(simd, (i, channels.0), line);
    }
    sum
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
