use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use crate::error::Result;
use crate::files::{Output, write_atomically};
use crate::weights::write_safetensors;

use super::super::access::key_of;
use super::super::core::Model;
use super::packed::pack;
use super::record::{FileRecord, KEY, Sources};

impl Model {
    /// Writes the model to one file: the network, its parameters in their
    /// types, frozen flags, preprocessing, labels, license, operations and
    /// notes.
    ///
    /// The file is in safetensors format, with each tensor under
    /// `layer.parameter` and the network as JSON in the metadata, under
    /// `vgg-surgery`. An existing file or link is replaced atomically, and kept
    /// if an error occurs. The new file has the mode of the one that it replaces.
    /// Missing folders are created.
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
    /// [`Error::Io`](crate::Error::Io);
    /// [`FileError::NotAFile`](crate::error::FileError::NotAFile) for the path of a
    /// pipe or a device;
    /// [`FileError::Unwritable`](crate::error::FileError::Unwritable) for a layer whose
    /// settings JSON can't represent, and
    /// [`FileError::UnwritableGraph`](crate::error::FileError::UnwritableGraph) for
    /// such preprocessing, too many layers or too deeply nested notes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let record = FileRecord::of(self, Sources::of(self, path.parent()))?;
        let tensors = self.packed_tensors(|_| true)?;
        write_atomically(path, |out| write_file(out, &record, &tensors))
    }

    /// The bytes of the file that [`Model::save`] writes.
    ///
    /// # Errors
    /// As [`Model::save`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let record = FileRecord::of(self, Sources::of(self, None))?;
        let tensors = self.packed_tensors(|_| true)?;
        let mut bytes = Vec::new();
        let mut out = Output::new(Path::new("memory"), &mut bytes);
        write_file(&mut out, &record, &tensors)?;
        Ok(bytes)
    }

    /// Stores a value with the network under a name, such as a training
    /// history; see [`Graph::with_note`](crate::Graph::with_note).
    pub fn set_note(&mut self, name: impl Into<String>, value: serde_json::Value) {
        self.graph = self.graph.clone().with_note(name, value);
    }

    /// The wanted parameters, as a file stores them.
    pub(super) fn packed_tensors(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, Tensor)>> {
        let mut tensors = Vec::new();
        for (node, parameter, stored) in self.stored() {
            let key = key_of(node.name(), parameter.name());
            if wanted(&key) {
                tensors.extend(pack(key, stored.tensor().detach(), parameter.precision())?);
            }
        }
        Ok(tensors)
    }
}

pub(super) fn write_file(
    out: &mut Output<'_>,
    record: &FileRecord,
    tensors: &[(String, Tensor)],
) -> Result<()> {
    let text = serde_json::to_string(record).map_err(|error| out.error(error.into()))?;
    // Other readers of safetensors files need "format".
    let metadata = BTreeMap::from([
        ("format".to_string(), "pt".to_string()),
        (KEY.to_string(), text),
    ]);
    write_safetensors(out, &metadata, tensors)
}
