//! Bytes of a hub file, by ranges.

use std::ops::Range;

use ureq::http::StatusCode;
use ureq::http::header::CONTENT_RANGE;

use super::api;
use super::body::Sink;
use super::http::{Failure, Http, Response, refusal};
use super::names;
use super::pin::Pin;
use crate::error::{Error, Result};
use crate::graph::HubFile;
use crate::weights::progress::Transfer;

/// An attempt that brought so much was worth it, and does not count against
/// the repetitions.
const WORTHWHILE: u64 = 1024 * 1024;

/// What became of a request for a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of its bytes have been handed over.
    Complete,
    /// The server won't serve ranges; what has been handed over is no use.
    NoRanges,
}

/// The bytes of one version of a file.
pub(super) struct Remote<'a> {
    http: &'a Http,
    pin: &'a Pin,
    url: String,
    what: String,
    file_bytes: u64,
}

impl<'a> Remote<'a> {
    pub(super) fn new(http: &'a Http, hub: &HubFile, pin: &'a Pin, file_bytes: u64) -> Self {
        Self {
            http,
            pin,
            url: api::address(http, hub, &pin.asked),
            what: names::place(hub, &pin.asked),
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
            let mut counted = |piece: &[u8]| {
                sink(piece)?;
                transfer.advance(piece.len() as u64);
                Ok(())
            };
            let (copied, end) = self
                .http
                .read(response, bytes, &mut counted)
                .map_err(Failure::last)?;
            received += copied;
            if copied == bytes {
                return Ok(Outcome::Complete);
            }
            let reason = format!("{} after {copied} of {bytes} bytes", end.reason());
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
        let (url, bytes) = (self.url.clone(), range.end - range.start);
        let response = self
            .http
            .get_file(&self.what, url, part.as_deref(), bytes)?;
        match response.status() {
            StatusCode::OK if whole => {
                self.check_version(&response)?;
                Ok(Some(response))
            }
            StatusCode::PARTIAL_CONTENT if !whole => {
                self.check_version(&response)?;
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

    /// What a branch leads to may change between two requests.
    fn check_version(&self, response: &Response) -> Result<(), Failure> {
        let stated = api::etag(response.headers());
        if self.pin.may_have(stated.as_deref()) {
            return Ok(());
        }
        let reason = "the file has changed since; try again".to_string();
        Err(Failure::last(self.bad_answer(reason)))
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
