use candle_core::{DType, Device, Tensor};

use crate::error::{DataError, Error, Result};
use crate::preprocess::Labels;

use super::dataset::{Dataset, check_index};
use super::sample::{Sample, Target};

/// Examples in one tensor, the first dimension of which counts them.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use vgg_surgery::{Dataset, Labels, TensorDataset};
///
/// let x = Tensor::zeros((4, 3, 8, 8), candle_core::DType::F32, &Device::Cpu)?;
/// let data = TensorDataset::new(x, [0, 1, 1, 0])?.with_classes(Labels::new(["cat", "dog"]))?;
/// assert_eq!(data.len(), 4);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorDataset {
    inputs: Tensor,
    targets: Stacked,
    classes: Option<Labels>,
}

#[derive(Clone, Debug)]
enum Stacked {
    Classes(Vec<usize>),
    /// `(N, K)`
    Soft(Tensor),
    /// `(N, ..)`
    Values(Tensor),
}

impl TensorDataset {
    /// Inputs `(N, C, H, W)` or `(N, F)`, ready for the network, and the class
    /// of each.
    ///
    /// # Errors
    /// [`DataError::Count`] unless there is one class for each input;
    /// [`DataError::Empty`] without inputs.
    pub fn new(inputs: Tensor, classes: impl Into<Vec<usize>>) -> Result<Self> {
        let classes = classes.into();
        let count = classes.len();
        Self::with_targets(inputs, count, Stacked::Classes(classes))
    }

    /// Inputs, and for each a fraction of every class: `shares` is `(N, K)`, f32,
    /// as one-hot targets are.
    ///
    /// # Errors
    /// As [`TensorDataset::new`]; [`Error::InvalidSetting`] if `shares` has
    /// other dimensions than two: of maps, [`values`](Self::values) takes them.
    pub fn soft(inputs: Tensor, shares: Tensor) -> Result<Self> {
        let Ok((count, _)) = shares.dims2() else {
            return Err(Error::setting(
                format!("soft targets of shape {:?}", shares.dims()),
                "must be (N, K), a share of every class; for maps take \
                         TensorDataset::values",
            ));
        };
        let shares = shares.detach().to_device(&Device::Cpu)?;
        let shares = shares.to_dtype(DType::F32)?;
        Self::with_targets(inputs, count, Stacked::Soft(shares))
    }

    /// Inputs, and for each the values `(N, ..)` that should come out: a
    /// regression.
    ///
    /// # Errors
    /// As [`TensorDataset::new`].
    pub fn values(inputs: Tensor, values: Tensor) -> Result<Self> {
        let values = values.detach();
        let count = first_dim(&values);
        Self::with_targets(inputs, count, Stacked::Values(values))
    }

    fn with_targets(inputs: Tensor, targets: usize, stacked: Stacked) -> Result<Self> {
        let count = first_dim(&inputs);
        if count == 0 {
            return Err(Error::Data(DataError::Empty));
        }
        if targets != count {
            return Err(Error::Data(DataError::Count {
                inputs: count,
                what: "targets",
                targets,
            }));
        }
        Ok(Self {
            inputs: inputs.detach(),
            targets: stacked,
            classes: None,
        })
    }

    /// Names the classes.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`] if an example's class has no name.
    pub fn with_classes(mut self, labels: Labels) -> Result<Self> {
        if let Stacked::Classes(classes) = &self.targets {
            check_classes(classes, &labels)?;
        }
        self.classes = Some(labels);
        Ok(self)
    }
}

pub(super) fn check_classes(classes: &[usize], labels: &Labels) -> Result<()> {
    let beyond = classes.iter().position(|&class| class >= labels.len());
    match beyond {
        None => Ok(()),
        Some(index) => Err(Error::ClassOutOfRange {
            example: Some(index),
            class: classes[index],
            classes: labels.len(),
        }),
    }
}

fn first_dim(tensor: &Tensor) -> usize {
    tensor.dims().first().copied().unwrap_or(0)
}

impl Dataset for TensorDataset {
    fn len(&self) -> usize {
        first_dim(&self.inputs)
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        check_index(index, self.len())?;
        let target = match &self.targets {
            Stacked::Classes(classes) => Target::Class(classes[index]),
            Stacked::Soft(shares) => Target::Soft(shares.get(index)?.to_vec1()?),
            Stacked::Values(values) => Target::Values(values.get(index)?),
        };
        Ok(Sample::new(self.inputs.get(index)?, target))
    }

    fn classes(&self) -> Option<&Labels> {
        self.classes.as_ref()
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        match &self.targets {
            Stacked::Classes(classes) => classes.get(index).copied(),
            _ => None,
        }
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        self.sample(index).ok()?.fingerprint().ok()
    }
}
