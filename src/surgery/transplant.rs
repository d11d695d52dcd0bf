use crate::error::Result;
use crate::graph::{Contract, EditContext, NodeId, Operations, Select};
use crate::layer::Conv2d;
use crate::model::Model;
use crate::shape::Shape;

impl Model {
    /// Puts layers of another network, with their values, in the place of
    /// those of the same names here. Where their numbers of channels differ, a
    /// 1x1 convolution with new values goes between: `FIRST_adapter` before
    /// the first layer, `LAST_adapter` behind the last.
    ///
    /// Contract: approximate, or reinitializing with an adapter; exact if both
    /// networks have the same values.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let (host, donor) = (graph.build(&Device::Cpu)?, graph.seed(1).build(&Device::Cpu)?);
    /// let model = host.transplant("block3_conv1"..="block3_pool", &donor)?;
    /// assert_eq!(model.graph().len(), host.graph().len());
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the selection, in either network;
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) if more than one value
    /// goes in or comes out, or the name is that of the donor's input; the
    /// errors of names and shapes.
    pub fn transplant(&self, layers: impl Select, donor: &Self) -> Result<Self> {
        let selection = layers.select(self.graph())?;
        let words = &selection.words;
        let what = format!("transplant({words}, from \"{}\")", donor.graph().name());
        let part = donor.graph().clone().slice(layers)?;
        // Of the donor's edits, only those that made the values are listed.
        let part = part.with_fresh_ids_where(|_| true).with_named_entries();
        self.redraft(&what, Contract::Approximate, |graph, draft| {
            draft.adopt(donor, &part)?;
            let inner = graph.isolate_all(&selection)?;
            let (entry, exit) = graph.segment(&inner)?;
            let Some(entry) = entry else {
                return Err(graph.illegal(exit, "the input stays; choose layers behind it"));
            };
            let left = graph.expect_node(exit).shape();
            let layers = part.nodes().filter(|node| !node.inputs().is_empty());
            let Some(first) = layers.map(|node| node.name().to_string()).next() else {
                let reason = "the donor has its input under this name; choose layers behind it";
                return Err(graph.illegal(exit, reason));
            };
            graph.take_out(&inner);
            let fed = graph.expect_node(entry).shape();
            let source = adapt(graph, entry, &first, (fed, part.input_shape()))?;
            let last = graph.graft(part, source, Operations::find_or_push)?[0];
            let end = graph.expect_node(last);
            let (there, name) = (end.shape(), end.name().to_string());
            let last = adapt(graph, last, &name, (there, left))?;
            graph.redirect(exit, last);
            graph.move_labels(exit, last);
            Ok(())
        })
    }
}

/// Puts a 1x1 convolution behind a node whose channels are not those wanted.
fn adapt(
    graph: &mut EditContext,
    source: NodeId,
    beside: &str,
    (from, to): (Shape, Shape),
) -> Result<NodeId> {
    let are_maps = matches!((from, to), (Shape::Map { .. }, Shape::Map { .. }));
    if !are_maps || from.channels() == to.channels() {
        return Ok(source);
    }
    let name = format!("{beside}_adapter");
    let conv = Conv2d::new(to.channels(), 1);
    let end = graph.len();
    graph.place(end, Some(name), conv.into(), vec![source])
}
