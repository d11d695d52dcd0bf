//! A hub on 127.0.0.1: the part of the protocol that loading weights uses, and
//! its faults. It counts what it is asked and what it sends.

#![allow(dead_code, reason = "each test crate uses a part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

pub use behavior::Behavior;

use super::content::Content;

#[path = "hub_behavior.rs"]
mod behavior;

/// The commit that `main` names at first.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// One request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// First and last byte asked for.
    pub range: Option<(u64, u64)>,
    pub authorization: Option<String>,
    pub cookie: Option<String>,
    /// Whether it came to the server that requests are sent on to.
    pub cdn: bool,
}

struct State {
    repository: String,
    files: BTreeMap<String, (Arc<dyn Content>, String)>,
    commit: Mutex<String>,
    behavior: Mutex<Behavior>,
    requests: Mutex<Vec<Request>>,
    sent: Mutex<u64>,
    cdn: Mutex<String>,
}

/// A hub with one repository.
pub struct LocalHub {
    state: Arc<State>,
    endpoint: String,
}

impl LocalHub {
    /// Serves files, each with the sha256 of its content, in hexadecimal.
    pub fn start(repository: &str, files: Vec<(&str, Arc<dyn Content>, String)>) -> Self {
        let state = Arc::new(State {
            repository: repository.to_string(),
            files: files
                .into_iter()
                .map(|(name, content, sha256)| (name.to_string(), (content, sha256)))
                .collect(),
            commit: Mutex::new(COMMIT.to_string()),
            behavior: Mutex::default(),
            requests: Mutex::default(),
            sent: Mutex::default(),
            cdn: Mutex::default(),
        });
        *lock(&state.cdn) = listen(&state, true);
        let endpoint = listen(&state, false);
        Self { state, endpoint }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn behave(&self, behavior: Behavior) {
        *lock(&self.state.behavior) = behavior;
    }

    /// Lets `main` name another commit.
    pub fn set_commit(&self, commit: &str) {
        *lock(&self.state.commit) = commit.to_string();
    }

    /// The requests since this was last called.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut lock(&self.state.requests))
    }

    /// The bytes of bodies sent since this was last called.
    pub fn take_sent(&self) -> u64 {
        std::mem::take(&mut lock(&self.state.sent))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn listen(state: &Arc<State>, cdn: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::clone(state);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, state) = (stream.unwrap(), Arc::clone(&state));
            // A client that goes away in the middle is no concern of ours.
            thread::spawn(move || answer(&state, stream, cdn).ok());
        }
    });
    format!("http://{address}")
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    content: Arc<dyn Content>,
    range: Range<u64>,
}

impl Answer {
    fn text(status: u16, text: impl Into<Vec<u8>>) -> Self {
        let text: Vec<u8> = text.into();
        Self {
            status,
            headers: Vec::new(),
            range: 0..text.len() as u64,
            content: Arc::new(text),
        }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

fn answer(state: &State, stream: TcpStream, cdn: bool) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let behavior = lock(&state.behavior).clone();
    let (mut request, body) = read_request(&mut reader, cdn)?;
    lock(&state.requests).push(request.clone());
    if let Some(below) = request.path.strip_prefix(behavior.prefix) {
        request.path = below.to_string();
    }
    let is_json = request.path.starts_with("/api/");
    let is_file = !is_json && request.method == "GET";
    if is_file && behavior.silent {
        // Until the client gives up.
        reader.read_to_end(&mut Vec::new())?;
        return Ok(());
    }
    let answer = match failure(state, &request, &behavior, is_file) {
        Some(failure) => failure,
        None if !is_json => answer_file(state, &request, &behavior),
        None => answer_question(state, &request, &behavior, &body),
    };
    let cut = is_file && answer.status < 300 && {
        let mut behavior = lock(&state.behavior);
        let cut = behavior.cut_short > 0;
        behavior.cut_short = behavior.cut_short.saturating_sub(1);
        cut
    };
    let head = request.method == "HEAD";
    send(state, stream, answer, (head, cut, behavior))
}

fn read_request(reader: &mut impl BufRead, cdn: bool) -> std::io::Result<(Request, String)> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let mut request = Request {
        method: words.next().unwrap_or_default().to_string(),
        path: words.next().unwrap_or_default().to_string(),
        range: None,
        authorization: None,
        cookie: None,
        cdn,
    };
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let (first, last) = value
                    .strip_prefix("bytes=")
                    .and_then(|range| range.split_once('-'))
                    .unwrap();
                request.range = Some((first.parse().unwrap(), last.parse().unwrap()));
            }
            "cookie" => request.cookie = Some(value.to_string()),
            "authorization" => request.authorization = Some(value.to_string()),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((request, String::from_utf8(body).unwrap()))
}

fn failure(state: &State, request: &Request, behavior: &Behavior, is_file: bool) -> Option<Answer> {
    let status = {
        let mut shared = lock(&state.behavior);
        if shared.failures > 0 {
            shared.failures -= 1;
            Some(shared.failure_status)
        } else if is_file {
            behavior.file_status
        } else if request.path.starts_with("/api/") {
            behavior.api_status.or(behavior.json_status)
        } else {
            behavior.api_status.or(behavior.no_head.then_some(405))
        }
    };
    let unauthorized = behavior.token.is_some_and(|token| {
        !request.cdn && request.authorization != Some(format!("Bearer {token}"))
    });
    let status = status.or(unauthorized.then_some(401))?;
    let mut answer = Answer::text(status, "{\"error\":\"no\"}");
    if let Some(seconds) = behavior.retry_after {
        answer = answer.with("Retry-After", seconds);
    }
    if let Some(code) = behavior.error_code {
        answer = answer.with("X-Error-Code", code);
    }
    Some(answer)
}

