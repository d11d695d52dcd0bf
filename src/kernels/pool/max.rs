//! Max pooling.

use super::windows::{Strip, Windows};
use crate::kernels::geometry::Pool2dGeometry;
use crate::kernels::simd::{Job, Kernel, Simd};

/// Takes the largest of each window: `input` (N, H, W, C), `output` (N, H',
/// W', C). A NaN wins over every number.
///
/// # Panics
/// If a slice has another length than the geometry says.
pub fn max_pool2d(kernel: Kernel, geometry: &Pool2dGeometry, input: &[f32], output: &mut [f32]) {
    assert_eq!(input.len(), geometry.input_len(), "length of the input");
    assert_eq!(output.len(), geometry.output_len(), "length of the output");
    let windows = Windows::sliding(geometry);
    windows.for_each_row(output, |image, row, output| {
        let windows = &windows;
        kernel.run(Forward {
            windows,
            image: windows.image(input, image),
            row,
            output,
        });
    });
}

/// The gradient of the input: each output's goes to its window's first
/// largest number in row order, as in PyTorch (to the last NaN if there is
/// one).
///
/// # Panics
/// If a slice has another length than the geometry says.
pub fn max_pool2d_gradient(
    kernel: Kernel,
    geometry: &Pool2dGeometry,
    input: &[f32],
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    assert_eq!(input.len(), geometry.input_len(), "length of the input");
    assert_eq!(
        grad_output.len(),
        geometry.output_len(),
        "length of the output's gradient"
    );
    assert_eq!(
        grad_input.len(),
        geometry.input_len(),
        "length of the input's gradient"
    );
    let windows = Windows::sliding(geometry);
    let squares = windows.are_squares_of_two();
    windows.for_each_strip(grad_input, |strip| {
        let windows = &windows;
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
    windows: &'a Windows,
    image: &'a [f32],
    row: usize,
    output: &'a mut [f32],
}

impl Job for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let channels = self.windows.channels;
        for (column, output) in self.output.chunks_exact_mut(channels).enumerate() {
            for channel in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - channel);
                let place = (self.row, column);
                let (best, _) = largest(simd, self.windows, self.image, place, (channel, count));
                let target = &mut output[channel..channel + count];
                // SAFETY: the slice just taken holds `count` numbers.
                unsafe { simd.store_up_to(target.as_mut_ptr(), count, best) }
            }
        }
    }
}

/// The largest numbers of a window, and which of its pixels holds them.
#[inline(always)]
fn largest<S: Simd>(
    simd: S,
    windows: &Windows,
    image: &[f32],
    (row, column): (usize, usize),
    (channel, count): (usize, usize),
) -> (S::Vector, S::Vector) {
    let mut best = simd.splat(f32::NEG_INFINITY);
    let (mut place, mut at) = (0.0, simd.splat(0.0));
    for y in windows.rows[row].clone() {
        for x in windows.columns[column].clone() {
            let start = (y * windows.size.width + x) * windows.channels + channel;
            let pixel = &image[start..start + count];
            // SAFETY: the slice just taken holds `count` numbers.
            let value = unsafe { simd.load_up_to(pixel.as_ptr(), count) };
            at = simd.where_exceeds(value, best, simd.splat(place), at);
            best = simd.where_exceeds(value, best, value, best);
            place += 1.0;
        }
    }
    (best, at)
}

struct Backward<'a> {
    windows: &'a Windows,
    /// See [`Windows::are_squares_of_two`].
    squares: bool,
    image: &'a [f32],
    grad_output: &'a [f32],
    strip: Strip<'a>,
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        if self.squares {
            self.squares(simd);
            return;
        }
        self.strip.input.fill(0.0);
        let channels = self.windows.channels;
        for row in self.strip.rows.clone() {
            for column in 0..self.windows.columns.len() {
                for channel in (0..channels).step_by(S::LANES) {
                    let count = S::LANES.min(channels - channel);
                    self.window(simd, (row, column), (channel, count));
                }
            }
        }
    }
}

