use candle_core::{Tensor, Var};

use crate::error::{Error, ExplainError, Result};
use crate::explain::check::{check_map, check_one};
use crate::explain::numbers::{gradient, values_of};
use crate::graph::{Graph, Node, NodeRef, Part, Pick};
use crate::layers::Activation;
use crate::model::Model;
use crate::ops::wide;
use crate::shape::Shape;

/// Shows which parts of an image support a class.
///
/// Scores are taken before a final softmax or sigmoid. All methods take one
/// image `(1, C, H, W)`, run the network in evaluation mode and do not change
/// it. Heat maps are neither normalized nor enlarged.
///
/// ```
/// use candle_core::Device;
/// use vgg_surgery::explain::ColorMap;
/// use vgg_surgery::{Explainer, Image, Preprocessing, Vgg16};
///
/// let options = Vgg16::options().widths(16).hidden(32).classes(10);
/// let model = options.untrained(0)?.build(&Device::Cpu)?;
/// let image = Image::from_rgb8(32, 32, vec![90; 32 * 32 * 3])?;
/// let x = Preprocessing::torchvision().without_resize().apply(&image)?;
///
/// let explainer = Explainer::new(&model)?;
/// let class = explainer.top_class(&x)?;
/// assert_eq!(explainer.scores(&x)?.len(), explainer.classes());
/// let heat = explainer.grad_cam("block4_conv3", &x, class)?;
/// assert_eq!((heat.height(), heat.width()), (4, 4));
/// let overlaid = heat.overlay(&image, ColorMap::Inferno, 0.5)?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Debug)]
pub struct Explainer<'a> {
    pub(super) model: &'a Model,
    scores: Pick,
    classes: usize,
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
            Shape::Vector { features } => Ok(Self {
                model,
                scores: scores_of(node),
                classes: features,
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
    /// [`ExplainError::Input`] unless `x` is one image; the errors of
    /// [`Model::forward`].
    pub fn scores(&self, x: &Tensor) -> Result<Vec<f32>> {
        check_one("an explanation", x)?;
        values_of(&self.score_tensor(x, None)?)
    }

    /// The class with the highest score; the lower index among equals.
    ///
    /// # Errors
    /// As [`Explainer::scores`]; [`ExplainError::NonFinite`] if every score is
    /// NaN.
    pub fn top_class(&self, x: &Tensor) -> Result<usize> {
        let scores = self.scores(x)?;
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
        Ok(values.remove(0))
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
        self.check(x, class)?;
        check_map(self.model, &layer)?;
        let pick = layer.pick(self.model.graph())?.as_value();
        let value = self.model.run(&x.detach(), &[pick], false)?.remove(0);
        let variable = Var::from_tensor(&value.detach())?;
        let score = self.class_sum(&x.detach(), Some((pick, &variable)), class)?;
        let gradient = gradient(&score, &variable)?;
        Ok((value, gradient))
    }

    pub(super) fn check(&self, x: &Tensor, class: usize) -> Result<()> {
        check_one("an explanation", x)?;
        if class >= self.classes {
            return Err(Error::ClassOutOfRange {
                example: None,
                class,
                classes: self.classes,
            });
        }
        // Checked before the network runs: the error can name the image.
        if values_of(x)?.iter().any(|value| !value.is_finite()) {
            return Err(ExplainError::NonFinite {
                what: "the image to explain",
                advice: "check how it was decoded or computed",
            }
            .into());
        }
        Ok(())
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
