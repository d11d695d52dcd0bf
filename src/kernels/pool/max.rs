//! Max pooling.

use super::windows::{OutputRow, Pixel, PoolWindows, Strip};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::{Span, chunks};

/// Writes the largest value of each window: `input` is (N, H, W, C), `output`
/// (N, H', W', C). A NaN counts as larger than every number.
///
/// # Panics
/// If the length of a slice does not match the windows.
pub fn max_pool2d(kernel: Kernel, windows: &PoolWindows, input: &[f32], output: &mut [f32]) {
    windows.assert_input(input.len());
    windows.assert_output(output.len());
    windows.for_each_row(output, |row| {
        kernel.run(Forward {
            windows,
            image: windows.image(input, row.image),
            row,
        });
    });
}

/// The gradient of the input. As in PyTorch, each output's gradient goes to the
/// first maximum of its window in row order, or to the last NaN.
///
/// # Panics
/// If the length of a slice does not match the windows.
pub fn max_pool2d_gradient(
    kernel: Kernel,
    windows: &PoolWindows,
    input: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    windows.assert_input(input.len());
    windows.assert_output(grad_output.len());
    windows.assert_input(grad_input.len());
    let squares = windows.are_squares_of_two();
    windows.for_each_strip(grad_input, |strip| {
        let image = windows.image(input, strip.image);
        kernel.run(Backward {
            windows,
            squares,
            image,
            grad_output,
            strip,
        });
    });
}

struct Forward<'a> {
    windows: &'a PoolWindows,
    image: &'a [f32],
    row: OutputRow<'a>,
}

impl Job for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.windows.input.channels;
        let OutputRow { row, output, .. } = self.row;
        for (column, output) in output.chunks_exact_mut(channels).enumerate() {
            let pixel = Pixel { row, column };
            for lanes in chunks(channels, S::LANES) {
                let value = largest(simd, self.windows, self.image, pixel, lanes).value;
                let target = &mut output[lanes.range()];
                // SAFETY: the slice just taken holds `count` values.
                unsafe { simd.store_up_to(target.as_mut_ptr(), lanes.count, value) }
            }
        }
    }
}

/// The maximum of a window, with one channel per lane.
struct Largest<V> {
    value: V,
    /// The index of the maximum's pixel in the window.
    index: V,
}

#[inline(always)]
fn largest<S: Simd>(
    simd: S,
    windows: &PoolWindows,
    image: &[f32],
    pixel: Pixel,
    lanes: Span,
) -> Largest<S::Vector> {
    let mut largest = Largest {
        value: simd.splat(f32::NEG_INFINITY),
        index: simd.splat(0.0),
    };
    let mut index = 0.0;
    for y in windows.rows[pixel.row].clone() {
        for x in windows.columns[pixel.column].clone() {
            let start = (y * windows.input.size.width + x) * windows.input.channels + lanes.start;
            let numbers = &image[start..start + lanes.count];
            // SAFETY: the slice just taken holds `count` values.
            let value = unsafe { simd.load_up_to(numbers.as_ptr(), lanes.count) };
            largest.meet(simd, value, index);
            index += 1.0;
        }
    }
    largest
}

impl<V: Copy> Largest<V> {
    /// Updates the maximum with the values of pixel `index`.
    #[inline(always)]
    fn meet<S: Simd<Vector = V>>(&mut self, simd: S, value: V, index: f32) {
        self.index = simd.where_exceeds(value, self.value, simd.splat(index), self.index);
        self.value = simd.where_exceeds(value, self.value, value, self.value);
    }
}

struct Backward<'a> {
    windows: &'a PoolWindows,
    /// See [`PoolWindows::are_squares_of_two`].
    squares: bool,
    image: &'a [f32],
    grad_output: &'a [f32],
    strip: Strip<'a>,
}

impl Job for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.squares {
            self.squares(simd);
            return;
        }
        self.strip.input.fill(0.0);
        let channels = self.windows.input.channels;
        for row in self.strip.rows.clone() {
            for column in 0..self.windows.columns.len() {
                for lanes in chunks(channels, S::LANES) {
                    self.window(simd, Pixel { row, column }, lanes);
                }
            }
        }
    }
}

