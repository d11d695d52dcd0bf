//! What the hub says about repositories and files.

use std::io::Read;

use hf_hub::api::RepoInfo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::StatusCode;

use super::http::{Failure, Http, Response, refusal};
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
    let url = http.url(questions(hub).chain(["revision", &hub.revision]));
    let info: RepoInfo = ask(http, &what, || http.get(&what, url.clone(), None))?;
    if names::is_commit(&info.sha) {
        return Ok(info.sha);
    }
    Err(bad_answer(&what, "it names no commit"))
}

/// Size and hash of the file at a commit.
pub(super) fn file(http: &Http, hub: &HubFile, commit: &str) -> Result<FileInfo> {
    let what = names::place(hub, commit);
    let url = http.url(questions(hub).chain(["paths-info", commit]));
    let body = serde_json::json!({ "paths": [hub.file], "expand": false }).to_string();
    let paths: Vec<PathInfo> = ask(http, &what, || http.post(&what, url.clone(), &body))?;
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

/// The path below which the hub answers questions about the repository.
fn questions(hub: &HubFile) -> impl Iterator<Item = &str> {
    ["api", "models"]
        .into_iter()
        .chain(hub.repository.split('/'))
}

/// The answer to a question, read as JSON.
fn ask<T: DeserializeOwned>(
    http: &Http,
    what: &str,
    send: impl Fn() -> Result<Response, Failure>,
) -> Result<T> {
    let bytes = http.retry(|| {
        let response = send()?;
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
    match response
        .into_body()
        .into_reader()
        .take(MAX_ANSWER + 1)
        .read_to_end(&mut bytes)
    {
        Ok(_) if bytes.len() as u64 > MAX_ANSWER => {
            let reason = format!("it is longer than {MAX_ANSWER} bytes");
            Err(Failure::last(bad_answer(what, &reason)))
        }
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
