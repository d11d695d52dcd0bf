//! Average pooling, sliding and adaptive.

use super::windows::{OutputRow, PoolWindows, Strip};
use crate::kernels::simd::{Job, Kernel, Simd};
use crate::kernels::span::{Span, chunks};

/// Averages each window over the pixels that it covers, as Keras does: padding
/// does not count. `input` is (N, H, W, C), `output` (N, H', W', C).
///
/// # Panics
/// If the length of a slice does not match the windows, or a window covers no
/// pixel.
pub fn avg_pool2d(kernel: Kernel, windows: &PoolWindows, input: &[f32], output: &mut [f32]) {
    windows.assert_input(input.len());
    windows.assert_output(output.len());
    assert!(
        output.is_empty() || !input.is_empty(),
        "an average over no pixels"
    );
    windows.for_each_row(output, |row| {
        let image = windows.image(input, row.image);
        kernel.run(Forward {
            windows,
            image,
            row,
        });
    });
}

/// The gradient of the input of [`avg_pool2d`].
///
/// # Panics
/// If the length of a slice does not match the windows.
pub fn avg_pool2d_gradient(
    kernel: Kernel,
    windows: &PoolWindows,
    grad_output: &[f32],
    grad_input: &mut [f32],
) {
    windows.assert_output(grad_output.len());
    windows.assert_input(grad_input.len());
    windows.for_each_strip(grad_input, |strip| {
        kernel.run(Backward {
            windows,
            grad_output,
            strip,
        });
    });
}

/// 1 divided by the number of pixels in a window.
#[inline(always)]
fn weight(windows: &PoolWindows, row: usize, column: usize) -> f32 {
    1.0 / (windows.rows[row].len() * windows.columns[column].len()) as f32
}

struct Forward<'a> {
    windows: &'a PoolWindows,
    image: &'a [f32],
    row: OutputRow<'a>,
}

impl Job for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (windows, image) = (self.windows, self.image);
        let OutputRow { row, output, .. } = self.row;
        let channels = windows.input.channels;
        for (column, output) in output.chunks_exact_mut(channels).enumerate() {
            let weight = simd.splat(weight(windows, row, column));
            for lanes in chunks(channels, S::LANES) {
                let count = lanes.count;
                let mut sum = simd.splat(0.0);
                for y in windows.rows[row].clone() {
                    for x in windows.columns[column].clone() {
                        let start = (y * windows.input.size.width + x) * channels + lanes.start;
                        let pixel = &image[start..start + count];
                        // SAFETY: the slice just taken holds `count` values.
                        let value = unsafe { simd.load_up_to(pixel.as_ptr(), count) };
                        sum = simd.add(sum, value);
                    }
                }
                let target = &mut output[lanes.range()];
                // SAFETY: the slice just taken holds `count` values.
                unsafe { simd.store_up_to(target.as_mut_ptr(), count, simd.mul(sum, weight)) }
            }
        }
    }
}

struct Backward<'a> {
    windows: &'a PoolWindows,
    grad_output: &'a [f32],
    strip: Strip<'a>,
}

impl Job for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (windows, strip) = (self.windows, self.strip);
        strip.input.fill(0.0);
        let channels = windows.input.channels;
        let (height, width) = (windows.rows.len(), windows.columns.len());
        for (row, column) in strip
            .rows
            .flat_map(|row| (0..width).map(move |column| (row, column)))
        {
            let pixel = (strip.image * height + row) * width + column;
            let grad = &self.grad_output[pixel * channels..(pixel + 1) * channels];
            let weight = simd.splat(weight(windows, row, column));
            for y in windows.rows[row].clone() {
                for x in windows.columns[column].clone() {
                    let pixel = (y - strip.first) * windows.input.size.width + x;
                    let target = &mut strip.input[pixel * channels..(pixel + 1) * channels];
                    add_scaled(simd, weight, grad, target);
                }
            }
        }
    }
}

#[inline(always)]
fn add_scaled<S: Simd>(simd: S, weight: S::Vector, grad: &[f32], target: &mut [f32]) {
    let len = target.len();
    assert_eq!(grad.len(), len);
    for Span { start, count } in chunks(len, S::LANES) {
        // SAFETY: by the assert above, the span lies inside both slices.
        unsafe {
            let grad = simd.load_up_to(grad.as_ptr().add(start), count);
            let sum = simd.load_up_to(target.as_ptr().add(start), count);
            simd.store_up_to(
                target.as_mut_ptr().add(start),
                count,
                simd.mul_add(grad, weight, sum),
            );
        }
    }
}
