use candle_core::Tensor;

use crate::data::{Dataset, SampleInput};
use crate::error::{Error, Result, TrainingError};
use crate::model::Model;
use crate::shape::Shape;
use crate::train::fit::Accepted;
use crate::train::history::Finding;
use crate::train::metrics::{Scores, Tally};
use crate::train::settings::Settings;
use crate::train::trainer::Trainer;

use super::findings::{
    activation_finding, classes_finding, norm_findings, output_findings, preprocessing_finding,
};

impl Trainer<'_> {
    /// Finds certain and probable problems of training on these data; best called
    /// before `fit`. The first example is loaded and augmented as in training. The
    /// loss and the metrics, including custom ones, are tried on its target and an
    /// output of zeros. The network does not run.
    ///
    /// # Errors
    /// Errors of reading the data's first example.
    pub fn check(&self, train: &dyn Dataset) -> Result<Vec<Finding>> {
        let (model, settings) = (self.model(), &self.settings);
        let graph = model.graph();
        let mut findings = Vec::new();
        findings.extend(classes_finding(graph, &settings.loss, train));
        for refused in self.refusals(train)?.into_iter().map(refusal) {
            if !findings.contains(&refused) {
                findings.push(refused);
            }
        }
        findings.extend(activation_finding(graph, &settings.loss));
        findings.extend(norm_findings(graph));
        findings.extend(output_findings(graph));
        let preprocessing = settings.preprocessing.as_ref();
        findings.extend(preprocessing_finding(model, preprocessing, train)?);
        findings.extend(self.progress.findings.iter().cloned());
        Ok(findings)
    }

    /// The errors with which `fit` would fail before its first step, unless that
    /// depends on the values of the output. The outer error is one of reading the
    /// data.
    fn refusals(&self, train: &dyn Dataset) -> Result<Vec<Error>> {
        let (model, settings) = (self.model(), &self.settings);
        let accepted = Accepted::new(model, settings, train).map(|_| ());
        let resumed = self.resumed.as_ref().map_or(Ok(()), |saved| {
            let data = settings.data_settings(train);
            let fitted = saved.fitted(model, &settings.optimizer, &self.callbacks, &data);
            fitted.map(|_| ())
        });
        if !train.is_empty() && is_unprepared(&train.sample(0)?.input, model, settings) {
            // Another finding says so.
            return Ok([accepted, resumed]
                .into_iter()
                .filter_map(Result::err)
                .collect());
        }
        let tried = try_first_example(model, settings, train);
        let outcomes = [accepted, resumed, tried].into_iter();
        Ok(outcomes.filter_map(Result::err).collect())
    }
}

fn is_unprepared(input: &SampleInput, model: &Model, settings: &Settings) -> bool {
    let is_known = settings.preprocessing.is_some() || model.graph().preprocessing().is_some();
    matches!(input, SampleInput::Image(_)) && !is_known
}

fn refusal(error: Error) -> Finding {
    match error {
        Error::ClassOutOfRange {
            example: Some(index),
            class,
            classes,
        } => Finding::ClassOutOfRange {
            index,
            class,
            classes,
        },
        Error::Training(TrainingError::NothingToTrain) => Finding::NothingToTrain,
        error => Finding::Refused {
            reason: error.to_string(),
        },
    }
}

/// With an output of zeros.
fn try_first_example(model: &Model, settings: &Settings, train: &dyn Dataset) -> Result<()> {
    let settings = settings.resolve(model, train)?;
    let loss = &settings.requested.loss;
    let first: Vec<usize> = (0..train.len().min(1)).collect();
    let batch = settings.augmented_loader(train, model).batch(0, &first)?;
    let shape = model.shape_for(&batch.inputs, loss.input(model.graph()).id)?;
    let dims = batch_of_one(shape);
    let scores = Tensor::zeros(dims, model.dtype(), model.device())?;
    let computed = loss.of_network(model.graph(), &scores, &batch)?;
    let threshold = settings.requested.threshold;
    let scores = Scores::new(&scores, &batch.targets, loss, threshold);
    Tally::default().count(&settings.metrics, computed.value, &scores)
}

fn batch_of_one(shape: Shape) -> Vec<usize> {
    match (shape, shape.size()) {
        (Shape::Map { channels, .. }, Some((height, width))) => vec![1, channels, height, width],
        _ => vec![1, shape.channels()],
    }
}
