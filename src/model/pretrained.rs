use std::collections::HashMap;
use std::sync::Arc;

use candle_core::Tensor;

use crate::error::{Error, Result, WeightHint};
use crate::graph::{Found, Graph, Node, NodeId, Origin, Parameter, WeightSet};
use crate::weights::{self, Loaded, ReadOptions, Wanted};

/// A parameter of a graph.
pub(super) type Key = (NodeId, String);

/// Where parameters were read.
pub(super) type Reads = HashMap<Key, (Arc<WeightSet>, Found)>;

/// A parameter still without a tensor.
#[derive(Clone, Copy)]
pub(super) struct Pending<'g> {
    pub(super) node: &'g Node,
    pub(super) parameter: &'g Parameter,
}

impl Pending<'_> {
    pub(super) fn key(&self) -> Key {
        (self.node.id(), self.parameter.name().to_string())
    }
}

/// A parameter that was read, and where.
pub(super) type Read<'g> = (Pending<'g>, Tensor, (Arc<WeightSet>, Found));

#[derive(Default)]
pub(super) struct Loading<'g> {
    pub(super) read: Vec<Read<'g>>,
    /// Parameters that partial weight sets lack.
    pub(super) lacking: Vec<Key>,
}

pub(super) fn parameters(graph: &Graph) -> impl Iterator<Item = Pending<'_>> {
    graph.nodes().flat_map(|node| {
        let parameters = node.parameters().iter();
        parameters.map(move |parameter| Pending { node, parameter })
    })
}

/// All pretrained parameters, each weight set opened once; ends at the first set
/// that lacks some.
pub(super) fn load<'g>(graph: &'g Graph, options: &ReadOptions) -> Result<Loading<'g>> {
    type Group<'g> = (&'g Arc<WeightSet>, Vec<(Pending<'g>, Wanted<'g>)>);
    let mut groups: Vec<Group<'g>> = Vec::new();
    for pending in parameters(graph) {
        if let Origin::Pretrained {
            weights,
            keys,
            otherwise,
        } = pending.parameter.origin()
        {
            let wanted = Wanted {
                keys,
                shape: pending.parameter.shape(),
                is_optional: otherwise.is_some(),
            };
            let entry = (pending, wanted);
            match groups.iter_mut().find(|(set, _)| Arc::ptr_eq(set, weights)) {
                Some((_, group)) => group.push(entry),
                None => groups.push((weights, vec![entry])),
            }
        }
    }
    // What they lack changes the graph, before the others are read for nothing.
    groups.sort_by_key(|(set, _)| !set.is_partial());
    let mut loading = Loading::default();
    for (set, group) in groups {
        let (pending, wanted): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let read = weights::load(set, &wanted, options);
        let read = read.map_err(|error| with_hint(error, &pending))?;
        let plain = WeightSet::without_renames(set);
        for (pending, read) in pending.into_iter().zip(read) {
            match read {
                Some(Loaded { tensor, found }) => {
                    loading.read.push((pending, tensor, (plain.clone(), found)));
                }
                None => loading.lacking.push(pending.key()),
            }
        }
        if !loading.lacking.is_empty() {
            break;
        }
    }
    Ok(loading)
}

/// The graph with the values that these parameters have without their weight
/// sets.
pub(super) fn otherwise(graph: Graph, lacking: &[Key]) -> Result<Graph> {
    graph.rewrite(|graph| {
        for (node, name) in lacking {
            graph.change_parameters(*node, |parameter| {
                if parameter.name() == name {
                    parameter.set_otherwise();
                }
            });
        }
        Ok(())
    })
}

/// Says what to do about a classifier that the file does not have, or that has
/// other classes. Parameters are looked for in the order of the layers.
fn with_hint(mut error: Error, pending: &[Pending<'_>]) -> Error {
    let of_key = |key: &str| {
        let mut found = pending
            .iter()
            .filter(|pending| has_key(pending.parameter, key));
        found
            .find(|pending| pending.node.is_top())
            .map(|pending| pending.node)
    };
    let is_last = |node: &Node| {
        pending
            .last()
            .is_some_and(|last| last.node.id() == node.id())
    };
    match &mut error {
        Error::MissingTensor { key, hint, .. } => {
            let first = pending.iter().find(|pending| pending.node.is_top());
            *hint = of_key(key).map(|node| {
                Box::new(match first {
                    Some(first) if first.node.id() == node.id() => WeightHint::WithoutTop,
                    _ => WeightHint::NewWeights {
                        layer: node.name().to_string(),
                    },
                })
            });
        }
        Error::TensorShape {
            key,
            expected,
            actual,
            hint,
            ..
        } => {
            let mut sides = expected.iter().zip(&*actual).filter(|(a, b)| a != b);
            let differing = (sides.next(), sides.next());
            let classifier = of_key(key).filter(|node| is_last(node));
            if let (Some(node), (Some((needed, found)), None)) = (classifier, differing)
                && node.shape().channels() == *needed
            {
                *hint = Some(Box::new(WeightHint::Classes {
                    classes: *found,
                    layer: node.name().to_string(),
                }));
            }
        }
        _ => {}
    }
    error
}

fn has_key(parameter: &Parameter, key: &str) -> bool {
    let Origin::Pretrained { keys, .. } = parameter.origin() else {
        return false;
    };
    // An index alone is the name of other layers, too.
    let mut names = keys.iter().filter(|known| !known.is_index());
    names.any(|known| {
        let prefix = key.strip_suffix(&known.name);
        prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with(['.', '/']))
    })
}
