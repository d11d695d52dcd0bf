use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::train::ControlFlow;

/// What is being done while a layer is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HealPhase {
    /// Both networks run on the images measured on; a step is an image.
    Measure,
    /// Least squares; a step is an image in one of the passes over all images.
    LeastSquares,
    /// Gradient descent on the replaced layers' output.
    Output,
    /// Gradient descent on later features.
    Features,
}

impl fmt::Display for HealPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Measure => "measuring",
            Self::LeastSquares => "least squares",
            Self::Output => "learning the output",
            Self::Features => "learning later features",
        })
    }
}

/// The event after each step of a healing; see
/// [`Healing::on_step`](crate::Healing::on_step). Prints as a line.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealEvent {
    /// The layer that is healed.
    pub layer: String,
    /// What is being done.
    pub phase: HealPhase,
    /// Steps done in this phase.
    pub step: usize,
    /// The most steps that this phase takes; `None` if
    /// [`Healing::seconds`](crate::Healing::seconds) limits it.
    pub steps: Option<usize>,
    /// How much of the phase is done, of its steps or of its seconds, from 0 to 1.
    pub fraction: f64,
    /// The squared error over the variance of the old network's values, summed
    /// over the values learned from. Only gradient descent has it.
    pub loss: Option<f64>,
    /// Seconds since healing began.
    pub seconds: f64,
}

impl fmt::Display for HealEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\": {}, step {}", self.layer, self.phase, self.step)?;
        match self.steps {
            Some(steps) => write!(f, "/{steps}")?,
            None => write!(f, ", {:.0} % of the time", 100.0 * self.fraction)?,
        }
        if let Some(loss) = self.loss {
            write!(f, ", loss {loss:.4}")?;
        }
        write!(f, " ({:.1} s)", self.seconds)
    }
}

pub(crate) type OnStep = Arc<dyn Fn(&HealEvent) -> Result<ControlFlow> + Send + Sync>;

/// Prints an event each second, and the last of each gradient descent.
pub(super) fn printer() -> OnStep {
    let printed = AtomicU64::new(0);
    Arc::new(move |event| {
        let now = (event.seconds * 1e3) as u64;
        let before = printed.load(Ordering::Relaxed);
        let is_last = event.fraction >= 1.0 && event.loss.is_some();
        // The time starts again with the next healing.
        if is_last || now < before || now - before >= 1000 {
            printed.store(now, Ordering::Relaxed);
            // A closed output must not end the healing.
            let _ = writeln!(io::stdout(), "{event}");
        }
        Ok(ControlFlow::Continue)
    })
}

/// Counts steps and reports them, until it is asked to stop.
pub(crate) struct Progress<'a> {
    on_step: Option<&'a OnStep>,
    layer: String,
    started: Instant,
    phase: Cell<Phase>,
    stopped: Cell<bool>,
}

#[derive(Clone, Copy)]
struct Phase {
    name: HealPhase,
    step: usize,
    steps: usize,
    limit: Option<Duration>,
    started: Instant,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(on_step: Option<&'a OnStep>, layer: &str) -> Self {
        let started = Instant::now();
        Self {
            on_step,
            layer: layer.to_string(),
            started,
            phase: Cell::new(Phase {
                name: HealPhase::Measure,
                step: 0,
                steps: 0,
                limit: None,
                started,
            }),
            stopped: Cell::new(false),
        }
    }

    pub(crate) fn begin(&self, name: HealPhase, steps: usize, limit: Option<Duration>) {
        self.phase.set(Phase {
            name,
            step: 0,
            steps,
            limit,
            started: Instant::now(),
        });
    }

    /// Reports that a step is done. Returns whether healing continues.
    pub(crate) fn step(&self, loss: Option<f64>) -> Result<bool> {
        let mut phase = self.phase.get();
        phase.step += 1;
        self.phase.set(phase);
        let Some(on_step) = self.on_step.filter(|_| !self.stopped.get()) else {
            return Ok(!self.stopped.get());
        };
        let fraction = match phase.limit {
            Some(limit) => phase.started.elapsed().as_secs_f64() / limit.as_secs_f64(),
            None => phase.step as f64 / phase.steps as f64,
        };
        let flow = on_step(&HealEvent {
            layer: self.layer.clone(),
            phase: phase.name,
            step: phase.step,
            steps: phase.limit.is_none().then_some(phase.steps),
            fraction: fraction.min(1.0),
            loss,
            seconds: self.seconds(),
        })?;
        self.stopped.set(flow == ControlFlow::Stop);
        Ok(flow == ControlFlow::Continue)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
