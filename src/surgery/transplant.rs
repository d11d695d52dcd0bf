use crate::error::Result;
use crate::graph::{Contract, EditContext, NodeId, Operations, Select};
use crate::layers::Conv2d;
use crate::model::Model;
use crate::shape::Shape;

impl Model {
    /// Replaces layers by the layers of the same names in another network, with
    /// their values. If the numbers of channels differ, a new 1x1 convolution is
    /// put between: `FIRST_adapter` before the first layer, `LAST_adapter` after
    /// the last.
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
    /// The errors of the selection in either network;
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) if more than one value
    /// goes in or comes out, or if the name means the donor's input; the errors
    /// of names and shapes.
    pub fn transplant(&self, layers: impl Select, donor: &Self) -> Result<Self> {
        let selection = layers.select(self.graph())?;
        let words = &selection.words;
        let what = format!("transplant({words}, from \"{}\")", donor.graph().name());
        let part = donor.graph().clone().slice(layers)?;
        // Of the donor's edits, only the edits that made the values are listed.
        let part = part.with_fresh_ids_where(|_| true).with_named_entries();
        self.redraft(&what, Contract::Approximate, |draft| {
            draft.adopt(donor, &part)?;
            let inner = draft.isolate_all(&selection)?;
            let (entry, exit) = draft.segment(&inner)?;
            let Some(entry) = entry else {
                return Err(draft.illegal(exit, "the input stays; choose layers after it"));
            };
            let left = draft.expect_node(exit).shape();
            let first = part.nodes().find(|node| !node.inputs().is_empty());
            let Some(first) = first.map(|node| node.name().to_string()) else {
                let reason = "the donor has its input under this name; choose layers after it";
                return Err(draft.illegal(exit, reason));
            };
            draft.take_out(&inner);
            let source = adapt(draft, entry, &first, part.input_shape())?;
            let last = draft.graft(part, source, Operations::find_or_push)?[0];
            let name = draft.expect_node(last).name().to_string();
            let last = adapt(draft, last, &name, left)?;
            draft.redirect(exit, last);
            draft.move_labels(exit, last);
            Ok(())
        })
    }
}

/// Puts a 1x1 convolution after a node that has another number of channels.
fn adapt(graph: &mut EditContext, source: NodeId, beside: &str, to: Shape) -> Result<NodeId> {
    let from = graph.expect_node(source).shape();
    let are_maps = matches!((from, to), (Shape::Map { .. }, Shape::Map { .. }));
    if !are_maps || from.channels() == to.channels() {
        return Ok(source);
    }
    let name = format!("{beside}_adapter");
    let conv = Conv2d::new(to.channels(), 1);
    let end = graph.len();
    graph.place(end, Some(name), conv.into(), vec![source])
}
