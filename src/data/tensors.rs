use candle_core::{DType, Device, Tensor};

use crate::error::{DataError, Error, Result};
use crate::preprocess::Labels;

use super::batch::Targets;
use super::dataset::{Dataset, check_classes, check_index};
use super::sample::{Sample, Target};

/// Examples in one tensor, along its first dimension.
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
#[must_use]
pub struct TensorDataset {
    inputs: Tensor,
    targets: Targets,
    classes: Option<Labels>,
}

impl TensorDataset {
    /// Inputs `(N, C, H, W)` or `(N, F)`, already preprocessed, and their
    /// classes.
    ///
    /// # Errors
    /// [`DataError::Count`] unless there is one class for each input;
    /// [`DataError::Empty`] if there are no inputs.
    pub fn new(inputs: Tensor, classes: impl Into<Vec<usize>>) -> Result<Self> {
        let classes = classes.into();
        let count = classes.len();
        Self::with_targets(inputs, count, Targets::Classes(classes))
    }

    /// Inputs, and for each a fraction of every class, `(N, K)`, as in one-hot
    /// targets.
    ///
    /// # Errors
    /// As [`TensorDataset::new`]; [`Error::InvalidSetting`] if `fractions`
    /// has more or fewer than two dimensions. For maps use
    /// [`values`](Self::values).
    pub fn soft(inputs: Tensor, fractions: Tensor) -> Result<Self> {
        let Ok((count, _)) = fractions.dims2() else {
            return Err(Error::setting(
                format!("soft targets of shape {:?}", fractions.dims()),
                "must be (N, K), a fraction of every class; for maps use TensorDataset::values",
            ));
        };
        let fractions = fractions.detach().to_device(&Device::Cpu)?;
        let fractions = fractions.to_dtype(DType::F32)?;
        Self::with_targets(inputs, count, Targets::Soft(fractions))
    }

    /// Inputs, and the values `(N, ..)` expected for them, for regression.
    ///
    /// # Errors
    /// As [`TensorDataset::new`].
    pub fn values(inputs: Tensor, values: Tensor) -> Result<Self> {
        let values = values.detach();
        let count = first_dim(&values);
        Self::with_targets(inputs, count, Targets::Values(values))
    }

    fn with_targets(inputs: Tensor, count: usize, targets: Targets) -> Result<Self> {
        match first_dim(&inputs) {
            0 => Err(Error::Data(DataError::Empty)),
            inputs if inputs != count => Err(Error::Data(DataError::Count {
                inputs,
                what: "targets",
                targets: count,
            })),
            _ => Ok(Self {
                inputs: inputs.detach(),
                targets,
                classes: None,
            }),
        }
    }

    /// Names the classes.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`] if an example's class has no name.
    pub fn with_classes(mut self, labels: Labels) -> Result<Self> {
        check_classes(&self, &labels)?;
        self.classes = Some(labels);
        Ok(self)
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
            Targets::Classes(classes) => Target::Class(classes[index]),
            Targets::Soft(fractions) => Target::Soft(fractions.get(index)?.to_vec1()?),
            Targets::Values(values) => Target::Values(values.get(index)?),
        };
        Ok(Sample::new(self.inputs.get(index)?, target))
    }

    fn classes(&self) -> Option<&Labels> {
        self.classes.as_ref()
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        match &self.targets {
            Targets::Classes(classes) => classes.get(index).copied(),
            _ => None,
        }
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        self.sample(index).ok()?.fingerprint().ok()
    }
}
