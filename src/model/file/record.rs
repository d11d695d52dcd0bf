//! What stands in the metadata beside the tensors.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::error::{FileError, Result};
use crate::graph::{
    Base, GraphRecord, HubFile, Location, Origin, Precision, Source, WeightKey, WeightSet,
};

use super::super::access::key_of;
use super::super::core::Model;

/// The key of the metadata.
pub(super) const KEY: &str = "vgg-surgery";

/// The key of the metadata that a training's checkpoints have instead.
pub(crate) const CHECKPOINT_KEY: &str = "vgg_surgery.training";

/// The version that is written, and the newest that is read.
pub(super) const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRecord {
    pub(super) version: u64,
    /// The program that wrote the file.
    pub(super) writer: String,
    /// The type of the parameters, as safetensors names it.
    pub(super) dtype: String,
    pub(super) graph: GraphRecord,
    /// Where parameters came from.
    pub(super) sources: Vec<SourceRecord>,
    /// By `layer.parameter`; those drawn at random are not listed.
    pub(super) parameters: BTreeMap<String, ParameterRecord>,
}

/// The part of a record that every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceRecord {
    /// In words, for reports.
    pub(super) words: String,
    /// Whether the words name the edit that computed the values.
    pub(super) derived: bool,
    pub(super) place: Option<Place>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    Hub(HubFile),
    File {
        /// From the folder of the file that names it, if it is not absolute.
        path: PathBuf,
    },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterRecord {
    /// Index into the sources.
    pub(super) source: usize,
    /// The names it goes by there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<WeightKey>,
    /// Of its values as little-endian bytes, if they are not in this file but
    /// those of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    /// The type it is held in, where that is none of the model's and the
    /// values are those of the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dtype: Option<String>,
    /// What its values were rounded to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) precision: Option<Precision>,
}

impl Place {
    /// As a file in a folder names it: what is in the folder moves with it.
    pub(super) fn of(weights: &WeightSet, folder: Option<&Path>) -> Option<Self> {
        match weights.location() {
            Location::Hub(hub) => Some(Self::Hub(hub.clone())),
            Location::Safetensors(path) | Location::Pickle(path) => {
                let path = std::path::absolute(path).ok()?;
                let folder = folder.and_then(|folder| std::path::absolute(folder.join(".")).ok());
                let inside = folder.and_then(|folder| path.strip_prefix(folder).ok());
                let path = inside.unwrap_or(&path).to_path_buf();
                path.to_str()?;
                Some(Self::File { path })
            }
            Location::Bytes(_) | Location::Tensors(_) | Location::Opened(_) => None,
        }
    }

    pub(super) fn is_hub(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    pub(super) fn weights(&self, folder: Option<&Path>) -> WeightSet {
        match self {
            Self::Hub(hub) => {
                let set = WeightSet::hub(&hub.repository)
                    .revision(&hub.revision)
                    .filename(&hub.file);
                match &hub.sha256 {
                    Some(sha256) => set.sha256(sha256),
                    None => set,
                }
            }
            Self::File { path } => {
                WeightSet::file(folder.map_or_else(|| path.clone(), |folder| folder.join(path)))
            }
        }
    }
}

/// Where a model's parameters came from, each source once.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) records: Vec<SourceRecord>,
    /// The weight set of each, where it can be read again.
    pub(super) weights: Vec<Option<Arc<WeightSet>>>,
    pub(super) parameters: BTreeMap<String, ParameterRecord>,
}

impl Sources {
    /// As a file in a folder, if in any, is to name them.
    pub(super) fn of(model: &Model, folder: Option<&Path>) -> Self {
        let mut sources = Self::default();
        for node in model.graph.nodes() {
            for parameter in node.parameters() {
                let Origin::Tensor {
                    source: Some(source),
                    ..
                } = &parameter.origin
                else {
                    continue;
                };
                let record = ParameterRecord {
                    source: sources.index(source, folder),
                    keys: source
                        .base
                        .as_ref()
                        .map_or(Vec::new(), |base| base.keys.clone()),
                    sha256: None,
                    dtype: None,
                    precision: parameter.precision,
                };
                let key = key_of(node.name(), parameter.name());
                sources.parameters.insert(key, record);
            }
        }
        sources
    }

