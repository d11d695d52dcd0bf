use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use crate::kernels::{
    self, Algorithm, Conv2dCall, Conv2dConfig, Conv2dGeometry, Conv2dLayer, Direction, Epilogue,
    FeatureMaps, FilterGradient, FilterWeights, Gated, Kernel, PackedFilter,
};
use crate::layers::Margins;
use crate::ops::memory::{Extent, FilterSlot, Request, Workspace, values, with_slice};
use crate::ops::parameters::{Bias, Convolution, Norm, Parameters, gradient_of};

use super::pass::Backward;

/// A convolution of fixed sizes, with what it applies as it writes its output.
#[derive(Debug)]
pub(crate) struct Conv2d {
    pub(in crate::ops) convolution: Convolution,
    pub(in crate::ops) parameters: Parameters,
    pub(in crate::ops) norm: Option<Norm>,
    pub(in crate::ops) relu: bool,
    /// A 2x2 max pool of stride 2.
    pub(in crate::ops) pool: bool,
    /// A convolution fused into this one, which computes its rows as it reads them.
    before: Option<Box<Conv2d>>,
    geometry: Conv2dGeometry,
    bias: Bias,
    filter: Arc<FilterSlot>,
    input_gradient_filter: Arc<FilterSlot>,
}

impl Conv2d {
    pub(in crate::ops) fn new(
        workspace: &Workspace,
        input: Extent,
        convolution: Convolution,
        parameters: Parameters,
    ) -> Result<Self> {
        let FeatureMaps {
            batch,
            size,
            channels,
        } = input.feature_maps("a convolution")?;
        let Convolution { window, groups } = convolution;
        let out_channels = parameters.weight.dim(0)?;
        let geometry = Conv2dGeometry::new(Conv2dConfig {
            batch,
            size,
            in_channels: channels,
            out_channels,
            kernel_size: window.kernel_size.into(),
            stride: window.stride.into(),
            padding: padding(window.margins(size.height, size.width)),
            dilation: window.dilation.into(),
            groups,
        })
        .map_err(candle_core::Error::wrap)?;
        let (kernel_height, kernel_width) = window.kernel_size;
        let fitting = [out_channels, channels / groups, kernel_height, kernel_width];
        if parameters.weight.dims() != fitting {
            candle_core::bail!(
                "weights {:?} do not fit {channels} channels in {groups} groups",
                parameters.weight.dims()
            );
        }
        let weight = parameters.weight.contiguous()?;
        let filters = &workspace.filters;
        Ok(Self {
            filter: filters.slot(&weight, &geometry, Direction::Forward, false),
            input_gradient_filter: filters.slot(
                &weight,
                &geometry,
                Direction::InputGradient,
                false,
            ),
            bias: Bias::new(parameters.bias.as_ref()),
            convolution,
            parameters: Parameters {
                weight,
                ..parameters
            },
            norm: None,
            relu: false,
            pool: false,
            before: None,
            geometry,
        })
    }

    pub(in crate::ops) fn output(&self) -> Extent {
        let (size, config) = (self.geometry.out_size(), self.geometry.config());
        Extent {
            batch: config.batch,
            channels: config.out_channels,
            size: Some(if self.pool { size.halved() } else { size }),
        }
    }

    /// Folds a batch norm into the filter and the bias.
    pub(super) fn fold(&mut self, workspace: &Workspace, norm: Norm) {
        let (weight, forward) = (&self.parameters.weight, Direction::Forward);
        self.filter = workspace
            .filters
            .slot(weight, &self.geometry, forward, true);
        self.norm = Some(norm);
    }

    /// Whether `next` can compute the rows of this convolution as it reads them.
    /// Nothing else may read these rows.
    pub(super) fn can_run_ahead_of(&self, next: &Self) -> bool {
        !self.pool && kernels::computes_ahead(&self.geometry, &next.geometry)
    }

    /// Fuses this convolution into `next`, and becomes the result.
    pub(super) fn run_ahead_of(&mut self, next: Self) {
        let before = std::mem::replace(self, next);
        self.before = Some(Box::new(before));
    }

    /// Whether a batch norm can be folded: it has the output channels, and nothing
    /// else is applied yet.
    pub(super) fn can_fold(&self, norm: &Norm) -> bool {
        let is_bare = self.norm.is_none() && !self.relu && !self.pool;
        is_bare && norm.channels() == self.geometry.config().out_channels
    }

    fn request<'a>(&'a self, scale: Option<&'a [f32]>) -> Request<'a> {
        Request {
            weight: &self.parameters.weight,
            geometry: &self.geometry,
            scale,
            training: !self.parameters.frozen,
        }
    }

