use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, FileError, Result};
use crate::graph::{Graph, Layout, Origin, Precision, TensorId, WeightKey, WeightSet};
use crate::layer::Layer;
use crate::weights::{self, Contents};

use super::super::build::{Tensors, assemble, check_dtype};
use super::super::core::{Model, Stored};
use super::delta::hash_of;
use super::options::LoadOptions;
use super::packed::{read_bytes, scale_key};
use super::record::{FileRecord, KEY, dtype_named, key_of};

impl Model {
    /// Loads a model that [`Model::save`] or [`Model::save_delta`] wrote.
    ///
    /// A file is checked before it is believed, and nothing in it is run. A
    /// delta names the weights it builds on: the path is read, or the
    /// repository is fetched, unless [`LoadOptions::base`] names others.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::InvalidWeights`] for a truncated file or one
    /// that is no safetensors file; [`Error::File`] with
    /// [`FileError::NoGraph`], [`FileError::NewerVersion`],
    /// [`FileError::InvalidGraph`], [`FileError::Disagreement`],
    /// [`FileError::UnknownKind`]; for a delta, [`FileError::NoBase`],
    /// [`Error::HashMismatch`] and the errors of reading weights.
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
        load(WeightSet::safetensors(path.as_ref()), device, options)
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
        load(WeightSet::bytes(bytes), device, options)
    }
}

fn load(set: WeightSet, device: &Device, options: &LoadOptions) -> Result<Model> {
    let file = set.to_string();
    if let Some(dtype) = options.dtype {
        check_dtype(dtype)?;
    }
    let Contents { metadata, tensors } = weights::contents(&set)?;
    let record = FileRecord::read(metadata.get(KEY), &file)?;
    let dtype = dtype_named(&record.dtype).ok_or_else(|| FileError::InvalidGraph {
        file: file.clone(),
        reason: format!("\"{}\" is no type of parameters", record.dtype),
    })?;
    let mut graph = Graph::from_record(record.graph.clone(), &options.registry, &file)?;
    let bases = record.bases(options.base.as_ref());
    let reading = Reading {
        file: &file,
        record: &record,
        bases: &bases,
    };
    reading.check_tensors(&graph, &tensors)?;
    let bytes = reading.set_origins(&mut graph, Arc::new(set), &tensors)?;
    let mut unpacked = Tensors::new();
    for (id, tensor) in bytes {
        let tensor = tensor.to_device(device)?.to_dtype(dtype)?;
        unpacked.insert(id, Stored::Frozen(tensor));
    }
    let build = options.build.clone().dtype(dtype);
    let mut model = assemble(graph, device, &build, &unpacked)?;
    reading.verify(&model)?;
    reading.set_sources(&mut model);
    if options.build.dense_dtype.is_none() && dtype == DType::F32 {
        halve(&mut model, &tensors)?;
    }
    match options.dtype {
        Some(other) if other != dtype => model.converted(other),
        _ => Ok(model),
    }
}

/// Type and shape of each tensor of a file.
type Headers = BTreeMap<String, (String, Vec<usize>)>;

/// Holds the weights of frozen dense layers in the type that the file does.
fn halve(model: &mut Model, tensors: &Headers) -> Result<()> {
    for node in model.graph.nodes() {
        let is_dense = matches!(node.layer(), Layer::Dense(_));
        let Some(weight) = node
            .parameters()
            .first()
            .filter(|_| is_dense && node.is_frozen())
        else {
            continue;
        };
        let stored = tensors.get(&key_of(node.name(), weight.name()));
        let dtype = stored.and_then(|(dtype, _)| dtype_named(dtype));
        if let (Some(half @ (DType::F16 | DType::BF16)), Origin::Tensor { id, .. }) =
            (dtype, &weight.origin)
            && let Some(stored) = model.tensors.get_mut(id)
        {
            stored.convert(half)?;
        }
    }
    Ok(())
}

struct Reading<'a> {
    file: &'a str,
    record: &'a FileRecord,
    bases: &'a [Option<Arc<WeightSet>>],
}

