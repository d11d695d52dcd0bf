//! The threads that compute. They are started before the first use, because a
//! system that refuses them would end it with a panic.

use std::error::Error as _;
use std::fmt::Display;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// Starts the threads of rayon's global pool, unless they run or the caller is on
/// a thread of another pool.
///
/// # Errors
/// `Error::Unsupported` if the system refuses them. It stays so until the process
/// ends.
pub(crate) fn start() -> Result<()> {
    static REFUSED: OnceLock<Option<String>> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
        return Ok(());
    }
    let reason = REFUSED.get_or_init(|| {
        let error = rayon::ThreadPoolBuilder::new().build_global().err()?;
        // Without a source, the error is that the pool was there already.
        error.source().map(ToString::to_string)
    });
    match reason {
        Some(reason) => Err(refused(reason)),
        None => Ok(()),
    }
}

/// The error of a thread that the system refused.
pub(crate) fn refused(reason: impl Display) -> Error {
    Error::Unsupported {
        what: "start its threads",
        reason: format!(
            "{reason}; raise the limit on processes or memory, or set RAYON_NUM_THREADS to fewer \
             threads"
        ),
    }
}
