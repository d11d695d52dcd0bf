use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::graph::{NodeId, Pick};
use crate::layers::{Activation, Rules};
use crate::shape::Shape;

use super::super::units::plain_conv;
use super::calibrate::filters;
use super::inverse::inverse;
use super::samples::{FeatureMaps, unknowns};
use super::walk::Walk;

/// What is added to each value on the diagonal of the equations, as a fraction of
/// it; it holds the filters at what they were.
const RIDGE: f64 = 1e-3;

/// Passes in which a ReLU is fitted.
const PASSES: usize = 6;

/// A convolution to fit, and what it should give before its activation.
pub(in super::super) struct Lesson<'a> {
    pub(in super::super) layer: NodeId,
    /// Decides which positions are used.
    pub(in super::super) key: usize,
    /// A row for each position, a column for each filter of the old network.
    pub(in super::super) targets: &'a Tensor,
    /// The filters that are left.
    pub(in super::super) kept: Option<Vec<u32>>,
}

/// The filters, `(outputs, n)` with their bias at the end, that give what the old
/// network gives, from the values that the layer takes in the new one.
pub(in super::super) fn fit(walk: &mut Walk<'_>, lesson: &Lesson<'_>) -> Result<Tensor> {
    let model = walk.model();
    let node = model.graph().expect_node(lesson.layer);
    let broken = || super::super::not_finite(node);
    let conv = plain_conv(node).ok_or_else(broken)?;
    let in_channels = model.graph().input_shapes(node)[0].channels();
    let length = unknowns(conv, in_channels);
    let mut rows = Vec::new();
    let sampling = walk.sampling();
    walk.each(Pick::whole(node.inputs()[0]), |first, input| {
        let (images, _, height, width) = input.dims4()?;
        let output = conv
            .infer(&[Shape::map(in_channels, height, width)])
            .ok()
            .and_then(|shape| shape.size())
            .unwrap_or((height, width));
        let maps = FeatureMaps::of(input)?;
        for image in 0..images {
            let positions = sampling.positions(output, first + image, lesson.key);
            maps.patches(conv, image, &positions, &mut rows);
        }
        Ok(())
    })?;
    let count = rows.len() / length;
    let rows = Tensor::from_vec(rows, (count, length), &Device::Cpu)?;
    let wanted = match &lesson.kept {
        Some(kept) => {
            let kept = Tensor::new(kept.as_slice(), &Device::Cpu)?;
            lesson.targets.index_select(&kept, 1)?
        }
        None => lesson.targets.clone(),
    };
    let current = filters(model, lesson.layer)?;
    let equations = Regression::of(&rows, current, conv.bias)?.ok_or_else(broken)?;
    let mut solution = equations.solve(&rows, &wanted)?;
    if conv.activation == Activation::Relu {
        for _ in 0..PASSES {
            let given = rows.matmul(&solution.to_dtype(DType::F32)?.t()?)?;
            let completed = complete(&wanted, &given)?;
            solution = equations.solve(&rows, &completed)?;
        }
    }
    let sum: f64 = solution.sum_all()?.to_scalar()?;
    match sum.is_finite() {
        true => Ok(solution),
        false => Err(broken()),
    }
}

/// A ReLU cuts values below 0: what the layer gives there is as good, if it is
/// below 0 too.
fn complete(wanted: &Tensor, given: &Tensor) -> Result<Tensor> {
    let cut = given.minimum(&given.zeros_like()?)?;
    Ok(wanted.gt(0f32)?.where_cond(wanted, &cut)?)
}

struct Regression {
    inverse: Tensor,
    /// What the ridge adds to the right side.
    held: Tensor,
}

impl Regression {
    fn of(rows: &Tensor, current: Tensor, has_bias: bool) -> Result<Option<Self>> {
        let n = rows.dim(1)?;
        let products = rows.t()?.matmul(rows)?.to_dtype(DType::F64)?;
        let mut values: Vec<f64> = products.flatten_all()?.to_vec1()?;
        drop(products);
        let weights = n - usize::from(has_bias);
        let mean = (0..weights).map(|i| values[i * n + i]).sum::<f64>() / weights.max(1) as f64;
        let mut ridge: Vec<f64> = (0..weights)
            .map(|i| RIDGE * values[i * n + i].max(mean * 1e-2).max(f64::MIN_POSITIVE))
            .collect();
        ridge.resize(n, 0.0);
        for (i, more) in ridge.iter().enumerate() {
            values[i * n + i] += more;
        }
        let products = Tensor::from_vec(values, (n, n), &Device::Cpu)?;
        let ridge = Tensor::from_vec(ridge, (1, n), &Device::Cpu)?;
        let held = current.broadcast_mul(&ridge)?;
        Ok(inverse(&products)?.map(|inverse| Self { inverse, held }))
    }

    fn solve(&self, rows: &Tensor, wanted: &Tensor) -> Result<Tensor> {
        let right = wanted.t()?.matmul(rows)?.to_dtype(DType::F64)?;
        Ok((right + &self.held)?.matmul(&self.inverse)?)
    }
}
