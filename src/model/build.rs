use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, Origin, TensorId};
use crate::layers::{Init, Layer};
use crate::memory::has_room;
use crate::weights::{HubOptions, Progress, ReadOptions};

use super::core::{Model, Stored};
use super::pretrained::{Key, Pending, Reads, load, otherwise, parameters};

/// How a graph is built.
///
/// ```
/// use candle_core::{DType, Device};
/// use vgg_surgery::model::BuildOptions;
/// use vgg_surgery::Vgg16;
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
    pub(super) memory_limit: Option<u64>,
    pub(super) load: ReadOptions,
}

impl BuildOptions {
    /// f32, hub options from the environment, and no progress reports.
    pub fn new() -> Self {
        Self {
            dtype: DType::F32,
            dense_dtype: None,
            memory_limit: None,
            load: ReadOptions::new(),
        }
    }

    /// Sets the type of the model's tensors: f32, f64, f16 or bf16. Stored
    /// weights are converted.
    pub fn dtype(mut self, dtype: DType) -> Self {
        self.dtype = dtype;
        self
    }

    /// Stores the weights of frozen dense layers in f16 or bf16. That halves the
    /// bytes to read, which take most of a dense layer's time for a batch of
    /// one. Products use the rounded weights; sums are in f32.
    ///
    /// No effect on layers that are not frozen, and on models of another type
    /// than f32.
    pub fn dense_dtype(mut self, dtype: DType) -> Self {
        self.dense_dtype = Some(dtype);
        self
    }

    /// Sets the most bytes that the values of a pass over the network may take. A pass
    /// takes [`Plan::activation_bytes`](crate::graph::Plan::activation_bytes) for each
    /// example of the batch, or where it records gradients,
    /// [`Plan::training_activation_bytes`](crate::graph::Plan::training_activation_bytes);
    /// twice as many in f64. A batch that takes more is refused before anything is
    /// computed. By default only what the system refuses is refused. Edits of the
    /// model keep the limit, files do not.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::Vgg16;
    /// use vgg_surgery::model::BuildOptions;
    ///
    /// let graph = Vgg16::nano().truncate("block2_pool")?;
    /// let limited = BuildOptions::new().memory_limit(1_000_000);
    /// let model = graph.build_with(&Device::Cpu, &limited)?;
    /// let x = Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?;
    /// assert!(model.forward(&x).is_ok());
    /// let many = x.repeat((100, 1, 1, 1))?;
    /// let error = model.forward(&many).unwrap_err();
    /// assert!(error.to_string().contains("the limit is 1 MB"));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Sets how the hub is reached.
    pub fn hub(mut self, hub: HubOptions) -> Self {
        self.load = self.load.hub(hub);
        self
    }

