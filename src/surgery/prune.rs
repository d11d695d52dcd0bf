use candle_core::{DType, Tensor};

use crate::error::{Error, ImageError, Result};
use crate::graph::{Contract, Graph, NodeId, NodeRef};
use crate::layer::Layer;
use crate::model::Model;

use super::channels::{Channels, rechannel};

/// What makes a filter worth keeping.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Criterion {
    /// The sum of its weights' absolute values (Li et al. 2017, "Pruning
    /// Filters for Efficient ConvNets").
    L1,
    /// The root of the sum of its weights' squares.
    L2,
    /// The mean absolute value of what it gives, after the activation, for
    /// these inputs of the model, `(N, C, H, W)`.
    Activation(Tensor),
}

/// How many filters to take out, and which.
///
/// ```
/// use vgg_surgery::{Criterion, Prune};
///
/// let quarter = Prune::fraction(0.25).by(Criterion::L2);
/// let eight = Prune::count(8);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Prune {
    amount: Amount,
    criterion: Criterion,
}

#[derive(Clone, Copy, Debug)]
enum Amount {
    Fraction(f64),
    Count(usize),
}

impl Prune {
    /// This share of the filters, from 0 to below 1, rounded down; those of
    /// the least L1 norm.
    pub fn fraction(fraction: f64) -> Self {
        Self {
            amount: Amount::Fraction(fraction),
            criterion: Criterion::L1,
        }
    }

    /// So many filters; those of the least L1 norm.
    pub fn count(count: usize) -> Self {
        Self {
            amount: Amount::Count(count),
            criterion: Criterion::L1,
        }
    }

    /// Sets what makes a filter worth keeping.
    pub fn by(mut self, criterion: Criterion) -> Self {
        self.criterion = criterion;
        self
    }

    fn words(&self) -> String {
        let by = match self.criterion {
            Criterion::L1 => "L1",
            Criterion::L2 => "L2",
            Criterion::Activation(_) => "activation",
        };
        match self.amount {
            Amount::Fraction(fraction) => format!("{fraction}, {by}"),
            Amount::Count(count) => format!("{count}, {by}"),
        }
    }

    /// Number of filters to take out of so many.
    fn number(&self, filters: usize) -> Result<usize, String> {
        match self.amount {
            Amount::Fraction(fraction) if (0.0..1.0).contains(&fraction) => {
                Ok((filters as f64 * fraction) as usize)
            }
            Amount::Fraction(fraction) => {
                let rule = "fractions go from 0 to below 1";
                Err(format!(
                    "a fraction of {fraction} can't be taken out: {rule}"
                ))
            }
            Amount::Count(count) if count < filters => Ok(count),
            Amount::Count(count) => Err(format!(
                "{count} filters can't be taken out of {filters}: one has to stay"
            )),
        }
    }
}

impl Model {
    /// Takes filters out of a convolution, or features out of a dense layer,
    /// and what reads them out of the layers that follow: norms,
    /// convolutions, dense layers behind a flatten, through pools, activations
    /// and concatenations.
    ///
    /// Contract: approximate. Where the filters gave nothing but zeros, it is
    /// exact.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Prune, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let pruned = model.prune_filters("block1_conv1", Prune::fraction(0.25))?;
    /// assert_eq!(pruned.graph().node("block1_conv1")?.shape().channels(), 3);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of the name; [`Error::IllegalEdit`](crate::Error::IllegalEdit) for
    /// a layer of another kind or with groups, if nothing would be left, if the
    /// filters reach an output, a sum or a custom layer, or if what they are
    /// ranked by is not finite;
    /// [`ImageError::EmptyBatch`](crate::ImageError::EmptyBatch) and those
    /// of [`Model::forward`] for the inputs of [`Criterion::Activation`].
    pub fn prune_filters(&self, layer: impl NodeRef, prune: Prune) -> Result<Self> {
        let id = layer.pick(self.graph())?.id;
        let name = layer.in_words(self.graph());
        let what = format!("prune_filters({name}, {})", prune.words());
        if !matches!(
            self.graph().node(id)?.layer(),
            Layer::Conv2d(_) | Layer::Dense(_)
        ) {
            let reason = "it is no dense layer and no convolution";
            return Err(self.graph().illegal(id, reason));
        }
        let scores = self.scores(id, &prune.criterion)?;
        let number = prune.number(scores.len());
        let number = number.map_err(|reason| self.graph().illegal(id, &reason))?;
        if scores.iter().any(|score| !score.is_finite()) {
            let reason = "what its filters are ranked by is not finite; look at its weights \
                          (non_finite()) and the inputs";
            return Err(self.graph().illegal(id, reason));
        }
        let kept = best(&scores, number);
        self.redraft(&what, Contract::Approximate, |graph, draft| {
            let weight = draft.value(graph, id, "weight")?;
            draft.set_error(lost_norm(&weight, &kept)?);
            rechannel(graph, draft, id, Channels::kept(kept))
        })
    }

    fn scores(&self, id: NodeId, criterion: &Criterion) -> Result<Vec<f32>> {
        let values = match criterion {
            Criterion::Activation(x) => {
                if x.dim(0)? == 0 {
                    return Err(Error::Image(ImageError::EmptyBatch));
                }
                // Sums of narrow types stop growing.
                let value = self.forward_to(id, x)?.to_dtype(DType::F32)?.abs()?;
                let value = match value.rank() {
                    4 => value.mean((2, 3))?,
                    _ => value,
                };
                value.mean(0)?
            }
            Criterion::L1 => rows(self.graph(), self, id)?.abs()?.sum(1)?,
            Criterion::L2 => rows(self.graph(), self, id)?.sqr()?.sum(1)?,
        };
        Ok(values.to_dtype(DType::F32)?.to_vec1()?)
    }
}

/// A layer's weights, a row for each filter.
fn rows(graph: &Graph, model: &Model, id: NodeId) -> Result<Tensor> {
    let name = graph.node(id)?.name();
    let mut parameters = model.parameters();
    let weight = parameters.find(|p| p.layer == name && p.name == "weight");
    let weight = weight.ok_or_else(|| graph.illegal(id, "it has no weight"))?;
    let tensor = weight.tensor.detach();
    Ok(tensor.to_dtype(DType::F32)?.flatten_from(1)?)
}

/// The places of all but the lowest scores, in order; of equal scores the
/// first stays.
fn best(scores: &[f32], leave_out: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
    let mut kept: Vec<u32> = order[leave_out..].iter().map(|&at| at as u32).collect();
    kept.sort_unstable();
    kept
}

/// The norm of the rows left out, as a share of the norm of all.
fn lost_norm(weight: &Tensor, kept: &[u32]) -> Result<f64> {
    let squares = weight
        .flatten_from(1)?
        .sqr()?
        .sum(1)?
        .to_dtype(DType::F64)?;
    let squares: Vec<f64> = squares.to_vec1()?;
    let left: f64 = kept.iter().map(|&at| squares[at as usize]).sum();
    let all: f64 = squares.iter().sum();
    Ok(((all - left).max(0.0) / all.max(f64::MIN_POSITIVE)).sqrt())
}
