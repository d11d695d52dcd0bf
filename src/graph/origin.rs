//! Where a parameter's values come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::layers::Init;

use super::weight_key::WeightKey;
use super::weight_set::WeightSet;

/// The name under which a model keeps a parameter's tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct TensorId(u64);

impl TensorId {
    pub(crate) fn unique() -> Self {
        Self(next_unique())
    }
}

pub(super) fn next_unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where a parameter's values come from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Read from a weight set, under the first of these keys that is there.
    Pretrained {
        weights: Arc<WeightSet>,
        keys: Vec<WeightKey>,
        /// What it is otherwise, if the weight set may lack it.
        otherwise: Option<Box<Origin>>,
    },
    /// Drawn when the graph is built.
    Init { init: Init, seed: u64 },
    /// Kept by the model that the graph belongs to.
    Tensor { id: TensorId, made: Made },
}

/// How a model came by a parameter's values.
#[derive(Clone, Debug)]
pub(crate) enum Made {
    /// Drawn when it was built.
    Drawn,
    Read(Source),
    /// Computed by an edit, from values that can be read again where a base is
    /// known.
    Derived(Option<Arc<Base>>),
}

/// Stored weights that values were read from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// In words, for reports.
    pub(crate) words: Arc<str>,
    /// Where the values can be read again, if they can.
    pub(crate) base: Option<Arc<Base>>,
    /// The tensor that was read, if this process read it.
    pub(crate) found: Option<Found>,
}

/// The stored tensor that a parameter was read from.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its name and layout in the file.
    pub(crate) key: WeightKey,
    /// The part of its name that was left out to recognize it.
    pub(crate) ignored: String,
}

/// A parameter of a weight set that outlives the process.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) weights: Arc<WeightSet>,
    pub(crate) keys: Vec<WeightKey>,
}

impl Source {
    /// The weights under their own names, the names that were looked for, and
    /// the tensor that was found.
    pub(super) fn of(weights: &Arc<WeightSet>, keys: &[WeightKey], found: Found) -> Self {
        let base = weights.outlives_the_process().then(|| {
            let others = keys.iter().filter(|key| **key != found.key);
            Arc::new(Base {
                weights: weights.clone(),
                keys: [&found.key].into_iter().chain(others).cloned().collect(),
            })
        });
        Self {
            words: weights.to_string().into(),
            base,
            found: Some(found),
        }
    }
}

/// A seed for every parameter. The values that one layer draws do not depend on
/// the layers around it.
pub(crate) fn parameter_seed(seed: u64, layer: &str, parameter: &str) -> u64 {
    let names = [layer.as_bytes(), &[0], parameter.as_bytes()].concat();
    crate::random::hash(seed.to_le_bytes().into_iter().chain(names))
}

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
