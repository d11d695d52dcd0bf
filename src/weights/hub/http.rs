//! Requests to a hub: address, token, time-outs, repetitions, and what the
//! statuses mean.

use std::error::Error as StdError;
use std::thread;
use std::time::Duration;

use hf_hub::{HFClient, HFClientSync, HFResult};
use reqwest::Url;
use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::{HeaderValue, RETRY_AFTER};

use crate::error::{Error, Result};
use crate::weights::options::HubOptions;

const USER_AGENT: &str = concat!("vgg-surgery/", env!("CARGO_PKG_VERSION"));

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
    /// For files, by ranges.
    pub(super) client: Client,
    /// For questions about repositories; it repeats none of them by itself.
    pub(super) hub: HFClientSync,
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
        let unreachable = |error: &dyn StdError| Error::HubUnreachable {
            what: options.endpoint.clone(),
            reason: reason(error),
        };
        let local = is_this_machine(&endpoint);
        Ok(Self {
            client: file_client(options, local).map_err(|error| unreachable(&error))?,
            token: bearer(options)?,
            hub: hub_client(options, local).map_err(|error| unreachable(&error))?,
            endpoint,
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

fn file_client(options: &HubOptions, local: bool) -> reqwest::Result<Client> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(options.timeout)
        .timeout(options.timeout)
        // A compressed range has another length than the range.
        .no_gzip()
        .no_brotli()
        .no_deflate()
        .no_zstd();
    if local {
        return builder.no_proxy().build();
    }
    builder.build()
}

fn hub_client(options: &HubOptions, local: bool) -> HFResult<HFClientSync> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(options.timeout)
        .timeout(options.timeout);
    if local {
        builder = builder.no_proxy();
    }
    let mut hub = HFClient::builder()
        .endpoint(options.endpoint.as_str())
        .client(builder.build()?)
        .cache_enabled(false)
        .retry_max_attempts(0);
    if let Some(token) = &options.token {
        hub = hub.token(token.as_str());
    }
    hub.build_sync()
}

fn bearer(options: &HubOptions) -> Result<Option<HeaderValue>> {
    let Some(token) = &options.token else {
        return Ok(None);
    };
    let mut token =
        HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::InvalidHubName {
            name: "HF_TOKEN".to_string(),
            what: "token",
            reason: "it has characters that no token has",
        })?;
    token.set_sensitive(true);
    Ok(Some(token))
}

/// What a status that is no success means.
pub(super) fn refusal(what: &str, response: &Response) -> Failure {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let wait = header(RETRY_AFTER.as_str())
        .and_then(|seconds| seconds.trim().parse().ok())
        .map(Duration::from_secs);
    let unknown = header("x-error-code").is_some_and(is_unknown);
    refusal_of(what.to_string(), response.status().as_u16(), unknown, wait)
}

/// Whether the hub's error code tells that there is no such thing: it answers
/// 401 for that, to those without a token.
pub(super) fn is_unknown(code: &str) -> bool {
    ["RepoNotFound", "RevisionNotFound", "EntryNotFound"].contains(&code)
}

pub(super) fn refusal_of(
    what: String,
    status: u16,
    unknown: bool,
    wait: Option<Duration>,
) -> Failure {
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
pub(super) fn reason(error: &dyn StdError) -> String {
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
