use candle_core::{Device, Tensor};

use crate::error::{Error, HealingError, Result};
use crate::graph::{Node, Part};
use crate::layers::{Activation, BatchNorm2d, Conv2d, Layer, Margins, Padding, Rules};
use crate::model::Model;
use crate::ops::{BatchStatistics, ScaleShift};

use super::product::{Filters, grid};
use super::seam::{Seam, doubles};

/// Sets the layer's parameters to the product of the old layers' filters.
/// Returns the rows and columns at each side of the output in which the layer
/// differs from the old layers by more than rounding; `None` if activations were
/// left out.
pub(super) fn compose(seam: &Seam<'_>) -> Result<Option<(usize, usize)>> {
    let stretch = stretch(seam)?;
    let mut filters: Option<Filters> = None;
    let (mut border, mut is_linear, mut pending) = ((0, 0), true, Activation::Linear);
    for node in &stretch {
        is_linear &= pending == Activation::Linear;
        let part = factor(seam, node)?;
        if let (Some(_), Layer::Conv2d(conv)) = (&filters, node.layer()) {
            border = widened(seam, node, conv, border)?;
        }
        filters = Some(match filters {
            Some(filters) => filters.then(&part),
            None => part,
        });
        pending = node.layer().activation();
    }
    if seam.target.part == Part::Pre {
        pending = Activation::Linear;
    }
    let Some(filters) = filters else {
        return Err(refused(seam, "no layer stands between"));
    };
    let (weight, bias) = fitted(seam, &filters)?;
    seam.set(weight, bias)?;
    let is_exact = is_linear && pending == seam.conv.activation;
    Ok(is_exact.then_some(border))
}

fn refused(seam: &Seam<'_>, reason: impl Into<String>) -> Error {
    HealingError::NotComposable {
        layer: seam.node.name().to_string(),
        reason: reason.into(),
    }
    .into()
}

/// The old layers, first to last.
fn stretch<'a>(seam: &Seam<'a>) -> Result<Vec<&'a Node>> {
    let graph = seam.old.graph();
    let Some(entry) = seam.entry else {
        let reason = "the layer before it is new too, so the old layers take another value";
        return Err(refused(seam, reason));
    };
    if entry.part == Part::Pre {
        let reason = "it begins before an activation of the old network";
        return Err(refused(seam, reason));
    }
    let mut stretch = Vec::new();
    for node in graph.path_to(seam.target.id) {
        if node.id() == entry.id {
            stretch.reverse();
            return Ok(stretch);
        }
        stretch.push(node);
    }
    let last = stretch.last().map_or("", |node| node.name());
    let reason = format!("\"{last}\" is no part of a chain");
    Err(refused(seam, reason))
}

/// The rows and columns at the border whose values depend on the padding of the
/// value in between.
fn widened(
    seam: &Seam<'_>,
    node: &Node,
    conv: &Conv2d,
    border: (usize, usize),
) -> Result<(usize, usize)> {
    let m = margins(seam, (seam.old, node), conv)?;
    Ok((
        (border.0 + m.top.max(m.bottom)).div_ceil(conv.stride.0),
        (border.1 + m.left.max(m.right)).div_ceil(conv.stride.1),
    ))
}

fn margins(seam: &Seam<'_>, (model, node): (&Model, &Node), conv: &Conv2d) -> Result<Margins> {
    let size = model.graph().input_shapes(node)[0].size();
    let (height, width) = match size {
        Some(size) => size,
        // Then they are the same for feature maps of all sizes.
        None if conv.padding != Padding::Same || conv.stride == (1, 1) => conv.kernel_size,
        None => {
            let reason = format!(
                "the padding of \"{}\" depends on the size of its input, which is open; set it \
                 with input(..)",
                node.name()
            );
            return Err(refused(seam, reason));
        }
    };
    Ok(conv.window().margins(height, width))
}

/// A layer without its activation.
fn factor(seam: &Seam<'_>, node: &Node) -> Result<Filters> {
    let channels = seam.old.graph().input_shapes(node)[0].channels();
    match node.layer() {
        Layer::Conv2d(conv) => convolution(seam, node, conv, channels),
        Layer::BatchNorm2d(norm) => batch_norm(seam, node, norm, channels),
        layer if layer.rules().passes_input_on() => Ok(Filters::identity(channels)),
        other => {
            let (name, kind) = (node.name(), other.kind());
            let reason = format!("\"{name}\" is a {kind}, which is no filter");
            Err(refused(seam, reason))
        }
    }
}

