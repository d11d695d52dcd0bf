use std::fmt;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::graph::Pick;
use crate::model::Model;
use crate::shape::Shape;

/// How near a model is to the one it was made from, layer by layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verification {
    /// The layers of one name and shape in both, in order; vectors and maps of
    /// one pixel count as of one shape.
    pub layers: Vec<LayerCheck>,
    /// The layers of one name whose shapes differ.
    pub not_compared: Vec<OtherShape>,
    /// The share of pictures, or of the places of an output that is a map,
    /// whose largest value is of the same class in both, from 0 to 1; `None`
    /// if the first outputs differ in shape.
    pub top1: Option<f64>,
}

/// A layer that can't be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OtherShape {
    /// The layer.
    pub layer: String,
    /// Its shape for these pictures.
    pub shape: Shape,
    /// The shape in the other model.
    pub parent: Shape,
}

/// How near a layer's values are to those of the other model's layer of that
/// name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LayerCheck {
    /// The layer.
    pub layer: String,
    /// The largest difference; NaN if one is.
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
    /// compared as it stands. Few pictures are run at a time, so that any number
    /// of them will do.
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
    /// Those of [`Model::forward`], for either model;
    /// [`Error::Unsupported`] for no pictures.
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
        let count = pictures.dims().first().copied().unwrap_or(0);
        if count == 0 {
            return Err(Error::Unsupported {
                what: "be verified",
                reason: "there are no pictures; give at least one".to_string(),
            });
        }
        let mut comparisons = vec![Found::Alike(Comparison::default()); names.len()];
        let mut agreement = Some(Agreement::default());
        for start in (0..count).step_by(AT_A_TIME) {
            let some = pictures.narrow(0, start, AT_A_TIME.min(count - start))?;
            let mut own = self.run(&some, &own, false)?;
            let mut others = parent.run(&some, &others, false)?;
            if let (Some(own), Some(other)) = (own.pop(), others.pop()) {
                let more = Agreement::of(&own, &other)?;
                agreement = agreement.zip(more).map(|(all, more)| all.and(more));
            }
            for (comparison, (own, other)) in comparisons.iter_mut().zip(own.iter().zip(&others)) {
                comparison.add(own, other)?;
            }
        }
        let mut verification = Verification {
            layers: Vec::new(),
            not_compared: Vec::new(),
            top1: agreement.map(|all| all.same as f64 / all.places as f64),
        };
        for (name, found) in names.into_iter().zip(comparisons) {
            match found {
                Found::Alike(sums) => verification.layers.push(sums.check(name)),
                Found::Unlike(shape, parent) => verification.not_compared.push(OtherShape {
                    layer: name.to_string(),
                    shape,
                    parent,
                }),
            }
        }
        Ok(verification)
    }
}

/// What is known of a layer so far.
#[derive(Clone)]
enum Found {
    Alike(Comparison),
    /// The shape, and that in the other model.
    Unlike(Shape, Shape),
}

impl Found {
    fn add(&mut self, own: &Tensor, other: &Tensor) -> Result<()> {
        let Self::Alike(sums) = self else {
            return Ok(());
        };
        if are_alike(own, other)? {
            return sums.add(own, other);
        }
        *self = Self::Unlike(shape_of(own)?, shape_of(other)?);
        Ok(())
    }
}

/// Whether values are of one shape; a map of one pixel counts as a vector.
fn are_alike(own: &Tensor, other: &Tensor) -> Result<bool> {
    let is_vector = own.rank() == 2 || other.rank() == 2;
    let same_values = own.elem_count() == other.elem_count() && own.dim(1)? == other.dim(1)?;
    Ok(own.dims() == other.dims() || is_vector && same_values)
}

fn shape_of(value: &Tensor) -> Result<Shape> {
    Ok(match *value.dims() {
        [_, channels, height, width] => Shape::map(channels, height, width),
        _ => Shape::from(value.dim(1)?),
    })
}

