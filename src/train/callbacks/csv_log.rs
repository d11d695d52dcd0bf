use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use crate::error::{Result, io_error};
use crate::train::history::{csv_header, csv_line};

use super::callback::{Callback, ControlFlow, EpochEvent, StartEvent};

/// Adds a line to a file of comma-separated values after every epoch.
#[derive(Clone, Debug)]
pub struct CsvLog {
    path: PathBuf,
}

impl CsvLog {
    /// Writes to this file, and creates its folder. A new training replaces an
    /// existing file; a training that is resumed after its first epoch appends to
    /// it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Callback for CsvLog {
    fn on_start(&mut self, _: &StartEvent<'_>) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|source| io_error(folder, source))?;
        }
        // The old content stays until there is something to replace it.
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path);
        opened.map_err(|source| io_error(&self.path, source))?;
        Ok(())
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        let io = |source| io_error(&self.path, source);
        let names = event.record.names();
        let mut options = OpenOptions::new();
        let found = fs::metadata(&self.path);
        let is_blank = found.map_or(true, |found| found.is_file() && found.len() == 0);
        let is_first = event.record.epoch == 1 || is_blank;
        if is_first {
            options.write(true).create(true).truncate(true);
        } else {
            options.append(true);
        }
        let header = if is_first {
            csv_header(&names)
        } else {
            String::new()
        };
        let text = header + &csv_line(event.record, &names);
        let mut file = options.open(&self.path).map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(ControlFlow::Continue)
    }
}
