use candle_core::{Tensor, Var};

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::{check_map, check_one};
use crate::explain::numbers::{gradient, values_of};
use crate::graph::{Graph, Node, NodeRef, Part, Pick, Scoring};
use crate::layers::Activation;
use crate::model::Model;
use crate::ops::wide;
use crate::preprocess::{Image, Size, View};
use crate::shape::Shape;

/// Shows which parts of an image support a class.
///
/// Scores are taken before a final softmax or sigmoid. If a single output stands for
/// two classes ([`Graph::classes`]), the score of class 1 is its value, and that of
/// class 0 the negative. All methods take one
/// image, an [`Image`] or a tensor `(1, C, H, W)`, run the network in evaluation
/// mode and do not change it. Heat maps are neither normalized nor enlarged; they
/// know which part of the image the network saw.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::explain::ColorMap;
/// use vgg_surgery::{Explainer, Image, Preprocessing, Vgg16};
///
/// let options = Vgg16::options().widths(16).hidden(32).classes(10);
/// let preprocessing = Preprocessing::torchvision().with_size(32, 32);
/// let model = options.untrained(0)?.with_preprocessing(preprocessing).build(&Device::Cpu)?;
/// let image = Image::from_rgb8(60, 40, vec![90; 60 * 40 * 3])?;
///
/// let explainer = Explainer::new(&model)?;
/// let class = explainer.top_class(&image)?;
/// assert_eq!(explainer.scores(&image)?.len(), explainer.classes());
/// let heat = explainer.grad_cam("block4_conv3", &image, class)?;
/// assert_eq!((heat.height(), heat.width()), (4, 4));
/// let overlaid = heat.overlay(&image, ColorMap::Inferno, 0.5)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Debug)]
pub struct Explainer<'a> {
    pub(super) model: &'a Model,
    scores: Pick,
    classes: usize,
    /// Whether one value is the score of class 1, and its negative that of class 0.
    is_single: bool,
}

/// An image to explain.
#[derive(Clone, Copy, Debug)]
pub enum Explained<'i> {
    /// An image, which the model's preprocessing turns into a tensor. Heat maps are
    /// drawn over the part of it that the network saw.
    Image(&'i Image),
    /// A tensor `(1, C, H, W)` as the model takes it.
    /// [`Heatmap::overlay`](crate::explain::Heatmap::overlay) then takes an image
    /// of its size.
    Tensor(&'i Tensor),
}

impl<'i> From<&'i Image> for Explained<'i> {
    fn from(image: &'i Image) -> Self {
        Self::Image(image)
    }
}

