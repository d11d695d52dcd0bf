//! Transforms tiles of a feature map to Winograd's domain, and back.

use super::tile::{Line, Tile};
use crate::kernels::conv::sweep::{Corner, Sweep};
use crate::kernels::gated::Gated;
use crate::kernels::geometry::Size2;
use crate::kernels::simd::Simd;
use crate::kernels::span::{Span, chunks};

/// The target of a transformed tile: position `p` lies at `p * stride`.
pub(super) struct Scattered<'a> {
    /// Begins with the tile's first value.
    pub data: &'a mut [f32],
    pub stride: usize,
}

impl Scattered<'_> {
    /// Writes row `row` of the transformed tile, from `channel` on.
    #[inline(always)]
    fn store<S: Simd, T: Tile>(
        &mut self,
        simd: S,
        row: usize,
        channel: usize,
        line: Line<S::Vector>,
    ) {
        let first = row * T::IN * self.stride + channel;
        assert!(first + (T::IN - 1) * self.stride + S::LANES <= self.data.len());
        for (j, value) in line.iter().enumerate().take(T::IN) {
            // SAFETY: by the assert above, `data` holds the last vector.
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

/// The feature map of one image. `rows` may be a ring buffer with only some of
/// the rows: row `y` lies at `y % kept`.
#[derive(Clone, Copy)]
pub(super) struct Map<'a> {
    /// The rows, `(kept, W, C)`.
    pub rows: Gated<'a>,
    /// The number of rows in memory: all, or fewer if rows are computed on demand.
    pub kept: usize,
    pub size: Size2,
    pub channels: usize,
}

impl<'a> Map<'a> {
    /// All rows of the image that a sweep reads.
    pub fn of_input(sweep: &Sweep, source: Gated<'a>, image: usize) -> Self {
        Self {
            rows: source.part(image, sweep.in_image()),
            kept: sweep.in_size.height,
            size: sweep.in_size,
            channels: sweep.in_channels,
        }
    }

    /// All rows of the image that a sweep writes.
    pub fn of_output(sweep: &Sweep, source: Gated<'a>, image: usize) -> Self {
        Self {
            rows: source.part(image, sweep.out_image()),
            kept: sweep.out_size.height,
            size: sweep.out_size,
            channels: sweep.out_channels,
        }
    }
}

/// A square of pixels of a feature map. Its corner may lie outside.
#[derive(Clone, Copy)]
struct Square<'a> {
    map: Map<'a>,
    corner: Corner,
    side: usize,
    /// Where the rows begin in `map.rows`; unspecified for rows outside.
    lines: [usize; 6],
    inside: bool,
}

impl<'a> Square<'a> {
    #[inline(always)]
    fn new(map: Map<'a>, corner: Corner, side: usize) -> Self {
        let Map {
            rows,
            kept,
            size,
            channels,
        } = map;
        let fits = |start: isize, size: usize| start >= 0 && start as usize + side <= size;
        let inside = fits(corner.top, size.height) && fits(corner.left, size.width);
        let len = kept * size.width * channels;
        assert!(rows.values.len() == len && rows.gate.is_none_or(|gate| gate.len() == len));
        let mut lines = [0; 6];
        let mut y = corner.top.rem_euclid(kept.max(1) as isize) as usize;
        for line in &mut lines {
            *line = y * size.width * channels;
            y = if y + 1 < kept { y + 1 } else { 0 };
        }
        Self {
            map,
            corner,
            side,
            lines,
            inside,
        }
    }

    /// The same square, marked as inside.
    #[inline(always)]
    fn inside(self) -> Self {
        Self {
            inside: true,
            ..self
        }
    }

    /// The same square without its gate.
    #[inline(always)]
    fn ungated(self) -> Self {
        let rows = Gated {
            gate: None,
            ..self.map.rows
        };
        let map = Map { rows, ..self.map };
        Self { map, ..self }
    }

    /// Some channels of column `j`; zeros outside the feature map.
    #[inline(always)]
    fn column<S: Simd>(&self, simd: S, j: usize, channels: Span) -> Line<S::Vector> {
        let Map { rows, size, .. } = self.map;
        debug_assert!(channels.start + channels.count <= self.map.channels);
        let mut line = [simd.splat(0.0); 6];
        let Corner { top, left } = self.corner;
        for (i, value) in line.iter_mut().enumerate().take(self.side) {
            let (y, x) = (top + i as isize, left + j as isize);
            let outside = y < 0 || x < 0 || y >= size.height as isize || x >= size.width as isize;
            if !self.inside && outside {
                continue;
            }
            let start = self.lines[i] + x as usize * self.map.channels + channels.start;
            // SAFETY: `new` asserts the length of the rows and makes `lines`
            // start inside it. The pixel lies inside the feature map, and its
            // channels are below `map.channels`.
            *value = unsafe { rows.load(simd, start, channels.count) };
        }
        line
    }
}

