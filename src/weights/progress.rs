#[cfg(feature = "progress")]
use std::io::Write;
#[cfg(feature = "hub")]
use std::sync::Arc;

/// Receives progress reports of downloads while weights are loaded.
///
/// One thread makes the calls, in order; they should return quickly.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use vgg_surgery::weights::Progress;
///
/// #[derive(Default)]
/// struct Counter(AtomicU64);
///
/// impl Progress for Counter {
///     fn start(&self, _what: &str, _total_bytes: u64) {}
///     fn advance(&self, bytes: u64) {
///         self.0.fetch_add(bytes, Ordering::Relaxed);
///     }
///     fn finish(&self) {}
/// }
/// ```
pub trait Progress: Send + Sync {
    /// A transfer of `total_bytes` begins; `what` names it for people.
    fn start(&self, what: &str, total_bytes: u64);

    /// So many bytes more have arrived.
    fn advance(&self, bytes: u64);

    /// The transfer that began last is over, whether it succeeded or not.
    fn finish(&self);

    /// What was fetched of `what` is used, but not kept in the cache, which is full
    /// or can't be written: it will be fetched again the next time. Called once for
    /// each file.
    fn not_kept(&self, what: &str, reason: &str) {
        let _ = (what, reason);
    }
}

/// One transfer under way; reports its end when dropped.
#[cfg(feature = "hub")]
pub(super) struct Transfer(Option<Arc<dyn Progress>>);

#[cfg(feature = "hub")]
impl Transfer {
    pub(super) fn start(
        progress: Option<&Arc<dyn Progress>>,
        what: &str,
        total_bytes: u64,
    ) -> Self {
        if let Some(progress) = progress {
            progress.start(what, total_bytes);
        }
        Self(progress.cloned())
    }

    pub(super) fn advance(&self, bytes: u64) {
        if let Some(progress) = &self.0 {
            progress.advance(bytes);
        }
    }
}

#[cfg(feature = "hub")]
impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(progress) = &self.0 {
            progress.finish();
        }
    }
}

/// A bar on standard error: what is fetched, bytes, speed and time left.
/// Needs the feature `progress`.
///
/// ```
/// use std::sync::Arc;
/// use vgg_surgery::model::BuildOptions;
/// use vgg_surgery::weights::ProgressBar;
///
/// let options = BuildOptions::new().progress(Arc::new(ProgressBar::new()));
/// ```
#[cfg(feature = "progress")]
#[derive(Debug, Default)]
pub struct ProgressBar(std::sync::Mutex<Option<indicatif::ProgressBar>>);

#[cfg(feature = "progress")]
impl ProgressBar {
    /// A bar that appears with the first transfer.
    pub fn new() -> Self {
        Self::default()
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<indicatif::ProgressBar>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(feature = "progress")]
impl Progress for ProgressBar {
    fn start(&self, what: &str, total_bytes: u64) {
        let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let bar = indicatif::ProgressBar::new(total_bytes).with_message(what.to_string());
        if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        *self.current() = Some(bar);
    }

    fn advance(&self, bytes: u64) {
        if let Some(bar) = &*self.current() {
            bar.inc(bytes);
        }
    }

    fn finish(&self) {
        if let Some(bar) = self.current().take() {
            bar.finish();
        }
    }

    fn not_kept(&self, what: &str, reason: &str) {
        let line = format!("{what} is not kept in the cache: {reason}");
        let print = || writeln!(std::io::stderr(), "{line}");
        // A bar without a terminal prints nothing.
        let _ = match &*self.current() {
            Some(bar) => bar.suspend(print),
            None => print(),
        };
    }
}
