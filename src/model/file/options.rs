use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use candle_core::DType;
use serde_json::Value;

use crate::error::{FileError, Result};
use crate::graph::{MakeCustom, WeightSet};
use crate::layers::{Custom, CustomLayer, Layer};
use crate::weights::{HubOptions, Progress};

use super::super::build::BuildOptions;

type Constructor = dyn Fn(&Value) -> Result<Custom, String> + Send + Sync;

/// Constructors of custom layers by kind, for loading files.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use serde_json::{Value, json};
/// use vgg_surgery::graph::Shape;
/// use vgg_surgery::layers::{Custom, CustomLayer};
/// use vgg_surgery::model::{LoadOptions, Registry};
/// use vgg_surgery::{Model, Vgg16};
///
/// #[derive(Debug)]
/// struct Scale(f64);
///
/// impl CustomLayer for Scale {
///     fn kind(&self) -> &str {
///         "Scale"
///     }
///     fn settings(&self) -> Value {
///         json!(self.0)
///     }
///     fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
///         Ok(inputs[0])
///     }
///     fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
///         &inputs[0] * self.0
///     }
/// }
///
/// let model = Vgg16::options().widths(16).untrained(0)?
///     .truncate("block1_pool")?
///     .attach(Custom::new(Scale(0.5)).named("scale"))?
///     .build(&Device::Cpu)?;
/// let registry = Registry::new()
///     .custom("Scale", |settings| settings.as_f64().map(Scale).ok_or("no factor"));
/// let options = LoadOptions::new().registry(registry);
/// let again = Model::from_bytes(model.to_bytes()?, &Device::Cpu, &options)?;
/// assert_eq!(again.graph().layer::<Custom>("scale")?.kind(), "Scale");
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Registry {
    constructors: BTreeMap<String, Arc<Constructor>>,
}

impl Registry {
    /// A registry of no kinds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers the constructor of a kind, which makes a layer from its
    /// [`settings`](CustomLayer::settings). Replaces an earlier constructor.
    pub fn custom<L, E>(
        mut self,
        kind: impl Into<String>,
        constructor: impl Fn(&Value) -> Result<L, E> + Send + Sync + 'static,
    ) -> Self
    where
        L: CustomLayer + 'static,
        E: fmt::Display,
    {
        let constructor: Arc<Constructor> = Arc::new(move |settings| {
            let made = constructor(settings);
            made.map(Custom::new).map_err(|error| error.to_string())
        });
        self.constructors.insert(kind.into(), constructor);
        self
    }

    /// The kinds that are registered.
    pub fn kinds(&self) -> impl Iterator<Item = &str> {
        self.constructors.keys().map(String::as_str)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds()).finish()
    }
}

impl MakeCustom for Registry {
    fn make(&self, layer: &str, kind: &str, settings: &Value) -> Result<Layer> {
        let Some(constructor) = self.constructors.get(kind) else {
            return Err(FileError::UnknownKind {
                layer: layer.to_string(),
                kind: kind.to_string(),
                known: self.kinds().map(str::to_string).collect(),
            }
            .into());
        };
        let refused = |reason| FileError::CustomSettings {
            layer: layer.to_string(),
            kind: kind.to_string(),
            reason,
        };
        Ok(constructor(settings).map_err(refused)?.into())
    }
}

/// How a file is loaded.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct LoadOptions {
    pub(super) build: BuildOptions,
    pub(super) dtype: Option<DType>,
    pub(super) registry: Registry,
    pub(super) base: Option<WeightSet>,
}

impl LoadOptions {
    /// No custom layers, the saved type, the base that a delta names, and hub
    /// options from the environment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the type of the model's tensors; the saved type by default.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = Some(dtype);
        self
    }

    /// Sets the type of frozen dense layers' weights; see
    /// [`BuildOptions::dense_dtype`]. By default, weights that were saved in f16
    /// or bf16 keep that type.
    pub fn dense_dtype(mut self, dtype: DType) -> Self {
        self.build = self.build.dense_dtype(dtype);
        self
    }

    /// Sets the most bytes that the values of a pass may take; see
    /// [`BuildOptions::memory_limit`].
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.build = self.build.memory_limit(bytes);
        self
    }

    /// Registers the constructor of a kind of layers; see [`Registry::custom`].
    pub fn custom<L, E>(
        mut self,
        kind: impl Into<String>,
        constructor: impl Fn(&Value) -> Result<L, E> + Send + Sync + 'static,
    ) -> Self
    where
        L: CustomLayer + 'static,
        E: fmt::Display,
    {
        self.registry = self.registry.custom(kind, constructor);
        self
    }

    /// Registers all constructors of a registry; they replace earlier ones.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry.constructors.extend(registry.constructors);
        self
    }

    /// Sets the weights that a delta builds on, such as a path, if they were
    /// moved or converted to another format. They are verified too. They replace
    /// all bases if the delta builds on several.
    pub fn base(mut self, base: impl Into<WeightSet>) -> Self {
        self.base = Some(base.into());
        self
    }

    /// Sets how the hub is reached for the base of a delta.
    pub fn hub(mut self, hub: HubOptions) -> Self {
        self.build = self.build.hub(hub);
        self
    }

    /// Sets the receiver of progress reports.
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.build = self.build.progress(progress);
        self
    }
}
