//! The protocol of a worker of `compare.py`: it writes one line when its job is
//! loaded, then one for each line it reads.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::Instant;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Writes `ready` with what the job has computed so far. Then runs the job once for
/// each line on standard input, and writes the milliseconds it took.
pub fn serve(computed: &[f64], mut run: impl FnMut() -> Result<()>) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "ready {computed:?}")?;
    output.flush()?;
    for line in io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        run()?;
        writeln!(output, "ms {}", start.elapsed().as_secs_f64() * 1e3)?;
        output.flush()?;
    }
    Ok(())
}

/// The mean of the positive values: the same for every order of an output's
/// dimensions, and whether or not a last ReLU was applied.
pub fn summarize(values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|&value| f64::from(value.max(0.0))).sum();
    sum / values.len() as f64
}
