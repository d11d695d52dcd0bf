//! The bytes of a file, in memory or on disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::header::invalid;
use crate::error::{Error, Result, io_error, shown};
use crate::files;

/// The first bytes of a file that tell formats apart.
const START_BYTES: u64 = 512;

/// The last ones.
const END_BYTES: u64 = 8;

/// The bytes of a whole file. Those on disk are copied when they are asked for,
/// so a file that is cut off or changed meanwhile is an error.
pub(super) enum FileBytes {
    Memory(Arc<[u8]>),
    Disk(Disk),
}

pub(super) struct Disk {
    file: File,
    found: Stamp,
}

/// What changes when a file is written.
#[derive(PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

impl FileBytes {
    /// Bytes, and a description for messages.
    pub(super) fn in_memory(bytes: Arc<[u8]>) -> (Self, String) {
        let place = format!("{} bytes in memory", bytes.len());
        (Self::Memory(bytes), place)
    }

    /// A file on disk. It is opened once: another file that replaces it at its
    /// path is not seen.
    ///
    /// # Errors
    /// `Error::Io`; `FileError::NotAFile`.
    pub(super) fn open(path: &Path) -> Result<(Self, String)> {
        let file = files::open(path)?;
        let found = Stamp::of(&file).map_err(|reason| io_error(path, reason))?;
        let place = shown(path);
        Ok((Self::Disk(Disk { file, found }), place))
    }

    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk(disk) => disk.found.bytes,
        }
    }

    /// Fills a buffer with the bytes from `begin` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if there are not as many.
    pub(super) fn read(&self, begin: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = match self {
            Self::Disk(disk) => return files::read_at(&disk.file, buffer, begin),
            Self::Memory(bytes) => bytes,
        };
        let begin = usize::try_from(begin).ok();
        let range = begin.and_then(|begin| Some(begin..begin.checked_add(buffer.len())?));
        let bytes = range.and_then(|range| bytes.get(range));
        let bytes = bytes.ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    /// Copies a range.
    ///
    /// # Errors
    /// `UnexpectedEof` if it is not all in the file.
    pub(super) fn part(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let is_inside = range.start <= range.end && range.end <= self.length();
        let length = usize::try_from(range.end.saturating_sub(range.start));
        let length = length.ok().filter(|_| is_inside);
        let mut bytes = vec![0; length.ok_or(io::ErrorKind::UnexpectedEof)?];
        self.read(range.start, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes that tell formats apart: the first and, of a long file, the last.
    pub(super) fn ends(&self) -> io::Result<Vec<u8>> {
        let length = self.length();
        if length <= START_BYTES + END_BYTES {
            return self.part(0..length);
        }
        let mut ends = self.part(0..START_BYTES)?;
        ends.extend(self.part(length - END_BYTES..length)?);
        Ok(ends)
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { bytes: self, at: 0 }
    }

    /// Checks that nobody has written to the file since it was opened: what was
    /// read may be of before and after. A change within one tick of the file
    /// system's clock, some milliseconds, is not seen.
    ///
    /// # Errors
    /// `Error::InvalidWeights`.
    pub(super) fn check_unchanged(&self, place: &str) -> Result<()> {
        let is_same = match self {
            Self::Memory(_) => true,
            Self::Disk(disk) => Stamp::of(&disk.file).is_ok_and(|now| now == disk.found),
        };
        match is_same {
            true => Ok(()),
            false => Err(invalid(
                place,
                "it was changed while it was read; load it again, and replace such a file by \
                 renaming another",
            )),
        }
    }

    /// Why bytes could not be read: that the file was changed, if it was.
    pub(super) fn fault(&self, place: &str, reason: io::Error) -> Error {
        match self.check_unchanged(place) {
            Err(changed) => changed,
            Ok(()) if reason.kind() == io::ErrorKind::UnexpectedEof => {
                invalid(place, "it ends too early")
            }
            Ok(()) => io_error(Path::new(place), reason),
        }
    }
}

/// Reads the bytes from the start on, or from where it is set.
pub(super) struct Reader<'a> {
    bytes: &'a FileBytes,
    at: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.bytes.length().saturating_sub(self.at);
        let length = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        if length > 0 {
            self.bytes.read(self.at, &mut buffer[..length])?;
            self.at += length as u64;
        }
        Ok(length)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(offset) => self.bytes.length().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn both(content: &[u8]) -> [FileBytes; 2] {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let found = Stamp::of(&file).unwrap();
        let (memory, _) = FileBytes::in_memory(content.into());
        [memory, FileBytes::Disk(Disk { file, found })]
    }

    #[test]
    fn bytes_on_disk_are_read_as_those_in_memory() {
        let content: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for bytes in both(&content) {
            assert_eq!(bytes.part(0..1_000).unwrap(), content);
            assert_eq!(bytes.part(3..7).unwrap(), content[3..7]);
            assert!(bytes.part(1_000..1_000).unwrap().is_empty());
            for (start, end) in [
                (999, 1_001),
                (5, 4),
                (0, u64::MAX),
                (u64::MAX - 1, u64::MAX),
            ] {
                assert!(bytes.part(start..end).is_err(), "{start}..{end}");
            }
            let ends = [&content[..512], &content[992..]].concat();
            assert_eq!(bytes.ends().unwrap(), ends);
            let mut reader = bytes.reader();
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            assert_eq!(all, content);
            assert_eq!(reader.seek(SeekFrom::End(-2)).unwrap(), 998);
            assert!(reader.seek(SeekFrom::Current(-999)).is_err());
            assert_eq!(reader.seek(SeekFrom::Start(2_000)).unwrap(), 2_000);
            assert_eq!(reader.read(&mut [0; 4]).unwrap(), 0);
        }
    }

    /// A mapped file that was cut off ended the process, and one that was written
    /// over gave a mixture.
    #[test]
    fn a_file_that_is_cut_off_or_written_to_is_an_error() {
        let [_, bytes] = both(&[7; 1_000]);
        bytes.check_unchanged("x").unwrap();
        let FileBytes::Disk(disk) = &bytes else {
            panic!("it is on disk");
        };
        disk.file.set_len(500).unwrap();
        let reason = bytes.part(0..1_000).unwrap_err();
        let error = bytes.fault("x", reason).to_string();
        assert!(
            error.contains("it was changed while it was read"),
            "{error}"
        );
        disk.file.set_len(1_000).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(1);
        disk.file.set_modified(later).unwrap();
        assert!(bytes.check_unchanged("x").is_err());
    }
}
