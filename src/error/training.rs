/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// All layers with parameters are frozen.
    #[error("every layer with parameters is frozen, so there is nothing to train; unfreeze some")]
    NothingToTrain,
    /// The loss depends on no trainable parameter of the model.
    #[error(
        "the loss depends on no trainable parameter of this model; compute it from the output of \
         this model's forward_training"
    )]
    NoGradient,
    /// The loss can't be computed from these targets and this output.
    #[error("{loss} takes {expected}, but gets {actual}")]
    Targets {
        /// The loss.
        loss: &'static str,
        /// What it takes, in words.
        expected: String,
        /// What it gets, in words.
        actual: String,
    },
    /// The loss became NaN or infinite. The weights are as they were before
    /// that batch.
    #[error(
        "the loss became {loss} in batch {batch} of epoch {epoch}; lower the learning rate, clip \
         gradients, or look at the data"
    )]
    NonFiniteLoss {
        /// The loss.
        loss: f64,
        /// The epoch, from 1.
        epoch: u64,
        /// The batch, from 1.
        batch: usize,
    },
    /// The loss's gradient became NaN or infinite while the loss did not. The
    /// weights are as they were before that batch.
    #[error(
        "the gradient of \"{parameter}\" is not finite{}; lower the learning rate, or look at the \
         loss and the data", place(*epoch, *batch)
    )]
    NonFiniteGradient {
        /// The parameter.
        parameter: String,
        /// The epoch, from 1; `None` in a custom training loop.
        epoch: Option<u64>,
        /// The batch, from 1; `None` in a custom training loop.
        batch: Option<usize>,
    },
    /// A step would make a parameter, or the optimizer's state of it, NaN or
    /// infinite. Weights and state are as they were before that batch.
    #[error(
        "a step would make \"{parameter}\" NaN or infinite{}; lower the learning rate or the \
         schedule's factor", place(*epoch, *batch)
    )]
    NonFiniteStep {
        /// The parameter.
        parameter: String,
        /// The epoch, from 1; `None` in a custom training loop.
        epoch: Option<u64>,
        /// The batch, from 1; `None` in a custom training loop.
        batch: Option<usize>,
    },
    /// No epoch reports the quantity to watch.
    #[error("no epoch reports \"{name}\"; {}", remedy(name, known))]
    UnknownMetric {
        /// The name requested.
        name: String,
        /// The names that epochs report.
        known: Vec<String>,
    },
    /// A file is not a checkpoint, or belongs to another network or training.
    #[error("can't continue from {file}: {reason}")]
    Checkpoint {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An [`Error`](enum@crate::Error) of this crate that the validation data
    /// caused.
    #[error("on the validation data: {0}")]
    Validation(Box<dyn std::error::Error + Send + Sync>),
    /// The error of a custom data set, callback, loss or metric; see
    /// [`Error::other`](crate::Error::other).
    #[error(transparent)]
    User(Box<dyn std::error::Error + Send + Sync>),
}

impl TrainingError {
    /// Whether a gradient or a step was not finite.
    pub(crate) fn is_of_a_step(&self) -> bool {
        matches!(
            self,
            Self::NonFiniteGradient { .. } | Self::NonFiniteStep { .. }
        )
    }

    /// Names the epoch and the batch in which a step failed.
    pub(crate) fn placed(mut self, in_epoch: u64, in_batch: usize) -> Self {
        if let Self::NonFiniteGradient { epoch, batch, .. }
        | Self::NonFiniteStep { epoch, batch, .. } = &mut self
        {
            (*epoch, *batch) = (Some(in_epoch), Some(in_batch));
        }
        self
    }
}

fn place(epoch: Option<u64>, batch: Option<usize>) -> String {
    match (epoch, batch) {
        (Some(epoch), Some(batch)) => format!(" in batch {batch} of epoch {epoch}"),
        _ => String::new(),
    }
}

fn remedy(name: &str, known: &[String]) -> String {
    let own = name.strip_prefix("val_");
    let validates = known.iter().any(|known| known.starts_with("val_"));
    match own {
        Some(own) if !validates => {
            let own = known.iter().find(|known| *known == own);
            let own = own.map_or("loss", String::as_str);
            format!("there are no validation data: give them to Trainer::fit, or monitor \"{own}\"")
        }
        _ => format!("there is {}", known.join(", ")),
    }
}
