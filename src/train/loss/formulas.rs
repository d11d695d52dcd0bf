//! Losses of one example, with their gradients.

use super::targets::ScoreShape;

/// The targets of one example: the target of each score, and the weight of each
/// position.
pub(super) struct ExampleTargets<T, W> {
    pub(super) target: T,
    pub(super) weight: W,
}

pub(super) struct ScoreLoss {
    value: f64,
    slope: f64,
}

/// The mean over all positions of one example, each a softmax over the classes.
pub(super) fn cross_entropy(
    scores: &[f64],
    shape: &ScoreShape,
    targets: &ExampleTargets<impl Fn(usize) -> f64, impl Fn(usize) -> f64>,
    gradient: &mut [f64],
) -> f64 {
    let mut sum = 0.0;
    for position in 0..shape.positions {
        let index = |class: usize| class * shape.positions + position;
        let score = |class: usize| scores[index(class)];
        let target = |class: usize| (targets.target)(index(class));
        let classes = 0..shape.classes;
        let highest = classes.clone().map(score).fold(f64::NEG_INFINITY, f64::max);
        let exponentials = classes.clone().map(|class| (score(class) - highest).exp());
        let log_sum = highest + exponentials.sum::<f64>().ln();
        let target_sum: f64 = classes.clone().map(target).sum();
        let weight = (targets.weight)(position);
        let mut loss = 0.0;
        for class in classes {
            let target = target(class);
            // A target of 0 costs nothing, however unlikely the class.
            if target != 0.0 {
                loss += target * (log_sum - score(class));
            }
            let slope = target_sum * (score(class) - log_sum).exp() - target;
            gradient[index(class)] = weight * slope;
        }
        sum += weight * loss;
    }
    let scale = 1.0 / shape.positions as f64;
    gradient.iter_mut().for_each(|value| *value *= scale);
    sum * scale
}

pub(super) fn mean_of(
    scores: &[f64],
    shape: &ScoreShape,
    targets: &ExampleTargets<impl Fn(usize) -> f64, impl Fn(usize) -> f64>,
    gradient: &mut [f64],
    loss: impl Fn(f64, f64) -> ScoreLoss,
) -> f64 {
    let scale = 1.0 / scores.len() as f64;
    let mut sum = 0.0;
    for (index, (&score, slope)) in scores.iter().zip(gradient).enumerate() {
        let loss = loss(score, (targets.target)(index));
        let factor = (targets.weight)(index % shape.positions) * scale;
        sum += loss.value * factor;
        *slope = loss.slope * factor;
    }
    sum
}

/// `max(z, 0) - z t + ln(1 + exp(-|z|))`, which overflows for no logit `z`.
pub(super) fn binary_cross_entropy(logit: f64, target: f64) -> ScoreLoss {
    let tail = (-logit.abs()).exp();
    let probability = if logit >= 0.0 {
        1.0 / (1.0 + tail)
    } else {
        tail / (1.0 + tail)
    };
    ScoreLoss {
        value: logit.max(0.0) - logit * target + tail.ln_1p(),
        slope: probability - target,
    }
}

pub(super) fn squared(score: f64, target: f64) -> ScoreLoss {
    let error = score - target;
    ScoreLoss {
        value: error * error,
        slope: 2.0 * error,
    }
}

pub(super) fn absolute(score: f64, target: f64) -> ScoreLoss {
    let error = score - target;
    ScoreLoss {
        value: error.abs(),
        slope: if error == 0.0 { 0.0 } else { error.signum() },
    }
}

pub(super) fn huber(score: f64, target: f64, delta: f64) -> ScoreLoss {
    let error = score - target;
    if error.abs() <= delta {
        ScoreLoss {
            value: 0.5 * error * error,
            slope: error,
        }
    } else {
        ScoreLoss {
            value: delta * (error.abs() - 0.5 * delta),
            slope: delta * error.signum(),
        }
    }
}
