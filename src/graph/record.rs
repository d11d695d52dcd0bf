//! A graph as JSON.
//!
//! Nodes are in order and name their inputs. The values of a parameter are stored
//! elsewhere, under `layer.parameter`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, FileError, Result, printable};
use crate::layers::Layer;
use crate::preprocess::{Labels, Preprocessing};

use super::classes::can_name;
use super::core::Graph;
use super::ledger::{DroppedParameter, Operations};
use super::node::{Alias, Node, NodeId};

/// More nodes than any network has. A file with more is refused.
const MOST_NODES: usize = 10_000;

/// The levels that a note or a layer's settings may have; JSON is read to 128.
const DEEPEST_VALUE: usize = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GraphRecord {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<NodeRecord>,
    pub(crate) outputs: Vec<String>,
    pub(crate) preprocessing: Option<Preprocessing>,
    pub(crate) labels: Option<LabelsRecord>,
    /// Early files spell it "licence".
    #[serde(alias = "licence")]
    pub(crate) license: Option<String>,
    /// In version 1, what edits dropped; an operation has its own since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dropped: Vec<DroppedRecord>,
    pub(crate) operations: Operations,
    pub(crate) notes: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeRecord {
    pub(crate) name: String,
    /// `{"kind": .., "settings": ..}`, as [`Layer`] serializes.
    pub(crate) layer: Value,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) inputs: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<Alias>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) frozen: bool,
    /// Whether it belongs to the classifier.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) top: bool,
    /// In version 1, the edit that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) added_by: Option<String>,
}

/// A parameter that an edit dropped, as version 1 has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DroppedRecord {
    layer: String,
    parameter: String,
    shape: Vec<usize>,
    reason: String,
}

/// Labels, and the layer whose channels they name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelsRecord {
    pub(crate) layer: String,
    pub(crate) labels: Labels,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A custom layer as [`crate::layers::Custom`] serializes.
#[derive(Deserialize)]
struct CustomRecord {
    kind: String,
    #[serde(default)]
    settings: Value,
}

/// What makes a user's layer again.
pub(crate) trait MakeCustom {
    fn make(&self, layer: &str, kind: &str, settings: &Value) -> Result<Layer>;
}

impl Graph {
    /// # Errors
    /// [`FileError::Unwritable`] for a layer, and [`FileError::UnwritableGraph`]
    /// for anything else, that would be read back as something else.
    pub(crate) fn to_record(&self) -> Result<GraphRecord> {
        self.check_writable()?;
        let nodes = self.nodes().map(|node| {
            Ok(NodeRecord {
                name: node.name.clone(),
                layer: written(node)?,
                inputs: self.names(&node.inputs),
                aliases: node.aliases.clone(),
                frozen: node.frozen,
                top: node.is_top,
                added_by: None,
            })
        });
        let labels = self.labels.as_ref().and_then(|(id, labels)| {
            Some(LabelsRecord {
                layer: self.find(*id)?.name.clone(),
                labels: labels.clone(),
            })
        });
        Ok(GraphRecord {
            name: self.name.clone(),
            seed: self.seed,
            nodes: nodes.collect::<Result<_>>()?,
            outputs: self.names(&self.outputs),
            preprocessing: self.preprocessing.clone(),
            labels,
            license: self.license.clone(),
            dropped: Vec::new(),
            operations: self.operations.clone(),
            notes: self.notes.clone(),
        })
    }

