//! Bodies of answers, which may break off or arrive too slowly.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use crate::error::Result;

/// A body that arrives more slowly than this, in bytes a second, is given up.
const LOWEST_RATE: u64 = 1024;

/// Takes bytes as they arrive.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Why no more of a body was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has ended, or reached the limit.
    Reached,
    BrokenOff,
    TooSlow,
}

impl End {
    /// What is wrong with a body that ended like this too early.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Reached | Self::BrokenOff => "its body broke off".to_string(),
            Self::TooSlow => {
                format!("its body arrived at less than {LOWEST_RATE} bytes a second")
            }
        }
    }
}

/// Hands up to `limit` bytes of a body to `sink`; each stretch of `window` must
/// bring bytes at the lowest rate at least. Returns how many bytes there were.
pub(super) fn read(
    mut body: impl Read,
    limit: u64,
    window: Duration,
    sink: Sink<'_>,
) -> Result<(u64, End)> {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    let (mut since, mut received_before) = (Instant::now(), 0);
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
            Err(_) => return Ok((received, End::BrokenOff)),
        }
        let elapsed = since.elapsed();
        if elapsed >= window {
            let expected = elapsed.as_secs_f64() * LOWEST_RATE as f64;
            if ((received - received_before) as f64) < expected {
                return Ok((received, End::TooSlow));
            }
            (since, received_before) = (Instant::now(), received);
        }
    }
    Ok((received, End::Reached))
}
