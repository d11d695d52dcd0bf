//! Locks between processes and threads, as lock files that stay.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::open::open_own;
use crate::error::{FileError, Result, io_error, shown};

/// The wait between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until nobody else holds the lock, and holds it until the answer is
/// dropped. `None` where the file system has no locks. The file is created if it
/// is missing, with its folder; its contents stay.
///
/// # Errors
/// `FileError::Locked` after the longest wait; `FileError::NotAFile`; `Error::Io`.
pub(crate) fn lock(path: &Path, longest: Duration) -> Result<Option<File>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|reason| io_error(folder, reason))?;
    }
    let file = open_own(path)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
        }
        let rest = longest.saturating_sub(begun.elapsed());
        if rest.is_zero() {
            return Err(FileError::Locked {
                file: shown(path),
                waited: longest,
            }
            .into());
        }
        thread::sleep(rest.min(PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_wait_for_a_lock_ends_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/lock");
        let held = lock(&path, Duration::ZERO).unwrap();
        let error = lock(&path, Duration::from_millis(1)).unwrap_err();
        let Error::File(FileError::Locked { file, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!(*file, path.display().to_string());
        drop(held);
        // A process that is being started holds it for a moment.
        lock(&path, Duration::from_secs(60)).unwrap();
    }

    /// Locking truncated the file, or the one that a link there leads to.
    #[test]
    fn a_lock_keeps_the_contents_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "contents").unwrap();
        lock(&path, Duration::ZERO).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"contents");
    }
}
