use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, FileError, Result};
use crate::graph::{
    Graph, Layout, Location, Made, Origin, Parameter, Precision, TensorId, WeightKey, WeightSet,
};
use crate::layer::Layer;
use crate::weights::Opened;

use super::super::access::key_of;
use super::super::build::{Tensors, assemble, check_dense_dtype, check_dtype};
use super::super::core::{Model, Stored};
use super::super::program::Programs;
use super::delta::hash_of;
use super::options::LoadOptions;
use super::packed::{read_bytes, scale_key};
use super::record::{FileRecord, dtype_name, dtype_named};

impl Model {
    /// Loads a model that [`Model::save`] or [`Model::save_delta`] wrote.
    ///
    /// A file is checked before it is believed, and nothing in it is run. A
    /// delta names the weights it builds on: the path is read, or the
    /// repository is fetched, unless [`LoadOptions::base`] names others.
    ///
    /// Files are mapped into memory: neither this one nor a delta's base may be
    /// truncated or changed in place while it is read. [`Model::save`] replaces
    /// a file at once, and does no harm: what was there when loading began is
    /// loaded.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::InvalidWeights`] for a truncated file or one
    /// that is no safetensors file; [`Error::File`] with
    /// [`FileError::NoGraph`], [`FileError::Checkpoint`],
    /// [`FileError::NewerVersion`], [`FileError::InvalidGraph`],
    /// [`FileError::Disagreement`], [`FileError::UnknownKind`]; for a delta, [`FileError::NoBase`],
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
        let path = path.as_ref();
        load(&Opened::map(path)?, path.parent(), device, options)
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
        load(&Opened::from_bytes(bytes.into())?, None, device, options)
    }
}

/// A path in the file begins at the folder.
fn load(
    opened: &Opened,
    folder: Option<&Path>,
    device: &Device,
    options: &LoadOptions,
) -> Result<Model> {
    let file = opened.place();
    if let Some(dtype) = options.dtype {
        check_dtype(dtype)?;
    }
    let tensors = opened.tensors();
    let record = FileRecord::read(opened.metadata(), &file)?;
    let dtype = dtype_named(&record.dtype).ok_or_else(|| FileError::InvalidGraph {
        file: file.clone(),
        reason: format!("\"{}\" is no type of parameters", record.dtype),
    })?;
    let graph = Graph::from_record(record.graph.clone(), &options.registry, &file)?;
    let bases = record.bases(options.base.as_ref(), folder);
    let reading = Reading {
        file: &file,
        record: &record,
        bases: &bases,
    };
    reading.check_tensors(&graph, &tensors)?;
    reading.check_bases()?;
    let (graph, bytes) = reading.set_origins(graph, opened, &tensors)?;
    let mut unpacked = Tensors::new();
    for (id, tensor) in bytes {
        let tensor = tensor.to_device(device)?.to_dtype(dtype)?;
        unpacked.insert(id, Stored::Frozen(tensor));
    }
    check_dense_dtype(options.build.dense_dtype)?;
    let mut build = options.build.clone().dtype(dtype);
    // A delta's values are verified as they were stored.
    build.dense_dtype = None;
    let mut model = assemble(graph, device, &build, &unpacked)?;
    reading.verify(&model)?;
    reading.set_sources(&mut model)?;
    if let Some(other) = options.dtype.filter(|&other| other != dtype) {
        model = model.converted(other)?;
    }
    if model.dtype == DType::F32 {
        reading.halve(&mut model, &tensors, options.build.dense_dtype)?;
    }
    Ok(model)
}

