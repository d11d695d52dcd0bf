//! What the hub says about repositories and files. One HEAD request at the
//! file's address says what is needed, at mirrors too; the hub's questions and
//! answers in JSON only add what it leaves out.

use hf_hub::api::RepoInfo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use ureq::http::{HeaderMap, StatusCode};

use super::body::End;
use super::cache::FileInfo;
use super::http::{Failure, Http, LINKED_ETAG, LINKED_SIZE, REPO_COMMIT, Response, refusal};
use super::names;
use crate::error::{Error, Result};
use crate::graph::HubFile;

/// Longest answer that is read.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// What the headers of an answer say about a file.
#[derive(Clone, Default)]
pub(super) struct Stated {
    pub(super) commit: Option<String>,
    /// Without quotes.
    pub(super) etag: Option<String>,
    bytes: Option<u64>,
}

#[derive(Deserialize)]
struct PathInfo {
    path: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    /// The sha256 of the content.
    oid: String,
    size: u64,
}

/// The address of a file at a revision.
pub(super) fn address(http: &Http, hub: &HubFile, revision: &str) -> String {
    let repository = hub.repository.split('/');
    let file = hub.file.split('/');
    http.url(repository.chain(["resolve", revision]).chain(file))
}

/// What the server says about the file at a revision; nothing if it does not
/// take this question.
pub(super) fn head(http: &Http, hub: &HubFile, revision: &str) -> Result<Stated> {
    let what = names::place(hub, revision);
    let url = address(http, hub, revision);
    http.retry(|| {
        let response = http.head(&what, url.clone())?;
        match response.status() {
            StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(Stated::default()),
            StatusCode::OK => Ok(Stated::of(&response)),
            status if status.is_redirection() => Ok(Stated::of(&response)),
            _ => Err(refusal(&what, &response)),
        }
    })
}

impl Stated {
    fn of(response: &Response) -> Self {
        let headers = response.headers();
        let number = |name| text(headers, name)?.trim().parse().ok();
        // A redirect's length is that of its own body.
        let length = || match response.status().is_redirection() {
            true => None,
            false => number(CONTENT_LENGTH.as_str()),
        };
        Self {
            commit: text(headers, REPO_COMMIT)
                .filter(|commit| names::is_commit(commit))
                .map(str::to_string),
            etag: etag(headers),
            bytes: number(LINKED_SIZE).or_else(length),
        }
    }
}

/// The ETag of a file, without quotes; where there is none, the time of its
/// last change.
pub(super) fn etag(headers: &HeaderMap) -> Option<String> {
    let stated = [LINKED_ETAG, ETAG.as_str(), LAST_MODIFIED.as_str()];
    let stated = stated.iter().find_map(|name| text(headers, name))?;
    let stated = stated.trim().trim_start_matches("W/").trim_matches('"');
    (!stated.is_empty()).then(|| stated.to_string())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The commit that a revision names now.
pub(super) fn commit(http: &Http, hub: &HubFile) -> Result<String> {
    let what = format!("{}@{}", hub.repository, hub.revision);
    let url = http.url(questions(hub).chain(["revision", &hub.revision]));
    let info: RepoInfo = ask(http, &what, || http.get(&what, url.clone()))?;
    if names::is_commit(&info.sha) {
        return Ok(info.sha);
    }
    Err(bad_answer(&what, "it names no commit"))
}

/// Size and hash of the file at a revision.
pub(super) fn file(
    http: &Http,
    hub: &HubFile,
    revision: &str,
    stated: &Stated,
) -> Result<FileInfo> {
    let what = names::place(hub, revision);
    let hash = stated.etag.as_deref().and_then(names::sha256);
    let lfs = match (&hash, stated.bytes) {
        (Some(_), Some(_)) => None,
        _ => lfs(http, hub, revision).ok().flatten(),
    };
    let hash = hash.or_else(|| names::sha256(&lfs.as_ref()?.oid));
    let bytes = lfs.map(|lfs| lfs.size).or(stated.bytes);
    let bytes = bytes.ok_or_else(|| bad_answer(&what, "it states no size"))?;
    let blob = match (&hash, &stated.etag) {
        (Some(hash), _) => hash.clone(),
        (None, Some(etag)) => names::component(etag).to_string_lossy().into_owned(),
        (None, None) => names::version(&what),
    };
    Ok(FileInfo {
        bytes,
        sha256: hash,
        blob,
    })
}

/// What the hub says about the file's content, if it keeps it outside of git.
fn lfs(http: &Http, hub: &HubFile, revision: &str) -> Result<Option<Lfs>> {
    let what = names::place(hub, revision);
    let url = http.url(questions(hub).chain(["paths-info", revision]));
    let body = serde_json::json!({ "paths": [hub.file], "expand": false }).to_string();
    let paths: Vec<PathInfo> = ask(http, &what, || http.post(&what, url.clone(), &body))?;
    Ok(paths
        .into_iter()
        .find(|info| info.path == hub.file)
        .and_then(|info| info.lfs))
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
            StatusCode::OK => read_answer(http, what, response),
            _ => Err(refusal(what, &response)),
        }
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| bad_answer(what, &format!("it can't be read ({error})")))
}

fn read_answer(http: &Http, what: &str, response: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    let read = http.read(response, MAX_ANSWER + 1, &mut sink);
    match read.map_err(Failure::last)? {
        (length, _) if length > MAX_ANSWER => {
            let reason = format!("it is longer than {MAX_ANSWER} bytes");
            Err(Failure::last(bad_answer(what, &reason)))
        }
        (_, End::Reached) => Ok(bytes),
        (_, end) => Err(Failure::passing(bad_answer(what, &end.reason()))),
    }
}

fn bad_answer(what: &str, reason: &str) -> Error {
    Error::HubResponse {
        what: what.to_string(),
        reason: reason.to_string(),
    }
}
