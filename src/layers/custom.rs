use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::shape::Shape;

use super::window::{LIMIT, within_limit};
use super::{Arity, Misfit, ParameterSpec, Rules};

/// A custom layer.
///
/// [`LoadOptions::custom`](crate::model::LoadOptions::custom) takes the
/// constructor for loading a file. The guide has a layer with parameters and
/// settings.
///
/// ```
/// use vgg_surgery::graph::Shape;
/// use vgg_surgery::layers::{Custom, CustomLayer};
/// use vgg_surgery::Vgg16;
/// use candle_core::Tensor;
///
/// #[derive(Debug)]
/// struct Square;
///
/// impl CustomLayer for Square {
///     fn kind(&self) -> &str {
///         "Square"
///     }
///     fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
///         Ok(inputs[0])
///     }
///     fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
///         inputs[0].sqr()
///     }
/// }
///
/// let graph = Vgg16::untrained(0)
///     .truncate("block1_pool")?
///     .attach(Custom::new(Square).named("square"))?;
/// assert_eq!(graph.layer::<Custom>("square")?.kind(), "Square");
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
pub trait CustomLayer: fmt::Debug + Send + Sync {
    /// The kind's name, for summaries and files.
    fn kind(&self) -> &str;

    /// What a constructor needs to make the layer again when a file is loaded;
    /// `null` by default. It must not hold NaN or infinities, which JSON
    /// can't say. The type is that of the crate `serde_json`, version 1.
    fn settings(&self) -> Value {
        Value::Null
    }

    /// The output's shape. Where the inputs' height and width are known, those
    /// of the output must be too; they may be unknown only while the inputs' are.
    ///
    /// # Errors
    /// In words, why the layer can't take these inputs; it becomes an
    /// [`Error::InvalidLayer`](crate::Error::InvalidLayer).
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String>;

    /// The parameters that the layer needs for these inputs; none by default.
    fn parameters(&self, _inputs: &[Shape]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// Computes the output from the inputs, batch first, and the parameters in
    /// the order of [`CustomLayer::parameters`].
    ///
    /// # Errors
    /// Whatever candle reports.
    fn forward(
        &self,
        inputs: &[Tensor],
        parameters: &[Tensor],
        training: bool,
    ) -> candle_core::Result<Tensor>;
}

/// A [`CustomLayer`] in a graph.
#[derive(Clone, Debug)]
pub struct Custom(Arc<dyn CustomLayer>);

impl Custom {
    /// Wraps a layer.
    pub fn new(layer: impl CustomLayer + 'static) -> Self {
        Self(Arc::new(layer))
    }

    /// The kind's name.
    pub fn kind(&self) -> &str {
        self.0.kind()
    }

    /// What differs between any two custom layers.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).cast::<()>().addr()
    }

    pub(crate) fn inner(&self) -> &dyn CustomLayer {
        &*self.0
    }
}

/// A custom layer in a file.
#[derive(Serialize)]
struct Written<'a> {
    kind: &'a str,
    settings: Value,
}

impl Serialize for Custom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            kind: self.kind(),
            settings: self.0.settings(),
        };
        written.serialize(serializer)
    }
}

/// Always an error: only a registry of constructors can make a custom layer.
impl<'de> Deserialize<'de> for Custom {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom(
            "a custom layer is made by the constructor that its kind is registered with",
        ))
    }
}

/// Two custom layers are equal if they are the same one.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Rules for Custom {
    fn arity(&self) -> Arity {
        Arity::Any
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, Misfit> {
        let output = self.0.infer(inputs).map_err(Misfit::Invalid)?;
        if !within_limit(output) {
            return Err(Misfit::Invalid(format!(
                "an output of {output} can't be: every size must be from 1 to {LIMIT}"
            )));
        }
        let parameters = self.0.parameters(inputs);
        let mut names: Vec<&str> = parameters.iter().map(|spec| spec.name.as_ref()).collect();
        names.sort_unstable();
        let twice = names.windows(2).any(|pair| pair[0] == pair[1]);
        if twice
            || names
                .iter()
                .any(|name| name.is_empty() || name.contains('.'))
        {
            return Err(Misfit::Invalid(
                "its parameters need names of their own, without full stops".to_string(),
            ));
        }
        let legal = parameters
            .iter()
            .all(|spec| spec.shape.iter().all(|side| (1..=LIMIT).contains(side)));
        if legal {
            Ok(output)
        } else {
            Err(Misfit::Invalid(format!(
                "every side of a parameter must be from 1 to {LIMIT}"
            )))
        }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        self.0.parameters(inputs)
    }

    fn macs(&self, _inputs: &[Shape], _output: Shape) -> Option<u64> {
        None
    }

    fn sees_everything(&self) -> bool {
        true
    }

    // Nothing is known of it.
    fn is_random(&self) -> bool {
        true
    }
}
