use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, TrainingError};

/// A possible problem that the user should look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Every layer with parameters is frozen; `fit` refuses.
    NothingToTrain,
    /// `fit` refuses the settings, or the first example with its loss and
    /// metrics.
    Refused {
        /// The reason, in words.
        reason: String,
    },
    /// An example's class is beyond the network's outputs; `fit` refuses.
    ClassOutOfRange {
        /// The example.
        index: usize,
        /// Its class.
        class: usize,
        /// Number of classes that the network distinguishes.
        classes: usize,
    },
    /// The network has more outputs than the data have classes.
    SpareOutputs {
        /// Classes in the data.
        data: usize,
        /// Outputs of the network.
        network: usize,
    },
    /// A class has another name in the validation data, or no name in one of the
    /// sets.
    OtherClasses {
        /// The class.
        class: usize,
        /// Its name in the training data.
        train: Option<String>,
        /// Its name in the validation data.
        validation: Option<String>,
    },
    /// A loss that takes logits gets probabilities.
    ProbabilitiesForLogits {
        /// The layer they come from.
        layer: String,
    },
    /// The cross-entropy of a softmax gets the output of a sigmoid, which is for the
    /// binary cross-entropy.
    SigmoidUnderCrossEntropy {
        /// The layer with the sigmoid.
        layer: String,
    },
    /// A loss that takes logits gets the output of another activation.
    ActivationOnLogits {
        /// The layer.
        layer: String,
        /// Its activation.
        activation: String,
    },
    /// A batch norm learns while layers around it are frozen. Their inputs are
    /// then no longer what they were trained on.
    NormAmongFrozen {
        /// The batch norm.
        layer: String,
    },
    /// The data are images, but no preprocessing is known.
    NoPreprocessing,
    /// Images are not preprocessed as the weights need it.
    OtherPreprocessing {
        /// What the weights need.
        expected: String,
        /// What is done.
        actual: String,
    },
    /// Tensors lie outside the range of the weights' preprocessing.
    InputRange {
        /// Smallest and largest value of the preprocessing.
        expected: (f32, f32),
        /// Smallest and largest value of the first example.
        actual: (f32, f32),
    },
    /// The loss is still no better than guessing.
    LossOfChance {
        /// The loss of the last epoch.
        loss: f64,
        /// The logarithm of the number of classes.
        chance: f64,
    },
    /// The loss became far larger than at the start of the `fit` and than guessing.
    LossDiverged {
        /// The first epoch with such a loss.
        epoch: u64,
        /// The loss of this epoch.
        loss: f64,
        /// The loss that it should not exceed: that of guessing, or that of the
        /// first batch or of the best epoch so far if it is larger.
        expected: f64,
        /// The learning rate of this epoch.
        learning_rate: f64,
    },
    /// The loss does not read a further output of the network: layers that only
    /// this output depends on are not trained.
    OutputNotSeen {
        /// The output.
        layer: String,
        /// The first output, which the loss reads; empty in histories of before it was
        /// reported.
        #[serde(default)]
        first: String,
    },
    /// A layer reads the class scores of a classifier: most likely, the classifier
    /// was not cut off before a head was attached.
    ReadsScores {
        /// The layer.
        layer: String,
        /// The layer that the scores come from.
        classifier: String,
    },
    /// The loss of the validation data is NaN or infinite.
    ValidationNotFinite {
        /// The first epoch with such a loss.
        epoch: u64,
    },
    /// The output of frozen layers is computed again in every epoch.
    FeaturesNotKept {
        /// The layer whose output could have been kept.
        layer: String,
        /// Why it is not.
        reason: String,
    },
}

fn quoted(name: Option<&str>) -> String {
    name.map_or("without a name".to_string(), |name| format!("\"{name}\""))
}

impl Finding {
    pub(in crate::train) fn class_error(&self) -> Option<Error> {
        match *self {
            Self::ClassOutOfRange {
                index,
                class,
                classes,
            } => Some(Error::ClassOutOfRange {
                example: Some(index),
                class,
                classes,
            }),
            _ => None,
        }
    }

    /// The finding as a line of a report.
    pub(in crate::train) fn as_line(&self) -> String {
        format!("look at this: {self}")
    }

