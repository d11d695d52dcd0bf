use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, OnceLock};

use crate::error::{Result, TrainingError};

use super::trainer::Trainer;

static PRESSED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Exit code of a program that Ctrl-C has ended, as shells define it.
const INTERRUPTED: i32 = 130;

/// Sets the flag at the first Ctrl-C, and ends the program at the second.
fn install() -> std::result::Result<(), String> {
    static INSTALLED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
    let installed = INSTALLED.get_or_init(|| {
        let handler = || {
            if PRESSED.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED);
            }
        };
        ctrlc::set_handler(handler).map_err(|error| error.to_string())
    });
    installed.clone()
}

impl Trainer<'_> {
    /// Ends training after the current batch when Ctrl-C is pressed. A second
    /// Ctrl-C ends the program at once. Needs the feature `ctrlc`.
    ///
    /// With [`Trainer::checkpoint_on_stop`] the training can be resumed. There is
    /// one handler for the whole program. If your program already has a handler,
    /// set the flag of [`Trainer::stop_flag`] in it.
    ///
    /// # Errors
    /// [`TrainingError::User`] if the program already has a handler, or the
    /// system refuses one.
    pub fn stop_on_ctrl_c(self) -> Result<Self> {
        install().map_err(|reason| TrainingError::User(reason.into()))?;
        PRESSED.store(false, Ordering::Relaxed);
        Ok(self.stop_flag(PRESSED.clone()))
    }
}
