//! Take a pretrained VGG (11 to 19), cut it at a named layer, splice it, give it
//! a new head, freeze it, look inside, and run it, on [candle](candle_core).
//!
//! Surgery comes first, weights second. [`Vgg16::pretrained`] and its siblings
//! give a [`Graph`]: the architecture as a plain value, with no tensors and no
//! I/O. Every edit consumes a graph and returns a checked one. [`Graph::build`]
//! then reads or fetches only the tensors that are left, and gives a [`Model`]
//! to run.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use vgg_surgery::{Conv2d, Dense, Head, Vgg16};
//!
//! // A small relative without trained weights, so that this runs offline;
//! // Vgg16::pretrained() is the real one.
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
//! # Where things are
//!
//! | to | see |
//! |---|---|
//! | choose a network | [`Vgg16`] and its siblings, [`VggOptions`] |
//! | say where weights are | [`WeightSet`], [`HubOptions`], [`BuildOptions`] |
//! | operate | the methods of [`Graph`]; [`Select`] for what names layers |
//! | make a head | [`Head`], and the layers: [`Conv2d`], [`Dense`], .. |
//! | see what there is | [`Graph::summary`], [`Graph::plan`], [`Graph::diff`], [`Graph::provenance`] |
//! | run | [`Model::forward`], [`Model::taps`], [`Model::predict_image`] |
//! | operate on a built model | [`Model::edit`], [`Model::fold_batch_norm`], [`Model::prune_filters`], [`Model::factorize`], .. |
//! | let a replaced layer learn from the old network | [`Model::heal`], [`Healing`] |
//! | know what edits did | [`Graph::operations`], [`Model::verify`] |
//! | give examples to learn from | [`Dataset`] and its kinds: [`ImageFolder`], [`TensorDataset`], [`FnDataset`], [`ProceduralDataset`], ..; [`Augmentation`] |
//! | train | [`Trainer`], [`Loss`], [`Metric`], [`Optimizer`], [`Schedule`], [`Callback`], [`History`] |
//! | see what layers see | [`Activations`], [`Maximization`], [`filter_images`] |
//! | see why a class was told | [`Explainer`] |
//! | find which block a task needs | [`Probe`] |
//! | tell of a model on one page | [`Report`] |
//! | keep a model | [`Model::save`], [`Model::load`], [`Model::save_delta`] |
//! | hand it on | [`Model::export_onnx`], [`Model::to_state_dict`] |
//! | prepare images | [`Image`], [`Preprocessing`] |
//!
//! # Names
//!
//! Layers bear Keras' names. Torchvision's, timm's and Caffe's are understood
//! wherever a layer is named, and mean what they mean there: `"features.28"`
//! is the last convolution before its ReLU, `"relu5_3"` and `"block5_conv3"`
//! after it. `":pre"` behind a name asks for the value before the activation.
//!
//! # Features
//!
//! `hub` (default): weights from the Hugging Face hub. `image` (default): PNG,
//! JPEG and WebP images. `plot` (default): training curves as
//! SVG. `progress`: bars for downloads and trainings. `ctrlc`: Ctrl-C
//! ends a training after the batch. `cuda`, `cudnn`,
//! `metal`: models on GPUs, over candle's operators; this project checks the
//! types of the first two and has run none of them. `accelerate`, `mkl`:
//! candle's own, for what is not ours on the CPU.

#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

mod data;
mod error;
mod explain;
mod export;
mod graph;
mod heal;
mod kernels;
mod layer;
mod model;
mod nearest;
mod ops;
mod optim;
mod preprocess;
mod random;
mod shape;
mod surgery;
mod train;
mod vgg;
mod weights;

pub use data::{
    Augmentation, Batch, Batches, Dataset, Epoch, Fill, FnDataset, Loader, MemoryDataset, Motif,
    ProceduralDataset, Sample, SampleInput, Subset, Target, Targets, TensorDataset,
};
#[cfg(feature = "image")]
pub use data::{ImageFolder, ImageFolderOptions};
pub use error::{
    DataError, Error, ExplainError, FileError, HealingError, ImageError, Result, TrainingError,
    UnreadableFile,
};
#[cfg(feature = "image")]
pub use explain::Report;
pub use explain::{
    ActivationSheet, Activations, Attribution, ChannelStatistics, ColorMap, Dream, Explainer,
    Heatmap, Lpips, Maximization, Occlusion, PerceptualLoss, Probe, ProbeReport, ProbeRow, Scale,
    ScoreCam, Sheet, SmoothGrad, StyleLoss, StyleOptimizer, Stylize, Stylized, TargetLoss,
    filter_images, gram_matrix, total_variation,
};
pub use export::WeightNaming;
pub use graph::{
    Contract, Diff, Fate, Graph, LayerCall, Node, NodeId, NodeRef, Operation, Operations,
    OutputPlan, Parameter, Plan, Precision, Provenance, Select, Shapes, Summary, SummaryRow,
    WeightSet,
};
pub use heal::{HealReport, Healing, HealingMethod};
pub use kernels::cpu_kernel;
pub use layer::{
    Activation, AdaptiveAvgPool2d, Add, AvgPool2d, BatchNorm2d, Concat, Conv2d, Custom,
    CustomLayer, Dense, Dropout, Flatten, FlattenOrder, GlobalAvgPool2d, GlobalMaxPool2d, Head,
    Init, Input, IntoPair, Layer, LayerKind, Margins, MaxPool2d, NamedLayer, Padding,
    ParameterSpec, Pooling, Rescale, Sequential, Upsample, UpsampleMode, UpsampleSize, ZeroPad2d,
};
pub use model::{
    BuildOptions, LoadOptions, Model, ModelParameter, NonFinite, Prediction, Program, Ranked,
    Registry, Taps, TrainingMode,
};
pub use ops::{Gradients, backward};
pub use optim::{
    Adam, AdamW, Clip, Convention, Decay, Optimizer, OptimizerState, RmsProp, Sgd, Update,
};
pub use preprocess::{
    ChannelOrder, Image, Label, Labels, PixelRange, Preprocessing, Resize, ResizeFilter,
};
pub use shape::Shape;
pub use surgery::{Criterion, LayerCheck, OtherShape, Prune, Rank, Verification};
#[cfg(feature = "progress")]
pub use train::TrainingBar;
pub use train::{
    BatchEvent, CacheReport, Callback, CallbackState, Checkpoint, ConfusionMatrix, ControlFlow,
    CsvLog, CustomMetric, EarlyStopping, EndEvent, EpochEvent, EpochRecord, Evaluation,
    FeatureCache, Finding, History, Loss, Metric, MetricValue, ParameterGroup, PrintLog,
    RateSearch, Schedule, StartEvent, StopReason, TerminateOnNan, Trainer,
};
pub use vgg::{
    Top, Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19, Vgg19Bn, VggOptions, vgg11, vgg13,
    vgg16, vgg19,
};
#[cfg(feature = "progress")]
pub use weights::ProgressBar;
pub use weights::{HubOptions, Progress, TensorSource};

#[cfg(doctest)]
#[doc = include_str!("../docs/guide.md")]
mod guide {}

#[cfg(all(doctest, feature = "image"))]
#[doc = include_str!("../docs/looking-inside.md")]
mod looking_inside {}

#[cfg(doctest)]
#[doc = include_str!("../docs/training.md")]
mod training {}

#[cfg(all(doctest, feature = "image"))]
#[doc = include_str!("../README.md")]
mod readme {}