    fn operands(&self) -> Result<Operands<'_>> {
        let own = self.bias.values()?;
        let Some(norm) = &self.norm else {
            return Ok(Operands {
                filter: self.filter.get(self.request(None))?,
                scale: None,
                bias: own,
            });
        };
        let affine = norm.affine()?;
        let folded = match &own {
            None => affine.shift.clone(),
            Some(own) => {
                let terms = own.iter().zip(&affine.scale).zip(&affine.shift);
                let folded = terms.map(|((bias, scale), shift)| bias * scale + shift);
                folded.collect()
            }
        };
        Ok(Operands {
            filter: self.filter.get(self.request(Some(&affine.scale)))?,
            scale: Some(affine.scale.clone()),
            bias: Some(Cow::Owned(folded)),
        })
    }

    /// Runs the convolution alone, as passes with gradients do.
    pub(super) fn forward(&self, input: &[f32], output: &mut [f32]) -> Result<()> {
        debug_assert!(self.before.is_none(), "a recorded convolution is alone");
        let operands = self.operands()?;
        if operands.filter.is_kept() {
            kernels::conv2d(&self.call(&[], &operands), input, output);
            return Ok(());
        }
        with_slice(&self.parameters.weight, |weights| {
            kernels::conv2d(&self.call(weights, &operands), input, output);
            Ok(())
        })
    }

    fn call<'a>(&self, weights: &'a [f32], operands: &'a Operands<'_>) -> Conv2dCall<'a> {
        let weights = FilterWeights {
            values: weights,
            scale: operands.scale.as_deref(),
        };
        Conv2dCall {
            geometry: self.geometry,
            filter: operands.filter.with(weights),
            epilogue: Epilogue {
                bias: operands.bias.as_deref(),
                relu: self.relu,
                pool: self.pool,
            },
        }
    }

    pub(super) fn backward(&self, at: Backward<'_>) -> Result<Vec<Tensor>> {
        let grad_output = Gated {
            values: at.grad_output,
            gate: self.relu.then_some(at.output),
        };
        let kernel = Kernel::selected();
        let Parameters { weight, bias, .. } = &self.parameters;
        let mut gradients = Vec::with_capacity(2);
        let bias = bias.as_ref().filter(|bias| self.parameters.tracks(bias));
        let mut by_bias = bias.map(|bias| vec![0.0; bias.elem_count()]);
        if self.parameters.tracks(weight) {
            let mut by_weight = vec![0.0; self.geometry.filter_len()];
            let operands = FilterGradient {
                input: at.input,
                grad_output,
            };
            kernels::conv2d_parameter_gradients(
                kernel,
                &self.geometry,
                &operands,
                &mut by_weight,
                by_bias.as_deref_mut(),
            );
            gradients.push(gradient_of(weight, by_weight)?);
        } else if let Some(by_bias) = &mut by_bias {
            kernels::bias_gradient(kernel, grad_output, by_bias);
        }
        if let (Some(bias), Some(by_bias)) = (bias, by_bias) {
            gradients.push(gradient_of(bias, by_bias)?);
        }
        if let Some(grad_input) = at.grad_input {
            let filter = self.input_gradient_filter.get(self.request(None))?;
            if filter.is_kept() {
                let filter = filter.with([].as_slice().into());
                kernels::conv2d_input_gradient(&self.geometry, filter, grad_output, grad_input);
                return Ok(gradients);
            }
            with_slice(weight, |weights| {
                let filter = filter.with(weights.into());
                kernels::conv2d_input_gradient(&self.geometry, filter, grad_output, grad_input);
                Ok(())
            })?;
        }
        Ok(gradients)
    }
}

/// `conv2d 3x3, batch norm, relu, max pool (Winograd 4x4)`.
impl fmt::Display for Conv2d {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(before) = &self.before {
            write!(f, "{before} row by row into ")?;
        }
        let (height, width) = self.convolution.window.kernel_size;
        write!(f, "conv2d {height}x{width}")?;
        for (applied, name) in [
            (self.norm.is_some(), "batch norm"),
            (self.relu, "relu"),
            (self.pool, "max pool"),
        ] {
            if applied {
                write!(f, ", {name}")?;
            }
        }
        match Algorithm::of(&self.geometry, Direction::Forward) {
            Algorithm::Direct => f.write_str(" (direct)"),
            Algorithm::Winograd2 => f.write_str(" (Winograd 2x2)"),
            Algorithm::Winograd4 => f.write_str(" (Winograd 4x4)"),
        }
    }
}

/// What a convolution's kernel reads beside the input.
struct Operands<'a> {
    filter: Arc<PackedFilter>,
    scale: Option<Vec<f32>>,
    bias: Option<Cow<'a, [f32]>>,
}

pub(super) fn padding(margins: Margins) -> kernels::Padding {
    kernels::Padding {
        top: margins.top,
        bottom: margins.bottom,
        left: margins.left,
        right: margins.right,
    }
}

pub(in crate::ops) fn run_convolutions<'a>(
    convs: &[&'a Conv2d],
    input: &[f32],
    output: &mut [f32],
) -> Result<()> {
    let with_before = |conv: &&'a Conv2d| conv.before.as_deref().into_iter().chain([*conv]);
    let all: Vec<&Conv2d> = convs.iter().flat_map(with_before).collect();
    let operands = all.iter().map(|conv| conv.operands());
    let operands = operands.collect::<Result<Vec<_>>>()?;
    // Kernels do not read the weights of filters that are kept packed.
    let wide = all.iter().zip(&operands).map(|(conv, operands)| {
        let is_read = !operands.filter.is_kept();
        let weight = is_read.then(|| conv.parameters.weight.to_dtype(DType::F32));
        weight.transpose()
    });
    let wide = wide.collect::<Result<Vec<_>>>()?;
    // Weights that two layers share are locked once: a second lock might wait
    // for a writer who waits for the first.
    let mut weights = HashMap::with_capacity(wide.len());
    for weight in wide.iter().flatten() {
        if let Entry::Vacant(entry) = weights.entry(weight.id()) {
            entry.insert(values(weight)?);
        }
    }
    let calls = all.iter().zip(&operands).zip(&wide);
    let calls = calls.map(|((conv, operands), weight)| {
        let weights = match weight {
            Some(weight) => weights[&weight.id()].as_slice()?,
            None => &[],
        };
        Ok(conv.call(weights, operands))
    });
    let mut calls = calls.collect::<Result<Vec<_>>>()?.into_iter();
    let layers = convs.iter().filter_map(|conv| {
        Some(Conv2dLayer {
            before: conv.before.as_ref().and_then(|_| calls.next()),
            conv: calls.next()?,
        })
    });
    kernels::conv2d_stack(&layers.collect::<Vec<_>>(), input, output);
    Ok(())
}
