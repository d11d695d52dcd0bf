//! Files that appear complete or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result, io_error};

/// Bytes that are being written; its errors name the file.
pub(crate) struct Output<'a> {
    path: &'a Path,
    out: &'a mut dyn Write,
}

impl<'a> Output<'a> {
    pub(crate) fn new(path: &'a Path, out: &'a mut dyn Write) -> Self {
        Self { path, out }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.out.write_all(bytes);
        written.map_err(|reason| self.error(reason))
    }

    pub(crate) fn error(&self, reason: io::Error) -> Error {
        io_error(self.path, reason)
    }
}

/// Writes a temporary file in the same folder, and moves it to the path when
/// it is complete and on the disk. It gets the default mode of new files.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut Output<'_>) -> Result<()>,
) -> Result<()> {
    replace(path, |temporary| {
        let io = |reason| io_error(path, reason);
        let mut file = BufWriter::new(File::create_new(temporary).map_err(io)?);
        write(&mut Output::new(path, &mut file))?;
        let file = file.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)
    })?;
    // If the folder can't be synced, a power failure may restore the old file,
    // but never loses both.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Makes a file at a temporary path and moves it to its own; on an error the
/// temporary file is removed.
pub(super) fn replace(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let temporary = temporary_beside(path)?;
    let replaced = make(&temporary)
        .and_then(|()| fs::rename(&temporary, path).map_err(|source| io_error(path, source)));
    if replaced.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

/// Checks in advance that [`write_atomically`] can write a file; makes its
/// folder.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    let temporary = temporary_beside(path)?;
    File::create_new(&temporary).map_err(|source| io_error(path, source))?;
    // A remaining temporary file does no harm.
    let _ = fs::remove_file(&temporary);
    match path.is_dir() {
        true => Err(io_error(path, io::ErrorKind::IsADirectory.into())),
        false => Ok(()),
    }
}

/// An unused path in the folder of `path`; makes the folder.
fn temporary_beside(path: &Path) -> Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
    }
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let time = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_nanos());
    Ok(path.with_file_name(format!(".{}-{time}-{count}.tmp", process::id())))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, b"old").unwrap();
        let error = write_atomically(&path, |out| {
            out.write(b"new")?;
            Err(io_error(&path, io::ErrorKind::StorageFull.into()))
        });
        let Err(Error::Io {
            path: named,
            reason,
        }) = error
        else {
            panic!("{error:?}");
        };
        assert_eq!(
            (named, reason.kind()),
            (path.clone(), io::ErrorKind::StorageFull)
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
