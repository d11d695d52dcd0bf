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
    /// What should come out.
    pub targets: Targets,
    /// How much each example counts, `(N)`, f32; `None` if all count 1.
    pub weights: Option<Tensor>,
    /// The index of each example in its data set.
    pub indices: Vec<usize>,
}

/// What should come out of a network for a batch.
#[derive(Clone, Debug)]
pub enum Targets {
    /// One class for each example.
    Classes(Vec<usize>),
    /// A share for each class, `(N, K)`, f32.
    Soft(Tensor),
    /// Values `(N, ..)` of a regression.
    Values(Tensor),
}

impl Targets {
    /// Those of a batch of one example.
    pub(crate) fn of_one(target: Target, device: &Device) -> Result<Self> {
        stack_targets(vec![target], &[0], device)
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

/// An example whose input is as large as the network wants it.
pub(super) struct Ready {
    pub(super) index: usize,
    pub(super) sample: Sample,
}

/// Puts examples together; `preprocessing` brings images into range.
pub(super) fn collate(
    ready: Vec<Ready>,
    preprocessing: Option<&Preprocessing>,
    device: &Device,
) -> Result<Batch> {
    let indices: Vec<usize> = ready.iter().map(|ready| ready.index).collect();
    let weights: Vec<f32> = ready.iter().map(|ready| ready.sample.weight).collect();
    let weights = if weights.iter().all(|&weight| weight == 1.0) {
        None
    } else {
        Some(Tensor::new(weights, device)?)
    };
    let (inputs, targets) = ready
        .into_iter()
        .map(|ready| (ready.sample.input, ready.sample.target))
        .unzip();
    Ok(Batch {
        inputs: stack_inputs(inputs, &indices, preprocessing)?.to_device(device)?,
        targets: stack_targets(targets, &indices, device)?,
        weights,
        indices,
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
            reason:
                "no preprocessing is known; give the graph one with with_preprocessing, or set the \
                     trainer's or the loader's preprocessing"
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
    if let Some(place) = other {
        return Err(Error::Data(DataError::MixedTargets {
            index: indices[place],
            expected,
            actual: targets[place].kind(),
        }));
    }
    let (mut classes, mut shares, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for target in targets {
        match target {
            Target::Class(class) => classes.push(class),
            Target::Soft(soft) => shares.push(Tensor::new(soft, &Device::Cpu)?),
            Target::Values(tensor) => values.push(tensor.to_device(&Device::Cpu)?),
        }
    }
    Ok(if !shares.is_empty() {
        Targets::Soft(stack(&shares, indices, "target")?.to_device(device)?)
    } else if !values.is_empty() {
        Targets::Values(stack(&values, indices, "target")?.to_device(device)?)
    } else {
        Targets::Classes(classes)
    })
}
