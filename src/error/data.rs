/// What can be wrong with the examples that a network learns from.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A data set without examples.
    #[error("the data set is empty; give it at least one example")]
    Empty,
    /// An index beyond the examples there are.
    #[error("example {index} was asked for, but the data set has {len}")]
    IndexOutOfRange {
        /// The index.
        index: usize,
        /// Number of examples.
        len: usize,
    },
    /// Inputs and targets that are not one for each example.
    #[error("{inputs} inputs can't have {targets} {what}; give one for each")]
    Count {
        /// Number of inputs.
        inputs: usize,
        /// What differs in number.
        what: &'static str,
        /// How many there are of it.
        targets: usize,
    },
    /// A class that the data set has no label for.
    #[error("example {index} is of class {class}, but there are {classes} classes, from 0 on")]
    ClassOutOfRange {
        /// The example.
        index: usize,
        /// Its class.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// An example's tensor has another shape than the first of its batch.
    #[error("the {what} of example {index} is {actual:?}, but the batch's first is {expected:?}")]
    Shapes {
        /// The example.
        index: usize,
        /// "input" or "target".
        what: &'static str,
        /// Shape of the batch's first.
        expected: Vec<usize>,
        /// Shape of this one.
        actual: Vec<usize>,
    },
    /// The examples of one batch have targets of several kinds.
    #[error("the target of example {index} is {actual}, but the batch's first is {expected}")]
    MixedTargets {
        /// The example.
        index: usize,
        /// What the batch's first is, in words.
        expected: &'static str,
        /// What this one is, in words.
        actual: &'static str,
    },
    /// A value that is NaN or infinite.
    #[error("the {what} of example {index} holds a value that is NaN or infinite")]
    NonFinite {
        /// The example.
        index: usize,
        /// "input", "target" or "weight".
        what: &'static str,
    },
    /// A setting that is not legal.
    #[error("{setting} {reason}")]
    InvalidSetting {
        /// The setting, with its value.
        setting: String,
        /// The rule it breaks.
        reason: &'static str,
    },
}
