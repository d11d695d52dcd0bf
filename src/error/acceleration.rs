/// Why a network can't be made faster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccelerationError {
    /// The network has no layer that may lose channels.
    #[error(
        "no layer can lose channels; a convolution can if only convolutions of one group read \
         it, with nothing but pools and activations between, and it is not kept by keeping(..)"
    )]
    NothingToRemove,
    /// No network that may be made is within the budget.
    #[error("{budget} can't be reached: the best network within the limits has {best}")]
    OutOfReach {
        /// What was asked for.
        budget: String,
        /// The nearest that can be reached.
        best: String,
    },
    /// Values of the network are NaN or infinite.
    #[error("values at \"{layer}\" are not finite; look at the weights (non_finite()) and images")]
    NonFinite {
        /// The layer.
        layer: String,
    },
}
