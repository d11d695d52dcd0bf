use candle_transformers::models::vgg::Models;

use super::family;
use super::options::VggOptions;
use crate::layers::Activation;

/// The network that candle-transformers builds: its last layer ends in a ReLU
/// instead of a softmax.
///
/// [`Model::to_var_builder`](crate::Model::to_var_builder) goes the other way.
///
/// ```
/// use candle_transformers::models::vgg::Models;
/// use vgg_surgery::VggOptions;
///
/// let graph = VggOptions::from(Models::Vgg16).pretrained()?.truncate("block2_pool")?;
/// assert_eq!(graph.output_shapes()[0].channels(), 128);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
impl From<Models> for VggOptions {
    fn from(model: Models) -> Self {
        let family = match model {
            Models::Vgg13 => family::VGG13,
            Models::Vgg16 => family::VGG16,
            Models::Vgg19 => family::VGG19,
        };
        Self::new(family).classifier_activation(Activation::Relu)
    }
}
