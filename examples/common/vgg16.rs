//! The trunk of a VGG16 that learns from images.

use vgg_surgery::preprocess::ResizeFilter;
use vgg_surgery::{Graph, Result};

use crate::common::{self, Preprocess, Source, Variant};

/// VGG16 without its classifier. A file has Caffe's weights.
pub fn trunk(weights: &Source) -> Result<Graph> {
    let preprocess = matches!(weights, Source::File(_)).then_some(Preprocess::Caffe);
    let graph = common::network(Variant::Vgg16, weights, preprocess)?.without_top()?;
    let preprocessing = graph.preprocessing().cloned().unwrap_or_default();
    Ok(graph.with_preprocessing(preprocessing.with_filter(ResizeFilter::Bilinear)))
}
