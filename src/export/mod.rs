//! Models for other programs: ONNX, and other libraries' weight names.

mod onnx;
mod order;
mod state_dict;

pub use state_dict::Library;