impl Reading<'_> {
    /// Whether the values of a parameter are those of a base.
    fn is_in_base(&self, key: &str) -> bool {
        let record = self.record.parameters.get(key);
        record.is_some_and(|record| record.sha256.is_some())
    }

    /// Whether the values of a parameter are stored as bytes and factors.
    fn is_in_bytes(&self, key: &str, tensors: &Headers) -> bool {
        let record = self.record.parameters.get(key);
        record.is_some_and(|record| record.precision == Some(Precision::Int8))
            && tensors.get(key).is_some_and(|(dtype, _)| dtype == "U8")
    }

    fn check_tensors(&self, graph: &Graph, tensors: &Headers) -> Result<()> {
        let disagree = |tensor: &str, reason: String| FileError::Disagreement {
            file: self.file.to_string(),
            tensor: tensor.to_string(),
            reason,
        };
        let mut expected: BTreeMap<String, &[usize]> = BTreeMap::new();
        for node in graph.nodes() {
            for parameter in node.parameters() {
                let key = key_of(node.name(), parameter.name());
                if !self.is_in_base(&key) {
                    expected.insert(key, parameter.shape());
                }
            }
        }
        for (key, shape) in &expected {
            match tensors.get(key) {
                None => return Err(disagree(key, "is not among the tensors".into()).into()),
                Some((_, stored)) if stored != shape => {
                    let reason = format!("is {stored:?}, and the network needs {shape:?}");
                    return Err(disagree(key, reason).into());
                }
                Some(_) => {}
            }
        }
        let scales: Vec<String> = expected
            .keys()
            .filter(|key| self.is_in_bytes(key, tensors))
            .map(|key| scale_key(key))
            .collect();
        if let Some(missing) = scales.iter().find(|key| !tensors.contains_key(*key)) {
            return Err(disagree(missing, "is not among the tensors".into()).into());
        }
        let known = |key: &String| expected.contains_key(key) || scales.contains(key);
        match tensors.keys().find(|key| !known(key)) {
            None => Ok(()),
            Some(extra) => Err(disagree(extra, "is no parameter of the network".into()).into()),
        }
    }

    /// Says of each parameter where its values are; those that are stored as
    /// bytes are read at once.
    fn set_origins(
        &self,
        graph: &mut Graph,
        set: Arc<WeightSet>,
        tensors: &Headers,
    ) -> Result<Vec<(TensorId, Tensor)>> {
        let mut unpacked = Vec::new();
        for index in 0..graph.len() {
            let node = graph.node_mut_at(index);
            for parameter in &mut node.parameters {
                let key = key_of(&node.name, &parameter.name);
                let record = self.record.parameters.get(&key);
                parameter.precision = record.and_then(|record| record.precision);
                parameter.origin = if self.is_in_base(&key) {
                    self.base_of(&key)?
                } else if self.is_in_bytes(&key, tensors) {
                    let tensor = read_bytes(&set, &key, &parameter.shape, self.file)?;
                    let id = TensorId::unique();
                    unpacked.push((id, tensor));
                    Origin::Tensor { id, source: None }
                } else {
                    let layout = Layout::AsIs;
                    Origin::Pretrained {
                        weights: set.clone(),
                        keys: vec![WeightKey { name: key, layout }],
                    }
                };
            }
        }
        Ok(unpacked)
    }

    fn base_of(&self, key: &str) -> Result<Origin> {
        let source = self.record.source_of(key, self.bases);
        let Some(base) = source.and_then(|source| source.base) else {
            return Err(FileError::NoBase {
                file: self.file.to_string(),
                reason: format!("it does not say where \"{key}\" is"),
            }
            .into());
        };
        Ok(Origin::Pretrained {
            weights: base.weights.clone(),
            keys: base.keys.clone(),
        })
    }

    /// Compares what came from a base with what it was when the file was
    /// written.
    fn verify(&self, model: &Model) -> Result<()> {
        for (key, tensor) in model.named_tensors(|key| self.is_in_base(key)) {
            let record = &self.record.parameters[&key];
            let Some(expected) = &record.sha256 else {
                continue;
            };
            let actual = hash_of(&tensor)?;
            if actual != *expected {
                let base = self.bases.get(record.source).and_then(Option::as_ref);
                let place = base.map_or_else(String::new, |base| base.to_string());
                return Err(Error::HashMismatch {
                    file: format!("\"{key}\" of {place}"),
                    expected: expected.clone(),
                    actual,
                });
            }
        }
        Ok(())
    }

    /// Parameters come from where they came from, not from this file.
    fn set_sources(&self, model: &mut Model) {
        for index in 0..model.graph.len() {
            let node = model.graph.node_mut_at(index);
            for parameter in &mut node.parameters {
                let key = key_of(&node.name, &parameter.name);
                if let Origin::Tensor { source, .. } = &mut parameter.origin {
                    *source = self.record.source_of(&key, self.bases);
                }
            }
        }
    }
}

impl Model {
    /// The same model with parameters of another type.
    fn converted(self, dtype: DType) -> Result<Self> {
        let mut tensors = self.tensors;
        for stored in tensors.values_mut() {
            stored.convert(dtype)?;
        }
        Ok(Self {
            tensors,
            dtype,
            ..self
        })
    }
}
