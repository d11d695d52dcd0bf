//! Small networks that are run twice: by the kernels, and by candle's operators
//! in f64.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};

use super::{assert_close, random, values};
use crate::layers::{FlattenOrder, Padding, Window};
use crate::ops::{
    BatchNorm, BatchStatistics, Convolution, Extent, Instruction, MaskSeeds, Parameters, PoolKind,
    Sequence, SequenceInput, Workspace,
};

/// The error that the kernels' tests allow one layer, as a fraction of its largest
/// value. Roundings of consecutive layers mostly cancel.
const CLOSE: f64 = 1e-5;

/// Equal within a fraction of the largest value expected.
pub(super) fn assert_near(actual: &[f64], expected: &[f64], fraction: f64, what: &str) {
    let largest = expected
        .iter()
        .fold(0f64, |most, value| most.max(value.abs()));
    let scaled = |values: &[f64]| -> Vec<f64> {
        let scale = largest.max(f64::MIN_POSITIVE);
        values.iter().map(|value| value / scale).collect()
    };
    assert_close(&scaled(actual), &scaled(expected), fraction, what);
}

/// Makes a layer's instruction for the sizes of its input, in training or not.
pub(super) type Layer = Arc<dyn Fn(&Workspace, Extent, bool) -> Result<Instruction>>;

pub(super) fn sequence(layers: &[Layer], x: &Tensor, training: bool) -> Result<Arc<Sequence>> {
    let workspace = Arc::new(Workspace::default());
    let input = SequenceInput {
        extent: Extent::of(x)?,
        device: x.device(),
        dtype: x.dtype(),
        is_tracked: x.track_op(),
    };
    let mut sequence = Sequence::new(&workspace, input);
    for layer in layers {
        sequence.push("layer", layer(&workspace, sequence.output(), training)?);
    }
    Ok(Arc::new(sequence))
}

pub(super) fn run(layers: &[Layer], x: &Tensor, training: bool) -> Result<Tensor> {
    sequence(layers, x, training)?.run(x)
}

pub(super) fn pool(kind: PoolKind) -> Layer {
    Arc::new(move |_, input, _| Instruction::pool(input, kind))
}

pub(super) fn relu() -> Layer {
    Arc::new(|_, _, _| Ok(Instruction::Relu))
}

pub(super) fn flatten(order: FlattenOrder) -> Layer {
    Arc::new(move |_, input, _| Ok(Instruction::Flatten { order, input }))
}

pub(super) fn dropout(rate: f64, seed: u64) -> Layer {
    Arc::new(move |_, _, _| {
        let seeds = MaskSeeds::new(move || seed);
        Ok(Instruction::Dropout { rate, seeds })
    })
}

pub(super) fn conv(
    convolution: Convolution,
    parameters: Parameters,
    with_relu: bool,
) -> Vec<Layer> {
    let conv: Layer = Arc::new(move |workspace, input, training| {
        let parameters = in_training(&parameters, training);
        Instruction::conv2d(workspace, input, convolution, parameters)
    });
    std::iter::once(conv).chain(with_relu.then(relu)).collect()
}

pub(super) fn dense(parameters: Parameters, with_relu: bool) -> Vec<Layer> {
    let dense: Layer = Arc::new(move |_, input, training| {
        Instruction::dense(input, in_training(&parameters, training))
    });
    std::iter::once(dense).chain(with_relu.then(relu)).collect()
}

fn in_training(parameters: &Parameters, training: bool) -> Parameters {
    Parameters {
        frozen: parameters.frozen || !training,
        ..parameters.clone()
    }
}

/// The same layers twice: in f64 on the CPU, and in f32 on a device.
pub(super) struct Net {
    device: Device,
    seed: u64,
    pub(super) wide: Vec<Layer>,
    pub(super) variables: Vec<Var>,
    pub(super) narrow: Vec<Layer>,
}

impl Net {
    pub(super) fn new(device: &Device, seed: u64) -> Self {
        Self {
            device: device.clone(),
            seed,
            wide: Vec::new(),
            variables: Vec::new(),
            narrow: Vec::new(),
        }
    }

    /// The same values in f64 and, as a variable or frozen, in f32.
    fn parameter(&mut self, shape: &[usize], frozen: bool) -> (Tensor, Tensor) {
        self.seed += 1;
        let narrow = random(shape, self.seed).to_dtype(DType::F32).unwrap();
        let wide = narrow.to_dtype(DType::F64).unwrap();
        let narrow = narrow.to_device(&self.device).unwrap();
        if frozen {
            return (wide, narrow);
        }
        let (wide, narrow) = (
            Var::from_tensor(&wide).unwrap(),
            Var::from_tensor(&narrow).unwrap(),
        );
        self.variables.push(wide.clone());
        self.variables.push(narrow.clone());
        (wide.as_tensor().clone(), narrow.as_tensor().clone())
    }

