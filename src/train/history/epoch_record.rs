use serde::{Deserialize, Serialize};

use crate::train::metrics::{Evaluation, MetricValue};

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Loss and metrics on the training data, measured during training.
    pub train: Evaluation,
    /// Loss and metrics on the validation data after the epoch.
    pub validation: Option<Evaluation>,
    /// The learning rate at the end, before groups and decay by layer.
    #[serde(with = "crate::train::json_float")]
    pub learning_rate: f64,
    /// Seconds it took, validation included.
    #[serde(with = "crate::train::json_float")]
    pub seconds: f64,
    /// Whether the output of all frozen layers was kept from an earlier epoch.
    pub from_cache: bool,
}

impl EpochRecord {
    /// The value of `"loss"`, `"learning_rate"` or a metric; of the validation
    /// data under `"val_loss"`, say.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name.strip_prefix("val_") {
            Some(name) => self.validation.as_ref()?.get(name),
            None if name == "learning_rate" => Some(self.learning_rate),
            None => self.train.get(name),
        }
    }

    /// The names that [`EpochRecord::get`] knows, except `"learning_rate"`.
    pub fn names(&self) -> Vec<String> {
        let of = |evaluation: &Evaluation, prefix: &str| -> Vec<String> {
            let metrics = evaluation
                .metrics
                .iter()
                .map(|MetricValue { name, .. }| name.as_str());
            let names = std::iter::once("loss").chain(metrics);
            names.map(|name| format!("{prefix}{name}")).collect()
        };
        let mut names = of(&self.train, "");
        if let Some(validation) = &self.validation {
            names.extend(of(validation, "val_"));
        }
        names
    }
}