/// Writes `B^T d B` of the input tile at `corner`, for all channels.
#[inline(always)]
pub(super) fn input_tile<S: Simd, T: Tile>(
    simd: S,
    map: Map,
    corner: Corner,
    mut target: Scattered,
) {
    let square = Square::new(map, corner, T::IN);
    let whole = map.channels / S::LANES * S::LANES;
    let ungated = square.inside && map.rows.gate.is_none();
    for start in (0..whole).step_by(S::LANES) {
        let channels = Span {
            start,
            count: S::LANES,
        };
        // The compiler specializes the same code for this case.
        if ungated {
            let square = square.inside().ungated();
            input_vector::<S, T>(simd, square, channels, &mut target);
        } else {
            input_vector::<S, T>(simd, square, channels, &mut target);
        }
    }
    if whole < map.channels {
        let rest = Span {
            start: whole,
            count: map.channels - whole,
        };
        input_vector::<S, T>(simd, square, rest, &mut target);
    }
}

/// Prefetches a tile's input, without the columns that the next tile shares.
#[inline(always)]
pub(super) fn prefetch_tile<S: Simd, T: Tile>(simd: S, map: Map, corner: Corner) {
    let Map {
        rows,
        size,
        channels,
        ..
    } = map;
    let Corner { top, left } = corner;
    for y in top.max(0)..(top + T::IN as isize).min(size.height as isize) {
        let start = (y as usize * size.width + left.max(0) as usize) * channels;
        for i in (0..T::OUT * channels).step_by(16) {
            simd.prefetch(rows.values.as_ptr().wrapping_add(start + i));
            if let Some(gate) = rows.gate {
                simd.prefetch(gate.as_ptr().wrapping_add(start + i));
            }
        }
    }
}

#[inline(always)]
fn input_vector<S: Simd, T: Tile>(simd: S, square: Square, channels: Span, target: &mut Scattered) {
    let mut columns = [[simd.splat(0.0); 6]; 6];
    for (j, column) in columns.iter_mut().enumerate().take(T::IN) {
        *column = T::input(simd, square.column(simd, j, channels));
    }
    for i in 0..T::IN {
        let line = T::input(simd, across(&columns, i));
        target.store::<S, T>(simd, i, channels.start, line);
    }
}

/// Writes `A y A^T`, the output gradient of a tile in the transformed domain.
/// `corner` is the tile's first output. Adds the tile's pixels to `sums`, one
/// value per channel, unless that is empty.
#[inline(always)]
pub(super) fn spread_tile<S: Simd, T: Tile>(
    simd: S,
    map: Map,
    corner: Corner,
    sums: &mut [f32],
    mut target: Scattered,
) {
    let square = Square::new(map, corner, T::OUT);
    assert!(sums.is_empty() || sums.len() == map.channels);
    for channels in chunks(map.channels, S::LANES) {
        let sum = if square.inside && channels.count == S::LANES {
            let channels = Span {
                count: S::LANES,
                ..channels
            };
            spread_vector::<S, T>(simd, square.inside(), channels, &mut target)
        } else {
            spread_vector::<S, T>(simd, square, channels, &mut target)
        };
        if !sums.is_empty() {
            let sums = &mut sums[channels.range()];
            // SAFETY: the slice just taken holds `count` values.
            unsafe {
                let all = simd.add(simd.load_up_to(sums.as_ptr(), channels.count), sum);
                simd.store_up_to(sums.as_mut_ptr(), channels.count, all);
            }
        }
    }
}

/// Transforms a vector of channels, and returns the sum of its pixels.
#[inline(always)]
fn spread_vector<S: Simd, T: Tile>(
    simd: S,
    square: Square,
    channels: Span,
    target: &mut Scattered,
) -> S::Vector {
    let mut columns = [[simd.splat(0.0); 6]; 6];
    let mut sum = simd.splat(0.0);
    for (j, column) in columns.iter_mut().enumerate().take(T::OUT) {
        let line = square.column(simd, j, channels);
        for value in line.iter().take(T::OUT) {
            sum = simd.add(sum, *value);
        }
        *column = T::spread(simd, line);
    }
    for i in 0..T::IN {
        let line = T::spread(simd, across(&columns, i));
        target.store::<S, T>(simd, i, channels.start, line);
    }
    sum
}

/// The products of a tile. `data` begins at the tile's first value in its block.
#[derive(Clone, Copy)]
pub(super) struct Products<'a> {
    pub data: &'a [f32],
    pub position_stride: usize,
    pub panel_stride: usize,
}

impl Products<'_> {
    /// `A^T m A` of the vector of channels that begins at lane `lane` of a panel.
    #[inline(always)]
    pub fn transform<S: Simd, T: Tile>(
        &self,
        simd: S,
        panel: usize,
        lane: usize,
    ) -> [Line<S::Vector>; 4] {
        let data = &self.data[panel * self.panel_stride + lane..];
        let zero = simd.splat(0.0);
        assert!((T::IN * T::IN - 1) * self.position_stride + S::LANES <= data.len());
        let mut columns = [[zero; 6]; 6];
        for (j, column) in columns.iter_mut().enumerate().take(T::IN) {
            let mut line = [zero; 6];
            for (i, value) in line.iter_mut().enumerate().take(T::IN) {
                let position = (i * T::IN + j) * self.position_stride;
                // SAFETY: by the assert above, `data` holds the last position.
                *value = unsafe { simd.load(data.as_ptr().add(position)) };
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
