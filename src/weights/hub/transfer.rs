//! Bytes of a hub file, by ranges.

use std::io::{self, Read};
use std::ops::Range;

use ureq::http::StatusCode;
use ureq::http::header::CONTENT_RANGE;

use super::http::{Failure, Http, Response, refusal};
use super::names;
use crate::error::{Error, Result};
use crate::graph::HubFile;
use crate::weights::progress::Transfer;

/// An attempt that brought so much was worth it, and does not count against
/// the repetitions.
const WORTHWHILE: u64 = 1024 * 1024;

/// Takes bytes as they arrive.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// What became of a request for a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of its bytes have been handed over.
    Complete,
    /// The server won't serve ranges; what has been handed over is no use.
    NoRanges,
}

/// The bytes of one file at one commit.
pub(super) struct Remote<'a> {
    http: &'a Http,
    url: String,
    what: String,
    file_bytes: u64,
}

impl<'a> Remote<'a> {
    pub(super) fn new(http: &'a Http, hub: &HubFile, commit: &str, file_bytes: u64) -> Self {
        let path = hub
            .repository
            .split('/')
            .chain(["resolve", commit])
            .chain(hub.file.split('/'));
        Self {
            http,
            url: http.url(path),
            what: names::place(hub, commit),
            file_bytes,
        }
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Hands the bytes of `range` to `sink` in order, going on where an attempt
    /// broke off.
    pub(super) fn fetch(
        &self,
        range: Range<u64>,
        sink: Sink<'_>,
        transfer: &Transfer,
    ) -> Result<Outcome> {
        let mut received = 0;
        self.http.retry(|| {
            let rest = range.start + received..range.end;
            if rest.is_empty() {
                return Ok(Outcome::Complete);
            }
            let Some(response) = self.ask(&rest)? else {
                return Ok(Outcome::NoRanges);
            };
            let bytes = rest.end - rest.start;
            let copied = copy(response, bytes, sink, transfer).map_err(Failure::last)?;
            received += copied;
            if copied == bytes {
                return Ok(Outcome::Complete);
            }
            let reason = format!("its body broke off after {copied} of {bytes} bytes");
            Err(Failure::Passing {
                error: Box::new(self.bad_answer(reason)),
                wait: None,
                worthwhile: copied >= WORTHWHILE,
            })
        })
    }

    /// The answer that holds a range, or `None` if ranges are refused.
    fn ask(&self, range: &Range<u64>) -> Result<Option<Response>, Failure> {
        let whole = *range == (0..self.file_bytes);
        let part = (!whole).then(|| format!("bytes={}-{}", range.start, range.end - 1));
        let response = self
            .http
            .get(&self.what, self.url.clone(), part.as_deref())?;
        match response.status() {
            StatusCode::OK if whole => Ok(Some(response)),
            StatusCode::PARTIAL_CONTENT if !whole => {
                self.check_range(&response, range)?;
                Ok(Some(response))
            }
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_IMPLEMENTED
                if !whole =>
            {
                Ok(None)
            }
            _ => Err(refusal(&self.what, &response)),
        }
    }

    /// A partial answer must be the part that was asked for, of the file that
    /// is meant.
    fn check_range(&self, response: &Response, range: &Range<u64>) -> Result<(), Failure> {
        let stated = response
            .headers()
            .get(CONTENT_RANGE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let last = range.end - 1;
        let expected = format!("bytes {}-{last}/{}", range.start, self.file_bytes);
        if stated == expected {
            return Ok(());
        }
        Err(Failure::last(self.bad_answer(format!(
            "it holds \"{stated}\" where \"{expected}\" was asked for"
        ))))
    }

    fn bad_answer(&self, reason: String) -> Error {
        Error::HubResponse {
            what: self.what.clone(),
            reason,
        }
    }
}

/// Copies up to `bytes` bytes of a body, and returns how many there were.
fn copy(response: Response, bytes: u64, sink: Sink<'_>, transfer: &Transfer) -> Result<u64> {
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0;
    while copied < bytes {
        let rest = usize::try_from(bytes - copied).unwrap_or(usize::MAX);
        let room = rest.min(buffer.len());
        match body.read(&mut buffer[..room]) {
            Ok(0) => break,
            Ok(read) => {
                sink(&buffer[..read])?;
                copied += read as u64;
                transfer.advance(read as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    Ok(copied)
}
