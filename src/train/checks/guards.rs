//! What `fit` refuses.

use candle_core::Tensor;

use crate::data::{Dataset, Targets};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::model::Model;
use crate::shape::Shape;
use crate::train::history::Finding;
use crate::train::loss::Loss;
use crate::train::metrics::{Scores, Tally};
use crate::train::settings::Settings;

use super::findings::classes_finding;

/// Refuses data with more classes than the network distinguishes.
pub(in crate::train) fn check_classes(
    graph: &Graph,
    loss: &Loss,
    data: &dyn Dataset,
) -> Result<()> {
    match classes_finding(graph, loss, data).and_then(|finding| finding.class_error()) {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// What `fit` refuses before its first step, except what depends on the values
/// of the output.
pub(super) fn refusal(
    model: &Model,
    settings: &Settings,
    train: &dyn Dataset,
) -> Result<Option<Finding>> {
    let checked = settings.check();
    let checked = checked.and_then(|()| settings.check_batches(train));
    let shape = model.graph().output_shapes().first().copied();
    let outcome = match (checked, shape.and_then(batch_of_one)) {
        (Ok(()), Some(dims)) if !train.is_empty() => {
            try_first_example(model, settings, train, dims)?
        }
        (checked, _) => checked,
    };
    Ok(outcome.err().map(|error| match error {
        Error::ClassOutOfRange {
            example: Some(index),
            class,
            classes,
        } => Finding::ClassOutOfRange {
            index,
            class,
            classes,
        },
        error => Finding::Refused {
            reason: error.to_string(),
        },
    }))
}

/// Computes loss and metrics of the first example's target and an output of
/// zeros. The outer error is one of reading the data.
fn try_first_example(
    model: &Model,
    settings: &Settings,
    train: &dyn Dataset,
    dims: Vec<usize>,
) -> Result<Result<()>> {
    let targets = Targets::of_one(train.sample(0)?.target, model.device())?;
    let scores = Tensor::zeros(dims, model.dtype(), model.device())?;
    let settings = settings.resolve(model, train)?;
    let loss = &settings.requested.loss;
    let computed = loss.of_batch(&scores, &targets, None);
    Ok(computed.and_then(|computed| {
        let scores = Scores::new(&scores, &targets, loss);
        Tally::default().count(&settings.metrics, computed.value, &scores)
    }))
}

/// The dimensions of the output for one example, if its size is known.
fn batch_of_one(shape: Shape) -> Option<Vec<usize>> {
    match shape {
        Shape::Vector { features } => Some(vec![1, features]),
        Shape::Map { channels, .. } => {
            let (height, width) = shape.size()?;
            Some(vec![1, channels, height, width])
        }
    }
}
