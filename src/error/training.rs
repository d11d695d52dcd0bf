/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// No layer that is not frozen has parameters.
    #[error("every layer with parameters is frozen, so there is nothing to train; unfreeze some")]
    NothingToTrain,
    /// The loss can't be taken of these targets and this output.
    #[error("{loss} takes {expected}, but gets {actual}")]
    Targets {
        /// The loss.
        loss: &'static str,
        /// What it takes, in words.
        expected: String,
        /// What it gets, in words.
        actual: String,
    },
    /// A target names a class that the network has no output for.
    #[error(
        "example {index} is of class {class}, but the network tells {classes} classes apart, from \
         0 on"
    )]
    ClassOutOfRange {
        /// The example's index in its data set; of [`Loss::compute`](crate::Loss::compute)
        /// its place in the batch.
        index: usize,
        /// Its class.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A setting is not legal.
    #[error("{setting} {reason}")]
    Setting {
        /// The setting, with its value.
        setting: String,
        /// The rule it breaks.
        reason: &'static str,
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
        "the gradient of \"{parameter}\" is not finite in batch {batch} of epoch {epoch}; lower \
         the learning rate, or look at the loss and the data"
    )]
    NonFiniteGradient {
        /// The parameter.
        parameter: String,
        /// The epoch, from 1.
        epoch: u64,
        /// The batch, from 1.
        batch: usize,
    },
    /// A quantity to watch that no epoch reports.
    #[error("no epoch reports \"{name}\"; there is {}", known.join(", "))]
    UnknownMetric {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A file is no checkpoint, or none of this network or training.
    #[error("{file} can't be taken up: {reason}")]
    Checkpoint {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What failed, an [`Error`](enum@crate::Error) of this crate, failed on
    /// the validation data.
    #[error("on the validation data: {0}")]
    Validation(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A callback, loss or metric of the user's failed.
    #[error("{0}")]
    User(#[source] Box<dyn std::error::Error + Send + Sync>),
}
