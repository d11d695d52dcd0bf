//! Convolutions one after the other, without the batch's maps in between.

use super::{Epilogue, PackedFilter, conv2d};
use crate::kernels::geometry::Conv2dGeometry;
use crate::kernels::scratch;

/// Bytes that a layer's input and output together may take, to stay in a
/// last-level cache.
const CACHED_BYTES: usize = 20 << 20;

/// One convolution of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dLayer<'a> {
    /// Its sizes, with the stack's batch.
    pub geometry: Conv2dGeometry,
    /// Its filter.
    pub filter: &'a PackedFilter,
    /// What is applied to its sums.
    pub epilogue: Epilogue<'a>,
}

impl Conv2dLayer<'_> {
    /// Numbers in its output, pooled or not.
    pub fn output_len(&self) -> usize {
        if self.epilogue.pool {
            self.geometry.pooled_len()
        } else {
            self.geometry.output_len()
        }
    }

    fn bytes(&self) -> usize {
        (self.geometry.input_len() + self.output_len()) * size_of::<f32>()
    }
}

/// Runs each layer on the output of the one before it, as [`super::conv2d`]
/// on each would, but a few images at a time where the maps are large: they
/// stay in cache, and only as much memory is needed.
///
/// The maps in between are in scratch memory: two buffers of the largest map
/// of the images that run together. No layers copy the input.
///
/// # Panics
/// As [`super::conv2d`], and if a layer's output is not the next one's input.
pub fn conv2d_stack(layers: &[Conv2dLayer], input: &[f32], output: &mut [f32]) {
    let Some(first) = layers.first() else {
        output.copy_from_slice(input);
        return;
    };
    let batch = first.geometry.config().batch;
    if batch == 0 {
        return;
    }
    let small = |layer: &Conv2dLayer| layer.bytes() <= CACHED_BYTES;
    let split = layers
        .iter()
        .rposition(|layer| !small(layer))
        .map_or(0, |last| last + 1);
    let (large, rest) = layers.split_at(split);
    let Some(last) = large.last() else {
        run(rest, batch, input, output);
        return;
    };
    let most = large
        .iter()
        .map(|layer| layer.bytes() / batch)
        .max()
        .unwrap_or(0);
    let images = (CACHED_BYTES / most.max(1)).clamp(1, batch);
    let mut middle = match rest.is_empty() {
        true => None,
        false => Some(scratch::lend(2, last.output_len())),
    };
    let target = middle.as_deref_mut().unwrap_or(output);
    let (source, written) = (input.len() / batch, last.output_len() / batch);
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

/// Runs all layers on `images` images together.
fn run(layers: &[Conv2dLayer], images: usize, input: &[f32], output: &mut [f32]) {
    let Some((last, before)) = layers.split_last() else {
        return;
    };
    let batch = last.geometry.config().batch;
    let len = |layer: &Conv2dLayer| layer.output_len() / batch * images;
    let most = before.iter().map(len).max().unwrap_or(0);
    let mut buffers = [scratch::lend(3, most), scratch::lend(4, most)];
    let mut held = None;
    for layer in before {
        let [source, target] = &mut buffers;
        let source = held.map_or(input, |held| &source[..held]);
        let target = &mut target[..len(layer)];
        conv2d(
            &layer.geometry.with_batch(images),
            layer.filter,
            source,
            &layer.epilogue,
            target,
        );
        held = Some(len(layer));
        buffers.swap(0, 1);
    }
    let source = held.map_or(input, |held| &buffers[0][..held]);
    conv2d(
        &last.geometry.with_batch(images),
        last.filter,
        source,
        &last.epilogue,
        output,
    );
}
