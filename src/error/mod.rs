//! The crate's errors, as one type. In come names, shapes and reasons. Out come
//! messages that say what was found and what to do, and the `Result` of every other
//! room.

mod acceleration;
mod data;
mod debug;
mod explain;
mod file;
mod healing;
mod hint;
mod holdings;
mod image;
mod kinds;
mod training;
mod words;

use std::fmt::Display;
use std::io;
use std::path::Path;

pub use acceleration::AccelerationError;
pub use data::{DataError, UnreadableFile};
pub use explain::ExplainError;
pub use file::FileError;
pub use healing::HealingError;
pub use hint::WeightHint;
pub use holdings::Holdings;
pub use image::ImageError;
pub use kinds::Error;
pub use training::TrainingError;
pub(crate) use words::{printable, shown};

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn io_error(path: &Path, reason: io::Error) -> Error {
    Error::Io {
        path: path.to_path_buf(),
        reason,
    }
}

/// Refuses a setting that is not legal.
pub(crate) fn require(is_legal: bool, setting: impl Display, reason: &'static str) -> Result<()> {
    if is_legal {
        return Ok(());
    }
    Err(Error::setting(setting.to_string(), reason))
}

impl Error {
    /// Wraps an error of custom code that this crate calls: a data set, callback,
    /// loss or metric. It becomes a [`TrainingError::User`].
    ///
    /// ```
    /// use vgg_surgery::Error;
    ///
    /// let number: Result<usize, Error> = "seven".parse().map_err(Error::other);
    /// assert_eq!(number.unwrap_err().to_string(), "invalid digit found in string");
    /// assert_eq!(Error::other("no such mask").to_string(), "no such mask");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        TrainingError::User(error.into()).into()
    }

    pub(crate) fn setting(setting: impl Into<String>, reason: &'static str) -> Self {
        let setting = setting.into();
        Self::InvalidSetting { setting, reason }
    }

    pub(crate) fn at_least_one(name: &str, value: usize) -> Result<()> {
        require(value > 0, format_args!("{name} 0"), "must be at least 1")
    }

    /// The layer that this error is about, if there is one.
    pub fn layer(&self) -> Option<&str> {
        match self {
            Self::UnknownLayer { name, .. }
            | Self::AmbiguousName { name, .. }
            | Self::DuplicateName { name }
            | Self::InvalidName { name, .. } => Some(name),
            Self::WrongKind { layer, .. }
            | Self::IllegalEdit { layer, .. }
            | Self::InvalidLayer { layer, .. }
            | Self::InputCount { layer, .. }
            | Self::ShapeMismatch { layer, .. }
            | Self::UnknownSize { layer, .. }
            | Self::InputTooSmall { layer, .. }
            | Self::DetachedParameter { layer, .. }
            | Self::Layer { layer, .. } => Some(layer),
            Self::Explain(
                ExplainError::NoMap { layer, .. } | ExplainError::ChannelOutOfRange { layer, .. },
            ) => Some(layer),
            Self::Training(TrainingError::Validation(error)) => {
                error.downcast_ref().and_then(Self::layer)
            }
            Self::File(error) => error.layer(),
            Self::Healing(error) => Some(error.layer()),
            _ => None,
        }
    }
}