fn values(model: &Model, node: &Node, name: &str) -> Result<Option<Vec<f64>>> {
    let mut found = model.parameters();
    let found = found.find(|parameter| parameter.layer == node.name() && parameter.name == name);
    found.map(|found| doubles(found.tensor)).transpose()
}

/// The filters of all groups, with zeros between the taps of dilated ones.
fn convolution(seam: &Seam<'_>, node: &Node, conv: &Conv2d, inputs: usize) -> Result<Filters> {
    let weight = values(seam.old, node, "weight")?.unwrap_or_default();
    let bias = values(seam.old, node, "bias")?;
    let size = conv.window().reach();
    let Margins { top, left, .. } = margins(seam, (seam.old, node), conv)?;
    let (each, outputs) = (inputs / conv.groups, conv.out_channels);
    let mut dense = vec![0.0; outputs * inputs * size.0 * size.1];
    let mut taps = weight.into_iter();
    for output in 0..outputs {
        let first = output / (outputs / conv.groups) * each;
        for input in first..first + each {
            for (y, x) in grid(conv.kernel_size) {
                let row = (output * inputs + input) * size.0 + y * conv.dilation.0;
                let value = taps.next().unwrap_or_default();
                dense[row * size.1 + x * conv.dilation.1] = value;
            }
        }
    }
    Ok(Filters {
        weight: dense,
        bias: bias.unwrap_or_else(|| vec![0.0; outputs]),
        inputs,
        size,
        stride: conv.stride,
        padding: (top, left),
    })
}

fn batch_norm(
    seam: &Seam<'_>,
    node: &Node,
    norm: &BatchNorm2d,
    channels: usize,
) -> Result<Filters> {
    let get = |name| -> Result<Tensor> {
        let values = values(seam.old, node, name)?.unwrap_or_default();
        Ok(Tensor::new(values, &Device::Cpu)?)
    };
    let statistics = BatchStatistics {
        mean: get("running_mean")?,
        variance: get("running_var")?,
    };
    let (weight, bias) = (get("weight")?, get("bias")?);
    let ScaleShift { scale, shift } =
        ScaleShift::of_batch_norm(&statistics, &weight, &bias, norm.eps)?;
    Ok(Filters::identity(channels).scaled(&doubles(&scale)?, &doubles(&shift)?))
}

/// Lays a product into the new layer's filters.
fn fitted(seam: &Seam<'_>, filters: &Filters) -> Result<(Vec<f64>, Vec<f64>)> {
    let conv = seam.conv;
    let described = format!(
        "their product is {}x{} at stride {:?}, {} rows and {} columns over the border",
        filters.size.0, filters.size.1, filters.stride, filters.padding.0, filters.padding.1
    );
    if filters.stride != conv.stride {
        return Err(refused(seam, described));
    }
    if !conv.bias && filters.bias.iter().any(|&bias| bias != 0.0) {
        return Err(refused(seam, "it has no bias, but their product has one"));
    }
    let Margins { top, left, .. } = margins(seam, (seam.new, seam.node), conv)?;
    let (outputs, each) = (conv.out_channels, filters.inputs / conv.groups);
    let (kernel_height, kernel_width) = conv.kernel_size;
    let fit = |tap: usize, padding: usize, margin: usize, (dilation, kernel): (usize, usize)| {
        let offset = (tap + margin).checked_sub(padding)?;
        (offset % dilation == 0 && offset / dilation < kernel).then_some(offset / dilation)
    };
    let mut weight = vec![0.0; outputs * each * kernel_height * kernel_width];
    let mut values = filters.weight.iter();
    for output in 0..outputs {
        let first = output / (outputs / conv.groups) * each;
        for input in 0..filters.inputs {
            for (y, x) in grid(filters.size) {
                let value = *values.next().unwrap_or(&0.0);
                if value == 0.0 {
                    continue;
                }
                let channel = input.checked_sub(first).filter(|&channel| channel < each);
                let y = fit(y, filters.padding.0, top, (conv.dilation.0, kernel_height));
                let x = fit(x, filters.padding.1, left, (conv.dilation.1, kernel_width));
                let (Some(channel), Some(y), Some(x)) = (channel, y, x) else {
                    let reason = format!("{described}, and its filters don't hold it");
                    return Err(refused(seam, reason));
                };
                weight[((output * each + channel) * kernel_height + y) * kernel_width + x] = value;
            }
        }
    }
    let bias = conv.bias.then(|| filters.bias.clone());
    Ok((weight, bias.unwrap_or_default()))
}