impl Backward<'_> {
    /// The gradient of 2x2 windows that lie side by side. Writes every value once.
    #[inline(always)]
    fn squares<S: Simd>(&mut self, simd: S) {
        let (windows, strip) = (self.windows, &mut self.strip);
        let columns = windows.columns.len();
        let line = windows.input.size.width * windows.input.channels;
        let covered = 2 * columns * windows.input.channels;
        for row in strip.rows.clone() {
            let input = &self.image[2 * row * line..][..2 * line];
            let target = &mut strip.input[(2 * row - strip.first) * line..][..2 * line];
            let pixel = (strip.image * windows.rows.len() + row) * columns;
            let grads = &self.grad_output[pixel * windows.input.channels..][..covered / 2];
            let (above, below) = target.split_at_mut(line);
            above[covered..].fill(0.0);
            below[covered..].fill(0.0);
            let targets = above[..covered]
                .chunks_exact_mut(2 * windows.input.channels)
                .zip(below[..covered].chunks_exact_mut(2 * windows.input.channels));
            let grads = grads.chunks_exact(windows.input.channels);
            for (column, ((above, below), grad)) in targets.zip(grads).enumerate() {
                let start = 2 * column * windows.input.channels;
                let inputs = [&input[start..], &input[line + start..]];
                square(simd, inputs, grad, [above, below]);
            }
        }
        let end = (2 * strip.rows.end - strip.first) * line;
        strip.input[end..].fill(0.0);
    }

    #[inline(always)]
    fn window<S: Simd>(&mut self, simd: S, pixel: Pixel, lanes: Span) {
        let (windows, strip) = (self.windows, &mut self.strip);
        let at = largest(simd, windows, self.image, pixel, lanes).index;
        let row = strip.image * windows.rows.len() + pixel.row;
        let start =
            (row * windows.columns.len() + pixel.column) * windows.input.channels + lanes.start;
        let grad = &self.grad_output[start..][..lanes.count];
        // SAFETY: the slice just taken holds `count` values.
        let grad = unsafe { simd.load_up_to(grad.as_ptr(), lanes.count) };
        let mut index = 0.0;
        for y in windows.rows[pixel.row].clone() {
            for x in windows.columns[pixel.column].clone() {
                let start =
                    ((y - strip.first) * windows.input.size.width + x) * windows.input.channels;
                let target = &mut strip.input[start + lanes.start..][..lanes.count];
                let passed = simd.where_equal(at, simd.splat(index), grad);
                // SAFETY: the slice just taken holds `count` values.
                unsafe {
                    let sum = simd.load_up_to(target.as_ptr(), lanes.count);
                    simd.store_up_to(target.as_mut_ptr(), lanes.count, simd.add(sum, passed));
                }
                index += 1.0;
            }
        }
    }
}

/// Writes the gradients of a 2x2 window: two pixels above, two below.
#[inline(always)]
fn square<S: Simd>(simd: S, inputs: [&[f32]; 2], grad: &[f32], targets: [&mut [f32]; 2]) {
    let channels = grad.len();
    let inputs = inputs.map(|row| &row[..2 * channels]);
    assert!(targets.iter().all(|row| row.len() == 2 * channels));
    let targets = targets.map(|row| row.as_mut_ptr());
    for Span { start, count } in chunks(channels, S::LANES) {
        let offset = |pixel: usize| pixel % 2 * channels + start;
        // SAFETY: the span lies inside `grad`. Each row holds two pixels with
        // as many channels, as checked above.
        unsafe {
            let read = |pixel: usize| {
                simd.load_up_to(inputs[pixel / 2].as_ptr().add(offset(pixel)), count)
            };
            let grad = simd.load_up_to(grad.as_ptr().add(start), count);
            let mut largest = Largest {
                value: read(0),
                index: simd.splat(0.0),
            };
            for pixel in 1..4 {
                largest.meet(simd, read(pixel), pixel as f32);
            }
            for pixel in 0..4 {
                let passed = simd.where_equal(largest.index, simd.splat(pixel as f32), grad);
                simd.store_up_to(targets[pixel / 2].add(offset(pixel)), count, passed);
            }
        }
    }
}
