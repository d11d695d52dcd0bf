use std::sync::Arc;

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
    /// The labels of each example, if it may have any number of them.
    labels: Option<Arc<[Vec<usize>]>>,
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

    /// Inputs, and for each which of `K` labels it has: a row of 0 and 1 in a tensor
    /// `(N, K)` of any type. For a network of `K` outputs that ends in a sigmoid, under
    /// [`Loss::binary_cross_entropy`](crate::Loss::binary_cross_entropy).
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::{Dataset, Labels, TensorDataset};
    ///
    /// let x = Tensor::zeros((3, 3, 8, 8), DType::F32, &Device::Cpu)?;
    /// let labels = Tensor::new(&[[1u8, 0, 1], [0, 1, 0], [0, 0, 0]], &Device::Cpu)?;
    /// let data = TensorDataset::multi_label(x, labels)?;
    /// let data = data.with_classes(Labels::new(["cat", "dog", "grass"]))?;
    /// assert_eq!(data.labels_of(0), Some(vec![0, 2]));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`TensorDataset::new`]; [`Error::InvalidSetting`] if `labels` does not have
    /// two dimensions, or holds another number than 0 and 1.
    pub fn multi_label(inputs: Tensor, labels: Tensor) -> Result<Self> {
        let labels = labels.detach().to_device(&Device::Cpu)?;
        let Ok((count, width @ 1..)) = labels.dims2() else {
            return Err(Error::setting(
                format!("labels of shape {:?}", labels.dims()),
                "must be (N, K), 0 or 1 for every label of every example",
            ));
        };
        let labels = labels.to_dtype(DType::F32)?;
        let values = labels.flatten_all()?.to_vec1::<f32>()?;
        let broken = values
            .iter()
            .position(|&value| value != 0.0 && value != 1.0);
        if let Some(at) = broken {
            let (value, example, label) = (values[at], at / width, at % width);
            return Err(Error::setting(
                format!("a target of {value} for label {label} of example {example}"),
                "must be 0 or 1; for fractions use TensorDataset::values",
            ));
        }
        let own = values.chunks(width).map(|row| {
            let there = (0..width).filter(|&label| row[label] == 1.0);
            there.collect()
        });
        Ok(Self {
            labels: Some(own.collect()),
            ..Self::with_targets(inputs, count, Targets::Values(labels))?
        })
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
                labels: None,
            }),
        }
    }

    /// Names the classes or labels.
    ///
    /// # Errors
    /// [`Error::ClassOutOfRange`] if an example's class has no name;
    /// [`DataError::LabelNames`] unless there is a name for each label of
    /// [`multi_label`](Self::multi_label).
    pub fn with_classes(mut self, labels: Labels) -> Result<Self> {
        check_classes(&self, &labels)?;
        if let (Some(_), Targets::Values(targets)) = (&self.labels, &self.targets) {
            let (width, names) = (targets.dim(1)?, labels.len());
            if names != width {
                let labels = width;
                return Err(Error::Data(DataError::LabelNames { labels, names }));
            }
        }
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

    fn labels_of(&self, index: usize) -> Option<Vec<usize>> {
        self.labels.as_ref()?.get(index).cloned()
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        self.sample(index).ok()?.fingerprint().ok()
    }
}
