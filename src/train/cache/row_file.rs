use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result, io_error, shown};
use crate::files;

/// A file of f32 values, removed when this is dropped.
pub(super) struct RowFile {
    path: PathBuf,
    /// False if the system can remove the name of an open file. Nobody else can
    /// then open the file, and it does not outlive a crash.
    has_name: bool,
    bytes: u64,
    state: RowFileState,
}

enum RowFileState {
    Writing(BufWriter<File>),
    Complete(File),
    Failed,
}

impl RowFile {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let (path, file) = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("vgg-surgery-{}-{number}.features", std::process::id());
            let path = folder.join(name);
            match options.open(&path) {
                Ok(file) => break (path, file),
                // Left behind by a process with the same id.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(io_error(&path, source)),
            }
        };
        let has_name = !cfg!(unix) || std::fs::remove_file(&path).is_err();
        Ok(Self {
            path,
            has_name,
            bytes: 0,
            state: RowFileState::Writing(BufWriter::with_capacity(1 << 20, file)),
        })
    }

    fn io(&self, source: std::io::Error) -> Error {
        io_error(&self.path, source)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn write(&mut self, values: &[f32]) -> Result<()> {
        let RowFileState::Writing(writer) = &mut self.state else {
            return Err(self.io(ErrorKind::InvalidInput.into()));
        };
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        let written = writer.write_all(&bytes);
        self.bytes += bytes.len() as u64;
        written.map_err(|source| self.io(source))
    }

    /// Ends writing, and makes the values readable.
    pub(super) fn finish(&mut self) -> Result<()> {
        let state = std::mem::replace(&mut self.state, RowFileState::Failed);
        let RowFileState::Writing(writer) = state else {
            return Err(self.io(ErrorKind::InvalidInput.into()));
        };
        let file = writer
            .into_inner()
            .map_err(|error| self.io(error.into_error()))?;
        self.state = RowFileState::Complete(file);
        Ok(())
    }

    pub(super) fn read(&self, start: usize, values: &mut [f32]) -> candle_core::Result<()> {
        let mut bytes = vec![0; values.len() * 4];
        let read = match &self.state {
            RowFileState::Complete(file) => files::read_at(file, &mut bytes, start as u64 * 4),
            RowFileState::Writing(_) | RowFileState::Failed => Err(ErrorKind::InvalidInput.into()),
        };
        if let Err(reason) = read {
            candle_core::bail!("{}: {reason}", shown(&self.path));
        }
        for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Ok(())
    }
}

impl Drop for RowFile {
    fn drop(&mut self) {
        self.state = RowFileState::Failed;
        if self.has_name {
            // An error can't be reported from here.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
