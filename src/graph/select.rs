use std::fmt::Debug;
use std::ops::{
    Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive,
};

use crate::error::{Error, Result};

use super::core::Graph;
use super::node::{Node, NodeId, Part};

/// One node, or one part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    pub(crate) id: NodeId,
    pub(crate) part: Part,
}

impl Pick {
    pub(crate) fn whole(id: NodeId) -> Self {
        Self {
            id,
            part: Part::Whole,
        }
    }

    /// The same value, where only the value matters: an activation's is its
    /// node's.
    pub(crate) fn as_value(self) -> Self {
        match self.part {
            Part::Activation => Self::whole(self.id),
            Part::Pre | Part::Whole => self,
        }
    }

    /// Whether it means a value that differs from the node's own.
    pub(crate) fn means_pre(&self, node: &Node) -> bool {
        self.part == Part::Pre && node.has_activation()
    }
}

/// What names one node: a name in any dialect, or a [`NodeId`]. It cannot be
/// implemented for other types: its methods are private.
pub trait NodeRef {
    /// Finds the node.
    #[doc(hidden)]
    fn pick(&self, graph: &Graph) -> Result<Pick>;

    /// In words, for reports.
    #[doc(hidden)]
    fn in_words(&self, graph: &Graph) -> String;
}

impl NodeRef for str {
    fn pick(&self, graph: &Graph) -> Result<Pick> {
        graph.resolve(self)
    }

    fn in_words(&self, _graph: &Graph) -> String {
        format!("\"{self}\"")
    }
}

impl NodeRef for String {
    fn pick(&self, graph: &Graph) -> Result<Pick> {
        self.as_str().pick(graph)
    }

    fn in_words(&self, graph: &Graph) -> String {
        self.as_str().in_words(graph)
    }
}

impl NodeRef for NodeId {
    fn pick(&self, graph: &Graph) -> Result<Pick> {
        graph.find(*self).ok_or(Error::UnknownNode)?;
        Ok(Pick::whole(*self))
    }

    fn in_words(&self, graph: &Graph) -> String {
        graph
            .find(*self)
            .map_or_else(String::new, |node| format!("\"{}\"", node.name))
    }
}

impl<T: NodeRef + ?Sized> NodeRef for &T {
    fn pick(&self, graph: &Graph) -> Result<Pick> {
        (**self).pick(graph)
    }

    fn in_words(&self, graph: &Graph) -> String {
        (**self).in_words(graph)
    }
}

/// The nodes that a [`Select`] chose, in the graph's order.
#[derive(Clone, Debug)]
pub struct Selection {
    pub(crate) picks: Vec<Pick>,
    pub(crate) words: String,
}

/// What names several nodes: a name, a range of names, a range of indices
/// (counted as Keras counts, the input first), a list of names, or a
/// predicate on nodes. It cannot be implemented for other types: its methods are
/// private.
///
/// ```
/// use vgg_surgery::graph::Node;
/// use vgg_surgery::layers::Layer;
/// use vgg_surgery::Vgg16;
///
/// let graph = Vgg16::pretrained();
/// graph.clone().freeze("block1_conv1")?;
/// graph.clone().freeze("block1_conv1"..="block2_pool")?;
/// graph.clone().freeze(..7)?;
/// graph.clone().freeze(["block1_conv1", "conv1_2", "features.5"])?;
/// graph.freeze(|node: &Node| matches!(node.layer(), Layer::Conv2d(_)))?;
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name layers",
    note = "use a name, \"first\"..=\"last\", an index range, a list of names, or a predicate"
)]
pub trait Select {
    /// Finds the nodes; never none.
    #[doc(hidden)]
    fn select(&self, graph: &Graph) -> Result<Selection>;
}

macro_rules! select_one {
    ($($kind:ty),*) => {$(
        impl Select for $kind {
            fn select(&self, graph: &Graph) -> Result<Selection> {
                Ok(Selection {
                    picks: vec![self.pick(graph)?],
                    words: self.in_words(graph),
                })
            }
        }
    )*};
}

select_one!(&str, String, &String, NodeId);

