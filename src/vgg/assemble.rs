use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{EditContext, Graph, WeightKey, WeightSet};
use crate::layers::{
    Activation, AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d,
    GlobalMaxPool2d, Layer, MaxPool2d, Pooling,
};

use super::dialects::Role;
use super::family::{HIDDEN, IMAGE_SIZE, TOP_SIZE};
use super::options::{Top, VggOptions};

/// Builds networks from options.
impl VggOptions {
    /// The network with new parameters, drawn from this seed.
    ///
    /// # Errors
    /// [`Error::InvalidLayer`], [`Error::InputTooSmall`],
    /// [`Error::ShapeMismatch`] and [`Error::Unsupported`] for options that
    /// don't go together.
    pub fn untrained(&self, seed: u64) -> Result<Graph> {
        network(self, seed, None)
    }

    /// The network with ImageNet weights, which are downloaded from the hub when
    /// the graph is built.
    ///
    /// # Errors
    /// As [`VggOptions::untrained`], and [`Error::Unsupported`] for widths,
    /// hidden features or input channels that the weights don't have.
    pub fn pretrained(&self) -> Result<Graph> {
        if self.divisor != 1
            || self.hidden_features() != HIDDEN
            || self.input_shape().channels() != 3
        {
            return Err(Error::Unsupported {
                what: "use ImageNet weights",
                reason: format!(
                    "they are for 3 input channels, full widths and {HIDDEN} hidden features; \
                     use untrained, or change layers after pretrained()"
                ),
            });
        }
        self.pretrained_from(self.family.imagenet_weights())
    }

    /// The network with custom weights, or a path to them, which are read when the
    /// graph is built. Without [`VggOptions::classes`], it has one class for each
    /// of their labels.
    ///
    /// # Errors
    /// As [`VggOptions::untrained`].
    pub fn pretrained_from(&self, weights: impl Into<WeightSet>) -> Result<Graph> {
        network(self, 0, Some(Arc::new(weights.into())))
    }
}

/// The network that options describe, with new parameters or with a weight set.
fn network(options: &VggOptions, seed: u64, weights: Option<Arc<WeightSet>>) -> Result<Graph> {
    options.check()?;
    let classes = options.classes_with(weights.as_deref());
    let (features, top) = (feature_rows(options), top_rows(options, classes));
    let (name, input) = (options.family.name.to_string(), options.input_shape());
    let graph = Graph::from_start(name, input, seed, |graph| {
        for row in features.iter().chain(&top) {
            let id = graph.extend(row.name.clone(), row.layer.clone());
            graph.change_aliases(id, |aliases| *aliases = row.role.aliases());
        }
        for row in graph.ids().into_iter().skip(1 + features.len()) {
            graph.set_top(row, options.top != Top::None);
        }
    })?;
    let Some(weights) = weights else {
        return Ok(graph);
    };
    check_top_map(&graph, options)?;
    let labels = weights.get_labels().filter(|labels| !labels.is_empty());
    let is_new = labels.is_some_and(|labels| !options.are_named_by(labels.len(), classes));
    graph.rewrite(|graph| {
        let rows = features.iter().chain(&top);
        let trained = rows.zip(graph.ids().into_iter().skip(1));
        for (row, id) in trained.filter(|(row, _)| !(is_new && row.role == Role::Predictions)) {
            graph.change_parameters(id, |parameter| {
                let keys = row.weight_keys(parameter.name(), options);
                parameter.set_weights(&weights, keys);
            });
        }
        set_companions(graph, options, &weights);
        Ok(())
    })
}

struct Row {
    name: String,
    layer: Layer,
    role: Role,
}

impl Row {
    fn new(name: impl Into<String>, layer: impl Into<Layer>, role: Role) -> Self {
        Self {
            name: name.into(),
            layer: layer.into(),
            role,
        }
    }

