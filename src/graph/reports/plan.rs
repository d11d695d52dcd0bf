use std::fmt;

use crate::layers::{Layer, UpsampleSize};
use crate::shape::Shape;

use super::super::core::Graph;
use super::super::node::Node;
use super::super::origin::Origin;
use super::table::{in_bytes, with_commas};

/// What building and running a graph will cost, known before anything is
/// fetched. Sizes and counts are for one example in f32.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Bytes of weights to fetch over the network, if no cache has them.
    pub bytes_to_fetch: u64,
    /// Bytes of weights to read from local files or memory.
    pub bytes_to_read: u64,
    /// Values in all parameters.
    pub parameters: u64,
    /// Values that training would change.
    pub trainable: u64,
    /// Multiply-accumulates of convolutions and dense layers; `None` while the
    /// input's size is unknown, or where a custom layer stands.
    pub macs: Option<u64>,
    /// Predicted milliseconds of a forward pass;
    /// [`LayerTimes::plan`](crate::accelerate::LayerTimes::plan) fills them in.
    pub milliseconds: Option<f64>,
    /// Bytes of the values that are alive at once when the network only runs;
    /// `None` while the input's size is unknown.
    pub activation_bytes: Option<u64>,
    /// Bytes of all values together, as training keeps them.
    pub training_activation_bytes: Option<u64>,
    /// What each output sees of the input.
    pub outputs: Vec<OutputPlan>,
    /// Height and width of the smallest square that [`Graph::input`] may be set
    /// to; `None` for vectors and where there is none.
    pub smallest_input: Option<(usize, usize)>,
}

/// What an output sees of the input.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutputPlan {
    /// The layer.
    pub layer: String,
    /// The shape, without the batch.
    pub shape: Shape,
    /// Rows and columns of the input that one value depends on; `None` if on
    /// all, or if an upsampling's factor is unknown.
    pub receptive_field: Option<(usize, usize)>,
    /// Input pixels between two neighboring values.
    pub stride: Option<(f64, f64)>,
}

/// Receptive field and stride in input pixels, vertical and horizontal.
#[derive(Clone, Copy)]
struct Field {
    extent: (f64, f64),
    stride: (f64, f64),
}

impl Graph {
    /// What building and running the graph will cost. It does no I/O.
    ///
    /// ```
    /// use vgg_surgery::Vgg16;
    ///
    /// let plan = Vgg16::pretrained().truncate("block2_pool")?.plan();
    /// assert_eq!(plan.bytes_to_fetch, 1_040_640);
    /// assert_eq!(plan.outputs[0].receptive_field, Some((16, 16)));
    /// assert_eq!(plan.smallest_input, Some((4, 4)));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    pub fn plan(&self) -> Plan {
        let shapes = self.own_shapes();
        let bytes = |values: Option<u64>| values.map(|values| values.saturating_mul(4));
        Plan {
            bytes_to_fetch: self.pretrained_bytes(true),
            bytes_to_read: self.pretrained_bytes(false),
            parameters: self.parameter_count(),
            trainable: self.trainable_count(),
            macs: self.macs(),
            milliseconds: None,
            activation_bytes: bytes(shapes.live_values(&self.outputs)),
            training_activation_bytes: bytes(shapes.all_values()),
            outputs: self.output_plans(),
            smallest_input: self.smallest_input(),
        }
    }

    fn pretrained_bytes(&self, remote: bool) -> u64 {
        let parameters = self.nodes().flat_map(Node::parameters);
        parameters
            .filter_map(|parameter| match &parameter.origin {
                Origin::Pretrained { weights, .. } if weights.is_remote() == remote => {
                    let size = weights.stored_dtype().size_in_bytes() as u64;
                    Some(parameter.count().saturating_mul(size))
                }
                _ => None,
            })
            .fold(0, u64::saturating_add)
    }

    fn macs(&self) -> Option<u64> {
        self.nodes().try_fold(0u64, |sum, node| {
            let inputs = self.input_shapes(node);
            let macs = node.layer.rules().macs(&inputs, node.shape)?;
            Some(sum.saturating_add(macs))
        })
    }

    fn output_plans(&self) -> Vec<OutputPlan> {
        let fields = self.flow(|node, inputs| self.field(node, inputs));
        let outputs = self.outputs.iter();
        outputs
            .map(|&id| {
                let node = self.expect_node(id);
                let field = fields[&id];
                OutputPlan {
                    layer: node.name.clone(),
                    shape: node.shape,
                    receptive_field: field.map(|field| whole_pixels(field.extent)),
                    stride: field.map(|field| field.stride),
                }
            })
            .collect()
    }

    fn field(&self, node: &Node, inputs: &[&Option<Field>]) -> Option<Field> {
        if matches!(node.layer, Layer::Input(_)) {
            return Some(Field {
                extent: (1.0, 1.0),
                stride: (1.0, 1.0),
            });
        }
        if node.layer.rules().sees_everything() {
            return None;
        }
        // The second input of an upsampling has a size, and no values of it are used.
        let used = match &node.layer {
            Layer::Upsample(_) => 1,
            _ => inputs.len(),
        };
        let mut widest = (**inputs.first()?)?;
        for input in &inputs[..used] {
            let Field { extent, stride } = (**input)?;
            widest = Field {
                extent: largest(extent, widest.extent),
                stride: largest(stride, widest.stride),
            };
        }
        self.through(node, widest)
    }

    /// Araujo et al. 2019, "Computing receptive fields of convolutional neural
    /// networks", equations 2 and 3.
    fn through(&self, node: &Node, field: Field) -> Option<Field> {
        let Field { extent, stride } = field;
        let window = node.layer.rules().window();
        let reach = window.reach();
        let (vertical, horizontal) = match &node.layer {
            Layer::Upsample(upsample) => match upsample.size {
                UpsampleSize::Times(vertical, horizontal) => (vertical as f64, horizontal as f64),
                _ => {
                    let (from, to) = (self.input_shapes(node)[0].size()?, node.shape.size()?);
                    (to.0 as f64 / from.0 as f64, to.1 as f64 / from.1 as f64)
                }
            },
            _ => (1.0, 1.0),
        };
        Some(Field {
            extent: (
                extent.0 + (reach.0 - 1) as f64 * stride.0,
                extent.1 + (reach.1 - 1) as f64 * stride.1,
            ),
            stride: (
                stride.0 * window.stride.0 as f64 / vertical,
                stride.1 * window.stride.1 as f64 / horizontal,
            ),
        })
    }

    fn smallest_input(&self) -> Option<(usize, usize)> {
        let Shape::Map { channels, .. } = self.input_shape() else {
            return None;
        };
        let legal = |side: usize| {
            let shape = Shape::map(channels, side, side);
            self.shapes_of(shape, &self.outputs).is_ok()
        };
        let known = self.input_shape().size().map(|(h, w)| h.min(w));
        let side = if self.nodes().any(|node| node.inputs.len() > 1) {
            first_legal(known, legal)
        } else {
            least_legal(known, legal)
        };
        side.map(|side| (side, side))
    }
}