    /// Why none of them can be named in a file.
    pub(super) fn why_unnamed(&self) -> String {
        let mut weights = self.weights.iter().flatten();
        let path = weights.find_map(|weights| match weights.location() {
            Location::Safetensors(path) | Location::Pickle(path) => Some(path.display()),
            _ => None,
        });
        match path {
            Some(path) => format!("the path {path} is no UTF-8 text; rename it, or use save"),
            None => "no parameter comes from a file or a hub; use save".to_string(),
        }
    }

    fn index(&mut self, source: &Source, folder: Option<&Path>) -> usize {
        let base = source.base.as_ref().map(|base| &base.weights);
        let known = self
            .records
            .iter()
            .zip(&self.weights)
            .position(|(record, weights)| {
                let same_set = match (weights, base) {
                    (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                    (None, None) => true,
                    _ => false,
                };
                same_set && record.words == *source.words && record.derived == source.derived
            });
        known.unwrap_or_else(|| {
            self.records.push(SourceRecord {
                words: source.words.to_string(),
                derived: source.derived,
                place: base.and_then(|weights| Place::of(weights, folder)),
            });
            self.weights.push(base.cloned());
            self.records.len() - 1
        })
    }
}

impl FileRecord {
    /// # Errors
    /// Those of writing the graph down.
    pub(super) fn of(model: &Model, sources: Sources) -> Result<Self> {
        Ok(Self {
            version: VERSION,
            writer: concat!("vgg-surgery ", env!("CARGO_PKG_VERSION")).to_string(),
            dtype: dtype_name(model.dtype).to_string(),
            graph: model.graph.to_record()?,
            sources: sources.records,
            parameters: sources.parameters,
        })
    }

    /// # Errors
    /// [`FileError::NoGraph`], [`FileError::Checkpoint`],
    /// [`FileError::NewerVersion`], [`FileError::InvalidGraph`].
    pub(super) fn read(metadata: &BTreeMap<String, String>, file: &str) -> Result<Self> {
        let file = || file.to_string();
        let text = metadata.get(KEY).ok_or_else(|| {
            let file = file();
            match metadata.contains_key(CHECKPOINT_KEY) {
                true => FileError::Checkpoint { file },
                false => FileError::NoGraph { file },
            }
        })?;
        let invalid = |error: serde_json::Error| FileError::InvalidGraph {
            file: file(),
            reason: error.to_string(),
        };
        let Versioned { version } = serde_json::from_str(text).map_err(invalid)?;
        if version > VERSION {
            return Err(FileError::NewerVersion {
                file: file(),
                version,
                supported: VERSION,
            }
            .into());
        }
        let record: Self = serde_json::from_str(text).map_err(invalid)?;
        let count = record.sources.len();
        let mut parameters = record.parameters.iter();
        if let Some((key, parameter)) = parameters.find(|(_, found)| found.source >= count) {
            return Err(FileError::InvalidGraph {
                file: file(),
                reason: format!(
                    "\"{key}\" comes from source {} of {count}",
                    parameter.source
                ),
            }
            .into());
        }
        Ok(record)
    }

    /// The sources as weight sets, their places replaced by one that is given.
    pub(super) fn bases(
        &self,
        given: Option<&WeightSet>,
        folder: Option<&Path>,
    ) -> Vec<Option<Arc<WeightSet>>> {
        let sources = self.sources.iter();
        sources
            .map(|source| {
                let place = source.place.as_ref()?;
                let found = || place.weights(folder);
                Some(Arc::new(given.cloned().unwrap_or_else(found)))
            })
            .collect()
    }

    /// What is noted of a parameter's source.
    pub(super) fn source_of(&self, key: &str, bases: &[Option<Arc<WeightSet>>]) -> Option<Source> {
        let record = self.parameters.get(key)?;
        let source = self.sources.get(record.source)?;
        let weights = bases.get(record.source)?.clone();
        let base = weights.map(|weights| {
            let keys = record.keys.clone();
            Arc::new(Base { weights, keys })
        });
        Some(Source {
            words: source.words.as_str().into(),
            derived: source.derived,
            base,
        })
    }
}

pub(super) fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "F64",
        DType::F16 => "F16",
        DType::BF16 => "BF16",
        _ => "F32",
    }
}

pub(super) fn dtype_named(name: &str) -> Option<DType> {
    [DType::F64, DType::F32, DType::F16, DType::BF16]
        .into_iter()
        .find(|&dtype| dtype_name(dtype) == name)
}