/// Pictures whose values are in memory at once.
const AT_A_TIME: usize = 4;

/// Sums over two layers' values, gathered batch by batch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    count: f64,
    max_error: f64,
    error: f64,
    /// The mean of the other layer's values, and their squared deviation.
    mean: f64,
    deviation: f64,
    own_squares: f64,
    other_squares: f64,
    product: f64,
}

impl Comparison {
    /// Adds a batch of values of one shape.
    pub(crate) fn add(&mut self, own: &Tensor, other: &Tensor) -> Result<()> {
        let (own, other) = (flat(own)?, flat(other)?);
        let sum = |tensor: Tensor| -> Result<f64> { Ok(tensor.sum_all()?.to_scalar()?) };
        let difference = (&own - &other)?;
        let error = sum(difference.sqr()?)?;
        // A maximum passes NaN over; a sum does not.
        let max_error: f64 = match error.is_nan() {
            true => f64::NAN,
            false => difference.abs()?.max_all()?.to_scalar()?,
        };
        if max_error > self.max_error || max_error.is_nan() {
            self.max_error = max_error;
        }
        self.error += error;
        self.own_squares += sum(own.sqr()?)?;
        self.other_squares += sum(other.sqr()?)?;
        self.product += sum((&own * &other)?)?;
        let count = other.elem_count() as f64;
        let mean = sum(other.clone())? / count;
        let deviation = sum((&other - mean)?.sqr()?)?;
        let all = self.count + count;
        let apart = mean - self.mean;
        self.deviation += deviation + apart * apart * self.count * count / all;
        self.mean += apart * count / all;
        self.count = all;
        Ok(())
    }

    pub(crate) fn check(&self, layer: &str) -> LayerCheck {
        let equal = self.error == 0.0;
        let ratio = |a: f64, b: f64| {
            if equal {
                1.0
            } else if b == 0.0 {
                f64::NAN
            } else {
                a / b
            }
        };
        let norms = (self.own_squares * self.other_squares).sqrt();
        LayerCheck {
            layer: layer.to_string(),
            max_error: self.max_error,
            r2: if equal {
                1.0
            } else {
                1.0 - ratio(self.error, self.deviation)
            },
            cosine: ratio(self.product, norms),
        }
    }
}

/// A layer's values in a row; those of maps in the order they lie in, channels
/// last.
fn flat(tensor: &Tensor) -> Result<Tensor> {
    let tensor = tensor.to_device(&Device::Cpu)?;
    let tensor = match tensor.rank() {
        4 => tensor.permute((0, 2, 3, 1))?,
        _ => tensor,
    };
    Ok(tensor.flatten_all()?.to_dtype(DType::F64)?)
}

/// Places whose largest value is of the same class, of how many; a vector has
/// one place.
#[derive(Clone, Copy, Debug, Default)]
struct Agreement {
    same: usize,
    places: usize,
}

impl Agreement {
    /// None for outputs of other shapes.
    fn of(own: &Tensor, other: &Tensor) -> Result<Option<Self>> {
        if !are_alike(own, other)? {
            return Ok(None);
        }
        let classes = |tensor: &Tensor| -> Result<Vec<u32>> {
            Ok(tensor.contiguous()?.argmax(1)?.flatten_all()?.to_vec1()?)
        };
        let (own, other) = (classes(own)?, classes(other)?);
        let same = own.iter().zip(&other).filter(|(a, b)| a == b);
        Ok(Some(Self {
            same: same.count(),
            places: own.len(),
        }))
    }

    fn and(self, more: Self) -> Self {
        Self {
            same: self.same + more.same,
            places: self.places + more.places,
        }
    }
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
        for OtherShape {
            layer,
            shape,
            parent,
        } in &self.not_compared
        {
            writeln!(f, "{layer:<width$}  not compared: {shape}, was {parent}")?;
        }
        match self.top1 {
            Some(top1) => writeln!(f, "Same class: {:.1} %", 100.0 * top1),
            None => Ok(()),
        }
    }
}