fn not_found(code: &str) -> Answer {
    Answer::text(404, "{\"error\":\"not found\"}").with("X-Error-Code", code)
}

fn answer_question(state: &State, request: &Request, behavior: &Behavior, body: &str) -> Answer {
    let prefix = format!("/api/models/{}/", state.repository);
    let Some(rest) = request.path.strip_prefix(&prefix) else {
        return not_found("RepoNotFound");
    };
    let commit = lock(&state.commit).clone();
    match (request.method.as_str(), rest.split_once('/')) {
        ("GET", Some(("revision", revision))) => {
            if revision != "main" && revision != commit {
                return not_found("RevisionNotFound");
            }
            Answer::text(
                200,
                format!(
                    "{{\"_id\":\"1\",\"id\":\"{}\",\"siblings\":[],\"sha\":\"{commit}\"}}",
                    state.repository
                ),
            )
        }
        ("POST", Some(("paths-info", _))) => {
            let mut entries = Vec::new();
            for (name, (content, sha256)) in &state.files {
                if body.contains(&format!("\"{name}\"")) {
                    let sha256 = behavior.sha256.as_ref().unwrap_or(sha256);
                    let bytes = content.bytes();
                    let lfs = format!(
                        ",\"lfs\":{{\"oid\":\"{sha256}\",\"size\":{bytes},\"pointerSize\":134}}"
                    );
                    let lfs = if behavior.in_git { "" } else { &lfs };
                    entries.push(format!(
                        "{{\"type\":\"file\",\"oid\":\"{COMMIT}\",\"size\":{bytes},\
                         \"path\":\"{name}\"{lfs}}}"
                    ));
                }
            }
            Answer::text(200, format!("[{}]", entries.join(",")))
        }
        _ => not_found("EntryNotFound"),
    }
}

fn answer_file(state: &State, request: &Request, behavior: &Behavior) -> Answer {
    let prefix = format!("/{}/resolve/", state.repository);
    let moved = request.path.strip_prefix("/cdn/");
    let path = moved.or_else(|| request.path.strip_prefix(&prefix));
    let Some((revision, name)) = path.and_then(|path| path.split_once('/')) else {
        return not_found("RepoNotFound");
    };
    let commit = lock(&state.commit).clone();
    let has_commits = !behavior.no_commit || behavior.json_status.is_none();
    if revision != "main" && (revision != commit || !has_commits) {
        return not_found("RevisionNotFound");
    }
    let Some((content, sha256)) = state.files.get(name) else {
        return not_found("EntryNotFound");
    };
    let sha256 = behavior.sha256.as_ref().unwrap_or(sha256);
    let etag = match behavior.etag {
        None if behavior.moving && request.method == "GET" => "moved",
        None if behavior.in_git => COMMIT,
        None => sha256,
        Some(etag) => etag,
    };
    if behavior.relative && moved.is_none() {
        // From the folder of the file: over the revision, "resolve" and the
        // repository's owner and name.
        let location = format!("../../../../cdn/{revision}/{name}");
        return Answer::text(302, "Found").with("Location", location);
    }
    if behavior.cdn && !request.cdn {
        let location = format!("{}/cdn/{revision}/{name}", lock(&state.cdn));
        return Answer::text(302, "Found")
            .with("Location", location)
            .with("X-Linked-Size", content.bytes())
            .with("X-Linked-ETag", format!("\"{etag}\""));
    }
    let bytes = content.bytes();
    let mut answer = Answer {
        status: 200,
        headers: Vec::new(),
        content: Arc::clone(content),
        range: 0..bytes,
    };
    if !etag.is_empty() {
        answer = answer.with("ETag", format!("\"{etag}\""));
    }
    if let Some((first, last)) = request.range
        && !behavior.ignore_ranges
    {
        if behavior.refuse_ranges || first >= bytes {
            return Answer::text(416, "").with("Content-Range", format!("bytes */{bytes}"));
        }
        let shift = u64::from(behavior.shift_ranges);
        let last = last.min(bytes - 1);
        answer.status = 206;
        answer.range = first + shift..(last + 1 + shift).min(bytes);
        answer = answer.with(
            "Content-Range",
            format!("bytes {}-{}/{bytes}", first + shift, last + shift),
        );
    }
    answer
}

fn send(
    state: &State,
    mut stream: TcpStream,
    answer: Answer,
    (head, cut, behavior): (bool, bool, Behavior),
) -> std::io::Result<()> {
    let Range { start, mut end } = answer.range;
    write!(stream, "HTTP/1.1 {} Answer\r\n", answer.status)?;
    for (name, value) in &answer.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    if !behavior.no_commit {
        write!(stream, "X-Repo-Commit: {}\r\n", lock(&state.commit))?;
    }
    write!(
        stream,
        "Accept-Ranges: bytes\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        end - start
    )?;
    if head {
        return Ok(());
    }
    if cut {
        end = start + (end - start) / 2;
    }
    let mut offset = start;
    while offset < end {
        let next = end.min(offset + if behavior.drip { 1 } else { 64 * 1024 });
        if behavior.drip {
            thread::sleep(Duration::from_millis(5));
        }
        // Counted first: once the client has them all, the test may ask.
        *lock(&state.sent) += next - offset;
        stream.write_all(&answer.content.read(offset..next))?;
        offset = next;
    }
    stream.flush()
}
