use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Origin, Parameter, TensorId, WeightKey, WeightSet};
use crate::layer::{Init, Layer};
use crate::weights::{self, HubOptions, Progress, ReadOptions, Wanted};

use super::core::{Model, Stored};

/// How a graph is built.
///
/// ```
/// use candle_core::{DType, Device};
/// use vgg_surgery::{BuildOptions, Vgg16};
///
/// let graph = Vgg16::options().widths(16).untrained(0)?.truncate("block1_pool")?;
/// let model = graph.build_with(&Device::Cpu, &BuildOptions::new().dtype(DType::F64))?;
/// assert_eq!(model.dtype(), DType::F64);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct BuildOptions {
    dtype: DType,
    pub(super) dense_dtype: Option<DType>,
    pub(super) load: ReadOptions,
}

impl BuildOptions {
    /// In f32; the hub as the environment says; no reports of progress.
    pub fn new() -> Self {
        Self {
            dtype: DType::F32,
            dense_dtype: None,
            load: ReadOptions::new(),
        }
    }

    /// Sets the type of the model's tensors: f32, f64, f16 or bf16. Stored
    /// weights are converted.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Holds the weights of frozen dense layers in f16 or bf16: half the bytes
    /// to store and to read, which is what a dense layer's time goes into for
    /// a batch of one. Each product is of the rounded weight, sums are in f32.
    ///
    /// Layers that are not frozen, and models of another type than f32, keep
    /// theirs.
    pub fn dense_dtype(mut self, dtype: DType) -> Self {
        self.dense_dtype = Some(dtype);
        self
    }

    /// Sets how the hub is reached.
    pub fn hub(mut self, hub: HubOptions) -> Self {
        self.load = self.load.hub(hub);
        self
    }

    /// Sets who is told of downloads.
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.load = self.load.progress(progress);
        self
    }
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Tensors that are there already, by the name under which a graph knows them.
pub(super) type Tensors = HashMap<TensorId, Stored>;

/// A parameter still without a tensor.
struct Pending {
    node: usize,
    parameter: usize,
}

impl Graph {
    /// Reads or fetches the weights that the graph needs, draws new ones, and
    /// puts all on a device, in f32.
    ///
    /// # Errors
    /// The errors of reading and fetching weights ([`Error::MissingTensor`],
    /// [`Error::TensorShape`], [`Error::InvalidWeights`], [`Error::Io`], those
    /// of the hub); [`Error::DetachedParameter`] if the graph belongs to a
    /// model; [`Error::Candle`] if the device fails.
    pub fn build(&self, device: &Device) -> Result<Model> {
        self.build_with(device, &BuildOptions::new())
    }

    /// As [`Graph::build`], with options.
    ///
    /// # Errors
    /// As [`Graph::build`].
    pub fn build_with(&self, device: &Device, options: &BuildOptions) -> Result<Model> {
        assemble(self.clone(), device, options, &Tensors::new())
    }
}

/// A model of a graph: tensors that are there are taken over, the others are
/// loaded or drawn.
pub(super) fn assemble(
    mut graph: Graph,
    device: &Device,
    options: &BuildOptions,
    present: &Tensors,
) -> Result<Model> {
    check_dtype(options.dtype)?;
    check_dense_dtype(options.dense_dtype)?;
    graph.prune();
    let mut found: Vec<(Pending, Tensor, Option<TensorId>)> = Vec::new();
    for (pending, id) in built_parameters(&graph) {
        let parameter = &graph.nodes[pending.node].parameters[pending.parameter];
        let stored = present.get(&id).ok_or_else(|| Error::DetachedParameter {
            layer: graph.nodes[pending.node].name.clone(),
            parameter: parameter.name.clone(),
        })?;
        found.push((pending, stored.tensor().clone(), Some(id)));
    }
    let place = |tensor: Tensor| -> Result<Tensor> {
        Ok(tensor
            .to_device(device)?
            .to_dtype(options.dtype)?
            .contiguous()?)
    };
    for (pending, tensor) in load(&graph, &options.load)? {
        found.push((pending, place(tensor)?, None));
    }
    for (pending, init, seed) in new_parameters(&graph) {
        let node = &graph.nodes[pending.node];
        let tensor = draw(node, &node.parameters[pending.parameter], init, seed)?;
        found.push((pending, place(tensor)?, None));
    }
    let mut tensors = Tensors::with_capacity(found.len());
    for (Pending { node, parameter }, tensor, taken_over) in found {
        let node = Arc::make_mut(&mut graph.nodes[node]);
        let id = TensorId::unique();
        let tensor = tensor.to_dtype(stored_dtype(node, parameter, &tensor, options))?;
        let stored = match (node.frozen, taken_over.and_then(|id| present.get(&id))) {
            (true, Some(Stored::Variable(_) | Stored::Resting { .. })) => {
                Stored::Frozen(tensor.detach().copy()?)
            }
            (true, _) => Stored::Frozen(tensor),
            (false, _) => Stored::Variable(Var::from_tensor(&tensor.detach())?),
        };
        node.parameters[parameter].settle(id);
        tensors.insert(id, stored);
    }
    Ok(Model {
        graph,
        tensors,
        device: device.clone(),
        dtype: options.dtype,
        masks_drawn: Arc::default(),
        workspace: Arc::default(),
        programs: Default::default(),
    })
}