    /// Sets the receiver of progress reports.
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

/// Existing tensors, by the identifier in the graph.
pub(super) type Tensors = HashMap<TensorId, Stored>;

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

/// Makes a model of a graph: uses the existing tensors, and loads or draws the
/// others.
pub(super) fn assemble(
    graph: Graph,
    device: &Device,
    options: &BuildOptions,
    present: &Tensors,
) -> Result<Model> {
    check_dtype(options.dtype)?;
    check_dense_dtype(options.dense_dtype)?;
    let graph = graph.pruned();
    let mut found: Vec<(Pending<'_>, Tensor)> = Vec::new();
    let place = |tensor: Tensor| -> Result<Tensor> {
        Ok(tensor
            .to_device(device)?
            .to_dtype(options.dtype)?
            .contiguous()?)
    };
    // A missing tensor is an error before anything is fetched.
    for pending in parameters(&graph) {
        if let Some(id) = pending.parameter.tensor() {
            found.push((pending, present_tensor(pending, id, present)?));
        }
    }
    let loading = load(&graph, &options.load)?;
    if !loading.lacking.is_empty() {
        let complete = otherwise(graph.clone(), &loading.lacking)?;
        return assemble(complete, device, options, present);
    }
    let mut read: Reads = HashMap::new();
    for (pending, tensor, source) in loading.read {
        found.push((pending, place(tensor)?));
        read.insert(pending.key(), source);
    }
    for pending in parameters(&graph) {
        if let &Origin::Init { init, seed } = pending.parameter.origin() {
            found.push((pending, place(draw(pending, init, seed)?)?));
        }
    }
    let mut tensors = Tensors::with_capacity(found.len());
    let mut ids: HashMap<Key, TensorId> = HashMap::new();
    for (pending, tensor) in found {
        let id = TensorId::unique();
        let tensor = tensor.to_dtype(stored_dtype(pending, &tensor, options))?;
        let taken_over = pending.parameter.tensor().and_then(|id| present.get(&id));
        let stored = kept(tensor, pending.node.is_frozen(), taken_over)?;
        ids.insert(pending.key(), id);
        tensors.insert(id, stored);
    }
    Ok(Model {
        graph: settled(graph, &ids, &read)?,
        tensors,
        device: device.clone(),
        dtype: options.dtype,
        memory_limit: options.memory_limit,
        masks_drawn: Arc::default(),
        workspace: Arc::default(),
        programs: Default::default(),
    })
}

/// A tensor as a model keeps it. Variables of another model are not shared.
fn kept(tensor: Tensor, is_frozen: bool, taken_over: Option<&Stored>) -> Result<Stored> {
    Ok(match (is_frozen, taken_over) {
        (true, Some(Stored::Variable(_) | Stored::Resting { .. })) => {
            Stored::Frozen(tensor.detach().copy()?)
        }
        (true, _) => Stored::Frozen(tensor),
        (false, _) => Stored::Variable(Var::from_tensor(&tensor.detach())?),
    })
}

fn present_tensor(
    Pending { node, parameter }: Pending<'_>,
    id: TensorId,
    present: &Tensors,
) -> Result<Tensor> {
    let stored = present.get(&id).ok_or_else(|| Error::DetachedParameter {
        layer: node.name().to_string(),
        parameter: parameter.name().to_string(),
    })?;
    Ok(stored.tensor().clone())
}

/// The graph with these identifiers of its parameters' tensors, and where they
/// were read.
fn settled(graph: Graph, ids: &HashMap<Key, TensorId>, read: &Reads) -> Result<Graph> {
    graph.rewrite(|graph| {
        for node in graph.ids() {
            graph.change_parameters(node, |parameter| {
                let key = (node, parameter.name().to_string());
                if let Some(&id) = ids.get(&key) {
                    parameter.settle(id, read.get(&key).cloned());
                }
            });
        }
        Ok(())
    })
}

pub(super) fn check_dtype(dtype: DType) -> Result<()> {
    if matches!(dtype, DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: "hold its parameters in this type",
        reason: format!("{dtype:?} is not a type of weights; use F32, F64, F16 or BF16"),
    })
}

pub(super) fn check_dense_dtype(dtype: Option<DType>) -> Result<()> {
    match dtype {
        None | Some(DType::F32 | DType::F16 | DType::BF16) => Ok(()),
        Some(other) => Err(Error::Unsupported {
            what: "hold its dense weights in this type",
            reason: format!("{other:?} is not one of F32, F16 and BF16"),
        }),
    }
}

/// The type of a parameter's tensor; the weight of a frozen dense layer may
/// have another type than the model.
fn stored_dtype(
    Pending { node, parameter }: Pending<'_>,
    tensor: &Tensor,
    options: &BuildOptions,
) -> DType {
    let is_weight = matches!(node.layer(), Layer::Dense(_)) && parameter.name() == "weight";
    if !(is_weight && node.is_frozen() && options.dtype == DType::F32) {
        return options.dtype;
    }
    options.dense_dtype.unwrap_or(match tensor.dtype() {
        halved @ (DType::F16 | DType::BF16) => halved,
        _ => DType::F32,
    })
}

fn draw(Pending { node, parameter }: Pending<'_>, init: Init, seed: u64) -> Result<Tensor> {
    let shape = parameter.shape();
    let count = room_for(node, parameter.name(), shape)?;
    let values = init.sample(shape, count, seed);
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}

/// The number of a parameter's values, if they fit into memory.
pub(crate) fn room_for(node: &Node, parameter: &str, shape: &[usize]) -> Result<usize> {
    let mut sides = shape.iter();
    let count = sides.try_fold(1usize, |count, &side| count.checked_mul(side));
    count
        .filter(|&count| has_room::<f32>(count))
        .ok_or_else(|| Error::InvalidLayer {
            layer: node.name().to_string(),
            reason: format!(
                "its {parameter} {shape:?} does not fit into memory; make the layer or its input \
             smaller"
            ),
        })
}
