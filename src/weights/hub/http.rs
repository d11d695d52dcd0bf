//! Requests to a hub: address, token, time-outs, repetitions, and what the
//! statuses mean.

use std::error::Error as StdError;
use std::thread;
use std::time::Duration;

use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{HeaderValue, RETRY_AFTER};

use crate::error::{Error, Result};
use crate::weights::options::HubOptions;

/// Longest wait between two attempts.
const MAX_DELAY: Duration = Duration::from_secs(10);

/// Why one attempt failed.
pub(super) enum Failure {
    /// Trying again is no use.
    Final(Box<Error>),
    /// Trying again may help.
    Passing {
        error: Box<Error>,
        /// The wait the server asks for.
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

pub(super) struct Http {
    pub(super) client: Client,
    endpoint: Url,
    token: Option<HeaderValue>,
    retries: u32,
    retry_delay: Duration,
}

impl Http {
    pub(super) fn new(options: &HubOptions) -> Result<Self> {
        let invalid = |reason| Error::InvalidHubName {
            name: options.endpoint.clone(),
            what: "address",
            reason,
        };
        let endpoint = Url::parse(&options.endpoint)
            .ok()
            .filter(|url| ["http", "https"].contains(&url.scheme()))
            .ok_or_else(|| invalid("it must begin with https:// or http://"))?;
        let mut builder = Client::builder()
            .user_agent(concat!("vgg-surgery/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.timeout)
            .timeout(options.timeout)
            // A compressed range has another length than the range.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd();
        if is_this_machine(&endpoint) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| Error::HubUnreachable {
            what: options.endpoint.clone(),
            reason: reason(&error),
        })?;
        let token = options
            .token
            .as_ref()
            .map(|token| HeaderValue::from_str(&format!("Bearer {token}")))
            .transpose()
            .map_err(|_| Error::InvalidHubName {
                name: "HF_TOKEN".to_string(),
                what: "token",
                reason: "it has characters that no token has",
            })?
            .map(|mut token| {
                token.set_sensitive(true);
                token
            });
        Ok(Self {
            client,
            endpoint,
            token,
            retries: options.retries,
            retry_delay: options.retry_delay,
        })
    }

    /// The address of these path segments below the endpoint.
    pub(super) fn url<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        let mut url = self.endpoint.clone();
        // Addresses of http and https always have path segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Makes attempts until one succeeds or the repetitions are used up.
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

    /// Sends one request, with the token.
    pub(super) fn send(
        &self,
        what: &str,
        mut request: RequestBuilder,
    ) -> Result<Response, Failure> {
        if let Some(token) = &self.token {
            request = request.header(reqwest::header::AUTHORIZATION, token.clone());
        }
        request.send().map_err(|error| {
            let unusable = error.is_builder() || error.is_redirect();
            let what = what.to_string();
            let reason = reason(&error.without_url());
            if unusable {
                Failure::last(Error::HubResponse { what, reason })
            } else {
                Failure::passing(Error::HubUnreachable { what, reason })
            }
        })
    }
}

/// What a status that is no success means.
pub(super) fn refusal(what: &str, response: &Response) -> Failure {
    let what = what.to_string();
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    // The hub answers 401 for what it does not know, to those without a token.
    let unknown = header("x-error-code")
        .is_some_and(|code| ["RepoNotFound", "RevisionNotFound", "EntryNotFound"].contains(&code));
    let wait = header(RETRY_AFTER.as_str())
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs);
    let passing = |error| Failure::Passing {
        error: Box::new(error),
        wait,
        worthwhile: false,
    };
    let bad_status = |what| Error::HubResponse {
        what,
        reason: format!("its status is {status}"),
    };
    match status {
        _ if unknown => Failure::last(Error::HubNotFound { what }),
        404 | 410 => Failure::last(Error::HubNotFound { what }),
        401 | 403 => Failure::last(Error::HubForbidden { what, status }),
        429 => passing(Error::HubRateLimited { what }),
        408 | 500..=599 => passing(bad_status(what)),
        _ => Failure::last(bad_status(what)),
    }
}

/// An error with all its causes, which reqwest leaves out.
fn reason(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Whether an address is this machine's own, which no proxy can reach.
fn is_this_machine(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}
