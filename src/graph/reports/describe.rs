use crate::layers::{Activation, Conv2d, FlattenOrder, Layer, Padding, UpsampleMode, UpsampleSize};

use super::super::node::Node;

/// A node's kind and settings: `"Conv2d 3x3, 64, same, relu"`.
pub(super) fn described(node: &Node) -> String {
    let words = format!("{} {}", node.layer.kind(), settings(&node.layer));
    words.trim_end().to_string()
}

/// A layer's settings in a few words, without those at their defaults:
/// `"3x3, 64, same, relu"`.
fn settings(layer: &Layer) -> String {
    match layer {
        Layer::Conv2d(conv) => conv_settings(conv),
        Layer::MaxPool2d(pool) => pool_settings(pool.kernel_size, pool.stride, pool.padding),
        Layer::AvgPool2d(pool) => pool_settings(pool.kernel_size, pool.stride, pool.padding),
        Layer::AdaptiveAvgPool2d(pool) => format!("to {}", by(pool.output_size)),
        Layer::BatchNorm2d(norm) => joined(vec![activation(norm.activation)]),
        Layer::Dense(dense) => joined(vec![
            dense.units.to_string(),
            without_bias(dense.bias),
            activation(dense.activation),
        ]),
        Layer::Flatten(flatten) => match flatten.order {
            FlattenOrder::Chw => String::new(),
            FlattenOrder::Hwc => "channels last".to_string(),
        },
        Layer::Dropout(dropout) => dropout.rate.to_string(),
        Layer::Activation(function) => function.to_string(),
        Layer::Upsample(upsample) => {
            let size = match upsample.size {
                UpsampleSize::Times(down, across) => format!("times {down}x{across}"),
                UpsampleSize::Fixed(height, width) => format!("to {height}x{width}"),
                UpsampleSize::Like => "like the second input".to_string(),
            };
            let mode = match upsample.mode {
                UpsampleMode::Nearest => "nearest",
                UpsampleMode::Bilinear => "bilinear",
            };
            format!("{size}, {mode}")
        }
        Layer::ZeroPad2d(pad) => margins(Padding::Explicit(pad.margins)),
        Layer::Rescale(rescale) => format!("x {:?} + {:?}", rescale.scale, rescale.offset),
        Layer::Input(_)
        | Layer::GlobalAvgPool2d(_)
        | Layer::GlobalMaxPool2d(_)
        | Layer::Add(_)
        | Layer::Concat(_)
        | Layer::Custom(_) => String::new(),
    }
}

fn conv_settings(conv: &Conv2d) -> String {
    let mut words = vec![by(conv.kernel_size), conv.out_channels.to_string()];
    if conv.stride != (1, 1) {
        words.push(format!("stride {}", by(conv.stride)));
    }
    words.push(margins(conv.padding));
    if conv.dilation != (1, 1) {
        words.push(format!("dilation {}", by(conv.dilation)));
    }
    if conv.groups != 1 {
        words.push(format!("{} groups", conv.groups));
    }
    words.push(without_bias(conv.bias));
    words.push(activation(conv.activation));
    joined(words)
}

fn pool_settings(kernel_size: (usize, usize), stride: (usize, usize), padding: Padding) -> String {
    let mut words = vec![by(kernel_size)];
    if stride != kernel_size {
        words.push(format!("stride {}", by(stride)));
    }
    words.push(margins(padding));
    joined(words)
}

fn by((vertical, horizontal): (usize, usize)) -> String {
    format!("{vertical}x{horizontal}")
}

fn margins(padding: Padding) -> String {
    match padding {
        Padding::Valid => String::new(),
        Padding::Same => "same".to_string(),
        Padding::Explicit(m) if m.top == m.bottom && m.left == m.right && m.top == m.left => {
            format!("padding {}", m.top)
        }
        Padding::Explicit(m) => {
            format!("padding {}/{}/{}/{}", m.top, m.right, m.bottom, m.left)
        }
    }
}

fn activation(activation: Activation) -> String {
    match activation {
        Activation::Linear => String::new(),
        other => other.to_string(),
    }
}

fn without_bias(bias: bool) -> String {
    if bias { "" } else { "no bias" }.to_string()
}

fn joined(words: Vec<String>) -> String {
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    words.join(", ")
}
