//! What tells a weight file from others.

/// What tells a file on a hub from all others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its commit.
    pub(crate) commit: Option<String>,
    /// Of the whole file, where it is known.
    pub(crate) sha256: Option<String>,
}
