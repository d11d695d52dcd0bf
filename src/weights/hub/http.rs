//! Requests to a hub: addresses, redirects, retries, and what a status means.

use std::cell::OnceCell;
use std::thread;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RANGE, RETRY_AFTER};
use ureq::http::uri::Authority;
use ureq::http::{HeaderMap, HeaderValue, Uri};
use ureq::{Agent, Body, RequestBuilder};

use super::agent::{agent, bearer};
use super::body::{self, End, Pace, Sink};
use super::redirect::redirected;
use crate::error::{Error, Result, printable};
use crate::weights::options::{HubOptions, without_password};

pub(super) type Response = ureq::http::Response<Body>;

/// Longest wait between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(10);

const MAX_REDIRECTS: usize = 10;

/// What the hub says about a file where it redirects to the server that has it.
pub(super) const LINKED_SIZE: &str = "x-linked-size";
pub(super) const LINKED_ETAG: &str = "x-linked-etag";
pub(super) const REPO_COMMIT: &str = "x-repo-commit";

/// The characters that RFC 3986 allows in a path segment everywhere.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why one attempt failed.
pub(super) enum Failure {
    /// Another attempt cannot help.
    Final(Box<Error>),
    /// Another attempt may help.
    Passing {
        error: Box<Error>,
        /// The wait that the server asks for.
        wait: Option<Duration>,
        /// Whether the attempt brought enough not to count as failed.
        worthwhile: bool,
    },
}

impl Failure {
    pub(super) fn last(error: Error) -> Self {
        Self::Final(Box::new(error))
    }

    pub(super) fn passing(error: Error) -> Self {
        Self::Passing {
            error: Box::new(error),
            wait: None,
            worthwhile: false,
        }
    }
}

/// What is sent to an address.
enum Method<'a> {
    Head,
    Get,
    /// A file, or a range of it, that must arrive in a time.
    File {
        range: Option<&'a str>,
        longest: Duration,
    },
    Post {
        json: &'a str,
    },
}

pub(super) struct Http {
    agent: Agent,
    endpoint: Uri,
    token: Option<HeaderValue>,
    pace: Pace,
    retries: u32,
    retry_delay: Duration,
}

