//! Cut, splice, re-head and run pretrained VGG networks.

mod error;
mod graph;
mod layer;
mod model;
mod nearest;
mod ops;
mod preprocess;
mod shape;
mod vgg;
mod weights;

pub use error::{Error, Result};
pub use graph::{
    Diff, Fate, Graph, LayerCall, Node, NodeId, NodeRef, OutputPlan, Parameter, Plan, Provenance,
    Select, Summary, SummaryRow, TensorSource, WeightSet,
};
pub use layer::{
    Activation, AdaptiveAvgPool2d, Add, AvgPool2d, BatchNorm2d, Concat, Conv2d, Custom,
    CustomLayer, Dense, Dropout, Flatten, FlattenOrder, GlobalAvgPool2d, GlobalMaxPool2d, Head,
    Init, Input, Layer, LayerKind, Margins, MaxPool2d, NamedLayer, Padding, Pair, ParameterSpec,
    Rescale, Sequential, Upsample, UpsampleMode, UpsampleSize, ZeroPad2d,
};
pub use model::{
    BuildOptions, Model, ModelParameter, NonFinite, Prediction, Ranked, Taps, TrainingMode,
};
pub use preprocess::{
    ChannelOrder, Filter, Label, Labels, Picture, PixelRange, Preprocessing, Resize,
};
pub use shape::Shape;
pub use vgg::{
    Pooling, Top, Vgg11, Vgg11Bn, Vgg13, Vgg13Bn, Vgg16, Vgg16Bn, Vgg19, Vgg19Bn, VggOptions,
    vgg11, vgg13, vgg16, vgg19,
};
pub use weights::{HubOptions, LoadOptions, Progress};
