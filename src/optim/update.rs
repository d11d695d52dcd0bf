use candle_core::{Tensor, Var};

use super::settings::Decay;

/// One parameter's part in a step.
#[derive(Clone, Debug)]
pub struct Update<'a> {
    /// The name under which its state is kept.
    pub name: &'a str,
    /// The parameter.
    pub variable: &'a Var,
    /// The loss's gradient, of the parameter's shape.
    pub gradient: &'a Tensor,
    /// The learning rate, finite and not below 0.
    pub learning_rate: f64,
    /// How it is pulled towards zero; the optimizer's decay by default.
    pub decay: Option<Decay>,
}