    fn fmt_of_layers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = self.class_error() {
            return write!(f, "{error}");
        }
        match self {
            Self::SpareOutputs { data, network } => write!(
                f,
                "the network has {network} outputs, but the data have only {data} classes"
            ),
            Self::OtherClasses {
                class,
                train,
                validation,
            } => {
                let (train, validation) = (quoted(train.as_deref()), quoted(validation.as_deref()));
                write!(
                    f,
                    "class {class} is {train} in the training data, but {validation} in the \
                     validation data"
                )
            }
            Self::ReadsScores { layer, classifier } => write!(
                f,
                "\"{layer}\" reads the class scores of \"{classifier}\"; use truncate(..) or \
                 without_top() before attach(..)"
            ),
            Self::OutputNotSeen { layer, first } => {
                let first = match first.as_str() {
                    "" => String::new(),
                    first => format!(", \"{first}\""),
                };
                write!(
                    f,
                    "the loss reads only the first output{first}; layers that only \"{layer}\" \
                     depends on are not trained; with_outputs([\"{layer}\", ..]) makes it the first"
                )
            }
            _ => Ok(()),
        }
    }

    fn fmt_of_losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LossOfChance { loss, chance } => write!(
                f,
                "the loss {loss:.4} is no better than guessing ({chance:.4}); look at labels, learning \
                 rate and preprocessing"
            ),
            Self::LossDiverged {
                epoch,
                loss,
                expected,
                learning_rate,
            } => write!(
                f,
                "the loss diverged to {loss:.3e} in epoch {epoch}, where at most {expected:.4} was \
                 expected; lower the learning rate from {learning_rate} to {:.0e} or less \
                 (Trainer::find_learning_rate suggests one), or clip gradients (Trainer::clip)",
                learning_rate / 10.0
            ),
            Self::ValidationNotFinite { epoch } => write!(
                f,
                "the validation loss is not finite after epoch {epoch}; look at the weights \
                 (Model::non_finite) and the data, or lower the learning rate"
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToTrain => write!(f, "{}", TrainingError::NothingToTrain),
            Self::Refused { reason } => f.write_str(reason),
            Self::ClassOutOfRange { .. }
            | Self::SpareOutputs { .. }
            | Self::OtherClasses { .. }
            | Self::OutputNotSeen { .. }
            | Self::ReadsScores { .. } => self.fmt_of_layers(f),
            Self::ProbabilitiesForLogits { layer } => write!(
                f,
                "the loss takes logits, but \"{layer}\" ends in a softmax or logistic function; \
                 leave one of them out"
            ),
            Self::SigmoidUnderCrossEntropy { layer } => write!(
                f,
                "\"{layer}\" ends in a sigmoid, but the loss is the cross-entropy of a softmax; set \
                 Trainer::loss(Loss::binary_cross_entropy()), or end in a softmax for one class of \
                 several"
            ),
            Self::ActivationOnLogits { layer, activation } => write!(
                f,
                "the loss takes logits, but \"{layer}\" applies {activation} to them; leave that \
                 out"
            ),
            Self::NormAmongFrozen { layer } => write!(
                f,
                "the batch norm \"{layer}\" learns while layers around it are frozen; freeze it too"
            ),
            Self::NoPreprocessing => write!(
                f,
                "the data are images, but the weights have no preprocessing; set it with \
                 Graph::with_preprocessing or Trainer::preprocessing"
            ),
            Self::OtherPreprocessing { expected, actual } => write!(
                f,
                "the weights need {expected}, but images are prepared with {actual}"
            ),
            Self::InputRange { expected, actual } => write!(
                f,
                "the weights' preprocessing returns values from {} to {}, but the data are from {} \
                 to {}; prepare them as the weights need it",
                expected.0, expected.1, actual.0, actual.1
            ),
            Self::LossOfChance { .. }
            | Self::LossDiverged { .. }
            | Self::ValidationNotFinite { .. } => self.fmt_of_losses(f),
            Self::FeaturesNotKept { layer, reason } => write!(
                f,
                "the output of \"{layer}\" is computed again in every epoch: {reason}"
            ),
        }
    }
}
