use std::fmt;

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::graph::Pick;
use crate::model::Model;

/// How near a model is to the one it was made from, layer by layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verification {
    /// The layers of one name and shape in both, in order.
    pub layers: Vec<LayerCheck>,
    /// The share of pictures whose largest output is of the same class in
    /// both, from 0 to 1; `None` if the first outputs differ in shape.
    pub top1: Option<f64>,
}

/// How near a layer's values are to those of the other model's layer of that
/// name.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerCheck {
    /// The layer.
    pub layer: String,
    /// The largest difference.
    pub max_error: f64,
    /// One minus the squared error over the squared deviation of the other
    /// model's values from their mean: 1 if equal, 0 if no better than the
    /// mean; NaN if those values are all alike and these differ.
    pub r2: f64,
    /// The cosine of the angle between both layers' values; 1 if equal.
    pub cosine: f64,
}

impl Model {
    /// Runs this model and the one it was made from, and compares every layer
    /// that both have, by name and shape, and the classes at the output. The
    /// table shows what a chain of operations did.
    ///
    /// A layer that took over another's work, as one with a folded norm, is
    /// compared as it stands.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::{Prune, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).hidden(32).classes(10).untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let pictures = Tensor::rand(-1f32, 1f32, (2, 3, 32, 32), &Device::Cpu)?;
    /// let pruned = model.prune_filters("block5_conv3", Prune::fraction(0.1))?;
    /// let verification = pruned.verify(&model, &pictures)?;
    /// println!("{verification}");
    /// assert_eq!(verification.layer("block4_pool").unwrap().max_error, 0.0);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Model::forward`], for either model.
    pub fn verify(&self, parent: &Self, pictures: &Tensor) -> Result<Verification> {
        let mut names = Vec::new();
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for node in self.graph().nodes() {
            let other = parent.graph().nodes().find(|n| n.name() == node.name());
            if let Some(other) = other.filter(|_| !node.inputs().is_empty()) {
                names.push(node.name());
                own.push(Pick::whole(node.id()));
                others.push(Pick::whole(other.id()));
            }
        }
        own.push(Pick::whole(self.graph().outputs()[0]));
        others.push(Pick::whole(parent.graph().outputs()[0]));
        let mut own = self.run(pictures, &own, false)?;
        let mut others = parent.run(pictures, &others, false)?;
        let top1 = match (own.pop(), others.pop()) {
            (Some(own), Some(other)) => agreement(&own, &other)?,
            _ => None,
        };
        let mut layers = Vec::new();
        for ((name, own), other) in names.into_iter().zip(own).zip(others) {
            if own.dims() == other.dims() {
                layers.push(check(name, &own, &other)?);
            }
        }
        Ok(Verification { layers, top1 })
    }
}

fn check(layer: &str, own: &Tensor, other: &Tensor) -> Result<LayerCheck> {
    let flat = |tensor: &Tensor| -> Result<Tensor> {
        let tensor = tensor.to_device(&candle_core::Device::Cpu)?;
        Ok(tensor.flatten_all()?.to_dtype(DType::F64)?)
    };
    let (own, other) = (flat(own)?, flat(other)?);
    let sum = |tensor: Tensor| -> Result<f64> { Ok(tensor.sum_all()?.to_scalar()?) };
    let difference = (&own - &other)?;
    let max_error: f64 = difference.abs()?.max_all()?.to_scalar()?;
    let error = sum(difference.sqr()?)?;
    let mean = sum(other.clone())? / other.elem_count() as f64;
    let deviation = sum((&other - mean)?.sqr()?)?;
    let norms = (sum(own.sqr()?)? * sum(other.sqr()?)?).sqrt();
    let product = sum((&own * &other)?)?;
    let equal = error == 0.0;
    let ratio = |a: f64, b: f64| if b == 0.0 { f64::NAN } else { a / b };
    Ok(LayerCheck {
        layer: layer.to_string(),
        max_error,
        r2: if equal {
            1.0
        } else {
            1.0 - ratio(error, deviation)
        },
        cosine: if equal { 1.0 } else { ratio(product, norms) },
    })
}

/// The share of examples whose largest value is at the same place; a map of
/// one pixel counts as a vector.
fn agreement(own: &Tensor, other: &Tensor) -> Result<Option<f64>> {
    let classes =
        |tensor: &Tensor| -> Result<Vec<u32>> { Ok(tensor.flatten_from(1)?.argmax(1)?.to_vec1()?) };
    let count = own.dim(0)?;
    if count == 0 || own.elem_count() != other.elem_count() || own.dim(1)? != other.dim(1)? {
        return Ok(None);
    }
    let (own, other) = (classes(own)?, classes(other)?);
    let same = own.iter().zip(&other).filter(|(a, b)| a == b).count();
    Ok(Some(same as f64 / count as f64))
}

impl Verification {
    /// The comparison of a layer.
    pub fn layer(&self, name: &str) -> Option<&LayerCheck> {
        self.layers.iter().find(|check| check.layer == name)
    }
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.layers.iter().map(|check| check.layer.chars().count());
        let width = names.max().unwrap_or(0).max(5);
        writeln!(
            f,
            "{:<width$}  {:>9}  {:>7}  {:>7}",
            "Layer", "Max error", "R2", "Cosine"
        )?;
        writeln!(f, "{}", "-".repeat(width + 29))?;
        for check in &self.layers {
            let LayerCheck {
                layer,
                max_error,
                r2,
                cosine,
            } = check;
            writeln!(
                f,
                "{layer:<width$}  {max_error:>9.2e}  {r2:>7.4}  {cosine:>7.4}"
            )?;
        }
        match self.top1 {
            Some(top1) => writeln!(f, "Same class: {:.1} %", 100.0 * top1),
            None => Ok(()),
        }
    }
}
