//! Names of the hub that may safely become addresses and paths.

use std::path::PathBuf;

use hf_hub::{Repo, RepoType};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result, printable};
use crate::graph::HubFile;
use crate::weights::hash::hex;

const WITHOUT_COMMIT: &str = "etag-";

/// Refuses names that would leave the folder they are joined to.
pub(super) fn check(hub: &HubFile) -> Result<()> {
    let repository = hub.repository.split('/');
    if repository.clone().count() > 2
        || !repository.clone().all(|part| {
            is_component(part)
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        })
    {
        return Err(Error::InvalidHubName {
            name: printable(&hub.repository),
            what: "repository",
            reason: "it must read owner/name, in letters, digits, \".\", \"_\" and \"-\"",
        });
    }
    check_path(&hub.revision, "revision")?;
    check_path(&hub.file, "file")
}

fn check_path(path: &str, what: &'static str) -> Result<()> {
    if path.split('/').all(is_component) {
        return Ok(());
    }
    Err(Error::InvalidHubName {
        name: printable(path),
        what,
        reason: "its parts must be plain names, separated by \"/\"",
    })
}

fn is_component(part: &str) -> bool {
    !part.is_empty()
        && part != "."
        && part != ".."
        && !part
            .chars()
            .any(|c| c.is_control() || matches!(c, '\\' | ':'))
}

/// Whether a revision is a commit, which never changes what it names.
pub(super) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The sha256 that a text is, in lower case.
pub(super) fn sha256(text: &str) -> Option<String> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase())
}

/// What caches call a version that has an ETag, but no commit.
pub(super) fn version(etag: &str) -> String {
    let hash = hex(&Sha256::digest(etag));
    format!("{WITHOUT_COMMIT}{}", &hash[..40])
}

/// Whether a text is a commit or the result of [`version`].
pub(super) fn is_version(text: &str) -> bool {
    is_commit(text.strip_prefix(WITHOUT_COMMIT).unwrap_or(text))
}

/// The repository at the revision of a hub file, as Hugging Face's crate has it.
pub(super) fn repository(hub: &HubFile) -> Repo {
    Repo::with_revision(
        hub.repository.clone(),
        RepoType::Model,
        hub.revision.clone(),
    )
}

/// A name of any characters as one path component, distinct for distinct
/// names.
pub(super) fn component(name: &str) -> PathBuf {
    const LONGEST: usize = 150;
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            escaped.push(char::from(byte));
        } else if byte == b'.' && !escaped.is_empty() {
            escaped.push('.');
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    if escaped.len() > LONGEST {
        escaped = format!("%{}", hex(&Sha256::digest(name)));
    }
    PathBuf::from(escaped)
}

/// A file at a revision, in words.
pub(super) fn place(hub: &HubFile, revision: &str) -> String {
    let short = match is_commit(revision) {
        true => &revision[..12],
        false => revision,
    };
    format!("{}@{short}/{}", hub.repository, hub.file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repository: &str, revision: &str, file: &str) -> HubFile {
        HubFile {
            repository: repository.to_string(),
            revision: revision.to_string(),
            file: file.to_string(),
            sha256: None,
        }
    }

    #[test]
    fn ordinary_names_pass() {
        check(&hub("timm/vgg16.tv_in1k", "main", "model.safetensors")).unwrap();
        check(&hub("gpt2", "refs/pr/1", "sub folder/model.safetensors")).unwrap();
    }

    #[test]
    fn names_that_would_leave_their_folder_do_not() {
        for (bad, what) in [
            (hub("../x", "main", "m"), "repository"),
            (hub("a/b/c", "main", "m"), "repository"),
            (hub("a/b?c", "main", "m"), "repository"),
            (hub("", "main", "m"), "repository"),
            (hub("a/b", "../../main", "m"), "revision"),
            (hub("a/b", "", "m"), "revision"),
            (hub("a/b", "main", "/etc/passwd"), "file"),
            (hub("a/b", "main", "x/../m"), "file"),
            (hub("a/b", "main", "C:\\m"), "file"),
        ] {
            let error = check(&bad).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidHubName { what: found, .. } if *found == what),
                "{bad:?}: {error}"
            );
        }
    }

    #[test]
    fn components_are_distinct_and_harmless() {
        assert_eq!(
            component("features.0.weight"),
            PathBuf::from("features.0.weight")
        );
        assert_eq!(component(".."), PathBuf::from("%2E."));
        assert_eq!(component("a/b"), PathBuf::from("a%2Fb"));
        assert_ne!(component("a%2Fb"), component("a/b"));
        assert_eq!(component(&"x".repeat(1000)).as_os_str().len(), 65);
    }
}
