//! Models for other programs. In comes a model; out come an ONNX file, or its
//! tensors under the names and in the layouts of other libraries.

mod onnx;
mod order;
mod state_dict;

pub use state_dict::WeightNaming;