/// Where branches meet, any size may be legal and the next one not.
fn first_legal(known: Option<usize>, legal: impl Fn(usize) -> bool) -> Option<usize> {
    const LARGEST_TRIED: usize = 1 << 10;
    (1..=known.unwrap_or(LARGEST_TRIED)).find(|&side| legal(side))
}

/// In a chain, up to the known size, all sizes from the least on are legal.
fn least_legal(known: Option<usize>, legal: impl Fn(usize) -> bool) -> Option<usize> {
    const LARGEST_TRIED: usize = 1 << 14;
    let start = known.unwrap_or(1);
    let mut large = (0..)
        .map(|doubling| start.saturating_mul(1 << doubling))
        .take_while(|&side| side <= LARGEST_TRIED.max(start))
        .find(|&side| legal(side))?;
    let mut small = 0;
    while large - small > 1 {
        let middle = small + (large - small) / 2;
        if legal(middle) {
            large = middle;
        } else {
            small = middle;
        }
    }
    Some(large)
}

fn largest(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0.max(b.0), a.1.max(b.1))
}

fn whole_pixels((vertical, horizontal): (f64, f64)) -> (usize, usize) {
    (vertical.ceil() as usize, horizontal.ceil() as usize)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "to fetch:        {}", in_bytes(self.bytes_to_fetch))?;
        writeln!(f, "to read:         {}", in_bytes(self.bytes_to_read))?;
        writeln!(
            f,
            "parameters:      {} ({} trainable)",
            with_commas(self.parameters),
            with_commas(self.trainable)
        )?;
        match self.macs {
            Some(macs) => writeln!(f, "MACs:            {}", with_commas(macs))?,
            None => writeln!(f, "MACs:            unknown; set an input size")?,
        }
        if let Some(milliseconds) = self.milliseconds {
            writeln!(f, "Milliseconds:    {milliseconds:.2}, predicted")?;
        }
        match (self.activation_bytes, self.training_activation_bytes) {
            (Some(running), Some(training)) => writeln!(
                f,
                "activations:     {} running, {} training",
                in_bytes(running),
                in_bytes(training)
            )?,
            _ => writeln!(f, "activations:     unknown; set an input size")?,
        }
        if let Some((height, width)) = self.smallest_input {
            writeln!(f, "smallest input:  {height}x{width}")?;
        }
        for output in &self.outputs {
            let seen = match (output.receptive_field, output.stride) {
                (Some((height, width)), Some((down, across))) => {
                    format!("sees {height}x{width} pixels, every {down}x{across}")
                }
                _ => "sees the whole input, or it depends on its size".to_string(),
            };
            writeln!(
                f,
                "output:          {} {}, {seen}",
                output.layer, output.shape
            )?;
        }
        Ok(())
    }
}
