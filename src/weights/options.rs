use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::progress::Progress;
use crate::files;

/// How weights are loaded when a graph is built.
#[derive(Clone, Default)]
pub(crate) struct ReadOptions {
    hub: HubOptions,
    progress: Option<Arc<dyn Progress>>,
}

impl ReadOptions {
    /// Hub options from the environment, and no reports of progress.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn hub(mut self, hub: HubOptions) -> Self {
        self.hub = hub;
        self
    }

    pub(crate) fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = Some(progress);
        self
    }

    #[cfg(feature = "hub")]
    pub(super) fn get_hub(&self) -> &HubOptions {
        &self.hub
    }

    #[cfg(feature = "hub")]
    pub(super) fn get_progress(&self) -> Option<&Arc<dyn Progress>> {
        self.progress.as_ref()
    }
}

impl fmt::Debug for ReadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOptions")
            .field("hub", &self.hub)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}

/// How a Hugging Face hub is reached, and where its files are kept.
///
/// The environment is read as Hugging Face's own tools read it; see
/// [`from_env`](Self::from_env). The setters override it.
///
/// ```
/// use std::time::Duration;
/// use vgg_surgery::weights::HubOptions;
///
/// let options = HubOptions::from_env()
///     .endpoint("http://127.0.0.1:8080")
///     .home("/tmp/weights")
///     .timeout(Duration::from_secs(5))
///     .retries(2);
/// ```
#[derive(Clone)]
#[must_use]
pub struct HubOptions {
    pub(super) endpoint: String,
    pub(super) token: Option<String>,
    pub(super) home: PathBuf,
    pub(super) hub_cache: PathBuf,
    pub(super) offline: bool,
    pub(super) timeout: Duration,
    pub(super) retries: u32,
    pub(super) retry_delay: Duration,
    pub(super) lowest_rate: u64,
    pub(super) lock_timeout: Duration,
    pub(super) proxy: Option<String>,
    pub(super) ca_bundle: Option<PathBuf>,
}

impl HubOptions {
    /// Options from the environment:
    ///
    /// - `HF_ENDPOINT`: the hub's address, else `https://huggingface.co`;
    /// - `HF_TOKEN`, else the file `HF_TOKEN_PATH`, else `token` in the home,
    ///   unless `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set: the access token;
    /// - `HF_HOME`, else `XDG_CACHE_HOME/huggingface`, else
    ///   `~/.cache/huggingface`: the home;
    /// - `HF_HUB_CACHE`, else `HUGGINGFACE_HUB_CACHE`, else `hub` in the home:
    ///   the cache of whole files, shared with other tools;
    /// - `HF_HUB_OFFLINE`, one of `1`, `true`, `yes` and `on`: no requests;
    /// - `REQUESTS_CA_BUNDLE`, else `CURL_CA_BUNDLE`, else `SSL_CERT_FILE`: a
    ///   PEM file of the certificate authorities to trust; by default, the certificates of
    ///   Mozilla's root program;
    /// - `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`: the proxy.
    ///
    /// A path may begin with `~`. Timeouts are 30 seconds; a failed request is
    /// repeated up to 4 times. Another process that fetches the same file is waited
    /// for, up to 10 minutes.
    pub fn from_env() -> Self {
        Self::from_variables(|name| env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| variable(name)?.into_string().ok();
        let user = || variable("HOME").or_else(|| variable("USERPROFILE"));
        let path = |name: &str| {
            let path = PathBuf::from(variable(name)?);
            let below = path.strip_prefix("~").ok().zip(user());
            Some(below.map_or_else(|| path.clone(), |(rest, user)| Path::new(&user).join(rest)))
        };
        let flag = |name: &str| {
            text(name).is_some_and(|value| {
                ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str())
            })
        };
        let home = path("HF_HOME")
            .or_else(|| Some(path("XDG_CACHE_HOME")?.join("huggingface")))
            .or_else(|| {
                let user = PathBuf::from(user()?);
                Some(user.join(".cache").join("huggingface"))
            })
            .unwrap_or_else(|| env::temp_dir().join("huggingface"));
        let trimmed = |token: String| Some(token.trim().to_string()).filter(|t| !t.is_empty());
        let stored_token = || {
            let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
            trimmed(String::from_utf8(files::read(&file).ok()?).ok()?)
        };
        let token = if flag("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            None
        } else {
            text("HF_TOKEN").and_then(trimmed).or_else(stored_token)
        };
        Self {
            endpoint: text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_string()),
            token,
            hub_cache: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| home.join("hub")),
            home,
            offline: flag("HF_HUB_OFFLINE"),
            timeout: Duration::from_secs(30),
            retries: 4,
            retry_delay: Duration::from_millis(250),
            lowest_rate: 1024,
            lock_timeout: Duration::from_secs(600),
            proxy: None,
            ca_bundle: path("REQUESTS_CA_BUNDLE")
                .or_else(|| path("CURL_CA_BUNDLE"))
                .or_else(|| path("SSL_CERT_FILE")),
        }
    }

    /// Sets the hub's address.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// Sets the access token.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Sets the home, as `HF_HOME` does: whole files are kept in `hub` in it, in
    /// the layout that other tools share, single tensors in `vgg-surgery`.
    /// Nothing is ever removed from either; both may be deleted at any time.
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = home.into();
        self.hub_cache = self.home.join("hub");
        self
    }

    /// Sets the cache of whole files, as `HF_HUB_CACHE` does; call it after
    /// [`home`](Self::home).
    pub fn hub_cache(mut self, hub_cache: impl Into<PathBuf>) -> Self {
        self.hub_cache = hub_cache.into();
        self
    }

    /// Whether to make do with what is cached and send no requests.
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Sets how long to wait for a connection, for an answer, and for each
    /// piece of its body. What the hub says about a file must arrive whole in
    /// this time. A part of a file that arrives more slowly than
    /// [`lowest_rate`](Self::lowest_rate) over such a time is given up, and
    /// continued by the next attempt.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how often a request is repeated after a lost connection or a
    /// status 408, 429 or 5xx.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets the wait before the first repetition; it doubles with each, up to
    /// 10 seconds.
    pub fn retry_delay(mut self, retry_delay: Duration) -> Self {
        self.retry_delay = retry_delay;
        self
    }

    /// Sets the lowest speed at which the parts of a file may arrive, in bytes a
    /// second; 1024 by default. A part must arrive in the time that this speed
    /// takes, and one timeout more.
    pub fn lowest_rate(mut self, bytes_per_second: u64) -> Self {
        self.lowest_rate = bytes_per_second;
        self
    }

    /// Sets how long to wait while another process or thread fetches the same
    /// file, before [`FileError::Locked`](crate::error::FileError::Locked). What is
    /// cached already is read without waiting.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Sends every request through this proxy, `http://host:port` or
    /// `socks5://host:port`, instead of the one the environment names.
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// Trusts the certificate authorities of this PEM file, and no others.
    pub fn ca_bundle(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_bundle = Some(file.into());
        self
    }
}