impl Http {
    fn new(options: &HubOptions) -> Result<Self> {
        let endpoint: Uri = options
            .endpoint
            .parse()
            .ok()
            .filter(|uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")))
            .ok_or_else(|| Error::InvalidHubName {
                name: printable(without_password(&options.endpoint)),
                what: "address",
                reason: "it must begin with https:// or http://",
            })?;
        Ok(Self {
            agent: agent(options, &endpoint)?,
            token: bearer(options)?,
            endpoint,
            pace: Pace {
                lowest_rate: options.lowest_rate,
                window: options.timeout,
            },
            retries: options.retries,
            retry_delay: options.retry_delay,
        })
    }

    /// The one in the cell, made there if need be.
    pub(super) fn once<'c>(cell: &'c OnceCell<Self>, options: &HubOptions) -> Result<&'c Self> {
        if let Some(http) = cell.get() {
            return Ok(http);
        }
        let http = Self::new(options)?;
        Ok(cell.get_or_init(|| http))
    }

    /// The address of these path segments below the endpoint.
    pub(super) fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> String {
        let mut url = self.endpoint.to_string();
        url.truncate(url.trim_end_matches('/').len());
        for segment in segments {
            url.push('/');
            url.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url
    }

    /// Repeats `attempt` until it succeeds or the retries are used up.
    pub(super) fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T> {
        let mut failures = 0;
        loop {
            let (error, wait) = match attempt() {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(*error),
                Err(Failure::Passing {
                    error,
                    wait,
                    worthwhile,
                }) => {
                    if worthwhile {
                        failures = 0;
                    }
                    (error, wait)
                }
            };
            if failures >= self.retries || wait.is_some_and(|wait| wait > MAX_DELAY) {
                return Err(*error);
            }
            thread::sleep(wait.unwrap_or_else(|| self.delay(failures)));
            failures += 1;
        }
    }

    fn delay(&self, failures: u32) -> Duration {
        self.retry_delay
            .saturating_mul(2_u32.saturating_pow(failures))
            .min(MAX_DELAY)
    }

    /// What the hub says about a file. A redirect that says it is the answer:
    /// the server that has the file may serve GET only.
    pub(super) fn head(&self, what: &str, url: String) -> Result<Response, Failure> {
        self.follow(what, url, &Method::Head)
    }

    pub(super) fn get(&self, what: &str, url: String) -> Result<Response, Failure> {
        self.follow(what, url, &Method::Get)
    }

    /// A range of a file's bytes, or the whole file.
    pub(super) fn get_file(
        &self,
        what: &str,
        url: String,
        range: Option<&str>,
        bytes: u64,
    ) -> Result<Response, Failure> {
        let longest = self.pace.longest(bytes);
        self.follow(what, url, &Method::File { range, longest })
    }

    pub(super) fn post(&self, what: &str, url: String, json: &str) -> Result<Response, Failure> {
        self.follow(what, url, &Method::Post { json })
    }

    /// Hands up to `limit` bytes of a body to `sink`, and returns how many there
    /// were.
    pub(super) fn read(
        &self,
        response: Response,
        limit: u64,
        sink: Sink<'_>,
    ) -> Result<(u64, End)> {
        let body = response.into_body().into_reader();
        body::read(body, limit, self.pace, sink)
    }

    /// Follows redirects, and keeps what they say about a file in the last
    /// answer's headers. The token goes to the hub's own scheme, host and port
    /// only.
    fn follow(
        &self,
        what: &str,
        mut url: String,
        method: &Method<'_>,
    ) -> Result<Response, Failure> {
        let bad_answer = |reason: String| {
            let what = what.to_string();
            Failure::last(Error::HubResponse { what, reason })
        };
        let mut said = HeaderMap::new();
        for _ in 0..=MAX_REDIRECTS {
            let uri: Uri = url.parse().map_err(|_| {
                bad_answer(format!("{:?} is not an address", without_password(&url)))
            })?;
            let at_hub = origin(&uri) == origin(&self.endpoint);
            let token = self.token.as_ref().filter(|_| at_hub);
            let mut response = self
                .send(&url, token, method)
                .map_err(|error| no_answer(what, &error))?;
            for name in [LINKED_SIZE, LINKED_ETAG, REPO_COMMIT] {
                if let Some(value) = response.headers().get(name)
                    && !said.contains_key(name)
                {
                    said.insert(name, value.clone());
                }
            }
            let is_answered = matches!(method, Method::Head) && said.contains_key(LINKED_ETAG);
            let location = response
                .headers()
                .get(LOCATION)
                .filter(|_| response.status().is_redirection() && !is_answered);
            let Some(location) = location else {
                response.headers_mut().extend(said);
                return Ok(response);
            };
            let next = location.to_str().ok();
            url = next
                .and_then(|location| redirected(&uri, location))
                .ok_or_else(|| bad_answer(format!("it redirects to {location:?}")))?;
        }
        Err(bad_answer(format!(
            "it redirects more than {MAX_REDIRECTS} times"
        )))
    }

    fn send(
        &self,
        url: &str,
        token: Option<&HeaderValue>,
        method: &Method<'_>,
    ) -> Result<Response, ureq::Error> {
        match *method {
            Method::Head => with_token(self.agent.head(url), token).call(),
            Method::Get => with_token(self.agent.get(url), token).call(),
            Method::File { range, longest } => {
                let request = with_token(self.agent.get(url), token);
                let timed = request.config().timeout_recv_body(Some(longest));
                let mut request = timed.build();
                if let Some(range) = range {
                    request = request.header(RANGE, range);
                }
                request.call()
            }
            Method::Post { json } => with_token(self.agent.post(url), token)
                .header(CONTENT_TYPE, "application/json")
                .send(json),
        }
    }
}

/// Scheme, and host with port.
fn origin(uri: &Uri) -> (Option<&str>, Option<&str>) {
    (uri.scheme_str(), uri.authority().map(Authority::as_str))
}

fn with_token<B>(request: RequestBuilder<B>, token: Option<&HeaderValue>) -> RequestBuilder<B> {
    match token {
        Some(token) => request.header(AUTHORIZATION, token),
        None => request,
    }
}

/// Why a request got no answer.
fn no_answer(what: &str, error: &ureq::Error) -> Failure {
    let reason = match error {
        // It holds the address, maybe with a password.
        ureq::Error::BadUri(_) => "its address is not valid".to_string(),
        other => printable(other.to_string()),
    };
    let what = what.to_string();
    match error {
        ureq::Error::Http(_) | ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) => {
            Failure::last(Error::HubResponse { what, reason })
        }
        _ => Failure::passing(Error::HubUnreachable { what, reason }),
    }
}

/// What a status other than success means.
pub(super) fn refusal(what: &str, response: &Response) -> Failure {
    let what = what.to_string();
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let wait = header(RETRY_AFTER.as_str())
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs);
    let passing = |error| Failure::Passing {
        error: Box::new(error),
        wait,
        worthwhile: false,
    };
    let status = response.status().as_u16();
    let bad_status = |what| Error::HubResponse {
        what,
        reason: format!("its status is {status}"),
    };
    // Without a token, the hub answers 401 for what does not exist, with one of
    // these codes.
    let missing = match header("x-error-code") {
        Some("RepoNotFound") => Some("repository"),
        Some("RevisionNotFound") => Some("revision"),
        Some("EntryNotFound") => Some("file"),
        _ => None,
    };
    match status {
        _ if missing.is_some() => Failure::last(Error::HubNotFound { what, missing }),
        404 | 410 => Failure::last(Error::HubNotFound { what, missing }),
        401 | 403 => Failure::last(Error::HubForbidden { what, status }),
        429 => passing(Error::HubRateLimited { what }),
        408 | 500..=599 => passing(bad_status(what)),
        _ => Failure::last(bad_status(what)),
    }
}
