use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Graph, Origin, WeightSet};
use crate::layer::{
    Activation, AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Dense, Dropout, Flatten, GlobalAvgPool2d,
    GlobalMaxPool2d, Layer, MaxPool2d,
};

use super::dialects::Role;
use super::family::{PICTURE_SIZE, TOP_SIZE};
use super::options::{Pooling, Top, VggOptions};

/// The network that options describe, with new parameters or a weight set's.
pub(super) fn network(
    options: &VggOptions,
    seed: u64,
    weights: Option<Arc<WeightSet>>,
) -> Result<Graph> {
    options.check()?;
    let classes = options.classes_with(weights.as_deref());
    let mut rows = feature_rows(options);
    let features = rows.len();
    rows.extend(top_rows(options, classes));
    let layers = rows.iter().map(|row| (row.name.clone(), row.layer.clone()));
    let mut graph = Graph::chain_of(options.family.name, options.input_shape(), layers, seed)?;
    for (index, row) in rows.iter().enumerate() {
        let node = graph.node_mut_at(index + 1);
        node.aliases = row.role.aliases();
        node.is_top = index >= features && options.top != Top::None;
    }
    if let Some(weights) = weights {
        check_top_map(&graph, options)?;
        let labels = weights.get_labels().filter(|labels| !labels.is_empty());
        let is_new = labels.is_some_and(|labels| labels.len() != classes);
        set_origins(&mut graph, options, &rows, (&weights, is_new));
        set_companions(&mut graph, options, &weights);
    }
    Ok(graph)
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
                Pooling::None => {}
                Pooling::Average => {
                    rows.push(Row::new("avg_pool", GlobalAvgPool2d, Role::Unnamed));
                }
                Pooling::Max => {
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

/// The first dense layer's weights were trained on a map of 7x7.
fn check_top_map(graph: &Graph, options: &VggOptions) -> Result<()> {
    if options.top != Top::Keras {
        return Ok(());
    }
    let map = graph.get("block5_pool")?.shape();
    if map.size() == Some((TOP_SIZE, TOP_SIZE)) {
        return Ok(());
    }
    Err(Error::ShapeMismatch {
        layer: "fc1".to_string(),
        expected: format!(
            "the {TOP_SIZE}x{TOP_SIZE} map that its weights were trained on (an input of \
             {PICTURE_SIZE}x{PICTURE_SIZE}, or Top::Torchvision for any size)"
        ),
        actual: map,
    })
}

/// Where the parameters are, but for those of classes that the weights are not
/// for.
fn set_origins(
    graph: &mut Graph,
    options: &VggOptions,
    rows: &[Row],
    (weights, new_classes): (&Arc<WeightSet>, bool),
) {
    let top_map = (options.filters(4), TOP_SIZE, TOP_SIZE);
    for (index, row) in rows.iter().enumerate() {
        if row.role == Role::Predictions && new_classes {
            continue;
        }
        for parameter in &mut graph.node_mut_at(index + 1).parameters {
            parameter.origin = Origin::Pretrained {
                weights: weights.clone(),
                keys: row.role.weight_keys(&row.name, &parameter.name, top_map),
            };
        }
    }
}

/// Preprocessing, labels and licence belong to the weights, and come along.
fn set_companions(graph: &mut Graph, options: &VggOptions, weights: &WeightSet) {
    graph.preprocessing = weights.get_preprocessing().cloned();
    graph.licence = weights.get_licence().map(str::to_string);
    let classes = options.classes_with(Some(weights));
    let labels = weights.get_labels();
    graph.labels = labels
        .filter(|labels| options.top != Top::None && labels.len() == classes)
        .map(|labels| (graph.outputs()[0], labels.clone()));
}
