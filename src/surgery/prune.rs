use candle_core::{DType, Tensor};

use crate::error::{Error, ImageError, Result};
use crate::graph::{Contract, NodeId, NodeRef};
use crate::layers::Layer;
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
    /// The mean absolute value of its output, after the activation, for these
    /// inputs of the model, `(N, C, H, W)`.
    Activation(Tensor),
}

/// How many filters to remove, and which.
///
/// ```
/// use vgg_surgery::surgery::{Criterion, Prune};
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
    fn new(amount: Amount) -> Self {
        Self {
            amount,
            criterion: Criterion::L1,
        }
    }

    /// A fraction of the filters, from 0 to below 1, rounded down. Filters with
    /// the smallest L1 norm go first.
    pub fn fraction(fraction: f64) -> Self {
        Self::new(Amount::Fraction(fraction))
    }

    /// A number of filters. Filters with the smallest L1 norm go first.
    pub fn count(count: usize) -> Self {
        Self::new(Amount::Count(count))
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

    /// Number of filters to remove.
    fn number(&self, filters: usize) -> Result<usize, String> {
        match self.amount {
            Amount::Fraction(fraction) if (0.0..1.0).contains(&fraction) => {
                Ok((filters as f64 * fraction) as usize)
            }
            Amount::Fraction(fraction) => Err(format!(
                "a fraction of {fraction} can't be taken out: fractions go from 0 to below 1"
            )),
            Amount::Count(count) if count < filters => Ok(count),
            Amount::Count(count) => Err(format!(
                "{count} filters can't be taken out of {filters}: one has to stay"
            )),
        }
    }
}

impl Model {
    /// Removes filters of a convolution, or features of a dense layer, and the
    /// weights that read them in the layers that follow: norms, convolutions, and
    /// dense layers after a flatten. Pools, activations and concatenations may
    /// stand between.
    ///
    /// Contract: approximate; exact if the output of the filters was always 0.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::surgery::Prune;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let pruned = model.prune_filters("block1_conv1", Prune::fraction(0.25))?;
    /// assert_eq!(pruned.graph().node("block1_conv1")?.shape().channels(), 3);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`](crate::Graph::node);
    /// [`Error::IllegalEdit`] for a layer of another kind or with groups, if nothing would be left, if the filters
    /// reach an output, a sum or a custom layer, or if their scores are not
    /// finite; [`ImageError::EmptyBatch`] and the errors of [`Model::forward`]
    /// for the inputs of [`Criterion::Activation`].
    pub fn prune_filters(&self, layer: impl NodeRef, prune: Prune) -> Result<Self> {
        let id = layer.pick(self.graph())?.id;
        let name = layer.in_words(self.graph());
        let what = format!("prune_filters({name}, {})", prune.words());
        let illegal = |reason: &str| self.graph().illegal(id, reason);
        let layer = self.graph().expect_node(id).layer();
        if !matches!(layer, Layer::Conv2d(_) | Layer::Dense(_)) {
            return Err(illegal("it is no dense layer and no convolution"));
        }
        let scores = self.scores(id, &prune.criterion)?;
        let number = prune.number(scores.len());
        let number = number.map_err(|reason| illegal(&reason))?;
        if scores.iter().any(|score| !score.is_finite()) {
            return Err(illegal(
                "the scores of its filters are not finite; look at its weights (non_finite()) and \
                 the inputs",
            ));
        }
        let kept = best(&scores, number);
        self.redraft(&what, Contract::Approximate, |draft| {
            let weight = draft.value(id, "weight")?;
            draft.set_error(lost_norm(&weight, &kept)?);
            rechannel(draft, id, Channels::kept(kept))
        })
    }

    /// Keeps these filters of a layer, and gives other layers new parameters.
    pub(crate) fn keep_filters(
        &self,
        what: &str,
        id: NodeId,
        kept: &[u32],
        refitted: &[(NodeId, &str, Tensor)],
    ) -> Result<Self> {
        self.redraft(what, Contract::Approximate, |draft| {
            rechannel(draft, id, Channels::kept(kept.to_vec()))?;
            for (layer, parameter, values) in refitted {
                draft.set(*layer, &[(*parameter, values.clone())])?;
            }
            Ok(())
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
            Criterion::L1 => rows(self, id)?.abs()?.sum(1)?,
            Criterion::L2 => rows(self, id)?.sqr()?.sum(1)?,
        };
        Ok(values.to_dtype(DType::F32)?.to_vec1()?)
    }
}

/// A layer's weights, a row for each filter.
fn rows(model: &Model, id: NodeId) -> Result<Tensor> {
    let name = model.graph().expect_node(id).name();
    let mut parameters = model.parameters();
    let weight = parameters.find(|p| p.layer == name && p.name == "weight");
    let weight = weight.ok_or_else(|| model.graph().illegal(id, "it has no weight"))?;
    let tensor = weight.tensor.detach();
    Ok(tensor.to_dtype(DType::F32)?.flatten_from(1)?)
}

/// The indices of all but the lowest scores, in order. Of equal scores the
/// first stays.
fn best(scores: &[f32], leave_out: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
    let mut kept: Vec<u32> = order[leave_out..].iter().map(|&at| at as u32).collect();
    kept.sort_unstable();
    kept
}

/// The norm of the removed rows, as a fraction of the norm of all rows.
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
