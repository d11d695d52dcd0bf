//! Convolutions one after the other, without all feature maps in between.

use super::algorithm::Algorithm;
use super::epilogue::Epilogue;
use super::filter::Filter;
use super::pass::Pass;
use super::run::conv2d;
use super::sweep::Sweep;
use super::weights::Shape;
use super::winograd::{self, Four, Two};
use crate::kernels::geometry::Conv2dGeometry;
use crate::kernels::scratch::{self, Slot};

/// Bytes that a layer's input and output together may take, to stay in a
/// last-level cache.
const CACHED_BYTES: usize = 9 << 20;

/// Multiplications for an output number up to which a direct convolution is
/// computed row by row as the next one reads it.
const CHEAP_TAPS: usize = 64;

/// One convolution of a stack.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dLayer<'a> {
    /// Its sizes, with the stack's batch.
    pub geometry: Conv2dGeometry,
    /// Its filter.
    pub filter: Filter<'a>,
    /// What is applied to its sums.
    pub epilogue: Epilogue<'a>,
    /// Whether its rows are computed as the next layer reads them, so that
    /// its output is never whole; see [`computes_ahead`].
    pub ahead: bool,
}

/// Whether a convolution without a pool can be computed, and cheaply, row by
/// row as the next one reads it.
pub fn computes_ahead(geometry: &Conv2dGeometry, next: &Conv2dGeometry) -> bool {
    let (sweep, next) = (Sweep::forward(geometry), Sweep::forward(next));
    let taps = sweep.kernel_size.pixels() * sweep.in_channels;
    Algorithm::choose(&sweep) == Algorithm::Direct
        && sweep.groups == 1
        && taps <= CHEAP_TAPS
        && Algorithm::choose(&next) != Algorithm::Direct
        && winograd::is_blockwise(Shape::new(&next))
}

impl<'a> Conv2dLayer<'a> {
    /// Numbers in its output, pooled or not.
    pub fn output_len(&self) -> usize {
        if self.epilogue.pool {
            self.geometry.pooled_len()
        } else {
            self.geometry.output_len()
        }
    }

    fn pass(&self, images: usize, input: &'a [f32]) -> Pass<'a> {
        let geometry = self.geometry.with_batch(images);
        Pass::forward(&geometry, self.filter, &self.epilogue, input)
    }
}

/// One layer, or one that is computed ahead and the layer that reads it.
#[derive(Clone, Copy)]
struct Step<'a> {
    ahead: Option<&'a Conv2dLayer<'a>>,
    layer: &'a Conv2dLayer<'a>,
}

impl<'a> Step<'a> {
    fn all(layers: &'a [Conv2dLayer<'a>]) -> Vec<Self> {
        let steps = layers.chunk_by(|layer, _| layer.ahead);
        let steps = steps.filter_map(|step| {
            let (layer, ahead) = step.split_last()?;
            assert!(ahead.len() <= 1, "one layer is computed ahead of another");
            Some(Self {
                ahead: ahead.first(),
                layer,
            })
        });
        steps.collect()
    }

    fn batch(&self) -> usize {
        self.layer.geometry.config().batch
    }

    fn bytes(&self) -> usize {
        let first = self.ahead.unwrap_or(self.layer);
        (first.geometry.input_len() + self.layer.output_len()) * size_of::<f32>()
    }

    fn run(&self, images: usize, input: &[f32], output: &mut [f32]) {
        let Self { ahead, layer } = self;
        let Some(ahead) = ahead else {
            let geometry = layer.geometry.with_batch(images);
            conv2d(&geometry, layer.filter, input, &layer.epilogue, output);
            return;
        };
        let geometry = ahead.geometry.with_batch(images);
        let read = layer.geometry.with_batch(images).input_len();
        assert_eq!(input.len(), geometry.input_len(), "length of the input");
        assert_eq!(geometry.output_len(), read, "of the layer in between");
        assert_eq!(output.len(), self.len(images), "of the output");
        let (ahead, pass) = (ahead.pass(images, input), layer.pass(images, &[]));
        let algorithm = layer.filter.algorithm();
        assert_ne!(algorithm, Algorithm::Direct, "only Winograd reads ahead");
        match algorithm {
            Algorithm::Winograd2 => winograd::run::<Two>(&pass, Some(&ahead), output),
            _ => winograd::run::<Four>(&pass, Some(&ahead), output),
        }
    }

    /// Numbers written for so many images.
    fn len(&self, images: usize) -> usize {
        self.layer.output_len() / self.batch() * images
    }
}

/// Runs each layer on the output of the one before it, as [`super::conv2d`]
/// on each would, but a few images at a time where the feature maps are large: they
/// stay in cache, and only as much memory is needed.
///
/// The feature maps in between are in scratch memory: two buffers of the
/// largest one of the images that run together. No layers copy the input.
///
/// # Panics
/// As [`super::conv2d`], if a layer's output is not the next one's input, and
/// if a layer is ahead that [`computes_ahead`] does not know to be.
pub fn conv2d_stack(layers: &[Conv2dLayer], input: &[f32], output: &mut [f32]) {
    let steps = Step::all(layers);
    let Some(batch) = steps.first().map(Step::batch) else {
        output.copy_from_slice(input);
        return;
    };
    if batch == 0 {
        return;
    }
    let split = steps
        .iter()
        .rposition(|step| step.bytes() > CACHED_BYTES)
        .map_or(0, |last| last + 1);
    let (large, rest) = steps.split_at(split);
    let Some(last) = large.last() else {
        run(rest, batch, input, output);
        return;
    };
    let most = large.iter().map(|step| step.bytes() / batch).max();
    let images = (CACHED_BYTES / most.unwrap_or(0).max(1)).clamp(1, batch);
    let mut middle = match rest.is_empty() {
        true => None,
        false => Some(scratch::lend(Slot::Middle, last.len(batch))),
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

/// Runs all steps on `images` images together.
fn run(steps: &[Step], images: usize, input: &[f32], output: &mut [f32]) {
    let Some((last, before)) = steps.split_last() else {
        return;
    };
    let most = before.iter().map(|step| step.len(images)).max();
    let most = most.unwrap_or(0);
    let mut buffers = [Slot::Even, Slot::Odd].map(|slot| scratch::lend(slot, most));
    let mut held = None;
    for step in before {
        let [source, target] = &mut buffers;
        let source = held.map_or(input, |held| &source[..held]);
        let len = step.len(images);
        step.run(images, source, &mut target[..len]);
        held = Some(len);
        buffers.swap(0, 1);
    }
    let source = held.map_or(input, |held| &buffers[0][..held]);
    last.run(images, source, output);
}
