use std::sync::Arc;

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::graph::{NodeId, Pick};
use crate::layer::Activation;
use crate::ops::Watch;

use super::core::Model;
use super::steps::own_activation;

/// What a run takes beside its input.
#[derive(Clone, Copy, Default)]
pub(super) struct Beside<'a> {
    /// A value that is not computed.
    pub(super) given: Option<(Pick, &'a Tensor)>,
    /// Who watches the values of nodes, as chains run through them.
    pub(super) watches: &'a [(NodeId, Arc<dyn Watch>)],
}

impl Model {
    /// The last of some layers, if all of them can be watched on one way from
    /// the input to it: in f32 on the CPU, through layers of one input each.
    pub(crate) fn watchable(&self, picks: &[Pick]) -> Option<NodeId> {
        let position = |pick: &Pick| self.graph.nodes().position(|node| node.id == pick.id);
        let last = picks.iter().filter_map(position).max()?;
        let way: Vec<_> = self.graph.nodes().take(last + 1).collect();
        let is_way = way
            .windows(2)
            .all(|pair| pair[1].inputs() == [pair[0].id].as_slice());
        let are_seen = picks.iter().all(|pick| {
            let node = self.graph.expect_node(pick.id);
            let activation = own_activation(node);
            matches!(activation, Activation::Relu | Activation::Linear)
                && !pick.means_pre(node)
                && self.steps(node, false, false).is_some()
        });
        let is_host = self.device.is_cpu() && self.dtype == DType::F32;
        (is_way && are_seen && is_host).then(|| way[last].id)
    }

    /// The value of one layer for one picture, while others are watched.
    pub(crate) fn run_watched(
        &self,
        x: &Tensor,
        last: NodeId,
        watches: &[(NodeId, Arc<dyn Watch>)],
    ) -> Result<Tensor> {
        let beside = Beside {
            given: None,
            watches,
        };
        let mut values = self.run_beside(x, &[Pick::whole(last)], false, beside)?;
        Ok(values.remove(0))
    }
}
