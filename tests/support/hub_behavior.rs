//! What a local hub can do wrong.

/// How the hub behaves from now on.
#[derive(Clone, Default)]
pub struct Behavior {
    /// Answers every question about repositories and files with this status.
    pub api_status: Option<u16>,
    /// Answers every request for a file with this status.
    pub file_status: Option<u16>,
    /// Answers so many requests, of either kind, with this status first.
    pub failures: u32,
    pub failure_status: u16,
    /// Seconds of `Retry-After`, with any failure.
    pub retry_after: Option<u32>,
    /// `X-Error-Code`, with any failure.
    pub error_code: Option<&'static str>,
    /// Breaks off the bodies of so many answers for files half way.
    pub cut_short: u32,
    /// Answers 200 with the whole file, whatever range is asked for.
    pub ignore_ranges: bool,
    /// Answers 416 to any range.
    pub refuse_ranges: bool,
    /// Sends the range after the one asked for, and says so.
    pub shift_ranges: bool,
    /// Sends requests for files on to another server.
    pub cdn: bool,
    /// Wants this token.
    pub token: Option<&'static str>,
    /// Takes requests for files and never answers.
    pub silent: bool,
    /// Claims that the file has this hash.
    pub sha256: Option<String>,
    /// States no hash of what a file holds, as hubs do of files kept in git.
    pub in_git: bool,
    /// Answers every question in JSON with this status and a page.
    pub json_status: Option<u16>,
    /// Takes no HEAD.
    pub no_head: bool,
    /// Names no commit in headers.
    pub no_commit: bool,
    /// States this ETag; none if it is empty.
    pub etag: Option<&'static str>,
    /// States another ETag where a file is sent than where it is asked about.
    pub moving: bool,
    /// Serves everything below this path.
    pub prefix: &'static str,
    /// Redirects requests for files to another path, by a relative address.
    pub relative: bool,
    /// Sends the bodies of answers a byte at a time.
    pub drip: bool,
}
