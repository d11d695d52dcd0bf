use std::collections::HashMap;

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::order::{Order, orders};
use crate::error::{Error, FileError, Result};
use crate::graph::{Node, Part, keras_name};
use crate::layers::{FlattenOrder, Layer};
use crate::model::Model;

/// A library whose names and layouts weights can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WeightNaming {
    /// torchvision's `vgg*`: `features.0.weight`, `classifier.6.bias`.
    Torchvision,
    /// timm's `vgg*`: as torchvision's, but `pre_logits.fc1.weight` is a
    /// convolution over the whole feature map, and the classifier is `head.fc`.
    Timm,
    /// Keras' `VGG*`: `block1_conv1/kernel` in Keras' order, under the layers'
    /// own names.
    Keras,
}

impl WeightNaming {
    fn name(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::Timm => "timm",
            Self::Keras => "Keras",
        }
    }

    /// The order in which the library flattens feature maps.
    fn order(self) -> FlattenOrder {
        match self {
            Self::Torchvision | Self::Timm => FlattenOrder::Chw,
            Self::Keras => FlattenOrder::Hwc,
        }
    }

    /// The beginnings of the names of layers with parameters.
    fn stems(self) -> &'static [&'static str] {
        match self {
            Self::Torchvision => &["features.", "classifier."],
            Self::Timm => &["features.", "pre_logits.fc", "head.fc"],
            Self::Keras => &[],
        }
    }
}

impl Model {
    /// The parameters with another library's names and layouts. A layer with
    /// parameters but without a name in that library is an error. Dense layers
    /// that were converted to convolutions are written as dense layers again.
    /// After a flatten, parameters are put in the library's order of flattening.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::export::WeightNaming;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block2_pool")?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let torch = model.to_state_dict(WeightNaming::Torchvision)?;
    /// assert_eq!(torch["features.7.weight"].dims(), [8, 8, 3, 3]);
    /// let keras = model.to_state_dict(WeightNaming::Keras)?;
    /// assert_eq!(keras["block1_conv1/kernel"].dims(), [3, 3, 3, 4]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`FileError::NoNameThere`]; [`FileError::SameNameThere`];
    /// [`FileError::OrderLost`]; [`Error::Candle`] if the device fails.
    pub fn to_state_dict(&self, library: WeightNaming) -> Result<HashMap<String, Tensor>> {
        let mut dict = HashMap::new();
        let orders = orders(self.graph(), library.order());
        for parameter in self.parameters() {
            let node = self.graph().node(parameter.layer)?;
            let name = name_there(node, parameter.name, library);
            let name = name.ok_or_else(|| FileError::NoNameThere {
                layer: node.name().to_string(),
                library: library.name(),
            })?;
            let input = node.inputs().first();
            let order = input.map_or(Order::Plain, |input| orders[input]);
            let tensor = parameter.tensor.detach();
            let tensor = laid_out(node, (parameter.name, tensor), library, order)?;
            if dict.insert(name.clone(), tensor).is_some() {
                return Err(FileError::SameNameThere {
                    layer: node.name().to_string(),
                    name,
                    library: library.name(),
                }
                .into());
            }
        }
        Ok(dict)
    }

    /// The tensors of [`Model::to_state_dict`] as the `VarBuilder` that networks
    /// of candle are built from. With [`WeightNaming::Timm`],
    /// candle-transformers' VGG takes it.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::export::WeightNaming;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block2_pool")?;
    /// let tensors = graph.build(&Device::Cpu)?.to_var_builder(WeightNaming::Timm)?;
    /// let conv = candle_nn::conv2d(3, 4, 3, Default::default(), tensors.pp("features.0"))?;
    /// assert_eq!(conv.weight().dims(), [4, 3, 3, 3]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::to_state_dict`].
    pub fn to_var_builder(&self, naming: WeightNaming) -> Result<VarBuilder<'static>> {
        let tensors = self.to_state_dict(naming)?;
        Ok(VarBuilder::from_tensors(
            tensors,
            self.dtype(),
            self.device(),
        ))
    }
}

/// A parameter in a library's layout. `order` is the order of the layer's input
/// values.
fn laid_out(
    node: &Node,
    (parameter, tensor): (&str, Tensor),
    library: WeightNaming,
    order: Order,
) -> Result<Tensor> {
    match (node.layer(), parameter) {
        (Layer::Dense(_), "weight") => dense_weight(node, tensor, library, order),
        (Layer::Conv2d(_), "weight") if library == WeightNaming::Keras => {
            Ok(tensor.permute((2, 3, 1, 0))?.contiguous()?)
        }
        // The library has a dense layer here, which surgery made a convolution.
        (Layer::Conv2d(_), "weight") if is_dense_in(library, node) => Ok(tensor.flatten_from(1)?),
        (Layer::BatchNorm2d(_), _) => match order {
            Order::Plain => Ok(tensor),
            Order::Flattened(flattened) => flattened.reordered(&tensor, library.order()),
            Order::Mixed => Err(lost(node, library)),
        },
        _ => Ok(tensor),
    }
}

fn dense_weight(
    node: &Node,
    weight: Tensor,
    library: WeightNaming,
    order: Order,
) -> Result<Tensor> {
    let out = weight.dim(0)?;
    // (out, C, H, W); a vector counts as a feature map of one pixel.
    let map = match order {
        Order::Flattened(flattened) => flattened.spread(&weight)?,
        Order::Plain => weight.reshape((out, (), 1, 1))?,
        Order::Mixed => return Err(lost(node, library)),
    };
    Ok(match library {
        WeightNaming::Torchvision => map.reshape((out, ()))?,
        WeightNaming::Timm if is_dense_in(library, node) => map.reshape((out, ()))?,
        WeightNaming::Timm => map.contiguous()?,
        WeightNaming::Keras => map.permute((2, 3, 1, 0))?.reshape(((), out))?,
    })
}

fn lost(node: &Node, library: WeightNaming) -> Error {
    FileError::OrderLost {
        layer: node.name().to_string(),
        library: library.name(),
    }
    .into()
}

fn is_dense_in(library: WeightNaming, node: &Node) -> bool {
    node.aliases().any(|alias| match library {
        WeightNaming::Torchvision => alias.starts_with("classifier."),
        WeightNaming::Timm => alias == "head.fc",
        WeightNaming::Keras => false,
    })
}

fn name_there(node: &Node, parameter: &str, library: WeightNaming) -> Option<String> {
    if library == WeightNaming::Keras {
        let name = keras_name(node.layer(), parameter)?;
        return Some(format!("{}/{name}", node.name()));
    }
    let fits = |part: Part| {
        node.named_parts().iter().find(|alias| {
            let mut stems = library.stems().iter();
            alias.part == part && stems.any(|stem| alias.name.starts_with(stem))
        })
    };
    let alias = fits(Part::Pre).or_else(|| fits(Part::Whole))?;
    Some(format!("{}.{parameter}", alias.name))
}
