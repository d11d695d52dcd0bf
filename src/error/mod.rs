//! What can go wrong, as one type. In come names, shapes and reasons of what was
//! found; out come messages that say what to do, and `Result`, which every other
//! room returns.

mod data;
mod explain;
mod file;
mod healing;
mod image;
mod kinds;
mod setting;
mod training;
mod words;

use std::io;
use std::path::Path;

pub use data::{DataError, UnreadableFile};
pub use explain::ExplainError;
pub use file::FileError;
pub use healing::HealingError;
pub use image::ImageError;
pub use kinds::Error;
pub use training::TrainingError;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the system says of a file.
pub(crate) fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io {
        path: path.to_path_buf(),
        source,
    }
}

impl Error {
    /// The layer this error is about, if it is about one.
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
                explain::ExplainError::NoMap { layer, .. }
                | explain::ExplainError::ChannelOutOfRange { layer, .. },
            ) => Some(layer),
            Self::Training(TrainingError::Validation(error)) => {
                error.downcast_ref().and_then(Self::layer)
            }
            Self::File(error) => error.layer(),
            Self::Healing(healing) => healing.layer(),
            _ => None,
        }
    }
}
