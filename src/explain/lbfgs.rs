use std::collections::VecDeque;

/// Steps with at most this curvature are not remembered.
const LEAST_CURVATURE: f64 = 1e-10;

/// Limited-memory BFGS without a line search, as in PyTorch's `LBFGS`.
/// Source of the two-loop recursion: Nocedal and Wright, "Numerical
/// Optimization", algorithm 7.4.
#[derive(Debug)]
pub(super) struct Lbfgs {
    learning_rate: f64,
    history: usize,
    pairs: VecDeque<Pair>,
    scale: f64,
    last: Option<Last>,
}

/// A step and the change of the gradient along it.
#[derive(Debug)]
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    curvature: f64,
}

#[derive(Debug)]
struct Last {
    gradient: Vec<f64>,
    step: Vec<f64>,
}

impl Lbfgs {
    pub(super) fn new(learning_rate: f64, history: usize) -> Self {
        Self {
            learning_rate,
            history,
            pairs: VecDeque::new(),
            scale: 1.0,
            last: None,
        }
    }

    pub(super) fn step(&mut self, gradient: Vec<f64>) -> Vec<f64> {
        let is_first = self.last.is_none();
        if let Some(last) = self.last.take() {
            self.remember(last, &gradient);
        }
        let mut step = self.direction(&gradient);
        let length = if is_first {
            let total: f64 = gradient.iter().map(|value| value.abs()).sum();
            self.learning_rate * (1.0 / total).min(1.0)
        } else {
            self.learning_rate
        };
        step.iter_mut().for_each(|value| *value *= length);
        self.last = Some(Last {
            gradient,
            step: step.clone(),
        });
        step
    }

    /// Halves the last step. Returns what to add to the variables, which undoes the
    /// second half.
    pub(super) fn halve(&mut self) -> Vec<f64> {
        let Some(last) = &mut self.last else {
            return Vec::new();
        };
        last.step.iter_mut().for_each(|value| *value /= 2.0);
        last.step.iter().map(|value| -value).collect()
    }

    fn remember(&mut self, last: Last, gradient: &[f64]) {
        let change: Vec<f64> = gradient
            .iter()
            .zip(&last.gradient)
            .map(|(now, before)| now - before)
            .collect();
        let curvature = dot(&change, &last.step);
        if curvature <= LEAST_CURVATURE {
            return;
        }
        if self.pairs.len() == self.history {
            self.pairs.pop_front();
        }
        self.scale = curvature / dot(&change, &change);
        self.pairs.push_back(Pair {
            step: last.step,
            change,
            curvature,
        });
    }

    fn direction(&self, gradient: &[f64]) -> Vec<f64> {
        let mut direction: Vec<f64> = gradient.iter().map(|value| -value).collect();
        let mut factors = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let factor = dot(&pair.step, &direction) / pair.curvature;
            add(&mut direction, -factor, &pair.change);
            factors.push(factor);
        }
        direction.iter_mut().for_each(|value| *value *= self.scale);
        for (pair, factor) in self.pairs.iter().zip(factors.iter().rev()) {
            let other = dot(&pair.change, &direction) / pair.curvature;
            add(&mut direction, factor - other, &pair.step);
        }
        direction
    }
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn add(to: &mut [f64], factor: f64, vector: &[f64]) {
    for (to, value) in to.iter_mut().zip(vector) {
        *to += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use std::path::Path;

    #[test]
    fn it_steps_as_pytorch_does() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/explain/explain.safetensors");
        let tensors = candle_core::safetensors::load(fixture, &Device::Cpu).unwrap();
        let trace = tensors["lbfgs"].to_vec2::<f32>().unwrap();
        let mut point = [-1.2, 1.0];
        let mut lbfgs = Lbfgs::new(0.5, 5);
        for (index, expected) in trace.iter().enumerate() {
            let [x, y] = point;
            let slope = y - x * x;
            let gradient = vec![-2.0 * (1.0 - x) - 400.0 * x * slope, 200.0 * slope];
            add(&mut point, 1.0, &lbfgs.step(gradient));
            for (ours, theirs) in point.iter().zip(expected) {
                let off = (ours - f64::from(*theirs)).abs();
                assert!(off < 1e-5, "step {index}: {point:?} {expected:?}");
            }
        }
    }

    #[test]
    fn halving_returns_the_correction() {
        let mut lbfgs = Lbfgs::new(1.0, 5);
        let step = lbfgs.step(vec![0.5, 0.0]);
        assert_eq!(step, [-0.5, 0.0]);
        assert_eq!(lbfgs.halve(), [0.25, 0.0]);
        assert_eq!(lbfgs.halve(), [0.125, 0.0]);
    }
}
