use std::io::{self, Write};

use crate::error::Result;
use crate::train::history::{EpochRecord, Finding};

use super::callback::{Callback, ControlFlow, EndEvent, EpochEvent, StartEvent};

/// Prints a line to standard output after every epoch, as Keras does, and each
/// finding when it first appears. At the end it prints which callback stopped the
/// training and which epoch's weights were restored.
///
/// ```
/// # use candle_core::{Device, Tensor};
/// # use vgg_surgery::{Dense, Head, TensorDataset, Trainer, Vgg16};
/// use vgg_surgery::PrintLog;
///
/// # let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block1_pool")?
/// #     .attach(Head::new().global_avg_pool2d("pool").dense("out", Dense::new(2).softmax()))?;
/// # let mut model = graph.build(&Device::Cpu)?;
/// # let data = TensorDataset::new(Tensor::zeros((2, 3, 16, 16), candle_core::DType::F32, &Device::Cpu)?, [0, 1])?;
/// let mut trainer = Trainer::new(&mut model).epochs(2).callback(PrintLog::new());
/// trainer.fit(&data, &data)?; // epoch 1/2: loss 0.6931, accuracy 0.5000, .. (0.1 s)
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct PrintLog {
    epochs: u64,
}

impl PrintLog {
    /// A log of all that an epoch reports.
    pub fn new() -> Self {
        Self::default()
    }

    fn line(&self, record: &EpochRecord) -> String {
        let values = record.names().into_iter().filter_map(|name| {
            let value = record.get(&name)?;
            Some(format!("{name} {value:.4}"))
        });
        let values: Vec<String> = values.collect();
        let (epoch, epochs, seconds) = (record.epoch, self.epochs, record.seconds);
        format!(
            "epoch {epoch}/{epochs}: {} ({seconds:.1} s)",
            values.join(", ")
        )
    }
}

impl Callback for PrintLog {
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        self.epochs = event.epochs;
        Ok(())
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        print(self.line(event.record));
        event.findings.iter().map(Finding::as_line).for_each(print);
        Ok(ControlFlow::Continue)
    }

    fn on_end(&mut self, event: &mut EndEvent<'_>) -> Result<()> {
        event.findings.iter().map(Finding::as_line).for_each(print);
        event.afterwards(|history| history.outcome().into_iter().for_each(print));
        Ok(())
    }
}

/// A closed output must not end the training.
fn print(line: String) {
    let _ = writeln!(io::stdout(), "{line}");
}
