//! Opening regular files only: reading a pipe waits for a writer, and a device
//! may have no end.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::error::{FileError, Result, io_error, shown};

/// Opens a regular file for reading. Symbolic links are followed.
///
/// # Errors
/// `Error::Io`; `FileError::NotAFile` for a pipe, a socket or a device.
pub(crate) fn open(path: &Path) -> Result<File> {
    let io = |reason| io_error(path, reason);
    // Before it is opened, because opening a pipe or a device can have effects.
    check_kind(path, &fs::metadata(path).map_err(io)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    set_flags(&mut options, NO_WAIT);
    let file = options.open(path).map_err(io)?;
    check_kind(path, &file.metadata().map_err(io)?)?;
    Ok(file)
}

/// The bytes of a regular file.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.read_to_end(&mut bytes);
    read.map_err(|reason| io_error(path, reason))?;
    Ok(bytes)
}

/// Opens a file that belongs to this crate for reading and writing, and creates
/// it if it is missing. A symbolic link in its place is refused: it would lead
/// what is written elsewhere.
///
/// # Errors
/// `Error::Io`; `FileError::NotAFile`.
#[cfg(feature = "hub")]
pub(crate) fn open_own(path: &Path) -> Result<File> {
    let io = |reason| io_error(path, reason);
    if let Ok(found) = fs::symlink_metadata(path) {
        check_kind(path, &found)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    set_flags(&mut options, NO_WAIT | NO_LINK);
    let file = options.open(path).map_err(io)?;
    check_kind(path, &file.metadata().map_err(io)?)?;
    Ok(file)
}

/// Refuses what is not a regular file; a folder is an `Error::Io`.
pub(super) fn check_kind(path: &Path, found: &Metadata) -> Result<()> {
    if found.is_file() {
        return Ok(());
    }
    if found.is_dir() {
        return Err(io_error(path, io::ErrorKind::IsADirectory.into()));
    }
    let file = shown(path);
    let kind = kind(found.file_type());
    Err(FileError::NotAFile { file, kind }.into())
}

#[cfg(unix)]
fn kind(found: fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if found.is_symlink() {
        "a symbolic link"
    } else if found.is_fifo() {
        "a pipe"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind(found: fs::FileType) -> &'static str {
    match found.is_symlink() {
        true => "a symbolic link",
        false => "a device",
    }
}

#[cfg(unix)]
const NO_WAIT: i32 = libc::O_NONBLOCK;
#[cfg(all(unix, feature = "hub"))]
const NO_LINK: i32 = libc::O_NOFOLLOW;

#[cfg(unix)]
fn set_flags(options: &mut OpenOptions, flags: i32) {
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags);
}

#[cfg(not(unix))]
const NO_WAIT: i32 = 0;
#[cfg(all(not(unix), feature = "hub"))]
const NO_LINK: i32 = 0;

#[cfg(not(unix))]
fn set_flags(_: &mut OpenOptions, _: i32) {}

/// Fills a buffer with the bytes from `offset` on, wherever others read.
///
/// # Errors
/// `UnexpectedEof` if the file ends before.
#[cfg(unix)]
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
pub(crate) fn read_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(not(any(unix, windows)))]
pub(crate) fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #[cfg(unix)]
    mod on_unix {
        use super::super::*;
        use crate::error::Error;

        #[track_caller]
        fn assert_refused<T: std::fmt::Debug>(result: Result<T>, expected: &str) {
            match result {
                Err(Error::File(FileError::NotAFile { kind, .. })) => assert_eq!(kind, expected),
                other => panic!("{other:?}"),
            }
        }

        /// Opening the pipe waited for a writer.
        #[test]
        fn pipes_sockets_and_devices_are_refused_without_waiting() {
            let folder = tempfile::tempdir().unwrap();
            let (pipe, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            assert_refused(read(&pipe), "a pipe");
            assert_refused(read(&socket), "a socket");
            assert_refused(read(Path::new("/dev/zero")), "a device");
            assert!(matches!(read(folder.path()), Err(Error::Io { .. })));
        }

        #[cfg(feature = "hub")]
        #[test]
        fn a_link_in_the_place_of_an_own_file_is_refused() {
            let folder = tempfile::tempdir().unwrap();
            let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
            fs::write(&victim, "precious").unwrap();
            std::os::unix::fs::symlink(&victim, &link).unwrap();
            assert_refused(open_own(&link), "a symbolic link");
            assert_eq!(fs::read(&victim).unwrap(), b"precious");
            assert_eq!(read(&link).unwrap(), b"precious");
        }
    }
}
