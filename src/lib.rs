//! Take a pretrained VGG (11 to 19), cut it at a named layer, splice it, give it
//! a new head, freeze it, look inside, and run it, on [candle](candle_core).
//!
//! [`Vgg16::pretrained`] and its siblings return a [`Graph`]: the architecture
//! as a plain value, with no tensors and no I/O. Every edit consumes a graph and
//! returns a checked one. [`Graph::build`] then reads or fetches the tensors that
//! are left, and returns a [`Model`].
//!
//! ```
//! use vgg_surgery::candle_core::{DType, Device, Tensor};
//! use vgg_surgery::prelude::*;
//!
//! // A small relative without trained weights, to run offline;
//! // Vgg16::pretrained() has ImageNet's.
//! let graph = Vgg16::options()
//!     .widths(16)
//!     .untrained(0)?
//!     .input((3, 48, 48))?
//!     .truncate("block2_pool")?
//!     .freeze_all()
//!     .attach(
//!         Head::new()
//!             .conv2d("head_conv", Conv2d::new(64, 3).relu())
//!             .max_pool2d("head_pool", 2)
//!             .flatten("head_flatten")
//!             .dense("head_fc", Dense::new(256).relu())
//!             .dropout("head_dropout", 0.5)
//!             .dense("head_out", Dense::new(10).softmax()),
//!     )?;
//! println!("{}", graph.summary());
//! println!("{}", graph.plan());
//!
//! let model = graph.build(&Device::Cpu)?;
//! let images = Tensor::zeros((2, 3, 48, 48), DType::F32, &Device::Cpu)?;
//! assert_eq!(model.forward(&images)?.dims(), [2, 10]);
//! # Ok::<(), vgg_surgery::Error>(())
//! ```
//!
//! The [`guide`] begins with a program that trains and predicts, and goes through
//! the Keras tutorial on reusing VGG16; [`guide::training`] has data sets,
//! fine-tuning and your own loop.
//!
//! # Where things are
//!
//! The root has what most programs use; [`prelude`] is the same list for a glob
//! import. Everything else is in a module:
//!
//! | to | see |
//! |---|---|
//! | choose a network and its options | [`Vgg16`] and its siblings, [`VggOptions`], [`vgg`] |
//! | say where weights are | [`WeightSet`], [`weights::HubOptions`], [`model::BuildOptions`] |
//! | edit | the methods of [`Graph`]; [`graph::Select`] for what names layers |
//! | make a head, or a custom layer | [`Head`], [`layers`], [`layers::CustomLayer`] |
//! | see what there is | [`Graph::summary`], [`Graph::plan`], [`Graph::diff`], [`Graph::provenance`] |
//! | run | [`Model::forward`], [`Model::taps`], [`Model::predict_image`], [`Prediction`] |
//! | edit a built model | [`Model::edit`], [`Model::fold_batch_norm`], [`Model::prune_filters`], [`Model::factorize`], [`surgery`] |
//! | let a replaced layer learn from the old network | [`Model::heal`], [`Healing`], [`heal`] |
//! | know what edits did | [`Graph::operations`], [`Model::verify`], [`Model::program`] |
//! | bring examples to learn from | [`Dataset`], [`ImageFolder`], [`data::ImageLabelFolder`], [`TensorDataset`], [`Augmentation`], [`data`] |
//! | train | [`Trainer`], [`Loss`], [`Metric`], [`History`], [`EarlyStopping`], [`train`], [`optim`] |
//! | write a custom training loop | [`Model::forward_training`], [`model::backward`], [`optim::OptimizerState`] |
//! | see what layers see | [`explain::Activations`], [`explain::Maximization`], [`explain::Dream`] |
//! | see why a class was predicted | [`Explainer`], [`explain::Heatmap`] |
//! | find which block a task needs | [`explain::Probe`] |
//! | describe a model on one page | [`explain::Report`] |
//! | keep a model | [`Model::save`], [`Model::load`], [`Model::save_delta`] |
//! | use it elsewhere | [`Model::export_onnx`], [`Model::to_state_dict`], [`export`] |
//! | prepare images | [`Image`], [`Preprocessing`], [`Labels`], [`preprocess`] |
//! | handle an error | [`Error`], [`error`] |
//!
//! # Names
//!
//! Layers have Keras' names. The names of torchvision, timm and Caffe are
//! understood wherever a layer is named, and mean what they mean there:
//! `"features.28"` is the last convolution before its ReLU, `"relu5_3"` and
//! `"block5_conv3"` after it. `":pre"` at the end of a name asks for the value
//! before the activation.
//!
//! # Features
//!
//! `hub` (default): weights from the Hugging Face hub. `image` (default): PNG,
//! JPEG and WebP images. `gif`, `bmp`, `tiff`: images of these formats.
//! `progress`: bars for downloads and training. `ctrlc`: Ctrl-C ends training
//! after the batch. `candle-transformers`: options from candle-transformers' VGG
//! models. `keras`: weights from Keras' files. `cuda`, `cudnn`, `metal`: models on
//! GPUs, by candle's operators; this project checks the types of the first two and
//! has run none of them. `accelerate`, `mkl`: candle's own, for matrix products on
//! the CPU.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(missing_docs, missing_debug_implementations)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod accelerate;
pub mod data;
pub mod error;
pub mod explain;
pub mod export;
mod files;
pub mod graph;
pub mod heal;
mod kernels;
pub mod layers;
mod memory;
pub mod model;
mod nearest;
mod ops;
pub mod optim;
pub mod preprocess;
mod random;
mod shape;
pub mod surgery;
mod threads;
pub mod train;
pub mod vgg;
pub mod weights;

