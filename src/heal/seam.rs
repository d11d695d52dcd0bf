use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};

use crate::error::{Error, HealingError, Result};
use crate::graph::{Graph, Node, NodeId, NodeRef, Part, Pick};
use crate::layers::{Conv2d, Layer};
use crate::model::Model;
use crate::shape::Shape;

use super::course::Pair;
use super::lessons::Each;

/// A new convolution, and the part of the old network that it replaces.
pub(super) struct Seam<'a> {
    pub(super) new: &'a Model,
    pub(super) old: &'a Model,
    pub(super) node: &'a Node,
    pub(super) conv: &'a Conv2d,
    /// The input of the new layer, in the new network.
    pub(super) input: Pick,
    /// The same value in the old network, if it exists there.
    pub(super) entry: Option<Pick>,
    /// The value of the old network that the new layer replaces.
    pub(super) target: Pick,
}

impl<'a> Seam<'a> {
    /// Finds what a layer replaces; `toward` names the old value where it does
    /// not follow from the layers around.
    pub(super) fn find(
        new: &'a Model,
        layer: &(impl NodeRef + ?Sized),
        old: &'a Model,
        toward: Option<&str>,
    ) -> Result<Self> {
        let node = new.graph().expect_node(layer.pick(new.graph())?.id);
        let twins = Twins::between(new.graph(), old.graph());
        let Layer::Conv2d(conv) = node.layer() else {
            return Err(Error::WrongKind {
                layer: node.name().to_string(),
                expected: "Conv2d",
                actual: node.layer().kind().to_string(),
            });
        };
        let target = match toward {
            Some(name) => name.pick(old.graph())?.as_value(),
            None => twins.counterpart(node)?,
        };
        let replaced = old.graph().expect_node(target.id);
        if replaced.shape() != node.shape() {
            return Err(other_shape(node, replaced.shape(), node.shape()));
        }
        if node.is_frozen() {
            return Err(frozen(node));
        }
        let input = node.inputs()[0];
        Ok(Self {
            new,
            old,
            node,
            conv,
            input: Pick::whole(input),
            entry: twins.value(input),
            target,
        })
    }

    /// What the layer takes and what it should give, for one image.
    pub(super) fn example(&self, x: &Each<Tensor>) -> Result<(Tensor, Tensor)> {
        let input = run_one(self.new, &x.new, self.input)?;
        let output = run_one(self.old, &x.old, self.target)?;
        Ok((input, output))
    }

    /// Number of positions of the layer's output that one image informs: at most
    /// the number of pixels that it had before it was enlarged.
    pub(super) fn positions(&self, x: &Each<Tensor>, pixels: usize) -> Result<usize> {
        let (_, _, height, width) = x.new.dims4()?;
        let enlarged = (height * width).max(1) as f64 / pixels as f64;
        let (height, width) = match self.node.shape().size() {
            Some(size) => size,
            None => {
                let (_, _, height, width) = run_one(self.old, &x.old, self.target)?.dims4()?;
                (height, width)
            }
        };
        // At most the number of positions, which is a usize.
        Ok(((height * width) as f64 / enlarged.max(1.0)) as usize)
    }

    /// For layers whose size is known only from the image.
    pub(super) fn check_size(&self, x: &Each<Tensor>) -> Result<()> {
        if self.node.shape().size().is_some() {
            return Ok(());
        }
        let expected = run_one(self.old, &x.old, self.target)?;
        let actual = run_one(self.new, &x.new, Pick::whole(self.node.id()))?;
        if expected.dims() == actual.dims() {
            return Ok(());
        }
        let shape = |value: &Tensor| {
            let (_, channels, height, width) = value.dims4()?;
            Ok::<_, Error>(Shape::map(channels, height, width))
        };
        Err(other_shape(self.node, shape(&expected)?, shape(&actual)?))
    }

    pub(super) fn set(&self, weight: Vec<f64>, bias: Vec<f64>) -> Result<()> {
        let mut values = [weight, bias].into_iter();
        let id = self.node.id();
        for found in self.new.variables().filter(|found| found.node.id() == id) {
            let Some(values) = values.next() else {
                break;
            };
            let variable = found.variable;
            let tensor = Tensor::from_vec(values, variable.shape(), &Device::Cpu)?;
            let tensor = tensor.to_dtype(variable.dtype())?;
            variable.set(&tensor.to_device(variable.device())?)?;
        }
        Ok(())
    }

    pub(super) fn pair(&self) -> Pair<'a> {
        Pair {
            new: self.new,
            old: self.old,
            layer: self.node.name(),
        }
    }

    pub(super) fn non_finite(&self) -> Error {
        self.pair().non_finite()
    }
}

fn other_shape(node: &Node, expected: Shape, actual: Shape) -> Error {
    HealingError::Shapes {
        layer: node.name().to_string(),
        expected,
        actual,
    }
    .into()
}

pub(super) fn frozen(node: &Node) -> Error {
    HealingError::Frozen {
        layer: node.name().to_string(),
    }
    .into()
}

fn run_one(model: &Model, x: &Tensor, pick: Pick) -> Result<Tensor> {
    let x = x.to_device(model.device())?;
    let mut values = model.run(&x, &[pick], false)?;
    Ok(values.remove(0))
}

/// The numbers of a value, `(N, C, H, W)`.
pub(super) fn doubles(value: &Tensor) -> Result<Vec<f64>> {
    let value = value.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    Ok(value.flatten_all()?.to_vec1()?)
}

/// Which layers of two networks are the same: by handle where both come from
/// one network, else by name.
pub(super) struct Twins<'a> {
    new: &'a Graph,
    old: &'a Graph,
    share_handles: bool,
}

impl<'a> Twins<'a> {
    pub(super) fn between(new: &'a Graph, old: &'a Graph) -> Self {
        let share_handles = new.nodes().any(|node| old.find(node.id()).is_some());
        Self {
            new,
            old,
            share_handles,
        }
    }

    /// The old network's layer that is this one of the new network.
    pub(super) fn of(&self, node: &Node) -> Option<&'a Node> {
        if self.share_handles {
            return self.old.find(node.id());
        }
        self.old.named(node.name())
    }

    /// The value of a layer of the new network, in the old one.
    pub(super) fn value(&self, id: NodeId) -> Option<Pick> {
        let own = self.new.find(id)?;
        let twin = self.of(own)?;
        let part = match (own.has_activation(), twin.has_activation()) {
            (false, true) => Part::Pre,
            _ => Part::Whole,
        };
        Some(Pick {
            id: twin.id(),
            part,
        })
    }

    /// The old value that a new layer replaces: the layers that both networks
    /// have took it before.
    fn counterpart(&self, node: &Node) -> Result<Pick> {
        let twins = self.new.nodes().filter_map(|user| {
            let before = self.of(user)?;
            Some((user.inputs(), before.inputs()))
        });
        let outputs = (self.new.outputs(), self.old.outputs());
        let pairs = twins
            .chain([outputs])
            .flat_map(|(new, old)| new.iter().zip(old));
        let found: BTreeSet<NodeId> = pairs
            .filter_map(|(new, old)| (*new == node.id()).then_some(*old))
            .collect();
        let reason = match (found.first(), found.len()) {
            (Some(&id), 1) => return Ok(Pick::whole(id)),
            (None, _) => {
                "no layer that takes its value is in both networks; name the old layer with \
                 Healing::toward(..)"
            }
            _ => {
                "the layers that take its value took several before; name one with \
                 Healing::toward(..)"
            }
        };
        Err(HealingError::NoCounterpart {
            layer: node.name().to_string(),
            reason: reason.to_string(),
        }
        .into())
    }
}