impl Backward<'_> {
    /// Windows of 2x2 that don't overlap: every number is written once.
    #[inline(always)]
    fn squares<S: Simd>(&mut self, simd: S) {
        let Self {
            windows,
            image,
            grad_output,
            strip,
            ..
        } = self;
        let columns = windows.columns.len();
        let line = windows.size.width * windows.channels;
        let covered = 2 * columns * windows.channels;
        for row in strip.rows.clone() {
            let input = &image[2 * row * line..][..2 * line];
            let target = &mut strip.input[(2 * row - strip.first) * line..][..2 * line];
            let pixel = (strip.image * windows.rows.len() + row) * columns;
            let grads = &grad_output[pixel * windows.channels..][..covered / 2];
            let (above, below) = target.split_at_mut(line);
            above[covered..].fill(0.0);
            below[covered..].fill(0.0);
            let targets = above[..covered]
                .chunks_exact_mut(2 * windows.channels)
                .zip(below[..covered].chunks_exact_mut(2 * windows.channels));
            let grads = grads.chunks_exact(windows.channels);
            for (column, (targets, grad)) in targets.zip(grads).enumerate() {
                let start = 2 * column * windows.channels;
                let inputs = (&input[start..], &input[line + start..]);
                square(simd, inputs, grad, targets);
            }
        }
        let end = (2 * strip.rows.end - strip.first) * line;
        strip.input[end..].fill(0.0);
    }

    #[inline(always)]
    fn window<S: Simd>(
        &mut self,
        simd: S,
        (row, column): (usize, usize),
        (channel, count): (usize, usize),
    ) {
        let Self {
            windows,
            image,
            grad_output,
            strip,
            ..
        } = self;
        let (_, at) = largest(simd, windows, image, (row, column), (channel, count));
        let pixel = (strip.image * windows.rows.len() + row) * windows.columns.len() + column;
        let grad = &grad_output[pixel * windows.channels + channel..][..count];
        // SAFETY: the slice just taken holds `count` numbers.
        let grad = unsafe { simd.load_up_to(grad.as_ptr(), count) };
        let mut place = 0.0;
        for y in windows.rows[row].clone() {
            for x in windows.columns[column].clone() {
                let pixel = (y - strip.first) * windows.size.width + x;
                let target = &mut strip.input[pixel * windows.channels + channel..][..count];
                let share = simd.where_equal(at, simd.splat(place), grad);
                // SAFETY: the slice just taken holds `count` numbers.
                unsafe {
                    let sum = simd.add(simd.load_up_to(target.as_ptr(), count), share);
                    simd.store_up_to(target.as_mut_ptr(), count, sum);
                }
                place += 1.0;
            }
        }
    }
}

/// The gradients of two pixels above and two below from their window's.
#[inline(always)]
fn square<S: Simd>(
    simd: S,
    (above, below): (&[f32], &[f32]),
    grad: &[f32],
    targets: (&mut [f32], &mut [f32]),
) {
    let channels = grad.len();
    let inputs = [above, below].map(|row| &row[..2 * channels]);
    assert!(targets.0.len() == 2 * channels && targets.1.len() == 2 * channels);
    let targets = [targets.0.as_mut_ptr(), targets.1.as_mut_ptr()];
    for channel in (0..channels).step_by(S::LANES) {
        let count = S::LANES.min(channels - channel);
        let place = |pixel: usize| (pixel / 2, pixel % 2 * channels + channel);
        // SAFETY: `channel + count` is at most `channels`, the length of
        // `grad`, and two pixels are the length of each row, see above.
        unsafe {
            let read = |pixel| {
                let (row, start) = place(pixel);
                simd.load_up_to(inputs[row].as_ptr().add(start), count)
            };
            let grad = simd.load_up_to(grad.as_ptr().add(channel), count);
            let (mut best, mut at) = (read(0), simd.splat(0.0));
            for pixel in 1..4 {
                let value = read(pixel);
                at = simd.where_exceeds(value, best, simd.splat(pixel as f32), at);
                best = simd.where_exceeds(value, best, value, best);
            }
            for pixel in 0..4 {
                let share = simd.where_equal(at, simd.splat(pixel as f32), grad);
                let (row, start) = place(pixel);
                simd.store_up_to(targets[row].add(start), count, share);
            }
        }
    }
}
