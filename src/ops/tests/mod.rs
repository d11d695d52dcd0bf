//! Every operator against nested loops in f64, and its gradients against
//! central differences.

mod conv;
#[path = "../../../tests/support/devices.rs"]
mod devices;
mod host;
mod net;
mod points;
mod pool;
mod resample;
mod views;

use candle_core::{Device, Tensor, Var};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::kernels;
use crate::layers::{Padding, Window};

/// Feature maps in rows: `values[((n * channels + c) * height + y) * width + x]`.
#[derive(Clone, Debug)]
struct Map {
    batch: usize,
    channels: usize,
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Map {
    fn zeros(batch: usize, channels: usize, height: usize, width: usize) -> Self {
        Self {
            batch,
            channels,
            height,
            width,
            values: vec![0.0; batch * channels * height * width],
        }
    }

    fn of(tensor: &Tensor) -> Self {
        let (batch, channels, height, width) = tensor.dims4().unwrap();
        Self {
            batch,
            channels,
            height,
            width,
            values: values(tensor),
        }
    }

    fn index(&self, n: usize, c: usize, y: usize, x: usize) -> usize {
        ((n * self.channels + c) * self.height + y) * self.width + x
    }

    fn get(&self, n: usize, c: usize, y: usize, x: usize) -> f64 {
        self.values[self.index(n, c, y, x)]
    }

    /// The value there, or `None` in the padding.
    fn at(&self, n: usize, c: usize, y: isize, x: isize) -> Option<f64> {
        let inside = y >= 0 && x >= 0 && y < self.height as isize && x < self.width as isize;
        inside.then(|| self.get(n, c, y as usize, x as usize))
    }

    fn dims(&self) -> [usize; 4] {
        [self.batch, self.channels, self.height, self.width]
    }
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Uniform values between -1 and 1.
fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Values in memory order with the channels last, as the oracles take them.
fn channels_last(x: &Tensor) -> Vec<f64> {
    values(&x.permute((0, 2, 3, 1)).unwrap())
}

/// The padding before and after one side by TensorFlow's rule for `Same`.
fn same_padding(input: usize, kernel: usize, stride: usize, dilation: usize) -> (usize, usize) {
    let reach = (kernel - 1) * dilation + 1;
    let total = ((input.div_ceil(stride) - 1) * stride + reach).saturating_sub(input);
    (total / 2, total - total / 2)
}

/// The padding of a window, independent of [`Window::margins`].
fn padding(window: &Window, height: usize, width: usize) -> kernels::Padding {
    let Window {
        kernel_size,
        stride,
        dilation,
        padding,
    } = *window;
    let ((top, bottom), (left, right)) = match padding {
        Padding::Valid => ((0, 0), (0, 0)),
        Padding::Same => (
            same_padding(height, kernel_size.0, stride.0, dilation.0),
            same_padding(width, kernel_size.1, stride.1, dilation.1),
        ),
        Padding::Explicit(m) => ((m.top, m.bottom), (m.left, m.right)),
    };
    kernels::Padding {
        top,
        bottom,
        left,
        right,
    }
}

fn assert_close(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (a - e).abs() <= tolerance * e.abs().max(1.0),
            "{what}: value {index} is {a}, not {e}"
        );
    }
}

/// f64 sums of a few hundred products of values below 1.
const EXACT: f64 = 1e-12;

/// The step of central differences. Their error is about the step's square where
/// the function is smooth, plus a rounding of 1e-16 divided by the step.
const STEP: f64 = 1e-5;
const DIFFERENCE: f64 = 1e-8;

/// As [`check_gradients`], of a function of one input.
fn check_gradient(f: impl Fn(&Tensor) -> candle_core::Result<Tensor>, x: &Tensor, what: &str) {
    check_gradients(|t| f(&t[0]), std::slice::from_ref(x), what);
}

/// The gradients of a weighted sum of `f` at `inputs`, by candle and by
/// central differences.
fn check_gradients(
    f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
    inputs: &[Tensor],
    what: &str,
) {
    check_gradients_within(DIFFERENCE, f, inputs, what);
}

fn check_gradients_within(
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
    inputs: &[Tensor],
    what: &str,
) {
    let variables: Vec<Var> = inputs
        .iter()
        .map(|x| Var::from_tensor(x).unwrap())
        .collect();
    let tracked: Vec<Tensor> = variables.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tracked).unwrap();
    let weights = random(y.dims(), 99);
    let loss = |y: &Tensor| y.mul(&weights).unwrap().sum_all().unwrap();
    let gradients = loss(&y).backward().unwrap();
    for (place, variable) in variables.iter().enumerate() {
        let gradient = gradients
            .get(variable)
            .unwrap_or_else(|| panic!("{what}: none"));
        assert_eq!(gradient.dims(), variable.dims(), "{what}: input {place}");
        let at = |index: usize, step: f64| {
            let mut moved = values(&inputs[place]);
            moved[index] += step;
            let mut inputs = inputs.to_vec();
            let shape = inputs[place].shape().clone();
            inputs[place] = Tensor::from_vec(moved, shape, &Device::Cpu).unwrap();
            loss(&f(&inputs).unwrap()).to_scalar::<f64>().unwrap()
        };
        let expected: Vec<f64> = (0..variable.elem_count())
            .map(|index| (at(index, STEP) - at(index, -STEP)) / (2.0 * STEP))
            .collect();
        let what = format!("{what}: gradient of input {place}");
        assert_close(&values(gradient), &expected, tolerance, &what);
    }
}