    pub(super) fn both(mut self, layer: Layer) -> Self {
        self.wide.push(layer.clone());
        self.narrow.push(layer);
        self
    }

    pub(super) fn parameters(
        &mut self,
        weight: &[usize],
        frozen: bool,
    ) -> (Parameters, Parameters) {
        let (weight_wide, weight) = (self.parameter(weight, frozen), weight[0]);
        let bias = self.parameter(&[weight], frozen);
        let make = |weight, bias| Parameters {
            weight,
            bias: Some(bias),
            frozen,
        };
        (make(weight_wide.0, bias.0), make(weight_wide.1, bias.1))
    }

    pub(super) fn conv(
        mut self,
        weight: [usize; 4],
        window: Window,
        relu: bool,
        frozen: bool,
    ) -> Self {
        let (wide, narrow) = self.parameters(&weight, frozen);
        let convolution = Convolution { window, groups: 1 };
        self.wide.extend(conv(convolution, wide, relu));
        self.narrow.extend(conv(convolution, narrow, relu));
        self
    }

    pub(super) fn dense(mut self, weight: [usize; 2], relu: bool, frozen: bool) -> Self {
        let (wide, narrow) = self.parameters(&weight, frozen);
        self.wide.extend(dense(wide, relu));
        self.narrow.extend(dense(narrow, relu));
        self
    }

    pub(super) fn batch_norm(mut self, channels: usize) -> Self {
        let parts: Vec<_> = (0..4).map(|_| self.parameter(&[channels], true)).collect();
        let make = |part: &dyn Fn(usize) -> Tensor| -> Layer {
            let norm = BatchNorm {
                statistics: BatchStatistics {
                    mean: part(0),
                    variance: part(1).sqr().unwrap(),
                },
                weight: part(2),
                bias: part(3),
                eps: 1e-5,
            };
            Arc::new(move |_, _, _| Ok(Instruction::batch_norm(norm.clone())))
        };
        self.wide.push(make(&|index| parts[index].0.clone()));
        self.narrow.push(make(&|index| parts[index].1.clone()));
        self
    }

    /// Outputs, and the gradients of the input and all variables, agree; so
    /// do the outputs of running without gradients.
    pub(super) fn check(&self, input: &[usize], what: &str) {
        let x = random(input, 7).to_dtype(DType::F32).unwrap();
        let wide = Var::from_tensor(&x.to_dtype(DType::F64).unwrap()).unwrap();
        let narrow = Var::from_tensor(&x.to_device(&self.device).unwrap()).unwrap();
        for record in [false, true] {
            let expected = run(&self.wide, &wide.detach(), record).unwrap();
            let expected = values(&expected);
            for x in [narrow.as_tensor().clone(), narrow.detach()] {
                let actual = run(&self.narrow, &x, record).unwrap();
                assert_near(&as_f64(&actual), &expected, CLOSE, what);
            }
        }
        for tracks_input in [true, false] {
            let of = |x: &Var, layers: &[Layer]| {
                let x = if tracks_input {
                    x.as_tensor().clone()
                } else {
                    x.detach()
                };
                let y = run(layers, &x, true).unwrap();
                let weights = random(y.dims(), 8).to_dtype(y.dtype()).unwrap();
                let weights = weights.to_device(y.device()).unwrap();
                y.mul(&weights).unwrap().sum_all().unwrap()
            };
            if !tracks_input && self.variables.is_empty() {
                continue;
            }
            let expected = of(&wide, &self.wide).backward().unwrap();
            let actual = of(&narrow, &self.narrow).backward().unwrap();
            assert_eq!(actual.get(&narrow).is_some(), tracks_input, "{what}");
            if let Some(gradient) = actual.get(&narrow) {
                let what = format!("{what}: gradient of the input");
                let expected = values(expected.get(&wide).unwrap());
                assert_near(&as_f64(gradient), &expected, CLOSE, &what);
            }
            for (place, pair) in self.variables.chunks_exact(2).enumerate() {
                let what = format!("{what}: gradient of variable {place}");
                let expected = values(expected.get(&pair[0]).unwrap());
                assert_near(
                    &as_f64(actual.get(&pair[1]).unwrap()),
                    &expected,
                    CLOSE,
                    &what,
                );
            }
        }
    }
}

pub(super) fn as_f64(x: &Tensor) -> Vec<f64> {
    values(&x.to_dtype(DType::F64).unwrap())
}

pub(super) fn window(kernel: usize, stride: usize, padding: impl Into<Padding>) -> Window {
    Window {
        kernel_size: (kernel, kernel),
        stride: (stride, stride),
        dilation: (1, 1),
        padding: padding.into(),
    }
}

pub(super) fn halving() -> Layer {
    pool(PoolKind::Max(window(2, 2, Padding::Valid)))
}
