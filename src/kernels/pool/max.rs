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
            image: of_image(windows, input, image),
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
    windows.for_each_strip(grad_input, |strip| {
        let windows = &windows;
        let image = of_image(windows, input, strip.image);
        kernel.run(Backward {
            windows,
            image,
            grad_output,
            strip,
        });
    });
}

fn of_image<'a>(windows: &Windows, input: &'a [f32], image: usize) -> &'a [f32] {
    let len = windows.size.0 * windows.size.1 * windows.channels;
    &input[image * len..(image + 1) * len]
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
            let start = (y * windows.size.1 + x) * windows.channels + channel;
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
    image: &'a [f32],
    grad_output: &'a [f32],
    strip: Strip<'a>,
}

impl Job for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
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
        } = self;
        let (_, at) = largest(simd, windows, image, (row, column), (channel, count));
        let pixel = (strip.image * windows.rows.len() + row) * windows.columns.len() + column;
        let grad = &grad_output[pixel * windows.channels + channel..][..count];
        // SAFETY: the slice just taken holds `count` numbers.
        let grad = unsafe { simd.load_up_to(grad.as_ptr(), count) };
        let mut place = 0.0;
        for y in windows.rows[row].clone() {
            for x in windows.columns[column].clone() {
                let pixel = (y - strip.first) * windows.size.1 + x;
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
