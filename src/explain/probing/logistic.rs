use crate::explain::lbfgs::{Lbfgs, add, dot};

/// Steps at most, steps remembered, and the largest slope that ends them.
const STEPS: usize = 200;
const HISTORY: usize = 10;
const FLAT: f64 = 1e-5;
/// How often a step that leads up is halved.
const HALVINGS: usize = 30;

/// Examples as rows of features, and their classes.
pub(super) struct Examples<'a> {
    pub(super) rows: Vec<&'a [f64]>,
    pub(super) targets: Vec<usize>,
}

/// A multinomial logistic regression: the mean cross-entropy plus half the
/// penalty times the weights' squares is least. Biases have no penalty.
#[derive(Debug)]
pub(super) struct Logistic {
    classes: usize,
    features: usize,
    /// For each class its weights, then its bias.
    weights: Vec<f64>,
}

impl Logistic {
    pub(super) fn fit(examples: &Examples<'_>, classes: usize, penalty: f64) -> Self {
        let features = examples.rows.first().map_or(0, |row| row.len());
        let mut model = Self {
            classes,
            features,
            weights: vec![0.0; classes * (features + 1)],
        };
        let mut lbfgs = Lbfgs::new(1.0, HISTORY);
        let (mut loss, mut slope) = model.loss_and_slope(examples, penalty);
        for _ in 0..STEPS {
            if slope.iter().all(|value| value.abs() < FLAT) {
                break;
            }
            add(&mut model.weights, 1.0, &lbfgs.step(slope));
            let mut next = model.loss_and_slope(examples, penalty);
            for _ in 0..HALVINGS {
                if next.0 <= loss {
                    break;
                }
                add(&mut model.weights, 1.0, &lbfgs.halve());
                next = model.loss_and_slope(examples, penalty);
            }
            (loss, slope) = next;
        }
        model
    }

    fn stride(&self) -> usize {
        self.features + 1
    }

    /// The class of the highest score.
    pub(super) fn predict(&self, row: &[f64]) -> usize {
        let scores = self.scores(row);
        let better = |best, class| {
            if scores[class] > scores[best] {
                class
            } else {
                best
            }
        };
        (0..self.classes).fold(0, better)
    }

    fn scores(&self, row: &[f64]) -> Vec<f64> {
        let classes = self.weights.chunks_exact(self.stride());
        classes
            .map(|weights| dot(weights, row) + weights[self.features])
            .collect()
    }

    fn loss_and_slope(&self, examples: &Examples<'_>, penalty: f64) -> (f64, Vec<f64>) {
        let share = 1.0 / examples.rows.len().max(1) as f64;
        let (mut loss, mut slope) = (0.0, vec![0.0; self.weights.len()]);
        for (row, &target) in examples.rows.iter().zip(&examples.targets) {
            let scores = self.scores(row);
            let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scores.iter().map(|score| (score - best).exp()).collect();
            let total: f64 = powers.iter().sum();
            loss += share * (total.ln() + best - scores[target]);
            let slopes = slope.chunks_exact_mut(self.stride());
            for (class, (slope, power)) in slopes.zip(&powers).enumerate() {
                let hit = if class == target { 1.0 } else { 0.0 };
                let error = share * (power / total - hit);
                add(slope, error, row);
                slope[self.features] += error;
            }
        }
        let pulled = slope.chunks_exact_mut(self.stride());
        for (slope, weights) in pulled.zip(self.weights.chunks_exact(self.stride())) {
            let weights = &weights[..self.features];
            loss += 0.5 * penalty * dot(weights, weights);
            add(slope, penalty, weights);
        }
        (loss, slope)
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
            // Slopes of 1e-5 over a curvature of at least the penalty, but
            // for the biases' common part, which moves nothing.
            assert!((ours - theirs).abs() < 2e-3, "{ours} {theirs}");
        }
        let hits = examples.rows.iter().zip(&examples.targets);
        let hits = hits.filter(|(row, target)| model.predict(row) == **target);
        assert!(hits.count() > 20);
    }
}
