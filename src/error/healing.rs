use crate::shape::Shape;

/// Why a layer can't be healed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealingError {
    /// The old network has no output that the layer could learn from.
    #[error("the old network has no counterpart of \"{layer}\": {reason}")]
    NoCounterpart {
        /// The layer to heal.
        layer: String,
        /// What was looked for, and what to do.
        reason: String,
    },
    /// The layer's output has another shape than the replaced layers' output.
    #[error(
        "\"{layer}\" outputs {actual}, but the layers it replaces output {expected}; give it their \
         channels, stride and padding, such as .same()"
    )]
    Shapes {
        /// The layer to heal.
        layer: String,
        /// The shape in the old network.
        expected: Shape,
        /// The shape in the new one.
        actual: Shape,
    },
    /// A layer that has to learn is frozen.
    #[error("\"{layer}\" is frozen, so it can't be changed; unfreeze it first")]
    Frozen {
        /// The layer.
        layer: String,
    },
    /// The product of the old layers does not fit the new one.
    #[error("the old layers can't be composed into \"{layer}\": {reason}")]
    NotComposable {
        /// The layer to heal.
        layer: String,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// Least squares does not work on this layer.
    #[error("least squares can't fit \"{layer}\": {reason}")]
    NotFittable {
        /// The layer to heal.
        layer: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A layer that is to adapt does not follow the healed one, or has no
    /// parameters.
    #[error("\"{layer}\" can't adapt: {reason}")]
    NotAdaptable {
        /// The layer.
        layer: String,
        /// Why.
        reason: &'static str,
    },
    /// Values of the old or the new network are NaN or infinite. The weights
    /// are as they were before that step.
    #[error("values at \"{layer}\" are not finite; look at the weights (non_finite()) and images")]
    NonFinite {
        /// The layer.
        layer: String,
    },
}

impl HealingError {
    pub(super) fn layer(&self) -> &str {
        match self {
            Self::NoCounterpart { layer, .. }
            | Self::Shapes { layer, .. }
            | Self::Frozen { layer }
            | Self::NotComposable { layer, .. }
            | Self::NotFittable { layer, .. }
            | Self::NotAdaptable { layer, .. }
            | Self::NonFinite { layer } => layer,
        }
    }
}
