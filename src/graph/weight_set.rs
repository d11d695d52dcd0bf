use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::error::shown;
use crate::preprocess::{Labels, Preprocessing};

/// Where pretrained tensors are to be found, and what belongs to them: the
/// preprocessing of images, the labels of the classes, the license.
///
/// A weight set is a description: no tensor is read or fetched before a graph
/// that uses it is built.
///
/// ```
/// use vgg_surgery::{Preprocessing, Vgg16, WeightSet};
///
/// let weights = WeightSet::file("vgg16_caffe.safetensors").preprocessing(Preprocessing::caffe());
/// let graph = Vgg16::pretrained_from(weights);
/// assert_eq!(graph.preprocessing(), Some(&Preprocessing::caffe()));
/// ```
#[derive(Clone)]
#[must_use]
pub struct WeightSet {
    location: Location,
    stored_dtype: DType,
    preprocessing: Option<Preprocessing>,
    labels: Option<Labels>,
    license: Option<String>,
    /// What reports call the place, if not by its location.
    title: Option<&'static str>,
    renames: Vec<Rename>,
    is_partial: bool,
}

/// The name that a tensor of a file gets.
pub(crate) type Rename = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Where the tensors of a weight set lie.
#[derive(Clone)]
pub(crate) enum Location {
    Hub(HubFile),
    File(PathBuf),
    Bytes(Arc<[u8]>),
    AtHand(Arc<dyn AtHand>),
}

/// Tensors that are at hand: `weights` makes them, and alone can read them.
pub(crate) trait AtHand: Any + Send + Sync {
    /// The place in words, for messages.
    fn place(&self) -> String;
}

/// One safetensors file of a repository on the hub.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HubFile {
    /// `owner/name`.
    pub(crate) repository: String,
    /// A branch, a tag or a commit.
    pub(crate) revision: String,
    pub(crate) file: String,
    /// Of the whole file, in lower-case hexadecimal, where it is known.
    pub(crate) sha256: Option<String>,
}

impl WeightSet {
    pub(crate) fn at(location: Location) -> Self {
        Self {
            location,
            stored_dtype: DType::F32,
            preprocessing: None,
            labels: None,
            license: None,
            title: None,
            renames: Vec::new(),
            is_partial: false,
        }
    }

    /// `model.safetensors` of a hub repository (`owner/name`) at its `main`
    /// revision. Needs the feature `hub` when a graph is built.
    pub fn hub(repository: impl Into<String>) -> Self {
        Self::at(Location::Hub(HubFile {
            repository: repository.into(),
            revision: "main".to_string(),
            file: "model.safetensors".to_string(),
            sha256: None,
        }))
    }

    pub(crate) fn titled(mut self, title: &'static str) -> Self {
        self.title = Some(title);
        self
    }

    pub(crate) fn at_hand(tensors: Arc<dyn AtHand>) -> Self {
        Self::at(Location::AtHand(tensors))
    }

    /// Sets the revision of a hub repository: a branch, a tag, or a commit to
    /// pin it. No effect on other weight sets.
    pub fn revision(mut self, revision: impl Into<String>) -> Self {
        if let Location::Hub(hub) = &mut self.location {
            hub.revision = revision.into();
        }
        self
    }

    /// Sets the file of a hub repository. No effect on other weight sets.
    pub fn filename(mut self, file: impl Into<String>) -> Self {
        if let Location::Hub(hub) = &mut self.location {
            hub.file = file.into();
        }
        self
    }

    /// Sets the sha256 that the whole file of a hub repository must have, in
    /// hexadecimal. Where the hub states no hash, the file is fetched whole to
    /// be compared. No effect on other weight sets.
    pub fn sha256(mut self, sha256: impl AsRef<str>) -> Self {
        if let Location::Hub(hub) = &mut self.location {
            hub.sha256 = Some(sha256.as_ref().to_ascii_lowercase());
        }
        self
    }

    /// Gives each tensor of the file the name that `name` returns, before
    /// tensors are looked for. Several calls apply one after the other. No
    /// effect on a [`TensorSource`](crate::weights::TensorSource) that does not
    /// list its names.
    ///
    /// ```
    /// use vgg_surgery::{Vgg16, WeightSet};
    ///
    /// // "enc.conv0.weight" is the first convolution.
    /// let weights = WeightSet::file("net.pth").rename(|key| key.replace("enc.conv", "features."));
    /// let graph = Vgg16::pretrained_from(weights);
    /// ```
    pub fn rename(mut self, name: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.renames.push(Arc::new(name));
        self
    }

