use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::error::Result;

use super::equations::Equations;
use super::inverse::{inverse, small};

/// The fraction of channels that is removed at once.
const STEPS: usize = 32;

/// The least fraction of channels that is left.
const LEAST: f64 = 0.125;

/// How the error of a layer grows when channels of its input are removed, one
/// after the other, and its filters are fitted again.
#[derive(Clone, Debug)]
pub(in super::super) struct Curve {
    /// The channels in the order of their removal; those never removed last.
    order: Vec<u32>,
    points: Vec<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    left: usize,
    /// The squared error, as a fraction of the output's variance.
    error: f64,
}

impl Curve {
    /// The channels to keep, in order.
    pub(in super::super) fn kept(&self, count: usize) -> Vec<u32> {
        let removed = self.order.len().saturating_sub(count);
        let mut kept = self.order[removed..].to_vec();
        kept.sort_unstable();
        kept
    }

    /// The error with this number of channels.
    pub(in super::super) fn error(&self, count: usize) -> f64 {
        let after = self.points.iter().position(|point| point.left <= count);
        let Some(after) = after else {
            return self.points.last().map_or(0.0, |point| point.error);
        };
        let low = self.points[after];
        let Some(high) = after.checked_sub(1).map(|at| self.points[at]) else {
            return low.error;
        };
        let part = (high.left - count) as f64 / (high.left - low.left) as f64;
        high.error + part * (low.error - high.error)
    }

    pub(in super::super) fn least(&self) -> usize {
        self.points.last().map_or(1, |point| point.left)
    }
}

/// Removes channels as Optimal Brain Surgeon (Hassibi and Stork 1993) removes
/// weights: those first whose removal costs least after all filters that read the
/// others have been fitted again. `None` if the equations can't be solved.
pub(super) fn eliminate(channels: usize, readers: &[Equations]) -> Result<Option<Curve>> {
    let least = ((channels as f64 * LEAST).ceil() as usize).max(1);
    let step = (channels / STEPS).max(1);
    let mut alive: Vec<u32> = (0..channels as u32).collect();
    let mut states = Vec::new();
    for equations in readers {
        let Some(state) = State::start(equations, channels)? else {
            return Ok(None);
        };
        states.push(state);
    }
    let mut order: Vec<u32> = Vec::new();
    let mut points = vec![Point {
        left: channels,
        error: 0.0,
    }];
    while alive.len() > least {
        let count = step.min(alive.len() - least);
        let mut scores = vec![0.0; alive.len()];
        for state in &states {
            let own = state.scores(&alive);
            scores
                .iter_mut()
                .zip(own)
                .for_each(|(sum, own)| *sum += own);
        }
        let removed: Vec<u32> = lowest(&scores, count)
            .into_iter()
            .map(|at| alive[at])
            .collect();
        if !states.iter_mut().all(|state| state.remove(&removed)) {
            return Ok(None);
        }
        alive.retain(|channel| !removed.contains(channel));
        order.extend(removed);
        for state in &mut states {
            if alive.len() * 4 <= state.held.len() * 3 {
                state.hold(&alive);
            }
        }
        let errors = states.iter().map(|state| state.error / state.variance);
        points.push(Point {
            left: alive.len(),
            error: errors.sum::<f64>() / states.len() as f64,
        });
    }
    order.extend(&alive);
    Ok(Some(Curve { order, points }))
}

/// The positions of the lowest scores, the lowest first. Of equal scores the last
/// counts as lower.
fn lowest(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
    order.truncate(count);
    order
}

/// The equations of one reader while channels are removed.
struct State {
    /// The inverse of the products, a row for each tap of each channel that is
    /// held, and one for the bias. Rows of removed channels are meaningless.
    inverse: Vec<f64>,
    /// A row for each output.
    filters: Vec<f64>,
    outputs: usize,
    /// The channels whose rows are held.
    held: Vec<u32>,
    taps: usize,
    has_bias: bool,
    variance: f64,
    error: f64,
}