pub use candle_core;

pub use error::Result;
pub use kernels::cpu_kernel;
#[doc(no_inline)]
pub use prelude::*;

/// The names that most programs use. A glob import of it does not shadow std's
/// `Result`.
pub mod prelude {
    #[cfg(feature = "image")]
    pub use crate::data::ImageFolder;
    pub use crate::data::{Augmentation, Dataset, TensorDataset};
    pub use crate::error::Error;
    pub use crate::explain::Explainer;
    pub use crate::graph::{Graph, WeightSet};
    pub use crate::heal::Healing;
    pub use crate::layers::{
        Activation, AvgPool2d, BatchNorm2d, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d, Head,
        MaxPool2d,
    };
    pub use crate::model::{Model, Prediction};
    pub use crate::optim::{Adam, AdamW, RmsProp, Sgd};
    pub use crate::preprocess::{Image, Labels, Preprocessing};
    pub use crate::train::{EarlyStopping, History, Loss, Metric, PrintLog, Trainer};
    pub use crate::vgg::{
        Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19, Vgg19Bn, VggOptions,
    };
}

// The links of the files, for docs.rs. The first definition counts.
/// The guide, with programs to copy. It has no items.
///
/// [training]: guide::training
/// [loop]: guide::training#your-own-loop
/// [looking inside]: https://docs.rs/crate/vgg-surgery/latest/source/docs/looking-inside.md
/// [operations]: https://docs.rs/crate/vgg-surgery/latest/source/docs/operations.md
/// [performance]: https://docs.rs/crate/vgg-surgery/latest/source/docs/performance.md
#[doc = include_str!("../docs/guide.md")]
#[cfg(any(doc, doctest))]
pub mod guide {
    /// The guide to training. It has no items.
    ///
    /// [examples/edges.rs]: https://docs.rs/crate/vgg-surgery/latest/source/examples/edges.rs
    // Its programs read images.
    #[cfg_attr(
        any(not(doctest), feature = "image"),
        doc = include_str!("../docs/training.md")
    )]
    pub mod training {}
}

#[cfg(all(doctest, feature = "image"))]
#[doc = include_str!("../docs/looking-inside.md")]
mod looking_inside {}

#[cfg(all(doctest, feature = "image"))]
#[doc = include_str!("../README.md")]
mod readme {}
