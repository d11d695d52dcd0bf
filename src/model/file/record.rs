//! The description of the network, as JSON in the metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{FileError, Result, printable, shown};
use crate::graph::{
    Base, GraphRecord, HubFile, Location, Made, Origin, Parameter, Precision, Source, WeightKey,
    WeightSet,
};
use crate::weights::dtype_name;

use super::super::access::key_of;
use super::super::core::Model;

pub(super) const KEY: &str = "vgg-surgery";

/// The key of the metadata that a training's checkpoints have instead.
pub(crate) const CHECKPOINT_KEY: &str = "vgg_surgery.training";

/// The version that is written, and the newest that is read.
pub(super) const VERSION: u64 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRecord {
    pub(super) version: u64,
    /// The program that wrote the file.
    pub(super) writer: String,
    /// The type of the parameters, as safetensors names it.
    pub(super) dtype: String,
    pub(super) graph: GraphRecord,
    /// The weights that parameters were read from.
    pub(super) sources: Vec<SourceRecord>,
    /// By `layer.parameter`; those drawn from the start are not listed.
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
    /// The name for reports.
    pub(super) words: String,
    /// Whether this is an edit, in version 1.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) derived: bool,
    pub(super) place: Option<Place>,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    Hub(HubFile),
    File {
        /// Relative to the folder of the file that names it, or absolute.
        path: PathBuf,
    },
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParameterRecord {
    /// Index into the sources, if the values were read or derived from values
    /// that were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<usize>,
    /// Index into the operations: the edit that drew or derived its values.
    #[serde(rename = "by", default, skip_serializing_if = "Option::is_none")]
    pub(super) made_by_entry: Option<usize>,
    /// Whether an edit derived them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) derived: bool,
    /// Its names in the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<WeightKey>,
    /// The hash of its values as little-endian bytes, if they are in the source
    /// and not in this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    /// Its type, if that differs from the model's and the values are in the
    /// source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dtype: Option<String>,
    /// What its values were rounded to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) precision: Option<Precision>,
}

/// Whether a path stays below the folder that it is relative to.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.components();
    parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Place {
    /// The place as a file in a folder names it: relative to the folder, if
    /// the weights are in it.
    pub(super) fn of(weights: &WeightSet, folder: Option<&Path>) -> Option<Self> {
        if let Location::Hub(hub) = weights.location() {
            return Some(Self::Hub(hub.clone()));
        }
        let path = std::path::absolute(weights.path()?).ok()?;
        let folder = folder.and_then(|folder| std::path::absolute(folder.join(".")).ok());
        let inside = folder.and_then(|folder| path.strip_prefix(folder).ok());
        let path = inside.unwrap_or(&path).to_path_buf();
        path.to_str()?;
        Some(Self::File { path })
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
    /// The sources as a file in a folder names them.
    pub(super) fn of(model: &Model, folder: Option<&Path>) -> Self {
        let mut sources = Self::default();
        for node in model.graph.nodes() {
            for parameter in node.parameters() {
                if let Some(record) = sources.record(parameter, folder) {
                    let key = key_of(node.name(), parameter.name());
                    sources.parameters.insert(key, record);
                }
            }
        }
        sources
    }

    /// The record of a parameter, unless it was drawn when the graph was made.
    fn record(&mut self, parameter: &Parameter, folder: Option<&Path>) -> Option<ParameterRecord> {
        let Origin::Tensor { made, .. } = parameter.origin() else {
            return None;
        };
        let source = match made {
            Made::Read(source) => Some(self.index(&source.words, source.base.as_ref(), folder)),
            Made::Derived(base) => base.as_ref().map(|base| {
                let words = base.weights.to_string();
                self.index(&words, Some(base), folder)
            }),
            Made::Drawn if parameter.made_by_entry().is_none() => return None,
            Made::Drawn => None,
        };
        let keys = parameter.base().map(|base| base.keys.clone());
        Some(ParameterRecord {
            source,
            made_by_entry: parameter.made_by_entry(),
            derived: matches!(made, Made::Derived(_)),
            keys: keys.unwrap_or_default(),
            sha256: None,
            dtype: None,
            precision: parameter.precision(),
        })
    }

    /// Why a file can't name any of them.
    pub(super) fn why_unnamed(&self) -> String {
        let mut weights = self.weights.iter().flatten();
        match weights.find_map(|weights| weights.path()) {
            Some(path) => {
                let path = shown(path);
                format!("the path {path} is not UTF-8 text; rename it, or use save")
            }
            None => "no parameter comes from a file or a hub; use save".to_string(),
        }
    }

    fn index(&mut self, words: &str, base: Option<&Arc<Base>>, folder: Option<&Path>) -> usize {
        let base = base.map(|base| &base.weights);
        let mut known = self.records.iter().zip(&self.weights);
        let known = known.position(|(record, weights)| {
            let is_same = weights.as_ref().map(Arc::as_ptr) == base.map(Arc::as_ptr);
            is_same && record.words == words
        });
        known.unwrap_or_else(|| {
            self.records.push(SourceRecord {
                words: words.to_string(),
                derived: false,
                place: base.and_then(|weights| Place::of(weights, folder)),
            });
            self.weights.push(base.cloned());
            self.records.len() - 1
        })
    }
}

impl FileRecord {
    /// # Errors
    /// [`FileError::Unwritable`], [`FileError::UnwritableGraph`].
    pub(super) fn of(model: &Model, sources: Sources) -> Result<Self> {
        Ok(Self {
            version: VERSION,
            writer: concat!("vgg-surgery ", env!("CARGO_PKG_VERSION")).to_string(),
            dtype: dtype_name(model.dtype),
            graph: model.graph.to_record()?,
            sources: sources.records,
            parameters: sources.parameters,
        })
    }

    /// # Errors
    /// [`FileError::NoGraph`], [`FileError::Checkpoint`],
    /// [`FileError::NewerVersion`], [`FileError::InvalidGraph`].
    pub(super) fn read(metadata: &BTreeMap<String, String>, file: &str) -> Result<Self> {
        let file = file.to_string();
        let Some(text) = metadata.get(KEY) else {
            return Err(match metadata.contains_key(CHECKPOINT_KEY) {
                true => FileError::Checkpoint { file }.into(),
                false => FileError::NoGraph { file }.into(),
            });
        };
        let invalid = |error: serde_json::Error| FileError::InvalidGraph {
            file: file.clone(),
            reason: error.to_string(),
        };
        let Versioned { version } = serde_json::from_str(text).map_err(invalid)?;
        if version > VERSION {
            let supported = VERSION;
            return Err(FileError::NewerVersion {
                file,
                version,
                supported,
            }
            .into());
        }
        let mut record: Self = serde_json::from_str(text).map_err(invalid)?;
        record.escape();
        record.name_entries();
        match record.wrong_index() {
            Some(reason) => Err(FileError::InvalidGraph { file, reason }.into()),
            None => Ok(record),
        }
    }

    /// Leaves no control characters in the text that reports show. Layers' names have
    /// none.
    fn escape(&mut self) {
        let graph = &mut self.graph;
        let sources = self.sources.iter_mut().map(|source| &mut source.words);
        let texts = sources.chain([&mut graph.name]);
        for text in texts
            .chain(&mut graph.license)
            .chain(graph.operations.texts())
        {
            *text = printable(std::mem::take(text));
        }
    }

    /// Version 1 names an edit as a source of values; here its entry in the
    /// ledger takes that place.
    fn name_entries(&mut self) {
        for parameter in self.parameters.values_mut() {
            let source = parameter.source.and_then(|at| self.sources.get(at));
            if let Some(edit) = source.filter(|source| source.derived) {
                let entry = self.graph.operations.entry_for(&edit.words);
                (parameter.derived, parameter.made_by_entry) = (true, Some(entry));
            }
        }
    }

    /// A parameter whose source or edit does not exist.
    fn wrong_index(&self) -> Option<String> {
        let (sources, edits) = (self.sources.len(), self.graph.operations.len());
        self.parameters.iter().find_map(|(key, parameter)| {
            let source = parameter.source.filter(|&source| source >= sources);
            let edit = parameter.made_by_entry.filter(|&entry| entry >= edits);
            let source = source.map(|at| format!("\"{key}\" comes from source {at} of {sources}"));
            source.or_else(|| edit.map(|at| format!("\"{key}\" comes from edit {at} of {edits}")))
        })
    }

    /// The path of a source that is not below the folder: a file of a stranger may
    /// name any path.
    pub(super) fn path_outside(
        &self,
        sources: &BTreeSet<usize>,
        folder: Option<&Path>,
    ) -> Option<&Path> {
        let places = sources.iter().filter_map(|&at| self.sources.get(at));
        let mut places = places.filter_map(|source| source.place.as_ref());
        places.find_map(|place| match place {
            Place::File { path } => {
                let is_below = folder.is_some() && is_plain(path);
                (!is_below).then_some(path.as_path())
            }
            Place::Hub(_) => None,
        })
    }

    /// The sources as weight sets; `given` replaces all of them.
    pub(super) fn bases(
        &self,
        given: Option<&WeightSet>,
        folder: Option<&Path>,
    ) -> Vec<Option<Arc<WeightSet>>> {
        let base = |source: &SourceRecord| {
            let place = source.place.as_ref()?;
            let base = given.cloned().unwrap_or_else(|| place.weights(folder));
            Some(Arc::new(base))
        };
        self.sources.iter().map(base).collect()
    }

    /// The base of a parameter: where its values, or the values they were
    /// derived from, can be read again.
    pub(super) fn base_of(&self, key: &str, bases: &[Option<Arc<WeightSet>>]) -> Option<Arc<Base>> {
        let record = self.parameters.get(key)?;
        let (weights, keys) = (bases.get(record.source?)?.clone()?, record.keys.clone());
        Some(Arc::new(Base { weights, keys }))
    }

    /// With the index of the edit that drew or derived the values.
    pub(super) fn made(
        &self,
        key: &str,
        bases: &[Option<Arc<WeightSet>>],
    ) -> Option<(Made, Option<usize>)> {
        let record = self.parameters.get(key)?;
        let base = self.base_of(key, bases);
        let source = record.source.and_then(|source| self.sources.get(source));
        Some(match source {
            _ if record.derived => (Made::Derived(base), record.made_by_entry),
            Some(SourceRecord { words, .. }) => {
                let words = words.as_str().into();
                let found = None;
                (Made::Read(Source { words, base, found }), None)
            }
            None => (Made::Drawn, record.made_by_entry),
        })
    }
}
