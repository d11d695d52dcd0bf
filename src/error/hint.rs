use std::fmt;

/// What to do about a weight file whose classifier does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WeightHint {
    /// The file has no classifier: build the network without one.
    WithoutTop,
    /// The file has an earlier part of the classifier: give this layer new weights.
    NewWeights {
        /// The layer.
        layer: String,
    },
    /// The file's classifier has another number of classes: build the network with
    /// that number, or give the layer new weights.
    Classes {
        /// The classes of the file.
        classes: usize,
        /// The layer.
        layer: String,
    },
}

impl fmt::Display for WeightHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WithoutTop => f.write_str("the file has no classifier; use without_top()"),
            Self::NewWeights { layer } => {
                write!(f, "replace(\"{layer}\", ..) gives it new weights")
            }
            Self::Classes { classes, layer } => write!(
                f,
                "the file's classifier has {classes} classes: use .classes({classes}), or \
                 replace(\"{layer}\", ..) for new weights"
            ),
        }
    }
}
