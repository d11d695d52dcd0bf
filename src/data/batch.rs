use candle_core::{Device, Tensor};

use crate::error::{DataError, Error, Result};
use crate::preprocess::{Image, Preprocessing};

use super::sample::{Sample, SampleInput, Target};

/// Examples that go through a network together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// `(N, C, H, W)` or `(N, F)`, on the network's device.
    pub inputs: Tensor,
    /// The expected outputs.
    pub targets: Targets,
    /// The weight of each example, `(N)`, f32; `None` if all are 1.
    pub weights: Option<Tensor>,
    /// The index of each example in its data set.
    pub indices: Vec<usize>,
}

/// The expected outputs for a batch.
#[derive(Clone, Debug)]
pub enum Targets {
    /// One class for each example.
    Classes(Vec<usize>),
    /// A fraction for each class, `(N, K)`, f32.
    Soft(Tensor),
    /// Values `(N, ..)` of a regression, or masks.
    Values(Tensor),
}

impl Targets {
    /// The class of each example, for a custom loss or metric.
    ///
    /// # Errors
    /// [`DataError::TargetKind`] if the targets are not classes.
    pub fn classes(&self) -> Result<&[usize]> {
        match self {
            Self::Classes(classes) => Ok(classes),
            other => Err(other.not("classes")),
        }
    }

    /// The values `(N, ..)` of a regression or of maps, for a custom loss or
    /// metric.
    ///
    /// ```
    /// use vgg_surgery::Loss;
    ///
    /// let relative = Loss::custom(|output, targets| {
    ///     let values = targets.values()?;
    ///     Ok((output - values)?.abs()?.div(values)?.mean_all()?)
    /// });
    /// ```
    ///
    /// # Errors
    /// [`DataError::TargetKind`] if the targets are not values.
    pub fn values(&self) -> Result<&Tensor> {
        match self {
            Self::Values(values) => Ok(values),
            other => Err(other.not("values")),
        }
    }

    fn not(&self, expected: &'static str) -> Error {
        let actual = match self {
            Self::Classes(_) => "classes",
            Self::Soft(_) => "fractions of classes",
            Self::Values(_) => "values",
        };
        DataError::TargetKind { expected, actual }.into()
    }
}

impl Batch {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Images must have the network's size: the preprocessing only normalizes them.
pub(super) fn collate(
    samples: Vec<Sample>,
    indices: &[usize],
    preprocessing: Option<&Preprocessing>,
    device: &Device,
) -> Result<Batch> {
    let weights: Vec<f32> = samples.iter().map(|sample| sample.weight).collect();
    let is_weighted = weights.iter().any(|&weight| weight != 1.0);
    let weights = is_weighted.then(|| Tensor::new(weights, device));
    let samples = samples.into_iter();
    let (inputs, targets) = samples.map(|sample| (sample.input, sample.target)).unzip();
    Ok(Batch {
        inputs: stack_inputs(inputs, indices, preprocessing)?.to_device(device)?,
        targets: stack_targets(targets, indices, device)?,
        weights: weights.transpose()?,
        indices: indices.to_vec(),
    })
}

fn stack_inputs(
    inputs: Vec<SampleInput>,
    indices: &[usize],
    preprocessing: Option<&Preprocessing>,
) -> Result<Tensor> {
    let plain = preprocessing.map(|p| p.clone().without_resize());
    let images: Option<Vec<&Image>> = inputs
        .iter()
        .map(|input| match input {
            SampleInput::Image(image) => Some(image),
            SampleInput::Tensor(_) => None,
        })
        .collect();
    if let (Some(images), Some(plain)) = (images, &plain) {
        return plain.apply_batch(&images);
    }
    let tensors = inputs.iter().map(|input| match (input, &plain) {
        (SampleInput::Tensor(tensor), _) => Ok(tensor.to_device(&Device::Cpu)?),
        (SampleInput::Image(image), Some(plain)) => Ok(plain.apply(image)?.squeeze(0)?),
        (SampleInput::Image(_), None) => Err(Error::Unsupported {
            what: "take images",
            reason: "no preprocessing for its input is known; give the graph one with \
                     with_preprocessing, or set the trainer's or the loader's preprocessing"
                .to_string(),
        }),
    });
    stack(&tensors.collect::<Result<Vec<_>>>()?, indices, "input")
}

fn stack(tensors: &[Tensor], indices: &[usize], what: &'static str) -> Result<Tensor> {
    let expected = tensors.first().map_or(&[][..], Tensor::dims);
    for (tensor, &index) in tensors.iter().zip(indices) {
        if tensor.dims() != expected {
            return Err(Error::Data(DataError::Shapes {
                index,
                what,
                expected: expected.to_vec(),
                actual: tensor.dims().to_vec(),
            }));
        }
    }
    Ok(Tensor::stack(tensors, 0)?)
}

fn stack_targets(targets: Vec<Target>, indices: &[usize], device: &Device) -> Result<Targets> {
    let expected = targets.first().map_or("", Target::kind);
    let other = targets.iter().position(|target| target.kind() != expected);
    if let Some(position) = other {
        return Err(Error::Data(DataError::MixedTargets {
            index: indices[position],
            expected,
            actual: targets[position].kind(),
        }));
    }
    let (mut classes, mut soft, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Class(class) => classes.push(class),
            Target::Soft(fractions) => soft.push(Tensor::new(fractions, &Device::Cpu)?),
            Target::Values(tensor) => values.push(tensor.to_device(&Device::Cpu)?),
            Target::Mask(mask) => values.push(mask.to_tensor()?),
        }
    }
    let stacked =
        |tensors: &[Tensor]| Ok::<_, Error>(stack(tensors, indices, "target")?.to_device(device)?);
    if !soft.is_empty() {
        return Ok(Targets::Soft(stacked(&soft)?));
    }
    if !values.is_empty() {
        return Ok(Targets::Values(stacked(&values)?));
    }
    Ok(Targets::Classes(classes))
}
