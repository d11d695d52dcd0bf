//! A stack of convolutions, run on a few images at a time.

use super::algorithm::Algorithm;
use super::call::Conv2dCall;
use super::run::conv2d;
use super::winograd::{self, Four, Two};
use crate::kernels::cache::Caches;
use crate::kernels::scratch::{self, Slot};

/// The most bytes of a layer's input and output that stay in the last-level cache,
/// and at most a third of it.
const CACHED_BYTES: usize = 9 << 20;

/// One convolution of a stack, or two fused ones.
#[derive(Clone, Copy)]
pub struct Conv2dLayer<'a> {
    /// A convolution whose rows `conv` computes as it reads them. Its output is
    /// never whole in memory. It must satisfy
    /// [`computes_ahead`](super::computes_ahead).
    pub before: Option<Conv2dCall<'a>>,
    /// The convolution that writes the layer's output.
    pub conv: Conv2dCall<'a>,
}

impl Conv2dLayer<'_> {
    fn batch(&self) -> usize {
        self.conv.geometry.config().batch
    }

    fn bytes(&self) -> usize {
        let first = self.before.as_ref().unwrap_or(&self.conv);
        (first.geometry.input_len() + self.conv.output_len()) * size_of::<f32>()
    }

    /// The number of values written for `images` images.
    fn len(&self, images: usize) -> usize {
        self.conv.output_len() / self.batch() * images
    }

    fn run(&self, images: usize, input: &[f32], output: &mut [f32]) {
        let conv = self.conv.with_batch(images);
        let Some(before) = self.before else {
            conv2d(&conv, input, output);
            return;
        };
        let before = before.with_batch(images);
        before.geometry.assert_input(input.len());
        conv.geometry.assert_input(before.output_len());
        assert_eq!(output.len(), conv.output_len(), "length of the output");
        let (before, pass) = (before.pass(input), conv.pass(&[]));
        let algorithm = conv.filter.packed.algorithm;
        assert_ne!(algorithm, Algorithm::Direct, "only Winograd reads ahead");
        match algorithm {
            Algorithm::Winograd2 => winograd::run::<Two>(&pass, Some(&before), output),
            _ => winograd::run::<Four>(&pass, Some(&before), output),
        }
    }
}

/// Runs each layer on the output of the layer before it, with the result of
/// [`super::conv2d`] on each. Large feature maps are computed a few images at a
/// time: they stay in cache and take less memory.
///
/// Two scratch buffers hold the feature maps between layers, each as large as
/// the largest of them for the images that run together. If small layers follow
/// large ones, a third holds the whole batch between the two. Without layers,
/// the input is copied.
///
/// # Panics
/// As [`super::conv2d`], and if a layer's output does not match the next input.
pub fn conv2d_stack(layers: &[Conv2dLayer], input: &[f32], output: &mut [f32]) {
    let Some(batch) = layers.first().map(Conv2dLayer::batch) else {
        output.copy_from_slice(input);
        return;
    };
    if batch == 0 {
        return;
    }
    let cached = CACHED_BYTES.min(Caches::of_this_cpu().last / 3);
    let split = layers
        .iter()
        .rposition(|layer| layer.bytes() > cached)
        .map_or(0, |last| last + 1);
    let (large, rest) = layers.split_at(split);
    let Some(last) = large.last() else {
        run(rest, batch, input, output);
        return;
    };
    let most = large.iter().map(|layer| layer.bytes() / batch).max();
    let images = (cached / most.unwrap_or(0).max(1)).clamp(1, batch);
    let mut middle = match rest.is_empty() {
        true => None,
        false => Some(scratch::lend(Slot::MIDDLE, last.len(batch))),
    };
    let target = middle.as_deref_mut().unwrap_or(output);
    let (source, written) = (input.len() / batch, last.len(1));
    for start in (0..batch).step_by(images) {
        let count = images.min(batch - start);
        let input = &input[start * source..(start + count) * source];
        let target = &mut target[start * written..(start + count) * written];
        run(large, count, input, target);
    }
    if let Some(middle) = middle {
        run(rest, batch, &middle, output);
    }
}

fn run(layers: &[Conv2dLayer], images: usize, input: &[f32], output: &mut [f32]) {
    let Some((last, before)) = layers.split_last() else {
        return;
    };
    let most = before.iter().map(|layer| layer.len(images)).max();
    let most = most.unwrap_or(0);
    let mut buffers = [Slot::EVEN, Slot::Odd].map(|slot| scratch::lend(slot, most));
    let mut held = None;
    for layer in before {
        let [source, target] = &mut buffers;
        let source = held.map_or(input, |held| &source[..held]);
        let len = layer.len(images);
        layer.run(images, source, &mut target[..len]);
        held = Some(len);
        buffers.swap(0, 1);
    }
    let source = held.map_or(input, |held| &buffers[0][..held]);
    last.run(images, source, output);
}