    /// The names of a parameter of the layer in weight sets.
    fn weight_keys(&self, parameter: &str, options: &VggOptions) -> Vec<WeightKey> {
        let top_map = (options.filters(4), TOP_SIZE, TOP_SIZE);
        self.role.weight_keys(&self.name, parameter, top_map)
    }
}

fn feature_rows(options: &VggOptions) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut index = 0;
    for (block, &convolutions) in options.family.convolutions.iter().enumerate() {
        let conv = Conv2d::new(options.filters(block), 3).same();
        let block = block + 1;
        for place in 1..=convolutions {
            let name = |kind: &str| format!("block{block}_{kind}{place}");
            if options.family.batch_norm {
                rows.extend([
                    Row::new(
                        name("conv"),
                        conv.clone(),
                        Role::BareConv(block, place, index),
                    ),
                    Row::new(
                        name("bn"),
                        BatchNorm2d::new(),
                        Role::Norm(block, place, index + 1),
                    ),
                    Row::new(
                        name("relu"),
                        Activation::Relu,
                        Role::Relu(block, place, index + 2),
                    ),
                ]);
                index += 3;
            } else {
                let role = Role::Conv(block, place, index);
                rows.push(Row::new(name("conv"), conv.clone().relu(), role));
                index += 2;
            }
        }
        let role = Role::Pool(block, index);
        rows.push(Row::new(
            format!("block{block}_pool"),
            MaxPool2d::new(2),
            role,
        ));
        index += 1;
    }
    rows
}

fn top_rows(options: &VggOptions, classes: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    match options.top {
        Top::None => {
            match options.pooling {
                None => {}
                Some(Pooling::Average) => {
                    rows.push(Row::new("avg_pool", GlobalAvgPool2d, Role::Unnamed));
                }
                Some(Pooling::Max) => {
                    rows.push(Row::new("max_pool", GlobalMaxPool2d, Role::Unnamed));
                }
            }
            return rows;
        }
        Top::Keras => {}
        Top::Torchvision => {
            let pool = AdaptiveAvgPool2d::new(TOP_SIZE);
            rows.push(Row::new("avgpool", pool, Role::Unnamed));
        }
    }
    rows.push(Row::new("flatten", Flatten::new(), Role::Unnamed));
    let with_dropout = options.dropout != 0.0;
    for number in [1, 2] {
        let dense = Dense::new(options.hidden_features()).relu();
        let role = Role::Hidden(number, with_dropout);
        rows.push(Row::new(format!("fc{number}"), dense, role));
        if with_dropout {
            let name = format!("fc{number}_dropout");
            let dropout = Dropout::new(options.dropout);
            rows.push(Row::new(name, dropout, Role::Dropout(number)));
        }
    }
    let predictions = Dense::new(classes).activation(options.classifier_activation);
    rows.push(Row::new("predictions", predictions, Role::Predictions));
    rows
}

/// The first dense layer's weights were trained on a feature map of 7x7.
fn check_top_map(graph: &Graph, options: &VggOptions) -> Result<()> {
    if options.top != Top::Keras {
        return Ok(());
    }
    let map = graph.node("block5_pool")?.shape();
    if map.size() == Some((TOP_SIZE, TOP_SIZE)) {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        layer: "fc1".to_string(),
        expected: format!(
            "the {TOP_SIZE}x{TOP_SIZE} map that its weights were trained on (an input of \
             {IMAGE_SIZE}x{IMAGE_SIZE}, or Top::Torchvision for any size)"
        ),
        actual: map,
    })
}

/// Preprocessing, labels and license belong to the weights.
fn set_companions(graph: &mut EditContext, options: &VggOptions, weights: &WeightSet) {
    graph.set_preprocessing(weights.get_preprocessing().cloned());
    graph.set_license(weights.get_license().map(str::to_string));
    let classes = options.classes_with(Some(weights));
    let labels = weights.get_labels();
    let labels = labels
        .filter(|labels| options.top != Top::None && options.are_named_by(labels.len(), classes));
    let output = graph.outputs()[0];
    graph.set_labels(labels.map(|labels| (output, labels.clone())));
}
