//! A progress bar for training.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

use vgg_surgery::Result;
use vgg_surgery::train::{BatchEvent, Callback, ControlFlow, EndEvent, StartEvent};

/// One line on a terminal: progress, mean loss and remaining seconds.
pub struct Bar {
    what: &'static str,
    start: Instant,
    epochs: u64,
}

impl Bar {
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            start: Instant::now(),
            epochs: 1,
        }
    }
}

impl Callback for Bar {
    fn on_start(&mut self, event: &StartEvent<'_>) -> Result<()> {
        self.epochs = event.epochs.max(1);
        self.start = Instant::now();
        Ok(())
    }

    fn on_batch(&mut self, event: &BatchEvent<'_>) -> Result<ControlFlow> {
        if !stderr().is_terminal() {
            return Ok(ControlFlow::Continue);
        }
        const WIDTH: usize = 30;
        let within = event.batch as f64 / event.batches.max(1) as f64;
        let done = ((event.epoch - 1) as f64 + within) / self.epochs as f64;
        let filled = (done * WIDTH as f64).round() as usize;
        let left = self.start.elapsed().as_secs_f64() * (1.0 - done) / done.max(1e-6);
        let line = format!(
            "\r{} [{:<WIDTH$}] epoch {}/{} loss {:.4}, {left:.0} s left ",
            self.what,
            "#".repeat(filled),
            event.epoch,
            self.epochs,
            event.mean_loss,
        );
        // Training continues if the terminal is gone.
        let _ = stderr().write_all(line.as_bytes());
        Ok(ControlFlow::Continue)
    }

    fn on_end(&mut self, _: &mut EndEvent<'_>) -> Result<()> {
        if stderr().is_terminal() {
            let _ = stderr().write_all(b"\n");
        }
        Ok(())
    }
}
