use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;

use crate::data::Targets;
use crate::error::{Result, require};

/// Names with another meaning in a history or in the header of its table.
const RESERVED: [&str; 5] = ["loss", "learning_rate", "epoch", "seconds", "from_cache"];

type Closure = dyn Fn(&Tensor, &Targets) -> Result<f64> + Send + Sync;

/// A quantity that is measured besides the loss, in training and validation.
///
/// Metrics of classes take scores `(N, K)` and predict the class with the
/// highest score. A single score predicts class 1 above its threshold, a
/// probability of 0.5 by default ([`Trainer::threshold`](crate::Trainer::threshold)).
/// For mixed targets, the class with the largest fraction is taken as the actual
/// one.
///
/// Under binary cross-entropy with values as targets of several outputs, each
/// output is a label: an example has it if the target is above 0.5, and it is
/// predicted above the threshold. The values then equal scikit-learn's, with
/// 0 for a division by 0.
#[derive(Clone)]
#[non_exhaustive]
pub enum Metric {
    /// The fraction of examples whose class got the highest score; for labels, the
    /// fraction of all labels that are predicted right (Keras' `BinaryAccuracy`).
    Accuracy,
    /// The fraction of examples whose labels are all predicted right
    /// (scikit-learn's `accuracy_score`); for one class as [`Metric::Accuracy`].
    ExactMatch,
    /// The fraction of examples whose class is among this many highest scores.
    /// Several labels are refused.
    TopAccuracy(usize),
    /// The fraction of a class's predictions that are right, as the mean over
    /// the classes or labels; for a single score, the fraction for class 1. A class
    /// that was never predicted counts as 0.
    Precision,
    /// The fraction of a class's examples that were predicted right, as the mean
    /// over the classes or labels; for a single score, the fraction for class 1.
    Recall,
    /// The harmonic mean of precision and recall, as the mean over the classes or
    /// labels; for a single score, the value for class 1.
    F1,
    /// As [`Metric::Precision`], over the predictions of all labels together; for
    /// several classes as [`Metric::Accuracy`].
    MicroPrecision,
    /// As [`Metric::Recall`], over all labels of all examples together; for several
    /// classes as [`Metric::Accuracy`].
    MicroRecall,
    /// The harmonic mean of micro precision and micro recall.
    MicroF1,
    /// The counts of predicted classes for each class, in
    /// [`Evaluation::confusion`](super::Evaluation::confusion); for labels a matrix
    /// for each, in
    /// [`Evaluation::label_confusions`](super::Evaluation::label_confusions), with
    /// its precision, recall and F1.
    Confusion,
    /// A custom metric; see [`Metric::custom`].
    Custom(CustomMetric),
}

/// A custom metric, by name.
#[derive(Clone)]
pub struct CustomMetric {
    name: String,
    pub(super) measure: Arc<Closure>,
}

impl fmt::Debug for CustomMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomMetric").field(&self.name).finish()
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl Metric {
    /// A custom metric: a function of the scores and targets of a batch that
    /// returns the batch's mean. The scores are what the loss reads: logits for
    /// the cross-entropies.
    pub fn custom(
        name: impl Into<String>,
        measure: impl Fn(&Tensor, &Targets) -> Result<f64> + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(CustomMetric {
            name: name.into(),
            measure: Arc::new(measure),
        })
    }

    /// The name in reports: `"accuracy"`, `"top5_accuracy"`.
    pub fn name(&self) -> String {
        match self {
            Self::Accuracy => "accuracy".to_string(),
            Self::ExactMatch => "exact_match".to_string(),
            Self::MicroPrecision => "micro_precision".to_string(),
            Self::MicroRecall => "micro_recall".to_string(),
            Self::MicroF1 => "micro_f1".to_string(),
            Self::TopAccuracy(count) => format!("top{count}_accuracy"),
            Self::Precision => "precision".to_string(),
            Self::Recall => "recall".to_string(),
            Self::F1 => "f1".to_string(),
            Self::Confusion => "confusion".to_string(),
            Self::Custom(custom) => custom.name.clone(),
        }
    }

    pub(super) fn needs_confusion(&self) -> bool {
        matches!(
            self,
            Self::Precision
                | Self::Recall
                | Self::F1
                | Self::MicroPrecision
                | Self::MicroRecall
                | Self::MicroF1
                | Self::Confusion
        )
    }
}

/// Refuses metrics whose names can't be reported.
pub(in crate::train) fn check_metrics(metrics: &[Metric]) -> Result<()> {
    let mut names: Vec<String> = Vec::new();
    for metric in metrics {
        let name = metric.name();
        let is_separator = |c: char| c == ',' || c == '"' || c.is_control();
        let is_reserved = RESERVED.contains(&name.as_str()) || name.starts_with("val_");
        let broken = match metric {
            Metric::TopAccuracy(0) => Some("is always 0; take at least 1 class"),
            _ if name.is_empty() => Some("has no name to be reported under"),
            _ if name.contains(is_separator) => Some("has a comma, quote or line end in its name"),
            _ if is_reserved => Some("has the name of something else that is reported; rename it"),
            _ if names.contains(&name) => Some("is there twice; leave one out or rename it"),
            _ => None,
        };
        let setting = format_args!("the metric {name:?}");
        require(broken.is_none(), setting, broken.unwrap_or_default())?;
        names.push(name);
    }
    Ok(())
}
