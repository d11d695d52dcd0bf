//! Losses of one example, with their gradients.

use super::goal::Dims;

/// What one example should be: the goal of each score, and how much each
/// position counts.
pub(super) struct Wish<G, W> {
    pub(super) goal: G,
    pub(super) weight: W,
}

/// The mean over all positions of one example, each a softmax over the classes.
pub(super) fn cross_entropy(
    scores: &[f64],
    dims: &Dims,
    wish: &Wish<impl Fn(usize) -> f64, impl Fn(usize) -> f64>,
    gradient: &mut [f64],
) -> f64 {
    let mut all = 0.0;
    for position in 0..dims.positions {
        let at = |class: usize| class * dims.positions + position;
        let score = |class: usize| scores[at(class)];
        let classes = 0..dims.classes;
        let most = classes.clone().map(score).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = classes
            .clone()
            .map(|class| (score(class) - most).exp())
            .sum();
        let log_sum = most + sum.ln();
        let total: f64 = classes.clone().map(|class| (wish.goal)(at(class))).sum();
        let weight = (wish.weight)(position);
        let mut loss = 0.0;
        for class in classes {
            let wanted = (wish.goal)(at(class));
            // A class that is not wanted costs nothing, however unlikely.
            if wanted != 0.0 {
                loss += wanted * (log_sum - score(class));
            }
            let slope = total * (score(class) - log_sum).exp() - wanted;
            gradient[at(class)] = weight * slope;
        }
        all += weight * loss;
    }
    let scale = 1.0 / dims.positions as f64;
    gradient.iter_mut().for_each(|value| *value *= scale);
    all * scale
}

/// The mean over all values of one example.
pub(super) fn mean_of(
    scores: &[f64],
    dims: &Dims,
    wish: &Wish<impl Fn(usize) -> f64, impl Fn(usize) -> f64>,
    gradient: &mut [f64],
    loss: impl Fn(f64, f64) -> (f64, f64),
) -> f64 {
    let scale = 1.0 / scores.len() as f64;
    let mut sum = 0.0;
    for (at, (&score, slope)) in scores.iter().zip(gradient).enumerate() {
        let (value, derivative) = loss(score, (wish.goal)(at));
        let share = (wish.weight)(at % dims.positions) * scale;
        sum += value * share;
        *slope = derivative * share;
    }
    sum
}

/// `max(z, 0) - z t + ln(1 + exp(-|z|))`, which no logit overflows.
pub(super) fn binary_cross_entropy(logit: f64, goal: f64) -> (f64, f64) {
    let tail = (-logit.abs()).exp();
    let probability = if logit >= 0.0 {
        1.0 / (1.0 + tail)
    } else {
        tail / (1.0 + tail)
    };
    let loss = logit.max(0.0) - logit * goal + tail.ln_1p();
    (loss, probability - goal)
}

pub(super) fn squared(score: f64, goal: f64) -> (f64, f64) {
    let off = score - goal;
    (off * off, 2.0 * off)
}

pub(super) fn absolute(score: f64, goal: f64) -> (f64, f64) {
    let off = score - goal;
    let slope = if off == 0.0 { 0.0 } else { off.signum() };
    (off.abs(), slope)
}

pub(super) fn huber(score: f64, goal: f64, delta: f64) -> (f64, f64) {
    let off = score - goal;
    if off.abs() <= delta {
        (0.5 * off * off, off)
    } else {
        (delta * (off.abs() - 0.5 * delta), delta * off.signum())
    }
}
