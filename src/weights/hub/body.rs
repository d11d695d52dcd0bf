//! Bodies of answers, which may break off or arrive too slowly.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::error::Result;

/// Takes bytes as they arrive.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Why no more of a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has ended, or reached the limit.
    Reached,
    BrokenOff,
    /// It took longer than it may as a whole.
    OutOfTime,
    /// In a stretch of time, it brought fewer bytes a second.
    TooSlow {
        lowest_rate: u64,
    },
}

impl End {
    /// What is wrong with a body that ended like this too early.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Reached | Self::BrokenOff => "its body broke off".to_string(),
            Self::OutOfTime => "its body did not arrive in time".to_string(),
            Self::TooSlow { lowest_rate } => {
                format!("its body arrived at less than {lowest_rate} bytes a second")
            }
        }
    }
}

/// A year: clocks can't be set much further ahead.
const MOST_SECONDS: u64 = 365 * 24 * 60 * 60;

/// How long a body may take.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// In bytes a second.
    pub(super) lowest_rate: u64,
    /// Each stretch of this length must bring bytes at the lowest rate.
    pub(super) window: Duration,
}

impl Pace {
    /// The longest time for a body of so many bytes. The transport ends it then,
    /// also where it brings nothing but what belongs to no body, such as trailers.
    pub(super) fn longest(self, bytes: u64) -> Duration {
        let seconds = bytes.div_ceil(self.lowest_rate.max(1)).min(MOST_SECONDS);
        self.window.saturating_add(Duration::from_secs(seconds))
    }

    fn least(self, elapsed: Duration) -> f64 {
        elapsed.as_secs_f64() * self.lowest_rate as f64
    }
}

/// Hands up to `limit` bytes of a body to `sink`. Returns how many bytes there
/// were.
pub(super) fn read(
    mut body: impl Read,
    limit: u64,
    pace: Pace,
    sink: Sink<'_>,
) -> Result<(u64, End)> {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    let (mut since, mut received_before) = (Instant::now(), 0);
    let lowest_rate = pace.lowest_rate;
    while received < limit {
        let rest = usize::try_from(limit - received).unwrap_or(usize::MAX);
        let room = rest.min(buffer.len());
        match body.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(bytes) => {
                sink(&buffer[..bytes])?;
                received += bytes as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_out_of_time(&error) => return Ok((received, End::OutOfTime)),
            Err(_) => return Ok((received, End::BrokenOff)),
        }
        let elapsed = since.elapsed();
        if elapsed >= pace.window {
            if ((received - received_before) as f64) < pace.least(elapsed) {
                return Ok((received, End::TooSlow { lowest_rate }));
            }
            (since, received_before) = (Instant::now(), received);
        }
    }
    Ok((received, End::Reached))
}

fn is_out_of_time(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(ureq::Error::Timeout(ureq::Timeout::RecvBody)))
}
