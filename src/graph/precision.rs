use candle_core::DType;
use serde::{Deserialize, Serialize};

/// The values that a dense layer's weights are rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Precision {
    /// The values of IEEE half precision.
    F16,
    /// The values of bfloat16.
    Bf16,
    /// -127 to 127 times a scale for each output: `max |w| / 127`, rounded up to
    /// 16 bits.
    Int8,
}

impl Precision {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// The type whose values these are, if there is one.
    pub(crate) fn dtype(self) -> Option<DType> {
        match self {
            Self::F16 => Some(DType::F16),
            Self::Bf16 => Some(DType::BF16),
            Self::Int8 => None,
        }
    }
}
