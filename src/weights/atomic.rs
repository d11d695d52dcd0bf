//! Files that are seen either whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Result, io_error};

/// Writes a file beside its place, and puts it there when it is complete and
/// on the disk. It gets the mode that any new file gets.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    replace(path, |temporary| {
        let io = |source| io_error(path, source);
        let mut file = BufWriter::new(File::create_new(temporary).map_err(io)?);
        write(&mut file)?;
        let file = file.into_inner().map_err(|error| io(error.into_error()))?;
        file.sync_all().map_err(io)
    })?;
    // Where a folder can't be opened or synced, the name may be lost with the
    // power, but never the old file and the new one both.
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Moves what is made at another path to its place, or leaves nothing behind.
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

/// Tells before there is anything to write whether [`write_atomically`] can
/// put a file there; its folder is made.
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    let temporary = temporary_beside(path)?;
    File::create_new(&temporary).map_err(|source| io_error(path, source))?;
    // A file left behind does no harm.
    let _ = fs::remove_file(&temporary);
    match path.is_dir() {
        true => Err(io_error(path, io::ErrorKind::IsADirectory.into())),
        false => Ok(()),
    }
}

/// A path that nobody uses, in the folder of `path`, which is made.
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
    use crate::error::Error;

    #[test]
    fn a_full_disk_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(&path, b"old").unwrap();
        let error = write_atomically(&path, |out| {
            out.write_all(b"new")
                .map_err(|error| io_error(&path, error))?;
            Err(io_error(&path, io::ErrorKind::StorageFull.into()))
        });
        let Err(Error::Io { path: told, source }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(
            (told, source.kind()),
            (path.clone(), io::ErrorKind::StorageFull)
        );
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
