use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::weights::{io_error, write_atomically, write_safetensors};

use super::super::access::key_of;
use super::super::core::Model;
use super::packed::pack;
use super::record::{FileRecord, KEY, Sources};

impl Model {
    /// Writes the model into one file: the network, its parameters in the type
    /// they have, what is frozen, preprocessing, labels, license, operations
    /// and notes.
    ///
    /// The file is safetensors, each tensor under `layer.parameter`; the
    /// network stands as JSON in its metadata, under `vgg-surgery`. A file or a
    /// link that was there is replaced at once, or stays as it was; folders
    /// that are missing are made.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Model, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block2_pool")?;
    /// let model = graph.build(&Device::Cpu)?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("custom.safetensors");
    /// model.save(&path)?;
    /// let again = Model::load(&path, &Device::Cpu)?;
    /// assert!(model.graph().diff(again.graph()).is_empty());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`]; [`FileError::Unwritable`](crate::FileError::Unwritable)
    /// for a layer with settings that JSON can't say, and
    /// [`FileError::UnwritableGraph`](crate::FileError::UnwritableGraph) for
    /// preprocessing of that sort, too many layers or too deep notes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let record = FileRecord::of(self, Sources::of(self, path.parent()))?;
        let tensors = self.packed_tensors(|_| true)?;
        write_atomically(path, |out| {
            write_file(out, &record, &tensors, &|error| io_error(path, error))
        })
    }

    /// The bytes of the file that [`Model::save`] writes.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let record = FileRecord::of(self, Sources::of(self, None))?;
        let tensors = self.packed_tensors(|_| true)?;
        let mut bytes = Vec::new();
        write_file(&mut bytes, &record, &tensors, &|error| {
            io_error(Path::new("memory"), error)
        })?;
        Ok(bytes)
    }

    /// Keeps a value under a name with the network, as
    /// [`Graph::with_note`](crate::Graph::with_note) does: a training history,
    /// remarks.
    pub fn set_note(&mut self, name: impl Into<String>, value: serde_json::Value) {
        self.graph = self.graph.clone().with_note(name, value);
    }

    /// The parameters that are wanted, as a file holds them.
    pub(super) fn packed_tensors(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        let parameters = self.graph.nodes().flat_map(|node| node.parameters());
        let precisions = parameters.map(|parameter| parameter.precision());
        for ((key, tensor), precision) in self.named_tensors(|_| true).into_iter().zip(precisions) {
            if wanted(&key) {
                tensors.extend(pack(key, tensor, precision)?);
            }
        }
        Ok(tensors)
    }

    /// The parameters that are wanted, by `layer.parameter`.
    pub(super) fn named_tensors(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, Tensor)> {
        let named = self.parameters().map(|parameter| {
            let key = key_of(parameter.layer, parameter.name);
            (key, parameter.tensor.detach())
        });
        named.filter(|(key, _)| wanted(key)).collect()
    }
}

pub(super) fn write_file(
    out: &mut dyn Write,
    record: &FileRecord,
    tensors: &[(String, Tensor)],
    failed: &dyn Fn(std::io::Error) -> Error,
) -> Result<()> {
    let text = serde_json::to_string(record).map_err(|error| failed(error.into()))?;
    // "format" is what other readers of safetensors ask for.
    let metadata = BTreeMap::from([
        ("format".to_string(), "pt".to_string()),
        (KEY.to_string(), text),
    ]);
    write_safetensors(out, &metadata, tensors, failed)
}