impl<'i> From<&'i Tensor> for Explained<'i> {
    fn from(tensor: &'i Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

/// The tensor to explain, without a gradient, and the part of the image that it
/// shows.
pub(super) struct Subject {
    pub(super) x: Tensor,
    pub(super) view: View,
}

impl<'a> Explainer<'a> {
    /// Explains the classes of a model's first output.
    ///
    /// # Errors
    /// [`ExplainError::NoClasses`] if the output is a feature map.
    pub fn new(model: &'a Model) -> Result<Self> {
        let graph = model.graph();
        let node = before_final_activation(graph);
        match node.shape() {
            shape @ Shape::Map { .. } => Err(ExplainError::NoClasses { shape }.into()),
            Shape::Vector { .. } => Ok(Self {
                model,
                scores: scores_of(node),
                classes: graph.classes(),
                is_single: graph.scoring() != Scoring::Each,
            }),
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The score of each class for one image.
    ///
    /// # Errors
    /// [`ExplainError::Input`] unless a tensor is one image; for an [`Image`],
    /// [`Error::Unsupported`] if the model has no preprocessing for it, and the
    /// errors of [`Preprocessing::apply`](crate::Preprocessing::apply); the errors
    /// of [`Model::forward`].
    pub fn scores<'i>(&self, image: impl Into<Explained<'i>>) -> Result<Vec<f32>> {
        let subject = self.subject(image.into())?;
        values_of(&self.score_tensor(&subject.x, None)?)
    }

    /// The class with the highest score; the lower index among equals.
    ///
    /// # Errors
    /// As [`Explainer::scores`]; [`ExplainError::NonFinite`] if every score is
    /// NaN.
    pub fn top_class<'i>(&self, image: impl Into<Explained<'i>>) -> Result<usize> {
        let scores = self.scores(image)?;
        let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let found = scores.iter().position(|&score| score == best);
        found.ok_or_else(|| {
            ExplainError::NonFinite {
                what: "each score",
                advice: "look for damaged weights with Model::non_finite",
            }
            .into()
        })
    }

    /// The scores, `(N, classes)`, from an inner layer's value if one is given.
    pub(super) fn score_tensor(
        &self,
        x: &Tensor,
        given: Option<(Pick, &Tensor)>,
    ) -> Result<Tensor> {
        let mut values = self.model.run_from(x, given, &[self.scores])?;
        let value = values.remove(0);
        Ok(match self.is_single {
            true => Tensor::cat(&[&value.neg()?, &value], 1)?,
            false => value,
        })
    }

    /// The sum over a batch of the scores of one class.
    pub(super) fn class_sum(
        &self,
        x: &Tensor,
        given: Option<(Pick, &Tensor)>,
        class: usize,
    ) -> Result<Tensor> {
        let scores = self.score_tensor(x, given)?;
        Ok(wide(&scores.narrow(1, class, 1)?)?.sum_all()?)
    }

    /// The layer's value and the gradient of the score there, `(1, C, H, W)` each.
    /// The backward pass ends at the layer.
    pub(super) fn value_and_gradient(
        &self,
        layer: impl NodeRef,
        x: &Tensor,
        class: usize,
    ) -> Result<(Tensor, Tensor)> {
        check_map(self.model, &layer)?;
        let pick = layer.pick(self.model.graph())?.as_value();
        let value = self.model.run(x, &[pick], false)?.remove(0);
        let variable = Var::from_tensor(&value.detach())?;
        let score = self.class_sum(x, Some((pick, &variable)), class)?;
        let gradient = gradient(&score, &variable)?;
        Ok((value, gradient))
    }

    fn subject(&self, image: Explained<'_>) -> Result<Subject> {
        match image {
            Explained::Tensor(x) => {
                check_one("an explanation", x)?;
                let (height, width) = match *x.dims() {
                    [_, _, height, width] => (height, width),
                    _ => (1, 1),
                };
                Ok(Subject {
                    x: x.detach(),
                    view: View::whole(height, width),
                })
            }
            Explained::Image(image) => {
                let preprocessing = self.model.graph().input_preprocessing()?;
                let (height, width) = (image.height(), image.width());
                Ok(Subject {
                    x: preprocessing.apply(image)?.to_device(self.model.device())?,
                    view: preprocessing.resize().view(Size { width, height })?,
                })
            }
        }
    }

    /// Prepares the image to explain, and checks it and the class.
    pub(super) fn checked(&self, image: Explained<'_>, class: usize) -> Result<Subject> {
        let subject = self.subject(image)?;
        if class >= self.classes {
            return Err(Error::ClassOutOfRange {
                example: None,
                class,
                classes: self.classes,
            });
        }
        // Checked before the network runs: the error can name the image.
        if values_of(&subject.x)?
            .iter()
            .any(|value| !value.is_finite())
        {
            return Err(ExplainError::NonFinite {
                what: "the image to explain",
                advice: "check how it was decoded or computed",
            }
            .into());
        }
        Ok(subject)
    }
}

/// The last node before layers that only turn scores into probabilities.
fn before_final_activation(graph: &Graph) -> &Node {
    let output = graph.outputs()[0];
    let is_before = |node: &&Node| {
        use Activation::{Linear, Sigmoid, Softmax};
        let layer = node.layer();
        let makes_probabilities = matches!(layer.activation(), Linear | Softmax | Sigmoid);
        !(makes_probabilities && layer.rules().passes_input_on())
    };
    let mut path = graph.path_to(output);
    path.find(is_before)
        .unwrap_or_else(|| graph.expect_node(output))
}

fn scores_of(node: &Node) -> Pick {
    let part = match node.layer().activation() {
        Activation::Softmax | Activation::Sigmoid => Part::Pre,
        _ => Part::Whole,
    };
    Pick {
        id: node.id(),
        part,
    }
}
