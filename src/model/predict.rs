use std::cmp::Ordering;
use std::fmt;

use candle_core::DType;

use crate::error::{Error, ImageError, Result};
use crate::graph::Graph;
use crate::preprocess::{Image, Labels, Preprocessing};
use crate::shape::Shape;

use super::core::Model;

/// A score for each class of one image.
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
    /// The network's output: a probability if the network ends in a softmax.
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

    /// The class with the highest score, or `None` if there are no scores.
    pub fn best(&self) -> Option<Ranked> {
        self.top(1).pop()
    }

    /// The `count` classes with the highest scores, best first. Equal scores are
    /// ordered by index; NaN comes last.
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
    /// The preprocessing, with the size of this graph's input if that is set.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if neither the weights nor the graph have a
    /// preprocessing, or if it makes another number of channels than the input
    /// has.
    pub fn input_preprocessing(&self) -> Result<Preprocessing> {
        let channels = self.input_shape().channels();
        let reason = match self.preprocessing() {
            _ if ![1, 3].contains(&channels) => format!(
                "its input has {channels} channels, and images have 1 or 3; give it tensors, as \
                 TensorDataset and forward take them"
            ),
            Some(preprocessing) if preprocessing.channels() == channels => {
                return Ok(self.at_input_size(preprocessing));
            }
            Some(preprocessing) => format!(
                "its input has channels: {channels}, but its preprocessing makes {}; set \
                 another with with_preprocessing, whose with_channel_order is {}",
                preprocessing.channels(),
                if channels == 1 { "Gray" } else { "Rgb or Bgr" },
            ),
            None => {
                "it has no preprocessing; give its graph one with with_preprocessing".to_string()
            }
        };
        Err(Error::Unsupported {
            what: "take images",
            reason,
        })
    }

    /// A preprocessing, with the size of this graph's input if that is set.
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
    /// Applies the model's preprocessing to an image, and classifies it.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no preprocessing or its output is
    /// not a vector; the errors of [`Preprocessing::apply`] and
    /// [`Model::forward`].
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
                reason: format!("its output is a feature map {map}; attach a classifier first"),
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