    /// Takes a prefix off the names that begin with it. Common prefixes are
    /// recognized without that, if one alone has all that a graph needs; this
    /// chooses between several:
    ///
    /// ```
    /// use vgg_surgery::{Vgg16, WeightSet};
    ///
    /// let averaged = WeightSet::file("checkpoint.pth").strip_prefix("state_dict_ema.");
    /// let graph = Vgg16::pretrained_from(averaged);
    /// ```
    pub fn strip_prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        self.rename(move |key| key.strip_prefix(&prefix).unwrap_or(key).to_string())
    }

    /// Renames single tensors: pairs of a name in the file and the name to look
    /// it up by, in any dialect. Other tensors keep their names.
    ///
    /// ```
    /// use vgg_surgery::{Vgg16, WeightSet};
    ///
    /// let names = [("first.w", "block1_conv1.weight"), ("first.b", "block1_conv1.bias")];
    /// let graph = Vgg16::pretrained_from(WeightSet::file("net.pth").key_map(names));
    /// ```
    pub fn key_map<S: Into<String>, N: Into<String>>(
        self,
        names: impl IntoIterator<Item = (S, N)>,
    ) -> Self {
        let names = names.into_iter();
        let names: HashMap<String, String> = names
            .map(|(stored, name)| (stored.into(), name.into()))
            .collect();
        self.rename(move |key| names.get(key).map_or(key, String::as_str).to_string())
    }

    /// Lets parameters that the weights lack keep the values they have, or draw
    /// them, as PyTorch's `strict=False` does. A tensor of another shape is an
    /// error all the same, and so are weights that lack all parameters.
    pub fn partial(mut self) -> Self {
        self.is_partial = true;
        self
    }

    /// Declares the type in which the tensors are stored, for
    /// [`Graph::plan`](crate::Graph::plan); f32 by default. Reading goes by
    /// what the file says.
    pub fn stored_as(mut self, dtype: DType) -> Self {
        self.stored_dtype = dtype;
        self
    }

    /// Sets the preprocessing that the weights were trained with.
    pub fn preprocessing(mut self, preprocessing: Preprocessing) -> Self {
        self.preprocessing = Some(preprocessing);
        self
    }

    /// Sets the labels of the classes.
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels = Some(labels);
        self
    }

    /// Sets the license of the weights, as an SPDX identifier.
    pub fn license(mut self, license: impl Into<String>) -> Self {
        self.license = Some(license.into());
        self
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.is_partial
    }

    pub(crate) fn renames(&self) -> &[Rename] {
        &self.renames
    }

    /// The same tensors, under the names of the file.
    pub(crate) fn without_renames(this: &Arc<Self>) -> Arc<Self> {
        if this.renames.is_empty() {
            return this.clone();
        }
        let mut plain = Self::clone(this);
        plain.renames.clear();
        Arc::new(plain)
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// The local file, if the tensors are in one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.location {
            Location::File(path) => Some(path),
            Location::Hub(_) | Location::Bytes(_) | Location::AtHand(_) => None,
        }
    }

    pub(crate) fn stored_dtype(&self) -> DType {
        self.stored_dtype
    }

    pub(crate) fn get_preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    pub(crate) fn get_labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    pub(crate) fn get_license(&self) -> Option<&str> {
        self.license.as_deref()
    }

    /// Whether the tensors can be found again by the place alone.
    pub(crate) fn outlives_the_process(&self) -> bool {
        !matches!(self.location, Location::Bytes(_) | Location::AtHand(_))
    }

    /// Whether building has to fetch the tensors over the network.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.location, Location::Hub(_))
    }
}

/// The place in words: `timm/vgg16.tv_in1k@main`, a path, or what it is.
impl fmt::Display for WeightSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(title) = self.title {
            return f.write_str(title);
        }
        match &self.location {
            Location::Hub(hub) => write!(f, "{}@{}", hub.repository, hub.revision),
            Location::File(path) => f.write_str(&shown(path)),
            Location::Bytes(bytes) => write!(f, "{} bytes in memory", bytes.len()),
            Location::AtHand(tensors) => f.write_str(&tensors.place()),
        }
    }
}

impl fmt::Debug for WeightSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WeightSet({self})")
    }
}
