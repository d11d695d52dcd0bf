use std::collections::HashSet;

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Layout, MetalStorage, Shape as Dims, Tensor,
};

use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::layers::{Activation, Custom, CustomLayer};
use crate::shape::Shape;

/// The graph with a gate after every ReLU. Its outputs are the same, but the
/// backward pass gives each ReLU only the positive gradients. A ReLU itself passes
/// gradients where its output is positive. Both rules together are guided
/// backpropagation: Springenberg et al., "Striving for Simplicity", 2015, section
/// 3.4.
pub(super) fn guided(graph: &Graph) -> Result<Graph> {
    let rectified = graph
        .nodes()
        .filter(|node| node.layer().activation() == Activation::Relu);
    let taken: HashSet<&str> = graph.nodes().map(Node::name).collect();
    let names = (0..).map(|number: u64| format!("gate_{number}"));
    let names = names.filter(|name| !taken.contains(name.as_str()));
    let gated = rectified.map(Node::id).zip(names);
    let mut guided = graph.clone();
    for (id, name) in gated {
        guided = guided.insert_after(id, Custom::new(Gate).named(name))?;
    }
    Ok(guided)
}

#[derive(Debug)]
struct Gate;

impl CustomLayer for Gate {
    fn kind(&self) -> &str {
        "Gate"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs {
            [shape] => Ok(*shape),
            _ => Err("it takes one input".to_string()),
        }
    }

    fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        if inputs[0].track_op() {
            inputs[0].apply_op1(PositiveGradient)
        } else {
            Ok(inputs[0].clone())
        }
    }
}

/// Returns its input, and passes only the positive part of the gradient.
struct PositiveGradient;

impl CustomOp1 for PositiveGradient {
    fn name(&self) -> &'static str {
        "vgg-surgery-positive-gradient"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Dims)> {
        copy(storage, layout)
    }

    fn cuda_fwd(
        &self,
        storage: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Dims)> {
        copy(storage, layout)
    }

    fn metal_fwd(
        &self,
        storage: &MetalStorage,
        layout: &Layout,
    ) -> candle_core::Result<(MetalStorage, Dims)> {
        copy(storage, layout)
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        gradient.relu().map(Some)
    }
}

/// A contiguous copy of a tensor's values.
fn copy<S: BackendStorage>(storage: &S, layout: &Layout) -> candle_core::Result<(S, Dims)> {
    // `x * 1 + 0` is the backends' only operation that takes any layout and
    // returns a contiguous one.
    Ok((storage.affine(layout, 1.0, 0.0)?, layout.shape().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_gate_passes_positive_gradients_whatever_the_values() -> candle_core::Result<()> {
        let x = Var::new(&[[-1.0f32, 2.0], [3.0, 0.0]], &Device::Cpu)?;
        let y = x.t()?.apply_op1(PositiveGradient)?;
        assert_eq!(y.to_vec2::<f32>()?, [[-1.0, 3.0], [2.0, 0.0]]);
        let weights = Tensor::new(&[[5.0f32, -6.0], [-7.0, 8.0]], &Device::Cpu)?;
        let gradients = (y * weights)?.sum_all()?.backward()?;
        let gradient = gradients.get(&x).expect("x is a variable");
        assert_eq!(gradient.to_vec2::<f32>()?, [[5.0, 0.0], [0.0, 8.0]]);
        Ok(())
    }
}
