use candle_core::{DType, Device, Tensor};

use crate::error::{Error, ImageError, Result};
use crate::graph::{Graph, Pick, Scoring};
use crate::model::Model;
use crate::preprocess::Image;
use crate::shape::Shape;

use super::verification::{LayerCheck, OtherShape, Verification};

/// The images that [`Model::verify`] runs both models on.
///
/// `&[Image]` and `&Vec<Image>`, a tensor for both models and a pair of tensors
/// become it by `into()`.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum VerificationInput<'a> {
    /// Images, which each model preprocesses as it needs them.
    Images(&'a [Image]),
    /// Preprocessed images `(N, C, H, W)`, or vectors `(N, F)`.
    Tensors {
        /// For the model that is verified.
        own: &'a Tensor,
        /// The same images for the old model.
        old: &'a Tensor,
    },
}

impl<'a> From<&'a [Image]> for VerificationInput<'a> {
    fn from(images: &'a [Image]) -> Self {
        Self::Images(images)
    }
}

impl<'a> From<&'a Vec<Image>> for VerificationInput<'a> {
    fn from(images: &'a Vec<Image>) -> Self {
        Self::Images(images)
    }
}

impl<'a, const N: usize> From<&'a [Image; N]> for VerificationInput<'a> {
    fn from(images: &'a [Image; N]) -> Self {
        Self::Images(images)
    }
}

/// Both models take this tensor.
impl<'a> From<&'a Tensor> for VerificationInput<'a> {
    fn from(x: &'a Tensor) -> Self {
        Self::Tensors { own: x, old: x }
    }
}

/// What the verified model takes, and what the old one takes.
impl<'a> From<(&'a Tensor, &'a Tensor)> for VerificationInput<'a> {
    fn from((own, old): (&'a Tensor, &'a Tensor)) -> Self {
        Self::Tensors { own, old }
    }
}

impl VerificationInput<'_> {
    fn len(&self) -> Result<usize> {
        let (own, old) = match self {
            Self::Images(images) => (images.len(), images.len()),
            Self::Tensors { own, old } => {
                let count = |x: &Tensor| x.dims().first().copied().unwrap_or(0);
                (count(own), count(old))
            }
        };
        if own != old {
            return Err(Error::Unsupported {
                what: "be verified",
                reason: format!(
                    "{own} images can't be compared with {old}; give the same to both models"
                ),
            });
        }
        if own == 0 {
            return Err(Error::Image(ImageError::EmptyBatch));
        }
        Ok(own)
    }
}

impl Model {
    /// Runs this model and `old`, the model it was made from. Compares every layer
    /// that both have, by name and shape, and the classes at the output. The table
    /// shows the effect of a chain of operations.
    ///
    /// `images` are `&[Image]`, which each model preprocesses as it needs them, or
    /// a tensor for both models. For models that take different inputs they are
    /// two tensors: `(&own, &for_old)`.
    ///
    /// A layer that took over another layer's work, such as a folded norm, is
    /// compared all the same. Only a few images are in memory at a time.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::surgery::Prune;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).hidden(32).classes(10).untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let x = Tensor::rand(-1f32, 1f32, (2, 3, 32, 32), &Device::Cpu)?;
    /// let pruned = model.prune_filters("block5_conv3", Prune::fraction(0.1))?;
    /// let verification = pruned.verify(&model, &x)?;
    /// println!("{verification}");
    /// assert_eq!(verification.layer("block4_pool").unwrap().max_error, 0.0);
    ///
    /// let gray = Tensor::rand(-1f32, 1f32, (2, 1, 32, 32), &Device::Cpu)?;
    /// let color = gray.repeat((1, 3, 1, 1))?;
    /// let verification = model.adapt_input(1)?.verify(&model, (&gray, &color))?;
    /// assert!(verification.layer("block5_pool").unwrap().r2 > 0.9999);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ImageError::EmptyBatch`] without images; [`Error::Unsupported`] if the
    /// tensors hold different numbers of images, or if a model that gets images
    /// has no preprocessing; the errors of the preprocessing and of
    /// [`Model::forward`] for either model.
    pub fn verify<'a>(
        &self,
        old: &Self,
        images: impl Into<VerificationInput<'a>>,
    ) -> Result<Verification> {
        let images = images.into();
        let count = images.len()?;
        let mut pairs = Pairs::of(self, old);
        match images {
            VerificationInput::Images(images) => {
                let preprocess = |model: &Self, image| -> Result<Tensor> {
                    let x = model.graph().input_preprocessing()?.apply(image)?;
                    Ok(x.to_device(model.device())?)
                };
                for image in images {
                    let (x, for_old) = (preprocess(self, image)?, preprocess(old, image)?);
                    pairs.add((self, &x), (old, &for_old))?;
                }
            }
            VerificationInput::Tensors { own: x, old: olds } => {
                for start in (0..count).step_by(AT_A_TIME) {
                    let some = AT_A_TIME.min(count - start);
                    let own = x.narrow(0, start, some)?;
                    pairs.add((self, &own), (old, &olds.narrow(0, start, some)?))?;
                }
            }
        }
        Ok(pairs.finish())
    }
}

/// The layers that have the same name in two models.
struct Pairs {
    /// Each layer's name, and how near its values are so far.
    layers: Vec<(String, Found)>,
    /// The layers, and last the outputs.
    own: Vec<Pick>,
    others: Vec<Pick>,
    /// None if the outputs differ in shape.
    agreement: Option<Agreement>,
}

