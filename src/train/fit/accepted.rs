use crate::data::Dataset;
use crate::error::Result;
use crate::model::Model;
use crate::train::checks::check_classes;
use crate::train::settings::{ResolvedSettings, Settings};

use super::parameters::TrainedParameters;

/// Settings that suit the model and the training data. `check` and `fit` refuse
/// the same.
pub(in crate::train) struct Accepted<'a> {
    pub(super) settings: ResolvedSettings<'a>,
    pub(super) parameters: TrainedParameters,
}

impl<'a> Accepted<'a> {
    pub(in crate::train) fn new(
        model: &Model,
        settings: &'a Settings,
        train: &dyn Dataset,
    ) -> Result<Self> {
        let resolved = settings.resolve(model, train)?;
        settings.check_batches(train)?;
        check_classes(model.graph(), &settings.loss, train)?;
        Ok(Self {
            settings: resolved,
            parameters: TrainedParameters::of(model, settings)?,
        })
    }
}