    /// The graph that a record describes, its parameters still to be given
    /// their values.
    ///
    /// # Errors
    /// [`FileError::InvalidGraph`], and the errors of [`MakeCustom::make`].
    pub(crate) fn from_record(
        record: GraphRecord,
        custom: &dyn MakeCustom,
        file: &str,
    ) -> Result<Self> {
        let mut reader = NodeReader {
            custom,
            file,
            ids: HashMap::with_capacity(record.nodes.len()),
        };
        if record.nodes.len() > MOST_NODES {
            let count = record.nodes.len();
            return Err(reader.invalid(format!("it has {count} layers; {MOST_NODES} is the limit")));
        }
        let mut operations = record.operations.with_dropped(record.dropped);
        let edits = record.nodes.iter().map(|node| node.added_by.as_deref());
        let added_by: Vec<Option<usize>> = edits
            .map(|edit| edit.map(|edit| operations.entry_for(edit)))
            .collect();
        let nodes = record.nodes.into_iter().map(|node| reader.node(node));
        let nodes = nodes.collect::<Result<_>>()?;
        let find = |name: &String| reader.find(name);
        let outputs = record.outputs.iter().map(find).collect::<Result<_>>()?;
        let labels = record.labels;
        let labels = labels.map(|labels| Ok::<_, Error>((find(&labels.layer)?, labels.labels)));
        let graph = Self {
            name: record.name,
            nodes,
            outputs,
            seed: record.seed,
            preprocessing: record.preprocessing,
            labels: labels.transpose()?,
            license: record.license,
            operations,
            notes: record.notes,
        };
        let invalid = |reason| reader.invalid(reason);
        graph.check_read().map_err(invalid)?;
        let inferred = graph.rewrite(|graph| {
            graph.infer()?;
            for (id, entry) in graph.ids().into_iter().zip(added_by) {
                graph.change_parameters(id, |parameter| parameter.made_by_entry = entry);
            }
            Ok(())
        });
        let graph = inferred.map_err(|error| invalid(error.to_string()))?;
        graph.check_labels().map_err(invalid)?;
        // What is read can be written again.
        graph
            .to_record()
            .map_err(|error| invalid(error.to_string()))?;
        Ok(graph)
    }

    /// What is not checked layer by layer.
    fn check_writable(&self) -> Result<(), FileError> {
        let unwritable = |reason: String| FileError::UnwritableGraph { reason };
        if self.len() > MOST_NODES {
            let reason = format!("it has {} layers; {MOST_NODES} is the limit", self.len());
            return Err(unwritable(reason));
        }
        if !self.preprocessing.as_ref().is_none_or(comes_back) {
            let reason = "a number of its preprocessing is NaN or infinite";
            return Err(unwritable(reason.to_string()));
        }
        let deep = self
            .notes
            .iter()
            .find(|(_, note)| is_deep(note, DEEPEST_VALUE));
        if let Some((name, _)) = deep {
            let reason = format!("note \"{name}\" has more than {DEEPEST_VALUE} levels");
            return Err(unwritable(reason));
        }
        Ok(())
    }

    fn check_labels(&self) -> Result<(), String> {
        let Some((id, labels)) = &self.labels else {
            return Ok(());
        };
        let (classes, count) = (self.expect_node(*id).shape.channels(), labels.len());
        if can_name(count, classes) {
            return Ok(());
        }
        Err(format!("there are {count} labels for {classes} classes"))
    }

    /// What edits keep true of every graph.
    fn check_read(&self) -> Result<(), String> {
        let inputs = self.nodes().filter(|node| node.inputs.is_empty()).count();
        let declared = self
            .nodes()
            .filter(|node| matches!(node.layer, Layer::Input(_)));
        if inputs != 1 || declared.count() != 1 {
            return Err("it needs exactly one input".to_string());
        }
        if self.outputs.is_empty() {
            return Err("it has no output".to_string());
        }
        let alive = self.ancestors(&self.outputs);
        match self.nodes().rev().find(|node| !alive.contains(&node.id)) {
            Some(node) => Err(format!("no output depends on \"{}\"", node.name)),
            None => Ok(()),
        }
    }
}

impl Operations {
    /// The text of all operations.
    pub(crate) fn texts(&mut self) -> impl Iterator<Item = &mut String> {
        self.0.iter_mut().flat_map(|operation| {
            let dropped = operation.dropped_parameters.iter_mut();
            let dropped = dropped.flat_map(|own| [&mut own.layer, &mut own.parameter]);
            let layers = operation.layers.iter_mut().chain(dropped);
            layers.chain([&mut operation.what])
        })
    }

