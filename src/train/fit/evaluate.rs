use crate::data::Dataset;
use crate::error::Result;
use crate::train::cache::CachedFeatures;
use crate::train::metrics::{Evaluation, Tally};
use crate::train::settings::ResolvedSettings;
use crate::train::trainer::Trainer;

use super::training_model::{Start, TrainingModel};

impl Trainer<'_> {
    /// Loss and metrics on a data set.
    ///
    /// # Errors
    /// Those of the data and of [`Model::forward`](crate::Model::forward), and
    /// those of the loss.
    pub fn evaluate(&self, data: &dyn Dataset) -> Result<Evaluation> {
        let settings = self.settings.resolve(self.model, data)?;
        let model = TrainingModel::whole(self.model, &settings);
        Ok(measure(&model, &settings, data, None, &|| false)?.evaluation)
    }
}

/// An evaluation, of part of the data if it was interrupted.
pub(super) struct Measurement {
    pub(super) evaluation: Evaluation,
    pub(super) was_interrupted: bool,
}

pub(super) fn measure(
    model: &TrainingModel<'_>,
    settings: &ResolvedSettings<'_>,
    data: &dyn Dataset,
    features: Option<&CachedFeatures>,
    is_interrupted: &dyn Fn() -> bool,
) -> Result<Measurement> {
    let loader = settings.plain_loader(data, model.model());
    let mut tally = Tally::default();
    let mut was_interrupted = false;
    model.batches(&loader, features, Start::default(), |batch| {
        let scores = model.scores(&batch, false)?;
        batch.count(&scores, settings, &mut tally)?;
        was_interrupted = is_interrupted();
        Ok(!was_interrupted)
    })?;
    Ok(Measurement {
        evaluation: tally.evaluation(&settings.metrics),
        was_interrupted,
    })
}
