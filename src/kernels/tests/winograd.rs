//! How far Winograd's sums may be from the direct ones.
//!
//! Let u = 2^-24, |M| a matrix of magnitudes, d a tile, g a filter. To first
//! order in u (Higham, "Accuracy and Stability of Numerical Algorithms",
//! section 3.1: a sum of n products errs by at most n u times the sum of
//! their magnitudes)
//!
//! - `B^T d B` errs by at most `2 n u (|B^T| |d| |B|)`, n = 4 operations in
//!   a line at most,
//! - `G g G^T` by `2 n u`, n = 3 operations in a line at most, and by `2 u`
//!   for the product with the lines' factor, itself rounded,
//! - the sum over C channels of their products adds `C u`,
//! - `A^T m A` adds `2 n u`, n = 5 operations in a line at most.
//!
//! Together the output errs by at most `(C + 26) u` times
//! `|A^T| [sum over c of (|G| |g| |G^T|) (|B^T| |d| |B|)] |A|`. The matrices'
//! entries are exact in single precision; in `G`, all but the factors are.

use super::conv::Case;
use super::{error, kernels, oracle};
use crate::kernels::{Algorithm, Conv2dConfig, Direction, Epilogue, Padding};

/// The transforms of F(m x m, 3x3) from its finite points, by the theory alone:
/// powers of the points, and Lagrange polynomials.
struct Theory {
    out: usize,
    points: Vec<f64>,
}

impl Theory {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Winograd2 => Self {
                out: 2,
                points: vec![0.0, 1.0, -1.0],
            },
            _ => Self {
                out: 4,
                points: vec![0.0, 0.625, -0.625, 1.5, -1.5],
            },
        }
    }

    fn side(&self) -> usize {
        self.out + 2
    }

    /// Coefficients, lowest first, of the product of `x - p` over all points
    /// but `skipped`.
    fn product(&self, skipped: Option<usize>) -> Vec<f64> {
        let mut product = vec![1.0];
        for (i, point) in self.points.iter().enumerate() {
            if Some(i) != skipped {
                let mut next = vec![0.0; product.len() + 1];
                for (k, value) in product.iter().enumerate() {
                    next[k + 1] += value;
                    next[k] -= point * value;
                }
                product = next;
            }
        }
        product
    }

    /// `|B^T|`, side by side.
    fn input(&self) -> Vec<Vec<f64>> {
        let skipped = (0..self.points.len()).map(Some).chain([None]);
        let rows = skipped.map(|skipped| {
            let mut row = self.product(skipped);
            row.resize(self.side(), 0.0);
            row.into_iter().map(f64::abs).collect()
        });
        rows.collect()
    }

    /// `|G|`, side by 3.
    fn filter(&self) -> Vec<Vec<f64>> {
        let rows = self.points.iter().enumerate().map(|(i, point)| {
            let others = self.points.iter().enumerate().filter(|(j, _)| *j != i);
            let scale: f64 = others.map(|(_, other)| point - other).product();
            (0..3).map(|k| (point.powi(k) / scale).abs()).collect()
        });
        rows.chain([vec![0.0, 0.0, 1.0]]).collect()
    }

    /// `|A^T|`, outputs by side.
    fn output(&self) -> Vec<Vec<f64>> {
        let row = |k: usize| {
            let values = self.points.iter().map(|point| point.powi(k as i32).abs());
            values
                .chain([if k + 1 == self.out { 1.0 } else { 0.0 }])
                .collect()
        };
        (0..self.out).map(row).collect()
    }
}

/// `m x m^T`.
fn sandwich(m: &[Vec<f64>], x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let row = |i: usize| {
        let half: Vec<f64> = (0..x[0].len())
            .map(|l| (0..x.len()).map(|k| m[i][k] * x[k][l]).sum())
            .collect();
        m.iter()
            .map(|row| row.iter().zip(&half).map(|(a, b)| a * b).sum())
            .collect()
    };
    (0..m.len()).map(row).collect()
}