    /// Gives what version 1 kept beside the operations to the one that dropped
    /// it.
    fn with_dropped(mut self, dropped: Vec<DroppedRecord>) -> Self {
        for dropped in dropped {
            let index = self.entry_for(&dropped.reason);
            self.0[index].dropped_parameters.push(DroppedParameter {
                layer: dropped.layer,
                parameter: dropped.parameter,
                shape: dropped.shape,
            });
        }
        self
    }
}

/// Reads the nodes of a file's graph, in order.
struct NodeReader<'a> {
    custom: &'a dyn MakeCustom,
    file: &'a str,
    /// The nodes read so far, by name.
    ids: HashMap<String, NodeId>,
}

impl NodeReader<'_> {
    fn invalid(&self, reason: String) -> Error {
        let (file, reason) = (self.file.to_string(), printable(reason));
        FileError::InvalidGraph { file, reason }.into()
    }

    fn find(&self, name: &str) -> Result<NodeId> {
        let id = self.ids.get(name).copied();
        id.ok_or_else(|| self.invalid(format!("there is no layer \"{name}\"")))
    }

    fn node(&mut self, record: NodeRecord) -> Result<Arc<Node>> {
        let name = &record.name;
        Graph::check_name(name)
            .map_err(|reason| self.invalid(format!("\"{name}\" can't name a layer: {reason}")))?;
        let layer = self.layer(name, record.layer)?;
        let inputs = record.inputs.iter().map(|input| {
            let reason = || format!("\"{name}\" takes \"{input}\", which is not before it");
            let id = self.ids.get(input).copied();
            id.ok_or_else(|| self.invalid(reason()))
        });
        let mut node = Node::new("", layer, inputs.collect::<Result<_>>()?);
        node.name = record.name;
        node.aliases = record.aliases;
        node.frozen = record.frozen;
        node.is_top = record.top;
        if self.ids.insert(node.name.clone(), node.id).is_some() {
            return Err(self.invalid(format!("two layers are named \"{}\"", node.name)));
        }
        Ok(Arc::new(node))
    }

    fn layer(&self, name: &str, layer: Value) -> Result<Layer> {
        let unread = |error: serde_json::Error| self.invalid(format!("layer \"{name}\": {error}"));
        if layer.get("kind").and_then(Value::as_str) != Some("Custom") {
            return serde_json::from_value(layer).map_err(unread);
        }
        let settings = layer.get("settings").cloned().unwrap_or_default();
        let record: CustomRecord = serde_json::from_value(settings).map_err(unread)?;
        self.custom
            .make(name, &printable(record.kind), &record.settings)
    }
}

/// The layer as JSON, if it is read back equal: JSON has no NaN.
fn written(node: &Node) -> Result<Value> {
    let unwritable = |reason: String| FileError::Unwritable {
        layer: node.name.clone(),
        reason,
    };
    let written = serde_json::to_value(&node.layer).map_err(|e| unwritable(e.to_string()))?;
    if is_deep(&written, DEEPEST_VALUE) {
        let reason = format!("its settings have more than {DEEPEST_VALUE} levels");
        return Err(unwritable(reason).into());
    }
    if !matches!(node.layer, Layer::Custom(_)) && !comes_back(&node.layer) {
        let reason = "one of its numbers is NaN or infinite".to_string();
        return Err(unwritable(reason).into());
    }
    Ok(written)
}

/// Whether a value is the same after it was written and read.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq>(value: &T) -> bool {
    let again = serde_json::to_value(value).and_then(serde_json::from_value);
    again.is_ok_and(|again: T| again == *value)
}

/// Whether arrays and objects are nested more deeply than this.
fn is_deep(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Value::Array(values) => values.iter().any(|value| is_deep(value, below)),
        Value::Object(values) => values.values().any(|value| is_deep(value, below)),
        _ => false,
    }
}
