use std::path::PathBuf;

use crate::shape::Shape;

use super::hint::WeightHint;
use super::words;

/// What went wrong, with what was found and what to do about it.
///
/// `{:?}` prints the message and its causes.
///
/// ```
/// use vgg_surgery::{Error, Vgg16};
///
/// let error = Vgg16::untrained(0).truncate("block2_pol").unwrap_err();
/// assert_eq!(error.layer(), Some("block2_pol"));
/// assert!(error.to_string().contains("block2_pool"));
/// ```
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No layer has this name, here or in Keras, torchvision, timm and Caffe.
    #[error("no layer is named \"{name}\"{}", words::or_list(nearest))]
    UnknownLayer {
        /// The name asked for.
        name: String,
        /// The most similar names in the graph, best first.
        nearest: Vec<String>,
    },
    /// A name from another library fits several layers.
    #[error(
        "\"{name}\" could be any of {}; use one of these names",
        words::quoted(candidates)
    )]
    AmbiguousName {
        /// The name asked for.
        name: String,
        /// The layers it fits.
        candidates: Vec<String>,
    },
    /// Two layers would have the same name.
    #[error("a layer named \"{name}\" is there already; choose another name or use prefix()")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A layer can't have this name.
    #[error("\"{name}\" can't name a layer: {reason}")]
    InvalidName {
        /// The name.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A node handle of another graph, or of a node that was removed.
    #[error("this node handle does not belong to the graph; look the layer up again by name")]
    UnknownNode,
    /// The layer is of another kind than was asked for.
    #[error("layer \"{layer}\" is a {actual}, not a {expected}")]
    WrongKind {
        /// The layer.
        layer: String,
        /// The kind asked for.
        expected: &'static str,
        /// The layer's kind.
        actual: String,
    },
    /// A selection fits no layer.
    #[error("{selection} selects no layer; the graph has {layers} layers")]
    EmptySelection {
        /// The selection in words.
        selection: String,
        /// Number of layers in the graph.
        layers: usize,
    },
    /// A range whose first layer comes after its last.
    #[error("\"{first}\" comes after \"{last}\"; swap them")]
    ReversedRange {
        /// First name of the range.
        first: String,
        /// Last name of the range.
        last: String,
    },
    /// A range of indices that exceeds the number of layers.
    #[error("layers {start}..{end} were asked for, but the graph has {layers} layers")]
    IndexOutOfRange {
        /// First index.
        start: usize,
        /// End of the range, exclusive.
        end: usize,
        /// Number of layers in the graph.
        layers: usize,
    },
    /// The edit does not fit this place of the graph.
    #[error("can't edit at \"{layer}\": {reason}")]
    IllegalEdit {
        /// The layer at which it failed.
        layer: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A layer's own settings are not legal.
    #[error("layer \"{layer}\": {reason}")]
    InvalidLayer {
        /// The layer.
        layer: String,
        /// The rule it breaks.
        reason: String,
    },
    /// A layer was given the wrong number of inputs.
    #[error("layer \"{layer}\" takes {expected}, but got {actual}")]
    InputCount {
        /// The layer.
        layer: String,
        /// What it takes, in words.
        expected: String,
        /// Number of inputs given.
        actual: usize,
    },
    /// A layer can't work on the shape that reaches it.
    #[error("layer \"{layer}\" expects {expected}, but gets {actual}")]
    ShapeMismatch {
        /// The layer.
        layer: String,
        /// What it takes, in words.
        expected: String,
        /// The shape that reaches it.
        actual: Shape,
    },
    /// A layer needs the height and width of its input, but no size is set.
    #[error(
        "layer \"{layer}\" needs a known height and width, but gets {actual}; set them with \
         input((channels, height, width)), or put a global pooling layer before it"
    )]
    UnknownSize {
        /// The layer.
        layer: String,
        /// The shape that reaches it.
        actual: Shape,
    },
    /// The feature map that reaches a layer is smaller than its window.
    #[error(
        "layer \"{layer}\" needs at least {minimum_height}x{minimum_width} pixels, but gets \
         {actual}; use a larger input or remove a pool before it"
    )]
    InputTooSmall {
        /// The layer.
        layer: String,
        /// The shape that reaches it.
        actual: Shape,
        /// Least height the layer takes.
        minimum_height: usize,
        /// Least width the layer takes.
        minimum_width: usize,
    },
    /// A tensor given to a model does not have the shape its input declares.
    #[error(
        "the model takes (N, {}), but got {actual:?}{}",
        words::inner(expected),
        words::axes(expected, actual)
    )]
    InputShape {
        /// The declared shape of the input.
        expected: Shape,
        /// The shape given, batch included.
        actual: Vec<usize>,
    },
    /// A graph can't be built because a parameter belongs to a model.
    #[error(
        "\"{parameter}\" of layer \"{layer}\" belongs to the model that the graph comes from; edit \
         that model with Model::edit, or copy its values with Model::transplant or \
         WeightSet::from(&model)"
    )]
    DetachedParameter {
        /// The layer.
        layer: String,
        /// The parameter.
        parameter: String,
    },
    /// None of the parameter's names is in the file.
    #[error(
        "no tensor for \"{key}\" in {file}{}{holds}{}",
        words::tried_and_near(tried, nearest),
        words::and(hint)
    )]
    MissingTensor {
        /// The name asked for first.
        key: String,
        /// The other names tried.
        tried: Box<[String]>,
        /// The weight file.
        file: String,
        /// The most similar names in the file, best first.
        nearest: Vec<String>,
        /// What the file holds instead.
        holds: Box<super::holdings::Holdings>,
        /// What to do, where it is known.
        hint: Option<Box<WeightHint>>,
    },
    /// Several tensors in the file could be the parameter.
    #[error("{}", words::ambiguous(key, file, candidates))]
    AmbiguousTensor {
        /// The name asked for.
        key: String,
        /// The weight file.
        file: String,
        /// The tensors that fit by name and shape.
        candidates: Vec<String>,
    },
    /// A tensor in the file has another shape than the parameter.
    #[error(
        "tensor \"{key}\" in {file} has shape {actual:?}, but {expected:?} is needed{}",
        words::and(hint)
    )]
    TensorShape {
        /// The tensor.
        key: String,
        /// The weight file.
        file: String,
        /// The shape needed.
        expected: Vec<usize>,
        /// The shape found.
        actual: Vec<usize>,
        /// What to do, where it is known.
        hint: Option<Box<WeightHint>>,
    },
    /// A tensor is stored in a type that weights can't have.
    #[error("tensor \"{key}\" in {file} is stored as {dtype}; f32, f16, bf16 or f64 is needed")]
    TensorDtype {
        /// The tensor.
        key: String,
        /// The weight file.
        file: String,
        /// The type found.
        dtype: String,
    },
    /// A weight file is damaged, or of an unknown format.
    #[error("{file} is not a usable weight file: {reason}")]
    InvalidWeights {
        /// The weight file.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has another hash than its weight set or repository states.
    #[error("{file} has sha256 {actual}, but {expected} was promised; it is not used")]
    HashMismatch {
        /// The file.
        file: String,
        /// The hash promised.
        expected: String,
        /// The hash found, or stated by the hub.
        actual: String,
    },
    /// Reading or writing a file failed.
    #[error("{}: {reason}", words::shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// A name that a hub repository, revision, file or address can't have.
    #[error("\"{name}\" can't be the {what} of a hub: {reason}")]
    InvalidHubName {
        /// The name.
        name: String,
        /// What it should name.
        what: &'static str,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The hub answered that there is no such repository, revision or file.
    #[error("{what} was not found on the hub; {}", words::not_on_hub(*missing))]
    HubNotFound {
        /// What was asked for.
        what: String,
        /// What is missing, if the hub says so: "repository", "revision" or "file".
        missing: Option<&'static str>,
    },
    /// The hub refused access.
    #[error("the hub refused access to {what} (status {status}); check the name and HF_TOKEN")]
    HubForbidden {
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
    },
    /// The hub asked to wait.
    #[error("the hub limits the rate of requests for {what}; try again later or set HF_TOKEN")]
    HubRateLimited {
        /// What was asked for.
        what: String,
    },
    /// The hub failed, or its answer is not valid.
    #[error("the hub's answer for {what} can't be used: {reason}")]
    HubResponse {
        /// What was asked for.
        what: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The hub could not be reached.
    #[error("the hub could not be reached for {what}: {reason}; or use a local WeightSet::file")]
    HubUnreachable {
        /// What was asked for.
        what: String,
        /// The transport's reason.
        reason: String,
    },
    /// `HF_HUB_OFFLINE` is set, and a file is not in the cache.
    #[error("HF_HUB_OFFLINE is set and {what} is not in the cache; load it once while online")]
    Offline {
        /// What is missing.
        what: String,
    },
    /// The crate was built without the feature that the call needs.
    #[error("{what} needs the feature \"{feature}\" of vgg-surgery")]
    MissingFeature {
        /// What was asked for.
        what: String,
        /// The feature.
        feature: &'static str,
    },
    /// An image can't be used.
    #[error(transparent)]
    Image(#[from] super::image::ImageError),
    /// The settings of a preprocessing are not legal.
    #[error("the preprocessing can't be applied: {reason}")]
    InvalidPreprocessing {
        /// The rule it breaks, and what to do.
        reason: String,
    },
    /// Labels with more or fewer synset ids than names.
    #[error("{names} labels can't have {synsets} synset ids; give one for each name, or none")]
    LabelCount {
        /// Number of names.
        names: usize,
        /// Number of synset ids.
        synsets: usize,
    },
    /// The model's output, labels or preprocessing do not support the call.
    #[error("the model can't {what}: {reason}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What is missing, and what to do.
        reason: String,
    },
    /// A setting is not legal.
    #[error("{setting} {reason}")]
    InvalidSetting {
        /// The setting, with its value.
        setting: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A class without an output of the network, or without a label.
    #[error(
        "class {class}{} is not one of the {classes} classes, which are counted from 0{}",
        words::of_example(*example), words::of_white(*class)
    )]
    ClassOutOfRange {
        /// The index of this class's example in the data set or batch, if there is one.
        example: Option<usize>,
        /// The class.
        class: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A data set can't be used.
    #[error(transparent)]
    Data(#[from] super::data::DataError),
    /// Training can't go on.
    #[error(transparent)]
    Training(#[from] super::training::TrainingError),
    /// An explanation can't be computed.
    #[error(transparent)]
    Explain(#[from] super::explain::ExplainError),
    /// A file of this crate can't be read or written.
    #[error(transparent)]
    File(#[from] super::file::FileError),
    /// A network can't be made faster.
    #[error(transparent)]
    Acceleration(#[from] super::acceleration::AccelerationError),
    /// A layer can't be healed.
    #[error(transparent)]
    Healing(#[from] super::healing::HealingError),
    /// A tensor operation failed inside a layer.
    #[error("layer \"{layer}\": {reason}")]
    Layer {
        /// The layer.
        layer: String,
        /// candle's error.
        reason: candle_core::Error,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
