use std::fmt;

use serde::Serialize;

use crate::shape::Shape;

/// How near a model is to the model it was made from, layer by layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verification {
    /// The layers with the same name and shape in both, in order. A feature map
    /// of one pixel and a vector count as the same shape.
    pub layers: Vec<LayerCheck>,
    /// The layers with the same name whose shapes differ.
    pub not_compared: Vec<OtherShape>,
    /// The fraction of images whose largest output is of the same class in both,
    /// from 0 to 1. Each position of a feature map counts. `None` if the first
    /// outputs differ in shape, or are a single value without classes
    /// ([`Graph::classes`](crate::Graph::classes)).
    pub top1: Option<f64>,
}

/// A layer that can't be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherShape {
    /// The layer.
    pub layer: String,
    /// Its shape for these images.
    pub shape: Shape,
    /// The shape in the other model.
    pub parent: Shape,
}

/// How near the values of a layer are to the values of the layer with the same
/// name in the other model.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerCheck {
    /// The layer.
    pub layer: String,
    /// The largest difference; NaN if any is NaN.
    pub max_error: f64,
    /// One minus the squared error over the squared deviation of the other
    /// model's values from their mean. It is 1 if all are equal, and 0 if no
    /// better than the mean; NaN if the other model's values are all the same and
    /// these differ.
    pub r2: f64,
    /// The cosine of the angle between the values of both layers; 1 if equal.
    pub cosine: f64,
}

impl Verification {
    /// The comparison of a layer.
    pub fn layer(&self, name: &str) -> Option<&LayerCheck> {
        self.layers.iter().find(|check| check.layer == name)
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compared = self.layers.iter().map(|check| &check.layer);
        let others = self.not_compared.iter().map(|other| &other.layer);
        let names = compared.chain(others).map(|name| name.chars().count());
        let width = names.max().unwrap_or(0).max(5);
        writeln!(
            f,
            "{:<width$}  {:>9}  {:>7}  {:>7}",
            "Layer", "Max error", "R2", "Cosine"
        )?;
        writeln!(f, "{}", "-".repeat(width + 29))?;
        for check in &self.layers {
            writeln!(
                f,
                "{:<width$}  {:>9.2e}  {:>7.4}  {:>7.4}",
                check.layer, check.max_error, check.r2, check.cosine
            )?;
        }
        for OtherShape {
            layer,
            shape,
            parent,
        } in &self.not_compared
        {
            writeln!(f, "{layer:<width$}  not compared: {shape}, was {parent}")?;
        }
        match self.top1 {
            Some(top1) => writeln!(f, "Same strongest output: {:.1} %", 100.0 * top1),
            None => Ok(()),
        }
    }
}
