use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, FileError, Result, shown};
use crate::graph::{
    Graph, Layout, Made, Origin, Parameter, Precision, TensorId, WeightKey, WeightSet,
};
use crate::layers::Layer;
use crate::weights::{Safetensors, dtype_name, weight_dtype};

use super::super::access::key_of;
use super::super::build::{Tensors, assemble, check_dense_dtype, check_dtype};
use super::super::core::{Model, Stored};
use super::super::program::Programs;
use super::delta::hash_of;
use super::options::LoadOptions;
use super::packed::{read_bytes, scale_key};
use super::record::FileRecord;

impl Model {
    /// Loads a model that [`Model::save`] or [`Model::save_delta`] wrote.
    ///
    /// A file is checked before it is used, and no code in it is run. A delta
    /// names the weights it builds on: a file in the delta's folder or below it
    /// is read, or the repository is fetched. Other files are not read for it,
    /// unless [`LoadOptions::base`] gives them.
    ///
    /// # Errors
    /// [`Error::Io`]; [`FileError::NotAFile`] for a pipe or a device;
    /// [`Error::InvalidWeights`] if the file is truncated, not a safetensors
    /// file, or changed while it is read; [`FileError::NoGraph`], [`FileError::Checkpoint`],
    /// [`FileError::NewerVersion`], [`FileError::InvalidGraph`],
    /// [`FileError::Disagreement`], [`FileError::UnknownKind`]; for a delta,
    /// [`FileError::NoBase`], [`Error::HashMismatch`] and the errors of reading
    /// weights.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::load_with(path, device, &LoadOptions::new())
    }

    /// As [`Model::load`], with options.
    ///
    /// # Errors
    /// As [`Model::load`], and [`FileError::CustomSettings`].
    pub fn load_with(
        path: impl AsRef<Path>,
        device: &Device,
        options: &LoadOptions,
    ) -> Result<Self> {
        let path = path.as_ref();
        let opened = Arc::new(Safetensors::open(path)?);
        load(&opened, path.parent(), device, options)
    }

    /// As [`Model::load_with`], from the bytes of a file.
    ///
    /// # Errors
    /// As [`Model::load_with`].
    pub fn from_bytes(
        bytes: impl Into<Arc<[u8]>>,
        device: &Device,
        options: &LoadOptions,
    ) -> Result<Self> {
        let opened = Arc::new(Safetensors::from_bytes(bytes.into())?);
        load(&opened, None, device, options)
    }
}

/// Relative paths in the file start at the folder.
fn load(
    opened: &Arc<Safetensors>,
    folder: Option<&Path>,
    device: &Device,
    options: &LoadOptions,
) -> Result<Model> {
    if let Some(dtype) = options.dtype {
        check_dtype(dtype)?;
    }
    let file = opened.place().to_string();
    let record = FileRecord::read(opened.metadata(), &file)?;
    let dtype = weight_dtype(&record.dtype).ok_or_else(|| FileError::InvalidGraph {
        file: file.clone(),
        reason: format!("\"{}\" is not a type of parameters", record.dtype),
    })?;
    let graph = Graph::from_record(record.graph.clone(), &options.registry, &file)?;
    let reading = Reading {
        file,
        bases: record.bases(options.base.as_ref(), folder),
        is_base_given: options.base.is_some(),
        folder,
        record,
        opened,
    };
    reading.check_tensors(&graph)?;
    reading.check_bases()?;
    let mut unpacked = Tensors::new();
    let graph = reading.set_origins(graph, |id, tensor| {
        let tensor = tensor.to_device(device)?.to_dtype(dtype)?;
        unpacked.insert(id, Stored::Frozen(tensor));
        Ok(())
    })?;
    check_dense_dtype(options.build.dense_dtype)?;
    let mut build = options.build.clone().dtype(dtype);
    // The values of a delta are verified as they were stored.
    build.dense_dtype = None;
    let mut model = assemble(graph, device, &build, &unpacked)?;
    reading.verify(&model)?;
    reading.set_sources(&mut model)?;
    if let Some(other) = options.dtype.filter(|&other| other != dtype) {
        model = model.converted(other)?;
    }
    if model.dtype == DType::F32 {
        reading.halve(&mut model, options.build.dense_dtype)?;
    }
    Ok(model)
}

struct Reading<'a> {
    file: String,
    record: FileRecord,
    /// The weight set of each source, if it can be read again.
    bases: Vec<Option<Arc<WeightSet>>>,
    /// Whether the caller chose the weights.
    is_base_given: bool,
    /// The folder of the file, if it is one on disk.
    folder: Option<&'a Path>,
    opened: &'a Arc<Safetensors>,
}

