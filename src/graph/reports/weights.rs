use std::collections::BTreeSet;
use std::fmt;

use super::super::core::Graph;
use super::super::node::Parameter;
use super::super::origin::{Found, Made, Origin};
use super::table::aligned;

/// Which stored tensor each parameter is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WeightsReport {
    /// A row for each parameter, in the order of the layers.
    pub rows: Vec<WeightsRow>,
}

/// One row of a [`WeightsReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WeightsRow {
    /// The layer.
    pub layer: String,
    /// The parameter's name within the layer.
    pub parameter: String,
    /// The weight set; `None` if the values are not stored ones.
    pub source: Option<String>,
    /// The tensor's name in the weight set. `None` also before the graph is
    /// built, and in a loaded model.
    pub tensor: Option<String>,
    /// The part of the tensor's name that was left out to recognize it, such as
    /// `module.`; empty if the name is one that is looked for.
    pub ignored: String,
}

impl Graph {
    /// Lists which stored tensor each parameter was read from, and what was left
    /// out of its name to recognize it. The graph of a built model knows this.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::{Vgg16, WeightSet};
    ///
    /// let tensor = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu);
    /// let weights = WeightSet::tensors(HashMap::from([
    ///     ("module.features.0.weight".to_string(), tensor(&[64, 3, 3, 3])?),
    ///     ("module.features.0.bias".to_string(), tensor(&[64])?),
    /// ]));
    /// let model = Vgg16::pretrained_from(weights).truncate("block1_conv1")?.build(&Device::Cpu)?;
    /// let report = model.graph().weights_report();
    /// assert_eq!(report.rows[0].tensor.as_deref(), Some("module.features.0.weight"));
    /// assert_eq!(report.ignored(), ["module."]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn weights_report(&self) -> WeightsReport {
        let rows = self.nodes().flat_map(|node| {
            let parameters = node.parameters.iter();
            parameters.map(|parameter| row(&node.name, parameter))
        });
        WeightsReport {
            rows: rows.collect(),
        }
    }
}

fn row(layer: &str, parameter: &Parameter) -> WeightsRow {
    let (source, found) = match &parameter.origin {
        Origin::Pretrained { weights, .. } => (Some(weights.to_string()), None),
        Origin::Tensor {
            made: Made::Read(source),
            ..
        } => (Some(source.words.to_string()), source.found.as_ref()),
        _ => (None, None),
    };
    let ignored = found.map(|Found { ignored, .. }| ignored.clone());
    WeightsRow {
        layer: layer.to_string(),
        parameter: parameter.name.clone(),
        source,
        tensor: found.map(|found| found.key.name.clone()),
        ignored: ignored.unwrap_or_default(),
    }
}

impl WeightsReport {
    /// What was left out of names, each once, in alphabetical order; empty if
    /// all names are ones that are looked for.
    pub fn ignored(&self) -> Vec<&str> {
        let ignored = self.rows.iter().map(|row| row.ignored.as_str());
        let ignored: BTreeSet<&str> = ignored.filter(|part| !part.is_empty()).collect();
        ignored.into_iter().collect()
    }
}

/// A table, and a line for each part that was left out of names.
impl fmt::Display for WeightsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["Parameter", "Tensor", "From"].map(String::from);
        let rows = self.rows.iter().map(|row| {
            let or_dash = |cell: &Option<String>| cell.clone().unwrap_or("-".to_string());
            let parameter = format!("{}.{}", row.layer, row.parameter);
            [parameter, or_dash(&row.tensor), or_dash(&row.source)]
        });
        let cells: Vec<Vec<String>> = [header].into_iter().chain(rows).map(Vec::from).collect();
        f.write_str(&aligned(&cells, 0..0))?;
        for part in self.ignored() {
            writeln!(f, "names were read without \"{part}\"")?;
        }
        Ok(())
    }
}