/// The bound on the errors of one output channel's tile at `(0, 0)` of a map
/// `(side, side, C)` without padding.
fn bound(theory: &Theory, channels: usize, input: &[f32], filter: &[f32]) -> Vec<Vec<f64>> {
    let side = theory.side();
    let (by_input, by_filter) = (theory.input(), theory.filter());
    let mut sums = vec![vec![0.0; side]; side];
    for c in 0..channels {
        let read = |y: usize, x: usize| f64::from(input[(y * side + x) * channels + c].abs());
        let tile: Vec<Vec<f64>> = (0..side)
            .map(|y| (0..side).map(|x| read(y, x)).collect())
            .collect();
        let tap = |y: usize, x: usize| f64::from(filter[c * 9 + y * 3 + x].abs());
        let taps: Vec<Vec<f64>> = (0..3)
            .map(|y| (0..3).map(|x| tap(y, x)).collect())
            .collect();
        let (tile, taps) = (sandwich(&by_input, &tile), sandwich(&by_filter, &taps));
        for (sums, (tile, taps)) in sums.iter_mut().zip(tile.iter().zip(&taps)) {
            for (sum, (a, b)) in sums.iter_mut().zip(tile.iter().zip(taps)) {
                *sum += a * b;
            }
        }
    }
    let unit = f64::from(f32::EPSILON) / 2.0;
    let factor = (channels + 26) as f64 * unit;
    let tile = sandwich(&theory.output(), &sums);
    tile.iter()
        .map(|row| row.iter().map(|value| value * factor).collect())
        .collect()
}

#[test]
fn errors_stay_below_the_bound() {
    for algorithm in [Algorithm::Winograd2, Algorithm::Winograd4] {
        let theory = Theory::new(algorithm);
        let (side, out) = (theory.side(), theory.out);
        for (channels, outputs) in [(16, 16), (100, 16), (512, 16), (512, 272)] {
            let config = Conv2dConfig::same(3)
                .images(1, side, side)
                .channels(channels, outputs)
                .with(|config| config.padding = Padding::default());
            let case = Case::new(config);
            let expected = oracle::conv2d(&case.geometry, &case.input, &case.weights);
            for kernel in kernels() {
                let filter = case.pack(kernel, Direction::Forward, Some(algorithm));
                let output = case.output(&filter, Epilogue::default());
                for channel in 0..16 {
                    let filter = &case.weights[channel * channels * 9..][..channels * 9];
                    let bound = bound(&theory, channels, &case.input, filter);
                    for (y, x) in (0..out).flat_map(|y| (0..out).map(move |x| (y, x))) {
                        let i = (y * out + x) * outputs + channel;
                        let error = (f64::from(output[i]) - expected[i]).abs();
                        assert!(error <= bound[y][x], "{kernel:?} {algorithm:?} {error:e}");
                    }
                }
            }
        }
    }
}

/// VGG's depths, on inputs as a ReLU leaves them.
#[test]
fn deep_layers_stay_within_one_in_a_hundred_thousand() {
    for (channels, outputs) in [(64, 64), (256, 16), (512, 16)] {
        let config = Conv2dConfig::same(3)
            .images(1, 14, 14)
            .channels(channels, outputs);
        let mut case = Case::new(config);
        case.input.iter_mut().for_each(|x| *x = x.max(0.0));
        let expected = oracle::conv2d(&case.geometry, &case.input, &case.weights);
        for kernel in kernels() {
            for algorithm in [Algorithm::Winograd2, Algorithm::Winograd4] {
                let filter = case.pack(kernel, Direction::Forward, Some(algorithm));
                let error = error(&case.output(&filter, Epilogue::default()), &expected);
                assert!(
                    error < 1e-5,
                    "{kernel:?} {algorithm:?} {channels:?}: {error}"
                );
            }
        }
    }
}
