//! Weight sets of files. The ImageNet weights that Keras publishes are recognized,
//! and bring their preprocessing and labels.

use std::path::Path;
use std::sync::Arc;

use super::formats;
use crate::graph::{Location, WeightSet};
use crate::preprocess::{Labels, Preprocessing};

/// Weights in files.
impl WeightSet {
    /// A local file of safetensors, of PyTorch or, with the feature `keras`, of
    /// Keras, in any of their layouts; its contents decide, and not its name. Only
    /// the tensors that the graph needs are read. No code in it is run. A file that
    /// is changed while a model is being made from it is an error; replacing it by
    /// renaming another file is safe.
    ///
    /// With the feature `keras`, the ImageNet weights of VGG16 and VGG19 that Keras
    /// publishes, with and without classifier, bring the preprocessing
    /// [`Preprocessing::keras`] and the labels of ImageNet. The names and shapes of
    /// their tensors prove what they are, whatever the file is called: only those
    /// files have the layout of Keras 1. No other file brings any: a network that was
    /// trained further may expect other images. The file is looked at here for that,
    /// and the preprocessing is not known if it is still missing.
    ///
    /// ```
    /// use vgg_surgery::{Preprocessing, Vgg16, WeightSet};
    ///
    /// let tuned = WeightSet::file("tuned.h5").preprocessing(Preprocessing::keras());
    /// let graph = Vgg16::pretrained_from(tuned);
    /// assert_eq!(graph.preprocessing(), Some(&Preprocessing::keras()));
    /// ```
    pub fn file(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let is_published = formats::is_published_by_keras(path);
        Self::at(Location::File(path.to_path_buf())).known(is_published)
    }

    /// The bytes of a file, as [`WeightSet::file`] reads it.
    pub fn bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        let is_published = formats::are_published_by_keras(bytes.clone());
        Self::at(Location::Bytes(bytes)).known(is_published)
    }

    fn known(self, is_published: bool) -> Self {
        match is_published {
            true => self
                .preprocessing(Preprocessing::keras())
                .labels(Labels::imagenet()),
            false => self,
        }
    }
}

/// A local file, as [`WeightSet::file`].
impl<P: AsRef<Path>> From<P> for WeightSet {
    fn from(path: P) -> Self {
        Self::file(path)
    }
}
