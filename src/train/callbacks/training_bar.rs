use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::Result;
use crate::train::history::EpochRecord;
use crate::train::metrics::Evaluation;

use super::callback::{BatchEvent, Callback, ControlFlow, EndEvent, EpochEvent, StartEvent};

/// A progress bar on standard error for each epoch, with the batches, the time
/// left, the loss and the metrics so far. After the epoch, one line remains.
/// Needs the feature `progress`.
///
/// ```
/// use vgg_surgery::train::TrainingBar;
/// use vgg_surgery::{Dense, Graph, Trainer};
///
/// # let graph = Graph::new("g", 4)?.attach(Dense::new(2).named("out"))?;
/// # let mut model = graph.build(&candle_core::Device::Cpu)?;
/// let trainer = Trainer::new(&mut model).callback(TrainingBar::new());
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct TrainingBar {
    bar: Option<ProgressBar>,
    epochs: u64,
}

impl TrainingBar {
    /// A bar that appears with the first batch.
    pub fn new() -> Self {
        Self::default()
    }

    fn bar(&mut self, batches: usize) -> &ProgressBar {
        self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(batches as u64);
            let template = "{prefix} [{bar:24}] {pos}/{len} {eta} {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        })
    }
}

/// "loss 0.1234  accuracy 0.9000".
fn describe(evaluation: &Evaluation, prefix: &str) -> String {
    let metrics = evaluation.metrics.iter();
    let metrics = metrics.map(|metric| format!("  {prefix}{} {:.4}", metric.name, metric.value));
    format!(
        "{prefix}loss {:.4}{}",
        evaluation.loss,
        metrics.collect::<String>()
    )
}

fn line(record: &EpochRecord, epochs: u64) -> String {
    let validation = record.validation.as_ref();
    let validation = validation.map_or(String::new(), |own| format!("  {}", describe(own, "val_")));
    format!(
        "epoch {}/{epochs}  {:.1} s  {}{validation}",
        record.epoch,
        record.seconds,
        describe(&record.train, "")
    )
}

impl Callback for TrainingBar {
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        self.epochs = event.epochs;
        Ok(())
    }

    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<ControlFlow> {
        let prefix = format!("epoch {}/{}", event.epoch, self.epochs);
        let bar = self.bar(event.batches);
        bar.set_prefix(prefix);
        bar.set_message(describe(&event.so_far(), ""));
        bar.set_position(event.batch as u64);
        Ok(ControlFlow::Continue)
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        let line = line(event.record, self.epochs);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            // Without a terminal the bar itself prints nothing.
            let _ = bar.suspend(|| writeln!(std::io::stderr(), "{line}"));
        }
        Ok(ControlFlow::Continue)
    }

    fn on_end(&mut self, _event: &mut EndEvent<'_>) -> Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::metrics::MetricValue;

    #[test]
    fn the_line_of_an_epoch_reports_everything() {
        let evaluation = |loss| Evaluation {
            loss,
            metrics: vec![MetricValue {
                name: "accuracy".to_string(),
                value: 0.5,
            }],
            confusion: None,
            label_confusions: Vec::new(),
        };
        let record = EpochRecord {
            epoch: 2,
            train: evaluation(0.25),
            validation: Some(evaluation(0.75)),
            learning_rate: 0.1,
            seconds: 3.125,
            from_cache: false,
        };
        assert_eq!(
            line(&record, 9),
            "epoch 2/9  3.1 s  loss 0.2500  accuracy 0.5000  val_loss 0.7500  val_accuracy 0.5000"
        );
    }
}
