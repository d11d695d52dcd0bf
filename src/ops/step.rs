use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use crate::layer::{FlattenOrder, Window};

use super::norm::BatchStatistics;
use super::watch::Watch;
use super::{device, host};

/// The geometry of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    pub(crate) window: Window,
    pub(crate) groups: usize,
}

/// What follows the sums of a convolution or a dense layer.
#[derive(Clone, Debug)]
pub(crate) struct Affine {
    /// `(O, I / groups, kH, kW)`, or `(O, F)`.
    pub(crate) weight: Tensor,
    /// `(O)`.
    pub(crate) bias: Option<Tensor>,
    /// Whether training leaves the parameters alone.
    pub(crate) frozen: bool,
    pub(crate) relu: bool,
}

impl Affine {
    /// The parameters whose gradients are recorded.
    pub(super) fn tracked(&self) -> impl Iterator<Item = &Tensor> {
        let parameters = std::iter::once(&self.weight).chain(self.bias.as_ref());
        parameters.filter(|parameter| self.tracks(parameter))
    }

    /// Whether the gradient of one of the parameters is recorded.
    pub(super) fn tracks(&self, parameter: &Tensor) -> bool {
        !self.frozen && parameter.track_op()
    }
}

/// A batch norm whose statistics are given.
#[derive(Clone, Debug)]
pub(crate) struct BatchNorm {
    pub(crate) statistics: BatchStatistics,
    pub(crate) weight: Tensor,
    pub(crate) bias: Tensor,
    pub(crate) eps: f64,
}

/// What turns one value into the next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Conv2d(Convolution, Affine),
    Dense(Affine),
    BatchNorm(BatchNorm),
    MaxPool2d(Window),
    AvgPool2d(Window),
    AdaptiveAvgPool2d((usize, usize)),
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    Relu,
    Flatten(FlattenOrder),
    /// Each value is dropped with probability `rate`, by the seed.
    Dropout {
        rate: f64,
        seed: u64,
    },
    /// Changes nothing; f32 on the CPU alone.
    Watch(Arc<dyn Watch>),
}

/// Runs steps one after the other on `x`, `(N, C, H, W)` or `(N, F)`.
///
/// With `record` the gradients of parameters that are variables are recorded;
/// those of `x` always are if it has any.
pub(crate) fn run(
    workspace: &Arc<host::Workspace>,
    x: &Tensor,
    steps: &[Step],
    record: bool,
) -> Result<Tensor> {
    if steps.is_empty() {
        return Ok(x.clone());
    }
    match (x.device(), x.dtype()) {
        (Device::Cpu, DType::F32) => host::run(workspace, x, steps, record),
        (Device::Cpu, DType::F16 | DType::BF16) => {
            let wide = steps.iter().map(|step| step.to_dtype(DType::F32));
            let wide = wide.collect::<Result<Vec<_>>>()?;
            let y = host::run(&Arc::default(), &x.to_dtype(DType::F32)?, &wide, record)?;
            y.to_dtype(x.dtype())
        }
        _ => steps.iter().try_fold(x.clone(), |x, step| {
            let step = if record && !step.is_frozen() {
                step.clone()
            } else {
                step.map(|tensor| Ok(tensor.detach()))?
            };
            device::apply(&x, &step)
        }),
    }
}

impl Step {
    fn is_frozen(&self) -> bool {
        match self {
            Self::Conv2d(_, affine) | Self::Dense(affine) => affine.frozen,
            _ => true,
        }
    }

    pub(super) fn to_dtype(&self, dtype: DType) -> Result<Self> {
        self.map(|tensor| tensor.to_dtype(dtype))
    }

    /// The step with other parameters.
    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let affine = |affine: &Affine| -> Result<Affine> {
            Ok(Affine {
                weight: change(&affine.weight)?,
                bias: affine.bias.as_ref().map(&change).transpose()?,
                frozen: affine.frozen,
                relu: affine.relu,
            })
        };
        Ok(match self {
            Self::Conv2d(convolution, parameters) => {
                Self::Conv2d(*convolution, affine(parameters)?)
            }
            Self::Dense(parameters) => Self::Dense(affine(parameters)?),
            Self::BatchNorm(norm) => Self::BatchNorm(BatchNorm {
                statistics: BatchStatistics {
                    mean: change(&norm.statistics.mean)?,
                    variance: change(&norm.statistics.variance)?,
                },
                weight: change(&norm.weight)?,
                bias: change(&norm.bias)?,
                eps: norm.eps,
            }),
            other => other.clone(),
        })
    }
}
