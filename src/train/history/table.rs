use std::fmt;

use super::epoch_record::EpochRecord;
use super::report::{Ended, History};

/// A table with a line for each epoch, followed by the findings.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        write!(f, "{:>5} {:>10} {:>8}", "epoch", "rate", "seconds")?;
        for name in &names {
            write!(f, " {name:>12}")?;
        }
        for epoch in &self.epochs {
            let EpochRecord {
                epoch: number,
                learning_rate,
                seconds,
                ..
            } = epoch;
            write!(f, "\n{number:>5} {learning_rate:>10.3e} {seconds:>8.2}")?;
            for name in &names {
                let width = name.len().max(12);
                match epoch.get(name) {
                    Some(value) => write!(f, " {value:>width$.4}")?,
                    None => write!(f, " {:>width$}", "-")?,
                }
            }
        }
        match self.ended {
            Ended::Completed => {}
            Ended::Stopped => write!(f, "\nended early by a callback")?,
            Ended::Interrupted => write!(f, "\ninterrupted")?,
            Ended::Failed => write!(f, "\nended by an error")?,
        }
        if let Some(cache) = &self.cache {
            write!(f, "\n{cache}")?;
        }
        for finding in &self.findings {
            write!(f, "\nlook at this: {finding}")?;
        }
        Ok(())
    }
}
