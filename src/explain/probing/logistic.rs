use crate::explain::lbfgs::{Lbfgs, add, dot};

/// The largest number of steps, the steps that L-BFGS remembers, and the
/// largest gradient at which the fit ends.
const STEPS: usize = 200;
const HISTORY: usize = 10;
const FLAT: f64 = 1e-5;
/// How often a step that increases the loss is halved.
const HALVINGS: usize = 30;

pub(super) struct Examples<'a> {
    pub(super) rows: Vec<&'a [f64]>,
    pub(super) targets: Vec<usize>,
}

/// A multinomial logistic regression. It minimizes the mean cross-entropy plus
/// half the penalty times the sum of the squared weights. Biases have no
/// penalty.
#[derive(Debug)]
pub(super) struct Logistic {
    features: usize,
    /// For each class its weights, then its bias.
    weights: Vec<f64>,
}

impl Logistic {
    pub(super) fn fit(examples: &Examples<'_>, classes: usize, penalty: f64) -> Self {
        let features = examples.rows.first().map_or(0, |row| row.len());
        let mut model = Self {
            features,
            weights: vec![0.0; classes * (features + 1)],
        };
        let mut lbfgs = Lbfgs::new(1.0, HISTORY);
        let (mut loss, mut gradient) = model.loss_and_gradient(examples, penalty);
        for _ in 0..STEPS {
            if gradient.iter().all(|value| value.abs() < FLAT) {
                break;
            }
            add(&mut model.weights, 1.0, &lbfgs.step(gradient));
            let mut next = model.loss_and_gradient(examples, penalty);
            for _ in 0..HALVINGS {
                if next.0 <= loss {
                    break;
                }
                add(&mut model.weights, 1.0, &lbfgs.halve());
                next = model.loss_and_gradient(examples, penalty);
            }
            (loss, gradient) = next;
        }
        model
    }

    /// The class with the highest score; the first among equals.
    pub(super) fn predict(&self, row: &[f64]) -> usize {
        let scores = self.scores(row);
        let classes = (0..scores.len()).rev();
        let best = classes.max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        best.unwrap_or(0)
    }

    fn scores(&self, row: &[f64]) -> Vec<f64> {
        let classes = self.weights.chunks_exact(self.features + 1);
        classes
            .map(|weights| dot(weights, row) + weights[self.features])
            .collect()
    }

    fn loss_and_gradient(&self, examples: &Examples<'_>, penalty: f64) -> (f64, Vec<f64>) {
        let weight = 1.0 / examples.rows.len().max(1) as f64;
        let width = self.features + 1;
        let (mut loss, mut gradient) = (0.0, vec![0.0; self.weights.len()]);
        for (row, &target) in examples.rows.iter().zip(&examples.targets) {
            let scores = self.scores(row);
            let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scores.iter().map(|score| (score - best).exp()).collect();
            let total: f64 = powers.iter().sum();
            loss += weight * (total.ln() + best - scores[target]);
            let slopes = gradient.chunks_exact_mut(width);
            for (class, (slopes, power)) in slopes.zip(&powers).enumerate() {
                let hit = if class == target { 1.0 } else { 0.0 };
                let error = weight * (power / total - hit);
                add(slopes, error, row);
                slopes[self.features] += error;
            }
        }
        let slopes = gradient.chunks_exact_mut(width);
        for (slopes, weights) in slopes.zip(self.weights.chunks_exact(width)) {
            let weights = &weights[..self.features];
            loss += 0.5 * penalty * dot(weights, weights);
            add(slopes, penalty, weights);
        }
        (loss, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};
    use std::path::Path;

    #[test]
    fn it_finds_the_optimum_that_pytorch_finds() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/explain/explain.safetensors");
        let tensors = candle_core::safetensors::load(fixture, &Device::Cpu).unwrap();
        let wide = |name: &str| tensors[name].to_dtype(DType::F64).unwrap();
        let rows = wide("logistic.x").to_vec2::<f64>().unwrap();
        let targets = wide("logistic.y").to_vec1::<f64>().unwrap();
        let examples = Examples {
            rows: rows.iter().map(Vec::as_slice).collect(),
            targets: targets.iter().map(|&class| class as usize).collect(),
        };
        let model = Logistic::fit(&examples, 3, 0.01);
        let expected = wide("logistic.weights").to_vec2::<f64>().unwrap().concat();
        for (ours, theirs) in model.weights.iter().zip(&expected) {
            // A gradient of 1e-5 over a curvature of at least the penalty. A
            // constant added to all biases has no effect.
            assert!((ours - theirs).abs() < 2e-3, "{ours} {theirs}");
        }
        let hits = examples.rows.iter().zip(&examples.targets);
        let hits = hits.filter(|(row, target)| model.predict(row) == **target);
        assert!(hits.count() > 20);
    }
}