impl Pairs {
    fn of(model: &Model, parent: &Model) -> Self {
        let (mut layers, mut own, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for node in model.graph().nodes() {
            let other = parent.graph().named(node.name());
            if let Some(other) = other.filter(|_| !node.inputs().is_empty()) {
                let nothing = Found::Alike(Comparison::default());
                layers.push((node.name().to_string(), nothing));
                own.push(Pick::whole(node.id()));
                others.push(Pick::whole(other.id()));
            }
        }
        own.push(Pick::whole(model.graph().outputs()[0]));
        others.push(Pick::whole(parent.graph().outputs()[0]));
        Self {
            layers,
            agreement: Agreement::of(model.graph(), parent.graph()),
            own,
            others,
        }
    }

    fn add(&mut self, own: (&Model, &Tensor), other: (&Model, &Tensor)) -> Result<()> {
        let mut values = own.0.run(own.1, &self.own, false)?;
        let mut others = other.0.run(other.1, &self.others, false)?;
        if let (Some(output), Some(other)) = (values.pop(), others.pop()) {
            match &mut self.agreement {
                Some(all) if are_alike(&output, &other)? => all.add(&output, &other)?,
                all => *all = None,
            }
        }
        let pairs = values.iter().zip(&others);
        for ((_, found), (value, other)) in self.layers.iter_mut().zip(pairs) {
            found.add(value, other)?;
        }
        Ok(())
    }

    fn finish(self) -> Verification {
        let mut verification = Verification {
            layers: Vec::new(),
            not_compared: Vec::new(),
            top1: self
                .agreement
                .map(|all| all.same as f64 / all.positions as f64),
        };
        for (layer, found) in self.layers {
            match found {
                Found::Alike(sums) => verification.layers.push(sums.check(&layer)),
                Found::Unlike(shape, parent) => verification.not_compared.push(OtherShape {
                    layer,
                    shape,
                    parent,
                }),
            }
        }
        verification
    }
}

/// How near the values of a layer are so far.
enum Found {
    Alike(Comparison),
    /// The shape, and the shape in the other model.
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

/// Whether values have the same shape. A feature map of one pixel counts as a
/// vector.
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

/// Number of images of a tensor whose values are in memory at once.
const AT_A_TIME: usize = 4;

/// Sums over the values of two layers, added batch by batch.
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
        let ratio = |a: f64, b: f64| if b == 0.0 { f64::NAN } else { a / b };
        let norms = (self.own_squares * self.other_squares).sqrt();
        let (r2, cosine) = match equal {
            true => (1.0, 1.0),
            false => (
                1.0 - ratio(self.error, self.deviation),
                ratio(self.product, norms),
            ),
        };
        LayerCheck {
            layer: layer.to_string(),
            max_error: self.max_error,
            r2,
            cosine,
        }
    }
}

/// A layer's values as a vector. The values of feature maps keep their order in
/// memory, channels last.
fn flat(tensor: &Tensor) -> Result<Tensor> {
    let tensor = tensor.to_device(&Device::Cpu)?;
    let tensor = match tensor.rank() {
        4 => tensor.permute((0, 2, 3, 1))?,
        _ => tensor,
    };
    Ok(tensor.flatten_all()?.to_dtype(DType::F64)?)
}

/// The number of positions of the same class. A vector has one position.
#[derive(Clone, Copy, Debug)]
struct Agreement {
    same: usize,
    positions: usize,
    /// The values of a single score above which it is of class 1.
    thresholds: [Option<f64>; 2],
}

impl Agreement {
    /// None if the outputs have no classes.
    fn of(own: &Graph, other: &Graph) -> Option<Self> {
        let thresholds = [own, other].map(|graph| match graph.scoring() {
            Scoring::Each => None,
            Scoring::Probability => Some(0.5),
            Scoring::Logit => Some(0.0),
        });
        let has_classes = [own, other].iter().all(|graph| graph.classes() > 1);
        has_classes.then_some(Self {
            same: 0,
            positions: 0,
            thresholds,
        })
    }

    fn add(&mut self, own: &Tensor, other: &Tensor) -> Result<()> {
        let (own, other) = (
            classes(own, self.thresholds[0])?,
            classes(other, self.thresholds[1])?,
        );
        let pairs = own.iter().zip(&other);
        let same = pairs.filter(|(own, other)| own.is_some() && own == other);
        self.same += same.count();
        self.positions += own.len();
        Ok(())
    }
}

/// The class of the largest value at each position, or of a single value by the
/// threshold; none if one is NaN.
fn classes(values: &Tensor, threshold: Option<f64>) -> Result<Vec<Option<u32>>> {
    let values = values.contiguous()?;
    let classes = match threshold {
        Some(threshold) => values.gt(threshold)?.to_dtype(DType::U32)?,
        None => values.argmax(1)?,
    };
    let classes: Vec<u32> = classes.flatten_all()?.to_vec1()?;
    let broken: Vec<u8> = values.ne(&values)?.max(1)?.flatten_all()?.to_vec1()?;
    let found = classes.into_iter().zip(broken);
    Ok(found
        .map(|(class, broken)| (broken == 0).then_some(class))
        .collect())
}