impl<T: NodeRef> Select for RangeInclusive<T> {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        let (start, end) = (self.start(), self.end());
        let words = format!("{}..={}", start.in_words(graph), end.in_words(graph));
        let (first, last) = (start.pick(graph)?, end.pick(graph)?);
        between(graph, Some(first), Some(last), words)
    }
}

impl Select for RangeFrom<&str> {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        let words = format!("\"{}\"..", self.start);
        between(graph, Some(self.start.pick(graph)?), None, words)
    }
}

impl Select for RangeToInclusive<&str> {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        let words = format!("..=\"{}\"", self.end);
        between(graph, None, Some(self.end.pick(graph)?), words)
    }
}

fn between(
    graph: &Graph,
    first: Option<Pick>,
    last: Option<Pick>,
    words: String,
) -> Result<Selection> {
    let index = |pick: Pick| graph.position(pick.id).ok_or(Error::UnknownNode);
    let start = first.map_or(Ok(0), index)?;
    let end = last.map_or(Ok(graph.len() - 1), index)?;
    if let (Some(first), Some(last)) = (first, last) {
        let same_reversed =
            start == end && first.part == Part::Activation && last.part == Part::Pre;
        if start > end || same_reversed {
            return Err(Error::ReversedRange {
                first: graph.nodes[start].name.clone(),
                last: graph.nodes[end].name.clone(),
            });
        }
    }
    let mut picks: Vec<Pick> = graph.nodes[start..=end]
        .iter()
        .map(|node| Pick::whole(node.id))
        .collect();
    if let Some(last) = last.filter(|last| last.part == Part::Pre) {
        *picks.last_mut().expect("a range holds its end") = last;
    }
    if let Some(first) = first.filter(|first| first.part == Part::Activation) {
        picks[0] = first;
    }
    Ok(Selection { picks, words })
}

/// The nodes at a range of indices.
fn indices(graph: &Graph, range: &(impl RangeBounds<usize> + Debug)) -> Result<Selection> {
    let layers = graph.len();
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => layers.max(start),
    };
    if start > end || end > layers {
        return Err(Error::IndexOutOfRange { start, end, layers });
    }
    let nodes = graph.nodes[start..end].iter();
    let picks = nodes.map(|node| Pick::whole(node.id)).collect();
    filled(graph, picks, format!("layers {range:?}"))
}

macro_rules! select_indices {
    ($($kind:ty),*) => {$(
        impl Select for $kind {
            fn select(&self, graph: &Graph) -> Result<Selection> {
                indices(graph, self)
            }
        }
    )*};
}

select_indices!(
    Range<usize>,
    RangeInclusive<usize>,
    RangeFrom<usize>,
    RangeTo<usize>,
    RangeToInclusive<usize>,
    RangeFull
);

impl<T: NodeRef> Select for [T] {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        let mut picks = self
            .iter()
            .map(|name| name.pick(graph))
            .collect::<Result<Vec<_>>>()?;
        picks.sort_by_key(|pick| graph.position(pick.id));
        picks.dedup_by(|next, kept| {
            let same = next.id == kept.id;
            if same && next.part != kept.part {
                kept.part = Part::Whole;
            }
            same
        });
        let words: Vec<_> = self.iter().map(|name| name.in_words(graph)).collect();
        filled(graph, picks, format!("[{}]", words.join(", ")))
    }
}

impl<T: NodeRef> Select for &[T] {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        (**self).select(graph)
    }
}

impl<T: NodeRef> Select for Vec<T> {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        self.as_slice().select(graph)
    }
}

impl<T: NodeRef, const N: usize> Select for [T; N] {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        self.as_slice().select(graph)
    }
}

impl<F: Fn(&Node) -> bool> Select for F {
    fn select(&self, graph: &Graph) -> Result<Selection> {
        let picks = graph.ids_where(self).into_iter().map(Pick::whole);
        filled(graph, picks.collect(), "the predicate".to_string())
    }
}

fn filled(graph: &Graph, picks: Vec<Pick>, words: String) -> Result<Selection> {
    if picks.is_empty() {
        return Err(Error::EmptySelection {
            selection: words,
            layers: graph.len(),
        });
    }
    Ok(Selection { picks, words })
}
