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

use crate::layer::{Padding, Window};

/// A map in rows: `values[((n * channels + c) * height + y) * width + x]`.
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

/// Output side, and the padding before it, by the rule of each library:
/// TensorFlow's for `Same`.
fn side(
    input: usize,
    reach: usize,
    stride: usize,
    padding: Option<(usize, usize)>,
) -> (usize, usize) {
    match padding {
        Some((before, after)) => ((input + before + after - reach) / stride + 1, before),
        None => {
            let output = input.div_ceil(stride);
            let total = ((output - 1) * stride + reach).saturating_sub(input);
            (output, total / 2)
        }
    }
}

/// Output height and width, and the padding above and to the left.
fn geometry(window: &Window, height: usize, width: usize) -> ((usize, usize), (usize, usize)) {
    let (vertical, horizontal) = match window.padding {
        Padding::Valid => (Some((0, 0)), Some((0, 0))),
        Padding::Same => (None, None),
        Padding::Explicit(m) => (Some((m.top, m.bottom)), Some((m.left, m.right))),
    };
    let reach_y = (window.kernel_size.0 - 1) * window.dilation.0 + 1;
    let reach_x = (window.kernel_size.1 - 1) * window.dilation.1 + 1;
    let (out_height, top) = side(height, reach_y, window.stride.0, vertical);
    let (out_width, left) = side(width, reach_x, window.stride.1, horizontal);
    ((out_height, out_width), (top, left))
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

/// Central differences at a step of 1e-5: an error of the step's square in
/// what is smooth, and of the rounding of 1e-16 over the step.
const STEP: f64 = 1e-5;
const DIFFERENCE: f64 = 1e-8;

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
