use std::io::ErrorKind;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::files::{self, check_writable, write_atomically};
use crate::train::history::{csv_header, csv_line};

use super::callback::{Callback, ControlFlow, EpochEvent, StartEvent};

/// Adds a line to a file of comma-separated values after every epoch.
///
/// The file is replaced atomically, so it has only whole lines, whenever it is read.
#[derive(Clone, Debug)]
pub struct CsvLog {
    path: PathBuf,
    /// What the file has, or will have after the next epoch.
    text: String,
}

impl CsvLog {
    /// Writes to this file, and creates its folder. A new training replaces an
    /// existing file. A training that is resumed after an epoch keeps the lines up
    /// to this epoch: later ones, of a training that was killed before its next
    /// checkpoint, are replaced.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            text: String::new(),
        }
    }
}

/// The whole lines, without the lines of epochs after this one.
fn up_to(epoch: u64, text: &str) -> String {
    let lines = text.split_inclusive('\n').filter(|line| {
        let number = line.split(',').next().and_then(|field| field.parse().ok());
        line.ends_with('\n') && number.is_none_or(|number: u64| number <= epoch)
    });
    lines.collect()
}

impl Callback for CsvLog {
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        check_writable(&self.path)?;
        // The old content stays until there is something to replace it.
        self.text = match event.epoch {
            0 => String::new(),
            epoch => match files::read(&self.path) {
                Ok(bytes) => up_to(epoch, &String::from_utf8_lossy(&bytes)),
                Err(Error::Io { reason, .. }) if reason.kind() == ErrorKind::NotFound => {
                    String::new()
                }
                Err(error) => return Err(error),
            },
        };
        Ok(())
    }

    fn on_epoch(&mut self, event: &mut EpochEvent<'_>) -> Result<ControlFlow> {
        let names = event.record.names();
        if self.text.is_empty() {
            self.text = csv_header(&names);
        }
        self.text.push_str(&csv_line(event.record, &names));
        write_atomically(&self.path, |out| out.write(self.text.as_bytes()))?;
        Ok(ControlFlow::Continue)
    }
}