impl Reading<'_> {
    fn disagree(&self, tensor: &str, reason: impl Into<String>) -> Error {
        let (file, tensor, reason) = (self.file.clone(), tensor.to_string(), reason.into());
        FileError::Disagreement {
            file,
            tensor,
            reason,
        }
        .into()
    }

    fn no_base(&self, reason: String) -> Error {
        let file = self.file.clone();
        FileError::NoBase { file, reason }.into()
    }

    fn is_in_base(&self, key: &str) -> bool {
        let record = self.record.parameters.get(key);
        record.is_some_and(|record| record.sha256.is_some())
    }

    /// Whether the file says that a parameter was rounded to int8.
    fn is_int8(&self, key: &str) -> bool {
        let record = self.record.parameters.get(key);
        record.is_some_and(|record| record.precision == Some(Precision::Int8))
    }

    /// Whether the values of a parameter are stored as bytes and factors.
    fn is_in_bytes(&self, key: &str) -> bool {
        let tensor = self.opened.tensors().get(key);
        self.is_int8(key) && tensor.is_some_and(|tensor| tensor.dtype == "U8")
    }

    /// The type that a parameter had in the saved model.
    fn dtype_of(&self, key: &str) -> Option<DType> {
        let record = self.record.parameters.get(key);
        let in_base = record.and_then(|record| record.dtype.as_ref());
        let stored = self.opened.tensors().get(key).map(|tensor| &tensor.dtype);
        weight_dtype(in_base.or(stored)?)
    }

    /// Converts the weights of frozen dense layers to the type that they had in
    /// the saved model, and then to the requested type.
    fn halve(&self, model: &mut Model, requested: Option<DType>) -> Result<()> {
        for node in model.graph.nodes() {
            let is_dense = matches!(node.layer(), Layer::Dense(_));
            let weight = node.parameters().first();
            let Some(weight) = weight.filter(|_| is_dense && node.is_frozen()) else {
                continue;
            };
            let saved = self.dtype_of(&key_of(node.name(), weight.name()));
            let saved = saved.filter(|&dtype| {
                matches!(dtype, DType::F16 | DType::BF16) && dtype_name(dtype) != self.record.dtype
            });
            let id = weight.tensor();
            if let Some(stored) = id.and_then(|id| model.tensors.get_mut(&id)) {
                for dtype in [saved, requested].into_iter().flatten() {
                    stored.convert(dtype)?;
                }
            }
        }
        (model.workspace, model.programs) = (Arc::default(), Programs::default());
        Ok(())
    }

    /// Compares names and shapes of the tensors with the parameters.
    fn check_tensors(&self, graph: &Graph) -> Result<()> {
        let tensors = self.opened.tensors();
        let mut expected: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for node in graph.nodes() {
            for parameter in node.parameters() {
                let (key, shape) = (key_of(node.name(), parameter.name()), parameter.shape());
                if self.is_int8(&key) && shape.len() != 2 {
                    return Err(self.disagree(&key, "is int8, but not a matrix"));
                }
                if self.is_in_base(&key) {
                    continue;
                }
                if self.is_in_bytes(&key) {
                    let scale = scale_key(&key);
                    if tensors
                        .get(&scale)
                        .is_some_and(|scale| scale.dtype != "F32")
                    {
                        return Err(self.disagree(&scale, "is not stored as F32"));
                    }
                    expected.insert(scale, vec![shape[0]]);
                }
                expected.insert(key, shape.to_vec());
            }
        }
        for (key, shape) in &expected {
            let Some(stored) = tensors.get(key) else {
                return Err(self.disagree(key, "is not among the tensors"));
            };
            if stored.shape != *shape {
                let reason = format!("is {:?}, but the network needs {shape:?}", stored.shape);
                return Err(self.disagree(key, reason));
            }
        }
        match tensors.keys().find(|key| !expected.contains_key(*key)) {
            None => Ok(()),
            Some(extra) => Err(self.disagree(extra, "is not a parameter of the network")),
        }
    }

    /// Checks that local bases exist, and that this file may name them.
    fn check_bases(&self) -> Result<()> {
        let parameters = self.record.parameters.values();
        let needed = parameters.filter(|parameter| parameter.sha256.is_some());
        let sources = needed.filter_map(|needed| needed.source);
        let sources: BTreeSet<usize> = sources.collect();
        if !self.is_base_given
            && let Some(path) = self.record.path_outside(&sources, self.folder)
        {
            return Err(self.no_base(format!(
                "{} is not in its folder; if you trust it, name the weights with LoadOptions::base",
                shown(path)
            )));
        }
        let mut bases = sources
            .iter()
            .filter_map(|&source| self.bases.get(source)?.as_ref());
        match bases.find_map(|base| base.path().filter(|path| !path.exists())) {
            None => Ok(()),
            Some(path) => Err(self.no_base(format!(
                "{} does not exist; name the weights with LoadOptions::base",
                shown(path)
            ))),
        }
    }

    /// Sets the origin of each parameter. Values that are stored as bytes are
    /// read and passed to `unpacked`.
    fn set_origins(
        &self,
        graph: Graph,
        mut unpacked: impl FnMut(TensorId, Tensor) -> Result<()>,
    ) -> Result<Graph> {
        let set = Arc::new(self.opened.weight_set());
        with_parameters(graph, |key, parameter| {
            let origin = if self.is_in_base(key) {
                self.base_of(key, parameter.shape())?
            } else if self.is_in_bytes(key) {
                let (id, made) = (TensorId::unique(), Made::Drawn);
                unpacked(id, read_bytes(self.opened, key, parameter.shape())?)?;
                Origin::Tensor { id, made }
            } else {
                let (name, layout) = (key.to_string(), Layout::AsIs);
                Origin::Pretrained {
                    weights: set.clone(),
                    keys: vec![WeightKey { name, layout }],
                    otherwise: None,
                }
            };
            let record = self.record.parameters.get(key);
            parameter.set_origin(origin, record.and_then(|record| record.precision));
            Ok(())
        })
    }

    fn base_of(&self, key: &str, shape: &[usize]) -> Result<Origin> {
        let base = self.record.base_of(key, &self.bases).ok_or_else(|| {
            self.no_base(format!(
                "the file does not name the weights of \"{key}\"; name them with LoadOptions::base"
            ))
        })?;
        if let Some(misfit) = base.keys.iter().find(|key| !key.layout.fits(shape)) {
            let reason = format!("of shape {shape:?} is not stored as {:?}", misfit.layout);
            return Err(self.disagree(key, reason));
        }
        Ok(Origin::Pretrained {
            weights: base.weights.clone(),
            keys: base.keys.clone(),
            otherwise: None,
        })
    }

    /// Compares the hashes of values from a base with the hashes in the file.
    fn verify(&self, model: &Model) -> Result<()> {
        for (key, tensor) in model.named_tensors(|key| self.is_in_base(key)) {
            let record = &self.record.parameters[&key];
            let Some(expected) = &record.sha256 else {
                continue;
            };
            let saved = record.dtype.as_deref().and_then(weight_dtype);
            let actual = hash_of(&tensor.to_dtype(saved.unwrap_or(tensor.dtype()))?)?;
            if actual != *expected {
                let base = self.record.base_of(&key, &self.bases);
                let place = base.map_or_else(String::new, |base| base.weights.to_string());
                return Err(Error::HashMismatch {
                    file: format!("\"{key}\" of {place}"),
                    expected: expected.clone(),
                    actual,
                });
            }
        }
        Ok(())
    }

    /// Names the original source of each parameter instead of this file.
    fn set_sources(&self, model: &mut Model) -> Result<()> {
        model.graph = with_parameters(model.graph.clone(), |key, parameter| {
            let made = self.record.made(key, &self.bases);
            let (made, entry) = made.unwrap_or((Made::Drawn, parameter.made_by_entry()));
            parameter.set_made(made, entry);
            Ok(())
        })?;
        Ok(())
    }
}

/// A graph after a change of its parameters; `change` gets each with its key.
fn with_parameters(
    graph: Graph,
    mut change: impl FnMut(&str, &mut Parameter) -> Result<()>,
) -> Result<Graph> {
    graph.rewrite(|graph| {
        let mut changed = Ok(());
        for id in graph.ids() {
            let layer = graph.expect_node(id).name().to_string();
            graph.change_parameters(id, |parameter| {
                if changed.is_ok() {
                    changed = change(&key_of(&layer, parameter.name()), parameter);
                }
            });
        }
        changed
    })
}

impl Model {
    fn converted(self, dtype: DType) -> Result<Self> {
        let mut tensors = self.tensors;
        for stored in tensors.values_mut() {
            stored.convert(dtype)?;
        }
        Ok(Self {
            tensors,
            dtype,
            workspace: Arc::default(),
            programs: Programs::default(),
            ..self
        })
    }
}
