use std::cmp::Ordering;
use std::fmt;

use candle_core::{DType, Tensor};

use crate::error::{Error, ImageError, Result, require};
use crate::graph::{Graph, Scoring};
use crate::layers::Activation;
use crate::preprocess::{Image, Labels, Preprocessing};
use crate::shape::Shape;

use super::core::Model;

/// A score for each class or label of one image.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    scores: Vec<f32>,
    labels: Option<Labels>,
    /// The output, if the scores are not probabilities.
    without_probabilities: Option<String>,
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
    /// Its score: a probability if the network ends in a softmax or sigmoid.
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
    fn new(graph: &Graph, values: Vec<f32>) -> Self {
        let scoring = graph.scoring();
        let scores = match (scoring, values.as_slice()) {
            (Scoring::Probability, &[value]) => vec![1.0 - value, value],
            (Scoring::Logit, &[logit]) => vec![logistic(-logit), logistic(logit)],
            _ => values,
        };
        let last = graph.final_activation();
        let has_probabilities =
            scoring == Scoring::Logit || matches!(last, Activation::Sigmoid | Activation::Softmax);
        let output = graph.output_names().first().map(ToString::to_string);
        Self {
            scores,
            labels: graph.labels().cloned(),
            without_probabilities: output.filter(|_| !has_probabilities),
        }
    }

    /// The scores of all classes, by index: the network's output, or two probabilities
    /// if a single output stands for two classes ([`Graph::classes`]).
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// The class with the highest score, or `None` if there are no scores.
    pub fn best(&self) -> Option<Ranked> {
        self.top(1).pop()
    }

    /// The labels or classes of a probability above this threshold, most probable
    /// first. For images that may have any number of labels, with a network that ends
    /// in a sigmoid.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Dense, Head, Image, Labels, Vgg16};
    ///
    /// let head = Head::new().global_avg_pool2d("pool").dense("labels", Dense::new(3).sigmoid());
    /// let graph = Vgg16::nano().truncate("block1_pool")?.attach(head)?;
    /// let graph = graph.with_labels(Labels::new(["cat", "dog", "grass"]))?;
    /// let image = Image::from_rgb8(32, 32, vec![99; 32 * 32 * 3])?;
    /// let prediction = graph.build(&Device::Cpu)?.predict_image(&image)?;
    /// for label in prediction.above(0.5)? {
    ///     println!("{label}");
    /// }
    /// assert_eq!(prediction.above(0.0)?.len(), 3);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] unless the threshold is from 0 to 1;
    /// [`Error::Unsupported`] if the scores are not probabilities.
    pub fn above(&self, threshold: f64) -> Result<Vec<Ranked>> {
        require(
            (0.0..=1.0).contains(&threshold),
            format_args!("a threshold of {threshold}"),
            "must be a probability, from 0 to 1",
        )?;
        if let Some(output) = &self.without_probabilities {
            return Err(Error::Unsupported {
                what: "compare scores with a probability",
                reason: format!(
                    "its output \"{output}\" ends in no sigmoid and no softmax; attach one \
                     (attach(Activation::Sigmoid)), or rank the scores with top()"
                ),
            });
        }
        let mut ranked = self.top(self.scores.len());
        ranked.retain(|class| f64::from(class.score) > threshold);
        Ok(ranked)
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

fn logistic(logit: f32) -> f32 {
    (1.0 / (1.0 + libm::exp(-f64::from(logit)))) as f32
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
    /// The names of the classes; see [`Graph::labels`].
    pub fn labels(&self) -> Option<&Labels> {
        self.graph.labels()
    }

    /// An image as the model takes it: preprocessed at the size of its input,
    /// `(1, C, H, W)`, on its device.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Image, Vgg16};
    ///
    /// let model = Vgg16::nano().input((3, 32, 32))?.truncate("block1_pool")?.build(&Device::Cpu)?;
    /// let x = model.preprocess(&Image::from_rgb8(60, 40, vec![99; 60 * 40 * 3])?)?;
    /// assert_eq!(x.dims(), [1, 3, 32, 32]);
    /// assert_eq!(model.forward(&x)?.dims(), [1, 8, 16, 16]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the model has no preprocessing; the errors of
    /// [`Preprocessing::apply`].
    pub fn preprocess(&self, image: &Image) -> Result<Tensor> {
        let x = self.graph.input_preprocessing()?.apply(image)?;
        Ok(x.to_device(&self.device)?.to_dtype(self.dtype)?)
    }

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
            .map(|scores| Prediction::new(&self.graph, scores))
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
