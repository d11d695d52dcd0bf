use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use candle_core::Tensor;

use crate::error::Result;
use crate::model::Model;
use crate::train::history::{EpochRecord, Finding, History};
use crate::train::metrics::{Evaluation, Metric, Tally};

/// Whether training continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlFlow {
    /// It continues.
    Continue,
    /// It ends here and keeps what was learned so far.
    Stop,
}

/// Gets events of a training while it runs, and can stop it.
///
/// ```
/// use vgg_surgery::train::{Callback, ControlFlow, EpochEvent};
/// use vgg_surgery::Result;
///
/// /// Stops at a validation accuracy of 90 %.
/// struct GoodEnough;
///
/// impl Callback for GoodEnough {
///     fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
///         let accuracy = event.record.get("val_accuracy").unwrap_or(0.0);
///         Ok(if accuracy >= 0.9 { ControlFlow::Stop } else { ControlFlow::Continue })
///     }
/// }
/// ```
///
/// A closure is a callback too, which is called after every epoch. The type of
/// its argument has to be written:
///
/// ```
/// use vgg_surgery::train::{ControlFlow, EpochEvent};
/// # use vgg_surgery::{Dense, Graph, Trainer};
/// # let mut model = Graph::new("g", 4)?.attach(Dense::new(2).named("out"))?
/// #     .build(&candle_core::Device::Cpu)?;
///
/// let trainer = Trainer::new(&mut model).callback(|event: &mut EpochEvent<'_>| {
///     println!("{}: {:?}", event.record.epoch, event.record.get("val_loss"));
///     Ok(ControlFlow::Continue)
/// });
/// # let _ = trainer;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
///
/// Errors end the training and are returned by `fit`.
/// [`Error::other`](crate::Error::other) takes errors of other types.
pub trait Callback: Send {
    /// The name under which a history reports that this callback stopped the
    /// training ([`StopReason::Stopped`](crate::train::StopReason::Stopped)); by default
    /// the name of its type.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>();
        let path = path.split('<').next().unwrap_or(path);
        path.rsplit("::").next().unwrap_or(path).to_string()
    }

    /// Called when a `fit` begins.
    ///
    /// # Errors
    /// Any error. It keeps the `fit` from starting.
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// Called after a batch. If its loss or a gradient is not finite, the weights are
    /// unchanged, and training ends with an error unless this stops it.
    ///
    /// # Errors
    /// Any error. It ends the training.
    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<ControlFlow> {
        let _ = event;
        Ok(ControlFlow::Continue)
    }

    /// Called after an epoch and its validation.
    ///
    /// # Errors
    /// Any error. It ends the training.
    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        let _ = event;
        Ok(ControlFlow::Continue)
    }

    /// Called when the `fit` ends: after its last epoch, when it is stopped, or
    /// after an error. Only callbacks whose `on_start` succeeded are called.
    ///
    /// # Errors
    /// Any error. `fit` returns it instead of its history, unless another error
    /// ended the `fit` or an earlier callback failed here.
    fn on_end(&mut self, event: &mut EndEvent<'_>) -> Result<()> {
        let _ = event;
        Ok(())
    }

    /// The state for checkpoints. `null` without tensors means that this callback
    /// never has a state. A callback with a state returns another value even
    /// before its first epoch, because saved states are matched to callbacks by
    /// their order.
    ///
    /// # Errors
    /// Any error. It keeps the checkpoint from being written.
    fn state(&self) -> Result<CallbackState> {
        Ok(CallbackState::default())
    }

    /// Restores what [`Callback::state`] returned, when a resumed `fit` begins.
    ///
    /// # Errors
    /// Any error. `fit` returns it.
    fn restore(&mut self, state: CallbackState) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// A closure is called after every epoch.
impl<F> Callback for F
where
    F: FnMut(&mut EpochEvent<'_>) -> Result<ControlFlow> + Send,
{
    fn name(&self) -> String {
        "closure".to_string()
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        self(event)
    }
}

/// A callback's state in a checkpoint.
#[derive(Clone, Debug, Default)]
pub struct CallbackState {
    /// Everything except tensors.
    pub values: serde_json::Value,
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// The event at the start of a `fit`.
#[derive(Debug)]
#[non_exhaustive]
pub struct StartEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// Number of finished epochs.
    pub epoch: u64,
    /// Number of finished epochs at the end.
    pub epochs: u64,
    /// Batches in an epoch.
    pub batches: usize,
    /// The names of the values that every epoch will report, as in
    /// [`EpochRecord::names`].
    pub names: &'a [String],
}

/// The event after a batch.
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The batch, from 1.
    pub batch: usize,
    /// Batches in an epoch.
    pub batches: usize,
    /// The batch's mean loss.
    pub loss: f64,
    /// The mean loss of the epoch so far.
    pub mean_loss: f64,
    /// The learning rate, before groups and decay by layer.
    pub learning_rate: f64,
    pub(in crate::train) tally: &'a Tally,
    pub(in crate::train) metrics: &'a [Metric],
}

impl BatchEvent<'_> {
    /// Loss and metrics of the epoch so far.
    pub fn so_far(&self) -> Evaluation {
        self.tally.evaluation(self.metrics)
    }
}

/// The event after an epoch.
#[derive(Debug)]
#[non_exhaustive]
pub struct EpochEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// The values of the epoch.
    pub record: &'a EpochRecord,
    /// Findings that are new since the last epoch, or since `fit` began.
    pub findings: &'a [Finding],
    pub(in crate::train) checkpoints: &'a mut Vec<PathBuf>,
}

impl EpochEvent<'_> {
    /// Writes a checkpoint to this path after all callbacks got this event.
    /// `Trainer::resume` continues from it.
    pub fn save_checkpoint(&mut self, path: impl Into<PathBuf>) {
        self.checkpoints.push(path.into());
    }
}

/// The event at the end of a `fit`.
#[non_exhaustive]
pub struct EndEvent<'a> {
    /// The model.
    pub model: &'a Model,
    /// All epochs.
    pub history: &'a History,
    /// Findings that are new since the last epoch.
    pub findings: &'a [Finding],
    pub(in crate::train) restored_epoch: Option<u64>,
    pub(in crate::train) reports: Vec<Report<'a>>,
}

type Report<'a> = Box<dyn FnOnce(&History) + 'a>;

impl<'a> EndEvent<'a> {
    /// Reports that the callback gave the model the weights of this epoch:
    /// [`History::restored_epoch`].
    pub fn restored(&mut self, epoch: u64) {
        self.restored_epoch = Some(epoch);
    }

    /// Calls `report` with the final history after all callbacks got this event.
    pub fn afterwards(&mut self, report: impl FnOnce(&History) + 'a) {
        self.reports.push(Box::new(report));
    }
}

impl fmt::Debug for EndEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndEvent")
            .field("history", &self.history)
            .field("restored_epoch", &self.restored_epoch)
            .finish_non_exhaustive()
    }
}
