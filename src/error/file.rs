use std::time::Duration;

use super::words::quoted;

/// What is wrong with a file, or why a model can't be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A valid safetensors file without a network.
    #[error(
        "{file} holds tensors, but no network; make the graph and give it this file with \
         pretrained_from"
    )]
    NoGraph {
        /// The file.
        file: String,
    },
    /// A training checkpoint, which contains no network.
    #[error(
        "{file} is a training checkpoint; build the network and pass the file to \
         Model::load_weights, or resume with Trainer::resume"
    )]
    Checkpoint {
        /// The file.
        file: String,
    },
    /// A file that a later version of this crate wrote.
    #[error(
        "{file} is of version {version}, and {supported} is the newest known here; update vgg-surgery"
    )]
    NewerVersion {
        /// The file.
        file: String,
        /// Its version.
        version: u64,
        /// The newest version that this crate reads.
        supported: u64,
    },
    /// The description of the network is not valid.
    #[error("the network in {file} can't be read: {reason}")]
    InvalidGraph {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tensors are not the parameters of the network.
    #[error("in {file} the tensors and the network disagree: \"{tensor}\" {reason}")]
    Disagreement {
        /// The file.
        file: String,
        /// The tensor, as `layer.parameter`.
        tensor: String,
        /// What differs.
        reason: String,
    },
    /// A custom layer of a kind that is not registered.
    #[error(
        "layer \"{layer}\" is a custom layer of kind \"{kind}\", which has no constructor (those \
         registered: {}); load it with Model::load_with and \
         LoadOptions::new().custom(\"{kind}\", ..)",
        listed(known)
    )]
    UnknownKind {
        /// The layer.
        layer: String,
        /// Its kind.
        kind: String,
        /// The kinds that are registered.
        known: Vec<String>,
    },
    /// A constructor refused the settings of a custom layer.
    #[error("layer \"{layer}\" of kind \"{kind}\" can't be made again: {reason}")]
    CustomSettings {
        /// The layer.
        layer: String,
        /// Its kind.
        kind: String,
        /// The constructor's reason.
        reason: String,
    },
    /// Settings that JSON can't represent, such as NaN.
    #[error("layer \"{layer}\" can't be written to a file: {reason}")]
    Unwritable {
        /// The layer.
        layer: String,
        /// Which setting, and why.
        reason: String,
    },
    /// Another part of the network that JSON can't represent.
    #[error("the network can't be written to a file: {reason}")]
    UnwritableGraph {
        /// What, and why.
        reason: String,
    },
    /// A pipe, a socket, a device or a link where a regular file is needed.
    #[error(
        "{file} is {kind}, but a regular file is needed; name another file, or put one in its place"
    )]
    NotAFile {
        /// The path.
        file: String,
        /// What it is.
        kind: &'static str,
    },
    /// Another process or thread holds a lock of the cache for too long.
    #[error(
        "{file} is still locked after {} s; let the process that fetches the same file finish, \
         end it, or wait longer with HubOptions::lock_timeout",
        waited.as_secs_f64()
    )]
    Locked {
        /// The lock.
        file: String,
        /// The longest wait.
        waited: Duration,
    },
    /// The weights that a delta builds on are not known, do not exist, or are outside of
    /// its folder.
    #[error("the weights that {file} builds on can't be found: {reason}")]
    NoBase {
        /// The delta.
        file: String,
        /// What is missing, and what to do.
        reason: String,
    },
    /// A delta would overwrite the weights that it builds on.
    #[error("{file} is the file that the delta builds on; write the delta to another path")]
    OverBase {
        /// The file.
        file: String,
    },
    /// A layer without a name in another library.
    #[error(
        "layer \"{layer}\" has no name in {library}; take it out, or use this crate's own file"
    )]
    NoNameThere {
        /// The layer.
        layer: String,
        /// The library.
        library: &'static str,
    },
    /// Two layers that would have the same name in another library.
    #[error(
        "layer \"{layer}\" would be \"{name}\" in {library}, as another layer is; take one of \
         them out, or use this crate's own file"
    )]
    SameNameThere {
        /// The second of the two layers.
        layer: String,
        /// The name of both.
        name: String,
        /// The library.
        library: &'static str,
    },
    /// A layer's parameters can't be put in the order in which another library
    /// flattens feature maps.
    #[error(
        "the input of layer \"{layer}\" can't be put in {library}'s order, because flattened \
         feature maps were joined or passed to a custom layer before it; put a dense layer \
         between, or use this crate's own file"
    )]
    OrderLost {
        /// The layer.
        layer: String,
        /// The library.
        library: &'static str,
    },
    /// A layer that ONNX can't represent.
    #[error("layer \"{layer}\" can't be exported to ONNX: {reason}")]
    NotInOnnx {
        /// The layer.
        layer: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl FileError {
    pub(super) fn layer(&self) -> Option<&str> {
        match self {
            Self::UnknownKind { layer, .. }
            | Self::CustomSettings { layer, .. }
            | Self::Unwritable { layer, .. }
            | Self::NoNameThere { layer, .. }
            | Self::SameNameThere { layer, .. }
            | Self::OrderLost { layer, .. }
            | Self::NotInOnnx { layer, .. } => Some(layer),
            _ => None,
        }
    }
}

fn listed(kinds: &[String]) -> String {
    match kinds {
        [] => "none".to_string(),
        kinds => quoted(kinds),
    }
}
