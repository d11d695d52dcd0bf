use super::words::quoted;

/// What is wrong with a file of this crate, or keeps a model from being
/// written as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// A sound safetensors file, but without a network.
    #[error(
        "{file} holds tensors, but no network; make the graph and give it this file with \
         pretrained_from"
    )]
    NoGraph {
        /// The file.
        file: String,
    },
    /// A checkpoint of a training, which holds no network.
    #[error(
        "{file} is a checkpoint of a training; build the network and give it to \
         Model::load_weights, or resume it with Trainer::resume"
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
        /// The newest version that is understood.
        supported: u64,
    },
    /// The description of the network can't be one.
    #[error("the network in {file} can't be read: {reason}")]
    InvalidGraph {
        /// The file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The tensors are not those that the network has.
    #[error("in {file} the tensors and the network disagree: \"{tensor}\" {reason}")]
    Disagreement {
        /// The file.
        file: String,
        /// The tensor, as `layer.parameter`.
        tensor: String,
        /// How they disagree.
        reason: String,
    },
    /// A custom layer of a kind that nobody has registered.
    #[error(
        "layer \"{layer}\" is a custom layer of kind \"{kind}\", for which LoadOptions::custom \
         has registered no constructor (it has {})",
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
    /// Settings that JSON can't say, such as NaN.
    #[error("layer \"{layer}\" can't be written to a file: {reason}")]
    Unwritable {
        /// The layer.
        layer: String,
        /// Which of its settings, and why.
        reason: String,
    },
    /// Something else of the network than a layer that would not come back as
    /// it is.
    #[error("the network can't be written to a file: {reason}")]
    UnwritableGraph {
        /// What, and why.
        reason: String,
    },
    /// A file of changes alone, whose base is not known or not there.
    #[error("the weights that {file} builds on can't be found: {reason}")]
    NoBase {
        /// The file, or what was to become it.
        file: String,
        /// What is lacking, and what to do.
        reason: String,
    },
    /// A file of changes that would take the place of what it builds on.
    #[error("{file} is what the changes build on; write them to another path")]
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
        /// The second of them.
        layer: String,
        /// The name of both.
        name: String,
        /// The library.
        library: &'static str,
    },
    /// A layer whose parameters can't be put in the order in which another
    /// library flattens maps.
    #[error(
        "what layer \"{layer}\" takes can't be put in {library}'s order, as flattened maps were \
         joined or given to a custom layer before it; put a dense layer between, or use this \
         crate's own file"
    )]
    OrderLost {
        /// The layer.
        layer: String,
        /// The library.
        library: &'static str,
    },
    /// A layer that can't be said in ONNX.
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