/// Type and shape of each tensor of a file.
type Headers = BTreeMap<String, (String, Vec<usize>)>;

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

    /// Whether a parameter is said to be of whole numbers.
    fn is_int8(&self, key: &str) -> bool {
        let record = self.record.parameters.get(key);
        record.is_some_and(|record| record.precision == Some(Precision::Int8))
    }

    /// Whether the values of a parameter are stored as bytes and factors.
    fn is_in_bytes(&self, key: &str, tensors: &Headers) -> bool {
        self.is_int8(key) && tensors.get(key).is_some_and(|(dtype, _)| dtype == "U8")
    }

    /// The type that a parameter was held in.
    fn dtype_of(&self, key: &str, tensors: &Headers) -> Option<DType> {
        let record = self.record.parameters.get(key);
        let of_base = record.and_then(|record| record.dtype.as_ref());
        let stored = tensors.get(key).map(|(dtype, _)| dtype);
        dtype_named(of_base.or(stored)?)
    }

    /// Holds the weights of frozen dense layers in the type that they were
    /// held in, and then in the one that is asked for.
    fn halve(&self, model: &mut Model, tensors: &Headers, asked: Option<DType>) -> Result<()> {
        for node in model.graph.nodes() {
            let is_dense = matches!(node.layer(), Layer::Dense(_));
            let weight = node.parameters().first();
            let Some(weight) = weight.filter(|_| is_dense && node.is_frozen()) else {
                continue;
            };
            let saved = self.dtype_of(&key_of(node.name(), weight.name()), tensors);
            let narrower = |dtype: &DType| {
                matches!(dtype, DType::F16 | DType::BF16) && dtype_name(*dtype) != self.record.dtype
            };
            let saved = saved.filter(narrower);
            let id = weight.tensor();
            if let Some(stored) = id.and_then(|id| model.tensors.get_mut(&id)) {
                for dtype in [saved, asked].into_iter().flatten() {
                    stored.convert(dtype)?;
                }
            }
        }
        (model.workspace, model.programs) = (Arc::default(), Programs::default());
        Ok(())
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
                if self.is_int8(&key) && parameter.shape().len() != 2 {
                    return Err(disagree(&key, "is of whole numbers, and no matrix".into()).into());
                }
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
        let mut scales = BTreeSet::new();
        for (key, shape) in &expected {
            let (true, &[rows, _]) = (self.is_in_bytes(key, tensors), *shape) else {
                continue;
            };
            let scale = scale_key(key);
            match tensors.get(&scale) {
                None => return Err(disagree(&scale, "is not among the tensors".into()).into()),
                Some((dtype, stored)) if dtype != "F32" || stored[..] != [rows] => {
                    let reason = format!("is {stored:?} of {dtype}, not [{rows}] of F32");
                    return Err(disagree(&scale, reason).into());
                }
                Some(_) => scales.insert(scale),
            };
        }
        let known = |key: &String| expected.contains_key(key) || scales.contains(key);
        match tensors.keys().find(|key| !known(key)) {
            None => Ok(()),
            Some(extra) => Err(disagree(extra, "is no parameter of the network".into()).into()),
        }
    }

    /// Checks that local bases are there.
    fn check_bases(&self) -> Result<()> {
        let parameters = self.record.parameters.values();
        let needed = parameters.filter(|parameter| parameter.sha256.is_some());
        for base in needed.filter_map(|needed| self.bases.get(needed.source?)?.as_ref()) {
            if let Location::Safetensors(path) | Location::Pickle(path) = base.location()
                && !path.exists()
            {
                let path = path.display();
                return Err(FileError::NoBase {
                    file: self.file.to_string(),
                    reason: format!("there is no {path}; name them with LoadOptions::base"),
                }
                .into());
            }
        }
        Ok(())
    }

    /// Says of each parameter where its values are; those that are stored as
    /// bytes are read at once.
    fn set_origins(
        &self,
        graph: Graph,
        opened: &Opened,
        tensors: &Headers,
    ) -> Result<(Graph, Vec<(TensorId, Tensor)>)> {
        let set = Arc::new(opened.weight_set());
        let (mut ids, mut in_bytes) = (Vec::new(), Vec::new());
        let graph = with_parameters(graph, |key, parameter| {
            let origin = if self.is_in_base(key) {
                self.base_of(key, parameter.shape())?
            } else if self.is_in_bytes(key, tensors)
                && let &[rows, columns] = parameter.shape()
            {
                let (id, made) = (TensorId::unique(), Made::Drawn);
                ids.push(id);
                in_bytes.push((key.to_string(), [rows, columns]));
                Origin::Tensor { id, made }
            } else {
                let (name, layout) = (key.to_string(), Layout::AsIs);
                Origin::Pretrained {
                    weights: set.clone(),
                    keys: vec![WeightKey { name, layout }],
                }
            };
            let record = self.record.parameters.get(key);
            parameter.set_origin(origin, record.and_then(|record| record.precision));
            Ok(())
        })?;
        let unpacked = read_bytes(opened, &in_bytes)?;
        Ok((graph, ids.into_iter().zip(unpacked).collect()))
    }

    fn base_of(&self, key: &str, shape: &[usize]) -> Result<Origin> {
        let Some(base) = self.record.base_of(key, self.bases) else {
            return Err(FileError::NoBase {
                file: self.file.to_string(),
                reason: format!(
                    "it does not say where \"{key}\" is; name them with LoadOptions::base"
                ),
            }
            .into());
        };
        if let Some(misfit) = base.keys.iter().find(|key| !key.layout.fits(shape)) {
            return Err(FileError::Disagreement {
                file: self.file.to_string(),
                tensor: key.to_string(),
                reason: format!("of shape {shape:?} is not stored as {:?}", misfit.layout),
            }
            .into());
        }
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
            let held_in = record.dtype.as_deref().and_then(dtype_named);
            let actual = hash_of(&tensor.to_dtype(held_in.unwrap_or(tensor.dtype()))?)?;
            if actual != *expected {
                let base = self.record.base_of(&key, self.bases);
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

    /// Parameters come from where they came from, not from this file.
    fn set_sources(&self, model: &mut Model) -> Result<()> {
        model.graph = with_parameters(model.graph.clone(), |key, parameter| {
            let made = self.record.made(key, self.bases);
            let (made, entry) = made.unwrap_or((Made::Drawn, parameter.made_by_entry()));
            parameter.set_made(made, entry);
            Ok(())
        })?;
        Ok(())
    }
}

/// A graph after a change of its parameters, each given with its key.
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
    /// The same model with parameters of another type.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vgg::Vgg16;

    #[test]
    fn a_model_that_has_run_runs_in_another_type() {
        let graph = Vgg16::options()
            .widths(16)
            .without_top()
            .untrained(0)
            .unwrap();
        let model = graph.build(&Device::Cpu).unwrap();
        let x = Tensor::ones((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
        let expected = model.forward(&x).unwrap();
        let converted = model.converted(DType::F64).unwrap();
        let actual = converted.forward(&x.to_dtype(DType::F64).unwrap()).unwrap();
        assert_eq!(actual.dtype(), DType::F64);
        let off = (actual.to_dtype(DType::F32).unwrap() - expected).unwrap();
        let off = off.abs().unwrap().max_all().unwrap();
        assert!(off.to_scalar::<f32>().unwrap() < 1e-5);
    }
}