pub(super) fn check_dtype(dtype: DType) -> Result<()> {
    if matches!(dtype, DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: "hold its parameters in this type",
        reason: format!("{dtype:?} is no type of weights; use F32, F64, F16 or BF16"),
    })
}

pub(super) fn check_dense_dtype(dtype: Option<DType>) -> Result<()> {
    match dtype {
        None | Some(DType::F32 | DType::F16 | DType::BF16) => Ok(()),
        Some(other) => Err(Error::Unsupported {
            what: "hold its dense weights in this type",
            reason: format!("{other:?} is none of F32, F16 and BF16"),
        }),
    }
}

/// The type that a parameter is held in: a frozen dense layer's weight may
/// have one of its own.
fn stored_dtype(node: &Node, parameter: usize, tensor: &Tensor, options: &BuildOptions) -> DType {
    let is_weight = matches!(node.layer, Layer::Dense(_)) && parameter == 0;
    if !(is_weight && node.frozen && options.dtype == DType::F32) {
        return options.dtype;
    }
    options.dense_dtype.unwrap_or(match tensor.dtype() {
        halved @ (DType::F16 | DType::BF16) => halved,
        _ => DType::F32,
    })
}

fn parameters(graph: &Graph) -> impl Iterator<Item = (Pending, &Parameter)> {
    graph.nodes.iter().enumerate().flat_map(|(node, value)| {
        let parameters = value.parameters.iter().enumerate();
        parameters.map(move |(parameter, value)| (Pending { node, parameter }, value))
    })
}

fn built_parameters(graph: &Graph) -> impl Iterator<Item = (Pending, TensorId)> {
    parameters(graph).filter_map(|(pending, parameter)| match parameter.origin {
        Origin::Tensor { id, .. } => Some((pending, id)),
        _ => None,
    })
}

fn new_parameters(graph: &Graph) -> impl Iterator<Item = (Pending, Init, u64)> {
    parameters(graph).filter_map(|(pending, parameter)| match parameter.origin {
        Origin::Init { init, seed } => Some((pending, init, seed)),
        _ => None,
    })
}

/// All pretrained parameters, each weight set opened once.
fn load(graph: &Graph, options: &ReadOptions) -> Result<Vec<(Pending, Tensor)>> {
    type Group<'a> = (
        &'a Arc<WeightSet>,
        Vec<(Pending, &'a [WeightKey], &'a [usize])>,
    );
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (pending, parameter) in parameters(graph) {
        if let Origin::Pretrained { weights, keys } = &parameter.origin {
            let entry = (pending, keys.as_slice(), parameter.shape.as_slice());
            match groups.iter_mut().find(|(set, _)| Arc::ptr_eq(set, weights)) {
                Some((_, group)) => group.push(entry),
                None => groups.push((weights, vec![entry])),
            }
        }
    }
    let mut loaded = Vec::new();
    for (set, group) in groups {
        let wanted: Vec<Wanted<'_>> = group
            .iter()
            .map(|&(_, keys, shape)| Wanted { keys, shape })
            .collect();
        let tensors = weights::load(set, &wanted, options)?;
        let pending = group.into_iter().map(|(pending, ..)| pending);
        loaded.extend(pending.zip(tensors));
    }
    Ok(loaded)
}

fn draw(node: &Node, parameter: &Parameter, init: Init, seed: u64) -> Result<Tensor> {
    let Parameter { name, shape, .. } = parameter;
    let count = room_for(node, name, shape)?;
    let values = init.sample(shape, count, seed);
    Ok(Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?)
}

/// The number of a parameter's values, if memory has room for them.
pub(crate) fn room_for(node: &Node, parameter: &str, shape: &[usize]) -> Result<usize> {
    let mut sides = shape.iter();
    let count = sides.try_fold(1usize, |count, &side| count.checked_mul(side));
    let has_room = |count: &usize| Vec::<f32>::new().try_reserve_exact(*count).is_ok();
    count.filter(has_room).ok_or_else(|| Error::InvalidLayer {
        layer: node.name.clone(),
        reason: format!(
            "its {parameter} {shape:?} does not fit into memory; make the layer or its input \
             smaller"
        ),
    })
}
