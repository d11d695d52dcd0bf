use candle_core::Tensor;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::graph::Node;
use crate::model::Model;
use crate::shape::Shape;
use crate::train::history::Finding;
use crate::train::metrics::{Scores, Tally};
use crate::train::settings::Settings;
use crate::train::trainer::Trainer;

use super::findings::{
    activation_finding, classes_finding, norm_findings, output_findings, preprocessing_finding,
};

impl Trainer<'_> {
    /// Finds certain and probable problems of training on these data; best called
    /// before `fit`. The loss and the metrics, including custom ones, are tried on
    /// the target of the first example and an output of zeros, unless the size of
    /// the network's output depends on its input.
    ///
    /// # Errors
    /// Errors of reading the data's first example.
    pub fn check(&self, train: &dyn Dataset) -> Result<Vec<Finding>> {
        let (model, settings) = (self.model(), &self.settings);
        let graph = model.graph();
        let mut findings = Vec::new();
        let is_trained = |node: &Node| !node.is_frozen() && !node.parameters().is_empty();
        if !graph.nodes().any(is_trained) {
            findings.push(Finding::NothingToTrain);
        }
        findings.extend(classes_finding(graph, &settings.loss, train));
        if let Some(finding) = refusal(model, settings, train)?
            && !findings.contains(&finding)
        {
            findings.push(finding);
        }
        findings.extend(activation_finding(graph, &settings.loss));
        findings.extend(norm_findings(graph));
        findings.extend(output_findings(graph));
        let preprocessing = settings.preprocessing.as_ref();
        findings.extend(preprocessing_finding(model, preprocessing, train)?);
        findings.extend(self.progress.findings.iter().cloned());
        Ok(findings)
    }
}

/// The error with which `fit` would fail before its first step, unless that
/// depends on the values of the output.
fn refusal(model: &Model, settings: &Settings, train: &dyn Dataset) -> Result<Option<Finding>> {
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

/// With an output of zeros. The outer error is one of reading the data.
fn try_first_example(
    model: &Model,
    settings: &Settings,
    train: &dyn Dataset,
    dims: Vec<usize>,
) -> Result<Result<()>> {
    let scores = Tensor::zeros(dims, model.dtype(), model.device())?;
    let settings = settings.resolve(model, train)?;
    let targets = settings.plain_loader(train, model).target(0)?;
    let loss = &settings.requested.loss;
    let computed = loss.of_batch(&scores, &targets, None);
    Ok(computed.and_then(|computed| {
        let scores = Scores::new(&scores, &targets, loss);
        Tally::default().count(&settings.metrics, computed.value, &scores)
    }))
}

fn batch_of_one(shape: Shape) -> Option<Vec<usize>> {
    match shape {
        Shape::Vector { features } => Some(vec![1, features]),
        Shape::Map { channels, .. } => {
            let (height, width) = shape.size()?;
            Some(vec![1, channels, height, width])
        }
    }
}
