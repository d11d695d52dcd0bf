use std::cmp::Ordering;
use std::fmt;

use candle_core::DType;

use crate::error::{Error, ImageError, Result};
use crate::graph::Graph;
use crate::preprocess::{Image, Labels, Preprocessing};
use crate::shape::Shape;

use super::core::Model;

/// Channels of an image.
const COLORS: usize = 3;

/// What a network makes of one image: a score for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    scores: Vec<f32>,
    labels: Option<Labels>,
}

/// One class of a [`Prediction`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ranked {
    /// The class.
    pub index: usize,
    /// Its name, if the model has labels.
    pub name: Option<String>,
    /// Its WordNet identifier, if the labels have them.
    pub synset: Option<String>,
    /// What the network's output says: a probability if it ends in a softmax.
    pub score: f32,
}

impl fmt::Display for Ranked {
    /// The score, and the class by its name or else by its index.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.4} ", self.score)?;
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "class {}", self.index),
        }
    }
}

impl Prediction {
    /// The scores of all classes, by index.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The `count` classes of the highest score, best first; of equal scores
    /// the lower index. NaN comes last.
    pub fn top(&self, count: usize) -> Vec<Ranked> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (self.scores[a], self.scores[b]);
            let by_score = || b.partial_cmp(&a).unwrap_or(Ordering::Equal);
            a.is_nan().cmp(&b.is_nan()).then_with(by_score)
        });
        order
            .into_iter()
            .take(count)
            .map(|index| {
                let label = self.labels.as_ref().and_then(|labels| labels.get(index));
                Ranked {
                    index,
                    name: label.map(|label| label.name.to_string()),
                    synset: label.and_then(|label| label.synset).map(str::to_string),
                    score: self.scores[index],
                }
            })
            .collect()
    }
}

impl Graph {
    /// The preprocessing at the size of this graph's input, where that is set.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the weights brought no preprocessing and none
    /// was set, or if the input has other channels than images.
    pub fn input_preprocessing(&self) -> Result<Preprocessing> {
        let channels = self.input_shape().channels();
        if channels != COLORS {
            return Err(Error::Unsupported {
                what: "take images",
                reason: format!(
                    "its input has {channels} channels, and images have {COLORS}; give it \
                     tensors, as TensorDataset and forward take them"
                ),
            });
        }
        let Some(preprocessing) = self.preprocessing() else {
            return Err(Error::Unsupported {
                what: "take images",
                reason: "it has no preprocessing; give its graph one with with_preprocessing"
                    .to_string(),
            });
        };
        Ok(self.at_input_size(preprocessing))
    }

    /// A preprocessing at the size of this graph's input, where that is set.
    pub(crate) fn at_input_size(&self, preprocessing: &Preprocessing) -> Preprocessing {
        match self.input_shape().size() {
            Some((height, width)) if preprocessing.size() != Some((height, width)) => {
                preprocessing.clone().with_size(height, width)
            }
            _ => preprocessing.clone(),
        }
    }
}

impl Model {
    /// Preprocesses an image as the weights ask for, and classifies it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no preprocessing, or its output
    /// is no vector; those of the preprocessing and of [`Model::forward`].
    pub fn predict_image(&self, image: &Image) -> Result<Prediction> {
        let mut predictions = self.predict_images(std::slice::from_ref(image))?;
        predictions
            .pop()
            .ok_or(Error::Image(ImageError::EmptyBatch))
    }

    /// As [`Model::predict_image`], for several images in one batch.
    ///
    /// # Errors
    /// As [`Model::predict_image`], and [`ImageError::EmptyBatch`].
    pub fn predict_images(&self, images: &[Image]) -> Result<Vec<Prediction>> {
        if let Some(map @ Shape::Map { .. }) = self.graph.output_shapes().first() {
            return Err(Error::Unsupported {
                what: "classify",
                reason: format!("its output is a map {map}; attach a classifier first"),
            });
        }
        let batch = self.graph.input_preprocessing()?.apply_batch(images)?;
        let scores = self.forward(&batch.to_device(&self.device)?)?;
        let scores = scores.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        Ok(scores
            .into_iter()
            .map(|scores| Prediction {
                scores,
                labels: self.graph.labels().cloned(),
            })
            .collect())
    }

    /// The `count` most likely classes of an image, with their names.
    ///
    /// # Errors
    /// As [`Model::predict_image`], and [`Error::Unsupported`] if the model has
    /// no labels.
    pub fn classify(&self, image: &Image, count: usize) -> Result<Vec<Ranked>> {
        if self.graph.labels().is_none() {
            return Err(Error::Unsupported {
                what: "name classes",
                reason: "it has no labels; give its graph some (with_labels), or use predict_image"
                    .to_string(),
            });
        }
        Ok(self.predict_image(image)?.top(count))
    }
}
