use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

use crate::kernels::{
    self, Conv2dConfig, Conv2dGeometry, Epilogue, FilterGradient, FilterWeights, Gated, Kernel,
    PackedFilter, Size2,
};
use crate::ops::step::{Affine, Convolution};

use super::filters::{Direction, Request};
use super::operator::{Backward, Workspace};
use super::tensors::{Extent, refused, to_vec, values, with_slice};

/// A convolution at its sizes.
#[derive(Debug)]
pub(super) struct Conv2d {
    pub(super) geometry: Conv2dGeometry,
    pub(super) affine: Affine,
}

impl Conv2d {
    pub(super) fn new(
        extent: Extent,
        convolution: Convolution,
        affine: &Affine,
        training: bool,
    ) -> Result<(Self, Extent)> {
        let Extent::Map {
            batch,
            height,
            width,
            channels,
        } = extent
        else {
            candle_core::bail!("a convolution takes maps, not {extent:?}");
        };
        let Convolution { window, groups } = convolution;
        let out_channels = affine.weight.dim(0)?;
        let geometry = Conv2dGeometry::new(Conv2dConfig {
            batch,
            height,
            width,
            in_channels: channels,
            out_channels,
            kernel_size: window.kernel_size.into(),
            stride: window.stride.into(),
            padding: padding(window.margins(height, width)),
            dilation: window.dilation.into(),
            groups,
        })
        .map_err(refused)?;
        let (kernel_height, kernel_width) = window.kernel_size;
        let fitting = [out_channels, channels / groups, kernel_height, kernel_width];
        if affine.weight.dims() != fitting {
            candle_core::bail!(
                "weights {:?} do not fit {channels} channels in {groups} groups",
                affine.weight.dims()
            );
        }
        let Size2 { height, width } = geometry.out_size();
        let output = Extent::Map {
            batch,
            height,
            width,
            channels: out_channels,
        };
        let affine = Affine {
            weight: affine.weight.contiguous()?,
            frozen: affine.frozen || !training,
            ..affine.clone()
        };
        let conv = Self { geometry, affine };
        Ok((conv, output))
    }

    pub(super) fn filter(
        &self,
        workspace: &Workspace,
        direction: Direction,
        scale: Option<&[f32]>,
    ) -> Result<Arc<PackedFilter>> {
        workspace.filters.get(Request {
            weight: &self.affine.weight,
            geometry: &self.geometry,
            direction,
            scale,
            training: !self.affine.frozen,
        })
    }

    pub(super) fn bias(&self) -> Result<Option<Vec<f32>>> {
        self.affine.bias.as_ref().map(to_vec).transpose()
    }

    pub(super) fn forward(
        &self,
        workspace: &Workspace,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        let filter = self.filter(workspace, Direction::Forward, None)?;
        let bias = self.bias()?;
        let epilogue = Epilogue {
            bias: bias.as_deref(),
            relu: self.affine.relu,
            pool: false,
        };
        with_slice(&self.affine.weight, |weights| {
            let filter = filter.with(weights.into());
            kernels::conv2d(&self.geometry, filter, input, &epilogue, output);
            Ok(())
        })
    }

    pub(super) fn backward(&self, at: Backward<'_>) -> Result<Vec<Tensor>> {
        let grad_output = Gated {
            values: at.grad_output,
            gate: self.affine.relu.then_some(at.output),
        };
        let kernel = Kernel::selected();
        let mut gradients = Vec::with_capacity(2);
        let bias = self.affine.bias.as_ref();
        let bias = bias.filter(|bias| self.affine.tracks(bias));
        let mut by_bias = bias.map(|bias| vec![0.0; bias.elem_count()]);
        if self.affine.tracks(&self.affine.weight) {
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
            let shape = self.affine.weight.shape();
            gradients.push(Tensor::from_vec(by_weight, shape, &Device::Cpu)?);
        } else if let Some(by_bias) = &mut by_bias {
            kernels::bias_gradient(kernel, grad_output, by_bias);
        }
        if let Some(by_bias) = by_bias {
            let len = by_bias.len();
            gradients.push(Tensor::from_vec(by_bias, len, &Device::Cpu)?);
        }
        if let Some(grad_input) = at.grad_input {
            let filter = self.filter(at.workspace, Direction::InputGradient, None)?;
            with_slice(&self.affine.weight, |weights| {
                let filter = filter.with(weights.into());
                kernels::conv2d_input_gradient(&self.geometry, filter, grad_output, grad_input);
                Ok(())
            })?;
        }
        Ok(gradients)
    }
}

pub(super) fn padding(margins: crate::layer::Margins) -> kernels::Padding {
    let crate::layer::Margins {
        top,
        bottom,
        left,
        right,
    } = margins;
    kernels::Padding {
        top,
        bottom,
        left,
        right,
    }
}

/// A convolution as a stack of them is run: with what follows it.
#[derive(Debug)]
pub(super) struct Fused<'a> {
    pub(super) conv: &'a Conv2d,
    /// Factors of the channels out, and what is added after them.
    pub(super) affine: Option<(Vec<f32>, Vec<f32>)>,
    pub(super) relu: bool,
    pub(super) pool: bool,
}

impl Fused<'_> {
    fn bias(&self) -> Result<Option<Vec<f32>>> {
        let own = self.conv.bias()?;
        let Some((scale, shift)) = &self.affine else {
            return Ok(own);
        };
        let own = own.unwrap_or_else(|| vec![0.0; scale.len()]);
        let terms = own.iter().zip(scale).zip(shift);
        Ok(Some(
            terms
                .map(|((bias, scale), shift)| bias * scale + shift)
                .collect(),
        ))
    }

    /// Numbers that it writes.
    pub(super) fn output_len(&self) -> usize {
        if self.pool {
            self.conv.geometry.pooled_len()
        } else {
            self.conv.geometry.output_len()
        }
    }
}

/// Runs convolutions one after the other.
pub(super) fn stack(
    workspace: &Workspace,
    convs: &[Fused<'_>],
    input: &[f32],
    output: &mut [f32],
) -> Result<()> {
    let prepared = convs
        .iter()
        .map(|fused| {
            let scale = fused.affine.as_ref().map(|(scale, _)| scale.as_slice());
            let filter = fused.conv.filter(workspace, Direction::Forward, scale)?;
            Ok((filter, scale, fused.bias()?))
        })
        .collect::<Result<Vec<_>>>()?;
    // Weights that two layers share are locked once: a second lock might wait
    // for a writer who waits for the first.
    let mut weights = HashMap::new();
    for fused in convs {
        let weight = &fused.conv.affine.weight;
        if let Entry::Vacant(place) = weights.entry(weight.id()) {
            place.insert(values(weight)?);
        }
    }
    let layers = convs
        .iter()
        .zip(&prepared)
        .map(|(fused, (filter, scale, bias))| {
            let weights = FilterWeights {
                values: weights[&fused.conv.affine.weight.id()].as_slice()?,
                scale: *scale,
            };
            Ok(kernels::Conv2dLayer {
                geometry: fused.conv.geometry,
                filter: filter.with(weights),
                epilogue: Epilogue {
                    bias: bias.as_deref(),
                    relu: fused.relu,
                    pool: fused.pool,
                },
            })
        })
        .collect::<Result<Vec<_>>>()?;
    kernels::conv2d_stack(&layers, input, output);
    Ok(())
}