impl State {
    fn start(equations: &Equations, channels: usize) -> Result<Option<Self>> {
        let n = equations.products.dim(0)?;
        let weights = n - usize::from(equations.has_bias);
        let Some(inverse) = inverse(&equations.regular()?)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            inverse: inverse.flatten_all()?.to_vec1()?,
            filters: equations.filters.flatten_all()?.to_vec1()?,
            outputs: equations.filters.dim(0)?,
            held: (0..channels as u32).collect(),
            taps: weights / channels,
            has_bias: equations.has_bias,
            variance: equations.variance()?.max(f64::MIN_POSITIVE),
            error: 0.0,
        }))
    }

    fn length(&self) -> usize {
        self.held.len() * self.taps + usize::from(self.has_bias)
    }

    /// The rows of some channels.
    fn rows(&self, channels: &[u32]) -> Vec<usize> {
        let held = self.held.iter().enumerate();
        let places = held.filter(|(_, channel)| channels.contains(channel));
        places
            .flat_map(|(at, _)| at * self.taps..(at + 1) * self.taps)
            .collect()
    }

    /// What the removal of each of these channels would add to the error, as a
    /// fraction of the variance.
    fn scores(&self, channels: &[u32]) -> Vec<f64> {
        let n = self.length();
        let scores = channels.par_iter().map(|&channel| {
            let rows = self.rows(&[channel]);
            let block = picked(&self.inverse, n, &rows, &rows);
            let Some(middle) = small(&block, rows.len()) else {
                return f64::INFINITY;
            };
            let start = rows.first().copied().unwrap_or(0);
            let filters = self.filters.chunks_exact(n);
            let own = filters.map(|filter| {
                let filter = &filter[start..][..self.taps];
                let rows = middle.chunks_exact(self.taps).zip(filter);
                let products = rows.map(|(row, value)| value * dot(row, filter));
                products.sum::<f64>()
            });
            own.sum::<f64>() / self.variance
        });
        scores.collect()
    }

    /// Removes channels. Returns whether that was numerically possible.
    fn remove(&mut self, removed: &[u32]) -> bool {
        let n = self.length();
        let rows = self.rows(removed);
        let count = rows.len();
        let all: Vec<usize> = (0..n).collect();
        let across = picked(&self.inverse, n, &rows, &all);
        let Some(middle) = small(&picked(&self.inverse, n, &rows, &rows), count) else {
            return false;
        };
        let outputs: Vec<usize> = (0..self.outputs).collect();
        let lost = picked(&self.filters, n, &outputs, &rows);
        let across = MatRef::from_row_major_slice(&across, count, n);
        let middle = MatRef::from_row_major_slice(&middle, count, count);
        let lost = MatRef::from_row_major_slice(&lost, self.outputs, count);
        let through = middle * across;
        subtract(&mut self.inverse, across.transpose(), through.as_ref());
        subtract(&mut self.filters, lost, through.as_ref());
        let weighted = lost * middle;
        for output in 0..self.outputs {
            for at in 0..count {
                self.error += weighted[(output, at)] * lost[(output, at)];
            }
        }
        true
    }

    /// Lets go of the rows of all other channels.
    fn hold(&mut self, alive: &[u32]) {
        let n = self.length();
        let mut rows = self.rows(alive);
        rows.extend(self.has_bias.then(|| n - 1));
        let outputs: Vec<usize> = (0..self.outputs).collect();
        self.inverse = picked(&self.inverse, n, &rows, &rows);
        self.filters = picked(&self.filters, n, &outputs, &rows);
        self.held = alive.to_vec();
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Some rows and columns of a matrix of `width` columns.
fn picked(matrix: &[f64], width: usize, rows: &[usize], columns: &[usize]) -> Vec<f64> {
    let mut values = vec![0.0; rows.len() * columns.len()];
    let targets = values.par_chunks_exact_mut(columns.len().max(1));
    targets.zip(rows).for_each(|(target, &row)| {
        let row = &matrix[row * width..][..width];
        let pairs = target.iter_mut().zip(columns);
        pairs.for_each(|(to, &column)| *to = row[column]);
    });
    values
}

/// Rows that one task computes; it does not depend on the number of threads.
const ROWS: usize = 128;

/// `matrix -= left * right`.
fn subtract(matrix: &mut [f64], left: MatRef<'_, f64>, right: MatRef<'_, f64>) {
    let width = right.ncols();
    let chunks = matrix.par_chunks_mut(ROWS * width).enumerate();
    chunks.for_each(|(index, chunk)| {
        let rows = chunk.len() / width;
        let left = left.subrows(index * ROWS, rows);
        let chunk = MatMut::from_row_major_slice_mut(chunk, rows, width);
        matmul(chunk, Accum::Add, left, right, -1.0, Par::Seq);
    });
}
