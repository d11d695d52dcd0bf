//! A model as an ONNX file, of operator set 18. In comes a graph with its
//! tensors; out goes protobuf, written piece by piece.

mod layers;
mod proto;
mod resample;
mod writer;

use std::path::Path;

use serde_json::json;

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::model::Model;

use self::proto::Message;
use self::writer::Writer;

/// The operator set: the first in which `Resize` takes the axes.
const OPSET: i64 = 18;

/// The version of the file format for this operator set.
const IR_VERSION: i64 = 8;

/// The format's limit on the bytes of a message.
const MOST_BYTES: usize = i32::MAX as usize;

impl Model {
    /// Writes the model as an ONNX file for inference (operator set 18,
    /// parameters in f32). The batch size stays open, and so do height and
    /// width if the graph's input has no fixed size. Values have the names of
    /// their layers. The metadata contains preprocessing and labels as JSON,
    /// under `vgg-surgery.preprocessing` and `vgg-surgery.labels`.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).untrained(0)?.input((3, 64, 64))?;
    /// let model = graph.build(&Device::Cpu)?;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("vgg16.onnx");
    /// model.export_onnx(&path)?;
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`FileError::NotInOnnx`](crate::error::FileError::NotInOnnx) for custom layers,
    /// and for layers that need the size of their input if it is open;
    /// [`Error::Unsupported`] for more than 2 GB; [`Error::Io`].
    pub fn export_onnx(&self, path: impl AsRef<Path>) -> Result<()> {
        let message = self.to_onnx()?;
        let bytes = message.len();
        if bytes > MOST_BYTES {
            return Err(Error::Unsupported {
                what: "be exported to ONNX",
                reason: format!("it takes {bytes} bytes, but {MOST_BYTES} is the format's limit"),
            });
        }
        write_atomically(path.as_ref(), |out| message.write(out))
    }

    fn to_onnx(&self) -> Result<Message> {
        let graph = Writer::new(self).write()?;
        let opset = Message::default().text(1, "").int(2, OPSET);
        let mut model = Message::default()
            .int(1, IR_VERSION)
            .text(2, env!("CARGO_PKG_NAME"))
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(7, graph)
            .message(8, opset);
        let preprocessing = self.graph().preprocessing().map(|p| json!(p));
        let labels = self.graph().labels().map(|labels| json!(labels));
        for (name, value) in [("preprocessing", preprocessing), ("labels", labels)] {
            if let Some(value) = value {
                let key = format!("vgg-surgery.{name}");
                let entry = Message::default().text(1, &key).text(2, &value.to_string());
                model = model.message(14, entry);
            }
        }
        Ok(model)
    }
}
