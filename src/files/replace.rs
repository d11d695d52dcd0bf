//! Files that appear complete or not at all.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::abandoned::{sweep, temporary_beside};
use super::open::check_kind;
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

    /// Writes all that a file has.
    #[cfg(feature = "hub")]
    pub(crate) fn copy(&mut self, mut file: &File) -> Result<()> {
        let copied = io::copy(&mut file, self.out);
        copied.map(drop).map_err(|reason| self.error(reason))
    }

    pub(crate) fn error(&self, reason: io::Error) -> Error {
        io_error(self.path, reason)
    }
}

/// Writes a temporary file in the same folder, and moves it to the path when
/// it is complete and on the disk. It gets the mode of the file that it replaces,
/// else the default mode. A symbolic link is replaced, not followed. What killed
/// writers left in the folder is removed.
///
/// # Errors
/// `Error::Io`; `FileError::NotAFile` if the path leads to a pipe or a device; the
/// errors of `write`.
pub(crate) fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut Output<'_>) -> Result<()>,
) -> Result<()> {
    make_folder(path)?;
    let replaced = check_target(path)?;
    write_replacing(path, replaced.as_ref(), write, File::sync_all)?;
    // If the folder can't be synced, a power failure may restore the old file,
    // but never loses both.
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// As [`write_atomically`], for files that belong to this crate: a power failure may
/// leave an empty or damaged one, and whatever is in its place is replaced.
///
/// # Errors
/// `Error::Io`; the errors of `write`.
#[cfg(feature = "hub")]
pub(crate) fn write_unsynced(
    path: &Path,
    write: impl FnOnce(&mut Output<'_>) -> Result<()>,
) -> Result<()> {
    make_folder(path)?;
    write_replacing(path, None, write, |_| Ok(()))
}

fn write_replacing(
    path: &Path,
    replaced: Option<&Metadata>,
    write: impl FnOnce(&mut Output<'_>) -> Result<()>,
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> Result<()> {
    sweep(folder_of(path));
    let io = |reason| io_error(path, reason);
    let (temporary, file) = create_beside(path, replaced)?;
    let fill = || {
        let mut out = BufWriter::new(&file);
        write(&mut Output::new(path, &mut out))?;
        out.flush().map_err(io)?;
        drop(out);
        sync(&file).map_err(io)
    };
    // The file is open, and so locked, until it has its name.
    moved(&temporary, path, fill())
}

/// Makes something at a temporary path by `make`, and moves it to its own, where
/// it replaces what is there. For links: they are not swept, as they take no room.
///
/// # Errors
/// `Error::Io`; the errors of `make`.
#[cfg(feature = "hub")]
pub(crate) fn make_atomically(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    make_folder(path)?;
    let temporary = temporary_beside(path).with_extension("link");
    let made = make(&temporary);
    moved(&temporary, path, made)
}

/// Moves a temporary file to its path if it was made, else removes it.
fn moved(temporary: &Path, path: &Path, made: Result<()>) -> Result<()> {
    let moved =
        made.and_then(|()| fs::rename(temporary, path).map_err(|reason| io_error(path, reason)));
    if moved.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(temporary);
    }
    moved
}

/// Checks in advance that [`write_atomically`] can write a file; makes its
/// folder.
///
/// # Errors
/// As [`write_atomically`].
pub(crate) fn check_writable(path: &Path) -> Result<()> {
    make_folder(path)?;
    check_target(path)?;
    let (temporary, _locked) = create_beside(path, None)?;
    // A remaining temporary file does no harm.
    let _ = fs::remove_file(&temporary);
    Ok(())
}

/// Refuses a path that leads to a folder, a pipe or a device. Returns what it leads
/// to.
fn check_target(path: &Path) -> Result<Option<Metadata>> {
    let Ok(found) = fs::metadata(path) else {
        return Ok(None);
    };
    check_kind(path, &found)?;
    Ok(Some(found))
}

fn make_folder(path: &Path) -> Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(|reason| io_error(folder, reason))
}

fn folder_of(path: &Path) -> &Path {
    let folder = path.parent();
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Creates and locks a temporary file in the folder of `path`.
fn create_beside(path: &Path, replaced: Option<&Metadata>) -> Result<(PathBuf, File)> {
    loop {
        let temporary = temporary_beside(path);
        let io = |reason| io_error(path, reason);
        let file = create(&temporary, replaced).map_err(io)?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {}
            // Another process can have removed it before it was locked.
            Ok(()) if !temporary.exists() => {}
            // Where nothing can be locked, nothing is taken for abandoned.
            Ok(()) | Err(fs::TryLockError::Error(_)) => return Ok((temporary, file)),
        }
    }
}

#[cfg(unix)]
fn create(temporary: &Path, replaced: Option<&Metadata>) -> io::Result<File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
    const PERMISSIONS: u32 = 0o777;
    const OF_GROUP: u32 = 0o070;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let Some(replaced) = replaced else {
        return options.open(temporary);
    };
    let mut mode = replaced.mode() & PERMISSIONS;
    let file = options.mode(mode).open(temporary)?;
    // Another group must not get the rights of the old one.
    if fchown(&file, None, Some(replaced.gid())).is_err() {
        mode &= !OF_GROUP;
    }
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

#[cfg(not(unix))]
fn create(temporary: &Path, _: Option<&Metadata>) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(temporary)
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

    #[test]
    fn the_next_write_removes_what_a_killed_writer_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        fs::write(temporary_beside(&path), b"half").unwrap();
        write_atomically(&path, |out| out.write(b"new")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    mod on_unix {
        use std::os::unix::fs::{PermissionsExt, symlink};

        use super::*;
        use crate::error::FileError;

        fn mode(path: &Path) -> u32 {
            fs::metadata(path).unwrap().permissions().mode() & 0o777
        }

        /// A file of mode 600 became one that everybody can read.
        #[test]
        fn a_replaced_file_keeps_its_mode() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model");
            for expected in [0o600, 0o640, 0o666] {
                fs::write(&path, b"old").unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(expected)).unwrap();
                write_atomically(&path, |out| {
                    let entries = fs::read_dir(folder.path()).unwrap();
                    for entry in entries {
                        assert_eq!(mode(&entry.unwrap().path()), expected);
                    }
                    out.write(b"new")
                })
                .unwrap();
                assert_eq!(mode(&path), expected);
                assert_eq!(fs::read(&path).unwrap(), b"new");
            }
        }

        #[test]
        fn a_link_is_replaced_and_what_it_leads_to_stays() {
            let folder = tempfile::tempdir().unwrap();
            let (file, link) = (folder.path().join("file"), folder.path().join("link"));
            fs::write(&file, b"old").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            symlink(&file, &link).unwrap();
            write_atomically(&link, |out| out.write(b"new")).unwrap();
            assert!(!link.is_symlink());
            assert_eq!(mode(&link), 0o600);
            assert_eq!(fs::read(&file).unwrap(), b"old");
        }

        /// A rename would put a file in their place.
        #[test]
        fn pipes_and_devices_are_not_replaced() {
            let folder = tempfile::tempdir().unwrap();
            let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            symlink("/dev/null", &link).unwrap();
            for (path, expected) in [(&pipe, "a pipe"), (&link, "a device")] {
                match write_atomically(path, |out| out.write(b"x")) {
                    Err(Error::File(FileError::NotAFile { kind, .. })) => {
                        assert_eq!(kind, expected);
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        }
    }
}
