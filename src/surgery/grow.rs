use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Contract, Graph, Node, NodeId, NodeRef, Scoring};
use crate::layers::{LIMIT, Layer};
use crate::model::{Draft, Model, room_for};

use super::channels::check_kind;

impl Model {
    /// Gives a classifier more classes. The scores of the old ones do not
    /// change. Each new one gets the mean of the old weights and biases. Its score is
    /// the mean of the old scores, which is never the highest before training.
    ///
    /// Labels stay, and new ones are added: "class 1000".
    /// [`Graph::with_labels`](crate::Graph::with_labels) renames them.
    ///
    /// Contract: exact for the current number, which changes nothing; else
    /// approximate, because a softmax divides by more classes.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Labels, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).hidden(32).classes(3).untrained(0)?;
    /// let pets = Labels::new(["cat", "dog", "fox"]);
    /// let model = graph.with_labels(pets.clone())?.build(&Device::Cpu)?;
    /// let model = model.grow_classes("predictions", 4)?;
    /// assert_eq!(model.graph().labels().unwrap().index_of("class 3"), Some(3));
    /// let model = model.edit(|graph| graph.with_labels(pets.extended(["owl"])))?;
    /// assert_eq!(model.graph().labels().unwrap().index_of("owl"), Some(3));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`](crate::Graph::node);
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) for fewer classes than
    /// there are or more than 16,777,216, for a layer that is no dense layer and
    /// no convolution of one group, if another layer than an activation or
    /// dropout reads it, and for more than two classes of a single output
    /// ([`Graph::classes`](crate::Graph::classes)), which needs an output for each; [`Error::InvalidLayer`](crate::Error::InvalidLayer) for
    /// more values than fit into memory.
    pub fn grow_classes(&self, layer: impl NodeRef, classes: usize) -> Result<Self> {
        let graph = self.graph();
        let id = layer.pick(graph)?.id;
        let what = format!("grow_classes({}, {classes})", layer.in_words(graph));
        let node = graph.node(id)?;
        check_kind(graph, id)?;
        let is_single = scores_two(graph, id);
        let old = if is_single {
            2
        } else {
            node.shape().channels()
        };
        if !(old..=LIMIT).contains(&classes) {
            let reason = format!(
                "{classes} classes are not possible; it has {old}, and {LIMIT} is the limit"
            );
            return Err(graph.illegal(id, &reason));
        }
        if is_single && classes > old {
            let name = node.name();
            let reason = format!(
                "its single value stands for two classes; for {classes} use replace(\"{name}\", ..) \
                 with a layer of {classes} outputs that ends in a softmax, and train it"
            );
            return Err(graph.illegal(id, &reason));
        }
        let mut followers = graph.followers(id).into_iter();
        let passes_on = |id: &NodeId| graph.expect_node(*id).layer().rules().passes_input_on();
        if let Some(reader) = followers.find(|id| !passes_on(id)) {
            return Err(graph.illegal(reader, "it reads the classes that would be added to"));
        }
        let contract = match classes == old {
            true => Contract::Exact,
            false => Contract::Approximate,
        };
        self.redraft(&what, contract, |draft| match classes == old {
            true => Ok(()),
            false => grow(draft, id, classes),
        })
    }
}

/// Whether the first output is this layer's single value, apart from activations, and
/// distinguishes two classes.
fn scores_two(graph: &Graph, layer: NodeId) -> bool {
    let passes_on = |node: &&Node| node.id() != layer && node.layer().rules().passes_input_on();
    let mut path = graph.path_to(graph.outputs()[0]);
    let first = path.find(|node| !passes_on(node));
    graph.scoring() != Scoring::Each && first.is_some_and(|node| node.id() == layer)
}

fn grow(draft: &mut Draft<'_>, layer: NodeId, classes: usize) -> Result<()> {
    let labels = draft.labels().cloned();
    let weight = draft.value(layer, "weight")?;
    let old = weight.dim(0)?;
    let mut shape = weight.dims().to_vec();
    shape[0] = classes;
    room_for(draft.expect_node(layer), "weight", &shape)?;
    let mut parameters = vec![("weight", with_means(&weight, classes)?)];
    if draft.has(layer, "bias") {
        let bias = draft.value(layer, "bias")?;
        parameters.push(("bias", with_means(&bias, classes)?));
    }
    draft.change_layer(layer, |layer| match layer {
        Layer::Conv2d(conv) => conv.out_channels = classes,
        Layer::Dense(dense) => dense.units = classes,
        _ => {}
    });
    draft.set(layer, &parameters)?;
    if let Some(labels) = labels.filter(|labels| labels.len() == old) {
        let names = (old..classes).map(|class| format!("class {class}"));
        let output = draft.outputs()[0];
        draft.set_labels(Some((output, labels.extended(names))));
    }
    Ok(())
}

/// Repeats the mean of the rows after them, up to this many rows.
fn with_means(rows: &Tensor, count: usize) -> Result<Tensor> {
    let old = rows.dim(0)?;
    let mut shape = rows.dims().to_vec();
    shape[0] = count - old;
    let mean = rows.mean_keepdim(0)?.broadcast_as(shape)?;
    Ok(Tensor::cat(&[rows, &mean], 0)?)
}