impl Default for HubOptions {
    /// As [`from_env`](Self::from_env).
    fn default() -> Self {
        Self::from_env()
    }
}

/// An address without the user name and password before its host.
pub(super) fn without_password(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}***{}", &rest[at..]),
        None => address.to_string(),
    }
}

/// Everything but the token and passwords, of which it shows only whether there are
/// any.
impl fmt::Debug for HubOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("endpoint", &without_password(&self.endpoint))
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("home", &self.home)
            .field("hub_cache", &self.hub_cache)
            .field("offline", &self.offline)
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("retry_delay", &self.retry_delay)
            .field("lowest_rate", &self.lowest_rate)
            .field("lock_timeout", &self.lock_timeout)
            .field("proxy", &self.proxy.as_ref().map(|_| "set"))
            .field("ca_bundle", &self.ca_bundle)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> HubOptions {
        HubOptions::from_variables(|name| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some(OsString::from(value))
        })
    }

    #[test]
    fn the_environment_is_read_as_hugging_faces_tools_read_it() {
        let plain = with(&[("HOME", "/home/ada")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(
            plain.hub_cache,
            PathBuf::from("/home/ada/.cache/huggingface/hub")
        );
        assert!(!plain.offline);

        let xdg = with(&[("HOME", "/home/ada"), ("XDG_CACHE_HOME", "/c")]);
        assert_eq!(xdg.home, PathBuf::from("/c/huggingface"));

        let full = with(&[
            ("HF_ENDPOINT", "http://mirror"),
            ("HF_TOKEN", "hf_secret"),
            ("HF_HOME", "/h"),
            ("HF_HUB_CACHE", "/cache"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        assert_eq!(full.endpoint, "http://mirror");
        assert_eq!(full.token.as_deref(), Some("hf_secret"));
        assert_eq!(full.home, PathBuf::from("/h"));
        assert_eq!(full.hub_cache, PathBuf::from("/cache"));
        assert!(full.offline);
        assert!(!format!("{full:?}").contains("hf_secret"));

        assert_eq!(
            with(&[("HF_HOME", "/h")]).hub_cache,
            PathBuf::from("/h/hub")
        );
        assert!(!with(&[("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn no_password_of_an_address_is_shown() {
        for (address, shown) in [
            ("https://ada:s3cret@mirror/x@y", "https://***@mirror/x@y"),
            ("https://a@b:s3c@ret@mirror", "https://***@mirror"),
            ("ada:s3cret@mirror:80", "***@mirror:80"),
            ("https://mirror/a@b", "https://mirror/a@b"),
            ("", ""),
        ] {
            assert_eq!(without_password(address), shown);
        }
        let options = with(&[("HF_ENDPOINT", "https://ada:s3cret@mirror")]);
        assert_eq!(options.endpoint, "https://ada:s3cret@mirror");
        let shown = format!("{:?}", options.proxy("http://ada:s3cret@proxy"));
        assert!(
            shown.contains("mirror") && !shown.contains("s3cret"),
            "{shown}"
        );
    }

    #[test]
    fn white_space_around_a_token_is_none_of_it() {
        let token = with(&[("HF_TOKEN", " hf_secret\r\n")]).token;
        assert_eq!(token.as_deref(), Some("hf_secret"));
        assert_eq!(with(&[("HF_TOKEN", "\n")]).token, None);
    }

    #[test]
    fn a_path_may_begin_in_the_users_home() {
        let options = with(&[
            ("HOME", "/home/ada"),
            ("HF_HOME", "~/hf"),
            ("HF_HUB_CACHE", "~"),
        ]);
        assert_eq!(options.home, PathBuf::from("/home/ada/hf"));
        assert_eq!(options.hub_cache, PathBuf::from("/home/ada"));
        let other = with(&[("HOME", "/home/ada"), ("HF_HOME", "~bob/hf")]);
        assert_eq!(other.home, PathBuf::from("~bob/hf"));
    }

    #[test]
    fn a_stored_token_is_found_unless_forbidden() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "hf_stored\n").unwrap();
        let path = home.path().to_str().unwrap();
        let found = with(&[("HF_HOME", path)]);
        assert_eq!(found.token.as_deref(), Some("hf_stored"));
        let forbidden = with(&[("HF_HOME", path), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
        assert_eq!(forbidden.token, None);
    }
}
