use std::fmt;

use serde::{Deserialize, Serialize};

use super::confusion::ConfusionMatrix;

/// Loss and metrics over a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// The mean loss.
    #[serde(with = "crate::train::json_float")]
    pub loss: f64,
    /// Names and values of the metrics, in the order requested.
    pub metrics: Vec<MetricValue>,
    /// The predicted classes of each class, if
    /// [`Metric::Confusion`](super::Metric::Confusion) was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confusion: Option<ConfusionMatrix>,
}

/// One metric's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MetricValue {
    /// The metric.
    pub name: String,
    /// Its value.
    #[serde(with = "crate::train::json_float")]
    pub value: f64,
}

impl Evaluation {
    /// The value of a metric, or of `"loss"`.
    pub fn get(&self, name: &str) -> Option<f64> {
        if name == "loss" {
            return Some(self.loss);
        }
        let found = self.metrics.iter().find(|metric| metric.name == name);
        found.map(|metric| metric.value)
    }

    /// The fraction of examples whose class got the highest score, if
    /// [`Metric::Accuracy`](super::Metric::Accuracy) was requested.
    pub fn accuracy(&self) -> Option<f64> {
        self.get("accuracy")
    }
}

impl fmt::Display for Evaluation {
    /// Loss and metrics in a line, and the confusion matrix below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.4}", self.loss)?;
        for MetricValue { name, value } in &self.metrics {
            write!(f, ", {name} {value:.4}")?;
        }
        match &self.confusion {
            Some(confusion) => write!(f, "\n{confusion}"),
            None => Ok(()),
        }
    }
}
