use candle_core::Tensor;

use crate::error::Result;
use crate::graph::NodeRef;

use super::core::Model;

/// Values of layers, by the requested names.
#[derive(Clone, Debug)]
pub struct Taps {
    values: Vec<(String, Tensor)>,
}

impl Taps {
    /// The value that was requested by this name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        let found = self.values.iter().find(|(asked, _)| asked == name);
        found.map(|(_, value)| value)
    }

    /// Names and values, in the requested order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The values, in the requested order.
    pub fn into_vec(self) -> Vec<Tensor> {
        self.values.into_iter().map(|(_, value)| value).collect()
    }
}

impl Model {
    /// All outputs by name; see [`Graph::output_names`](crate::Graph::output_names).
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_named(&self, x: &Tensor) -> Result<Taps> {
        let names = self.graph().output_names().into_iter();
        let values = names.map(str::to_string).zip(self.forward_all(x)?);
        Ok(Taps {
            values: values.collect(),
        })
    }

    /// The values of layers for `x` `(N, C, H, W)`, batch first. Names of all
    /// dialects are accepted: `"block5_conv3"` and `"relu5_3"` name the value
    /// after the ReLU, `"features.28"` and `"block5_conv3:pre"` the value before
    /// it. Layers that no tap depends on are not computed.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::Vgg16;
    ///
    /// let model = Vgg16::options().widths(16).untrained(0)?.build(&Device::Cpu)?;
    /// let x = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
    /// let taps = model.taps(["block1_conv2", "relu3_3", "features.28"], &x)?;
    /// assert_eq!(taps.get("relu3_3").unwrap().dims(), [2, 16, 8, 8]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownLayer`](crate::Error::UnknownLayer),
    /// [`Error::AmbiguousName`](crate::Error::AmbiguousName), and the errors of
    /// [`Model::forward`].
    pub fn taps<S: AsRef<str>>(
        &self,
        names: impl IntoIterator<Item = S>,
        x: &Tensor,
    ) -> Result<Taps> {
        let names = names.into_iter().map(|name| name.as_ref().to_string());
        let names: Vec<String> = names.collect();
        let picks = names.iter().map(|name| name.pick(&self.graph));
        let values = self.run(x, &picks.collect::<Result<Vec<_>>>()?, false)?;
        Ok(Taps {
            values: names.into_iter().zip(values).collect(),
        })
    }

    /// The value of one layer for `x` `(N, C, H, W)`, batch first; see
    /// [`Model::taps`].
    ///
    /// # Errors
    /// As [`Model::taps`].
    pub fn forward_to(&self, layer: impl NodeRef, x: &Tensor) -> Result<Tensor> {
        let pick = layer.pick(&self.graph)?;
        let mut values = self.run(x, &[pick], false)?;
        Ok(values.remove(0))
    }
}
