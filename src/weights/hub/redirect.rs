//! Where redirects lead.

use ureq::http::Uri;

/// The address that a redirect from `uri` leads to: a whole address, or one
/// that is relative to the host or to the path (RFC 3986, section 5).
pub(super) fn redirected(uri: &Uri, location: &str) -> Option<String> {
    let scheme = uri.scheme_str()?;
    let location = location.split('#').next()?;
    if location.split(['/', '?']).next()?.contains(':') {
        let (found, _) = location.split_once("://")?;
        let is_web = ["http", "https"]
            .iter()
            .any(|web| found.eq_ignore_ascii_case(web));
        return is_web.then(|| location.to_string());
    }
    if location.starts_with("//") {
        return Some(format!("{scheme}:{location}"));
    }
    let query = location.find('?').unwrap_or(location.len());
    let (path, query) = location.split_at(query);
    let path = match path {
        "" if query.is_empty() => return None,
        "" => uri.path().to_string(),
        _ if path.starts_with('/') => without_dots(path),
        _ => {
            let (folder, _) = uri.path().rsplit_once('/')?;
            without_dots(&format!("{folder}/{path}"))
        }
    };
    Some(format!("{scheme}://{}{path}{query}", uri.authority()?))
}

/// The path with its `.` and `..` resolved.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        is_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => kept.push(segment),
        }
    }
    if is_folder {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, cases: &[(&str, Option<&str>)]) {
        let uri: Uri = from.parse().unwrap();
        for &(location, expected) in cases {
            let found = redirected(&uri, location);
            assert_eq!(found.as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn redirects_with_and_without_scheme_and_host() {
        check(
            "https://hub.co:1/a/b?c",
            &[
                ("/x?y", Some("https://hub.co:1/x?y")),
                ("//cdn.co/x", Some("https://cdn.co/x")),
                ("https://cdn.co/x", Some("https://cdn.co/x")),
                ("HTTPS://cdn.co/x", Some("HTTPS://cdn.co/x")),
                ("httpx://cdn.co/x", None),
                ("file:///x", None),
                ("http:x", None),
                ("", None),
            ],
        );
    }

    /// The examples of RFC 3986, section 5.4, that are paths.
    #[test]
    fn redirects_relative_to_the_path() {
        check(
            "http://a/b/c/d;p?q",
            &[
                ("g", Some("http://a/b/c/g")),
                ("./g", Some("http://a/b/c/g")),
                ("g/", Some("http://a/b/c/g/")),
                ("/g", Some("http://a/g")),
                ("?y", Some("http://a/b/c/d;p?y")),
                ("g?y", Some("http://a/b/c/g?y")),
                ("g#s", Some("http://a/b/c/g")),
                ("g?y/./x", Some("http://a/b/c/g?y/./x")),
                (";x", Some("http://a/b/c/;x")),
                (".", Some("http://a/b/c/")),
                ("..", Some("http://a/b/")),
                ("../g", Some("http://a/b/g")),
                ("../../g", Some("http://a/g")),
                ("../../../g", Some("http://a/g")),
                ("/../g", Some("http://a/g")),
                ("./g/.", Some("http://a/b/c/g/")),
                ("g/../h", Some("http://a/b/c/h")),
                ("../x?u=https://y", Some("http://a/b/x?u=https://y")),
            ],
        );
    }
}
