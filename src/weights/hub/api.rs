//! What the hub says about repositories and files.

use std::io::Read;

use hf_hub::HFError;
use reqwest::StatusCode;
use reqwest::blocking::{RequestBuilder, Response};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::http::{Failure, Http, is_unknown, reason, refusal, refusal_of};
use super::names;
use crate::error::{Error, Result};
use crate::graph::HubFile;

/// Longest answer that is read.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// What the hub says about one file at one commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileInfo {
    pub(super) bytes: u64,
    /// Of the content, for files kept outside of git.
    pub(super) sha256: Option<String>,
    /// What the shared cache calls the content.
    pub(super) blob: String,
}

#[derive(Deserialize)]
struct PathInfo {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    oid: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    /// The sha256 of the content.
    oid: String,
    size: u64,
}

/// The commit that a revision names now.
pub(super) fn commit(http: &Http, hub: &HubFile) -> Result<String> {
    let what = format!("{}@{}", hub.repository, hub.revision);
    let (owner, name) = hf_hub::split_id(&hub.repository);
    let repository = http.hub.model(owner, name);
    let info = http.retry(|| {
        let request = repository.info().revision(hub.revision.as_str());
        request.send().map_err(|error| failure(&what, error))
    })?;
    match info.sha {
        Some(commit) if names::is_commit(&commit) => Ok(commit),
        _ => Err(bad_answer(&what, "it names no commit")),
    }
}

/// What an error of the hub's client means.
fn failure(what: &str, error: HFError) -> Failure {
    let what = what.to_string();
    let response = |what: String, reason: String| Error::HubResponse { what, reason };
    match error {
        HFError::RepoNotFound { .. }
        | HFError::RevisionNotFound { .. }
        | HFError::EntryNotFound { .. } => Failure::last(Error::HubNotFound { what }),
        HFError::RateLimited { retry_after, .. } => Failure::Passing {
            error: Box::new(Error::HubRateLimited { what }),
            wait: retry_after,
            worthwhile: false,
        },
        HFError::AuthRequired { context }
        | HFError::Forbidden { context }
        | HFError::Conflict { context }
        | HFError::Http { context } => {
            let unknown = context.error_code.as_deref().is_some_and(is_unknown);
            refusal_of(what, context.status.as_u16(), unknown, None)
        }
        HFError::Request { source, .. } if source.is_decode() => {
            Failure::last(response(what, format!("it can't be read ({source})")))
        }
        HFError::Request { source, .. } => {
            let reason = reason(&source.without_url());
            Failure::passing(Error::HubUnreachable { what, reason })
        }
        other => Failure::last(response(what, other.to_string())),
    }
}

/// Size and hash of the file at a commit.
pub(super) fn file(http: &Http, hub: &HubFile, commit: &str) -> Result<FileInfo> {
    let what = names::place(hub, commit);
    let path = ["api", "models"]
        .into_iter()
        .chain(hub.repository.split('/'))
        .chain(["paths-info", commit]);
    let url = http.url(path);
    let body = serde_json::json!({ "paths": [hub.file], "expand": false }).to_string();
    let json = HeaderValue::from_static("application/json");
    let paths: Vec<PathInfo> = ask(http, &what, || {
        let request = http.client.post(url.clone());
        request.header(CONTENT_TYPE, &json).body(body.clone())
    })?;
    let Some(info) = paths
        .into_iter()
        .find(|info| info.kind == "file" && info.path == hub.file)
    else {
        return Err(Error::HubNotFound { what });
    };
    let (bytes, sha256) = match info.lfs {
        Some(lfs) => (lfs.size, Some(lfs.oid.to_ascii_lowercase())),
        None => (info.size, None),
    };
    let blob = sha256.clone().unwrap_or(info.oid);
    let hexadecimal = blob.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || blob.len() < 40 || sha256.as_ref().is_some_and(|hash| hash.len() != 64) {
        return Err(bad_answer(&what, &format!("\"{blob}\" is no hash")));
    }
    Ok(FileInfo {
        bytes,
        sha256,
        blob,
    })
}

/// The answer to a question, read as JSON.
fn ask<T: DeserializeOwned>(
    http: &Http,
    what: &str,
    request: impl Fn() -> RequestBuilder,
) -> Result<T> {
    let bytes = http.retry(|| {
        let response = http.send(what, request())?;
        match response.status() {
            StatusCode::OK => read_answer(what, response),
            _ => Err(refusal(what, &response)),
        }
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| bad_answer(what, &format!("it can't be read ({error})")))
}

fn read_answer(what: &str, response: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    match response.take(MAX_ANSWER).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(Failure::passing(bad_answer(what, "it broke off"))),
    }
}

fn bad_answer(what: &str, reason: &str) -> Error {
    Error::HubResponse {
        what: what.to_string(),
        reason: reason.to_string(),
    }
}
