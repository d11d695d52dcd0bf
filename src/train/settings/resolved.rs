use crate::data::{Dataset, Loader, Target};
use crate::error::Result;
use crate::model::Model;
use crate::preprocess::Preprocessing;
use crate::shape::Shape;
use crate::train::metrics::Metric;

use super::requested::Settings;

/// Settings that were checked, with the metrics and the preprocessing that suit
/// the model and the data where none were set.
pub(in crate::train) struct ResolvedSettings<'a> {
    pub(in crate::train) requested: &'a Settings,
    pub(in crate::train) metrics: Vec<Metric>,
    /// How images become what the model takes.
    pub(in crate::train) preprocessing: Option<Preprocessing>,
}

impl Settings {
    pub(in crate::train) fn resolve(
        &self,
        model: &Model,
        data: &dyn Dataset,
    ) -> Result<ResolvedSettings<'_>> {
        self.check()?;
        let graph = model.graph();
        Ok(ResolvedSettings {
            requested: self,
            metrics: match &self.metrics {
                Some(metrics) => metrics.clone(),
                None if is_vector(model) && self.has_classes(data)? => vec![Metric::Accuracy],
                None => Vec::new(),
            },
            preprocessing: match &self.preprocessing {
                Some(preprocessing) => Some(graph.at_input_size(preprocessing)),
                None => graph.input_preprocessing().ok(),
            },
        })
    }

    /// Whether loss and data are about classes.
    fn has_classes(&self, data: &dyn Dataset) -> Result<bool> {
        if self.loss.has_logits() {
            return Ok(true);
        }
        if self.loss.is_regression() || data.is_empty() {
            return Ok(false);
        }
        // A custom loss may be about anything.
        if data.class_of(0).is_some() {
            return Ok(true);
        }
        Ok(!matches!(data.sample(0)?.target, Target::Values(_)))
    }
}

fn is_vector(model: &Model) -> bool {
    let outputs = model.graph().output_shapes();
    matches!(outputs.first(), Some(Shape::Vector { .. }))
}

impl ResolvedSettings<'_> {
    /// Batches to train on.
    pub(in crate::train) fn training_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let requested = self.requested;
        let loader = self.augmented_loader(data, model);
        let loader = loader.drop_last(requested.drop_last);
        if requested.shuffles {
            loader.shuffle(requested.seed)
        } else {
            loader
        }
    }

    /// Every example once, in order, augmented as for training.
    pub(in crate::train) fn augmented_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let loader = self.plain_loader(data, model).seed(self.requested.seed);
        match &self.requested.augmentation {
            Some(augmentation) => loader.augment(augmentation.clone()),
            None => loader,
        }
    }

    /// Every example once, in order, without augmentation.
    pub(in crate::train) fn plain_loader<'d>(
        &self,
        data: &'d dyn Dataset,
        model: &Model,
    ) -> Loader<'d> {
        let loader = Loader::for_model(data, model)
            .batch_size(self.requested.batch_size)
            .prefetch(self.requested.prefetch);
        match &self.preprocessing {
            Some(preprocessing) => loader.preprocessing(preprocessing.clone()),
            None => loader,
        }
    }
}
