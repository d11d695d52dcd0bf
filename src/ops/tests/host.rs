//! Sequences on the CPU in f32 against the same layers in candle's operators in
//! f64, which the other tests hold against nested loops.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};

use super::devices::devices;
use super::{assert_near, random, values};
use crate::layer::{FlattenOrder, Padding, Window};
use crate::ops::{
    BatchNorm, BatchStatistics, Convolution, Extent, Instruction, MaskSeeds, Parameters, PoolKind,
    Sequence, SequenceInput, Workspace,
};

/// What the kernels' tests allow one layer, as a fraction of its largest value.
/// The roundings of layers in a row cancel for the most part.
const CLOSE: f64 = 1e-5;

/// What a layer is at the sizes of its input, in training or not.
type Layer = Arc<dyn Fn(&Workspace, Extent, bool) -> Result<Instruction>>;

/// The layers as a sequence for inputs like `x`.
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
    Arc::new(|_, _, _| Ok(Instruction::relu()))
}

fn flatten(order: FlattenOrder) -> Layer {
    Arc::new(move |_, input, _| Ok(Instruction::flatten(input, order)))
}

fn dropout(rate: f64, seed: u64) -> Layer {
    Arc::new(move |_, _, _| Ok(Instruction::dropout(rate, MaskSeeds::new(move || seed))))
}

fn conv(convolution: Convolution, parameters: Parameters, with_relu: bool) -> Vec<Layer> {
    let conv: Layer = Arc::new(move |workspace, input, training| {
        let parameters = in_training(&parameters, training);
        Instruction::conv2d(workspace, input, convolution, parameters)
    });
    std::iter::once(conv).chain(with_relu.then(relu)).collect()
}

fn dense(parameters: Parameters, with_relu: bool) -> Vec<Layer> {
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
    wide: Vec<Layer>,
    variables: Vec<Var>,
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

    fn parameters(&mut self, weight: &[usize], frozen: bool) -> (Parameters, Parameters) {
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

    fn dense(mut self, weight: [usize; 2], relu: bool, frozen: bool) -> Self {
        let (wide, narrow) = self.parameters(&weight, frozen);
        self.wide.extend(dense(wide, relu));
        self.narrow.extend(dense(narrow, relu));
        self
    }

    fn batch_norm(mut self, channels: usize) -> Self {
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
    fn check(&self, input: &[usize], what: &str) {
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

#[test]
fn a_vgg_like_chain() {
    devices().iter().for_each(a_vgg_like_chain_on);
}

fn a_vgg_like_chain_on(device: &Device) {
    let same = window(3, 1, Padding::Same);
    for frozen in 0..4 {
        Net::new(device, 1)
            .conv([5, 3, 3, 3], same, true, frozen > 0)
            .conv([16, 5, 3, 3], same, true, frozen > 1)
            .both(halving())
            .conv([17, 16, 3, 3], same, false, frozen > 2)
            .both(relu())
            .both(halving())
            .both(flatten(FlattenOrder::Chw))
            .dense([6, 17 * 3 * 2], true, false)
            .both(dropout(0.25, 3))
            .dense([4, 6], false, false)
            .check(&[2, 3, 13, 10], &format!("{frozen} frozen"));
    }
}

#[test]
fn every_other_step() {
    devices().iter().for_each(every_other_step_on);
}

fn every_other_step_on(device: &Device) {
    let conv = [4, 2, 3, 3];
    let net = || Net::new(device, 20).conv(conv, window(3, 2, (1, 0)), false, false);
    let input = [2, 2, 11, 12];
    for (layer, what) in [
        (pool(PoolKind::Max(window(3, 2, 1))), "overlapping windows"),
        (
            pool(PoolKind::Max(window(2, 2, Padding::Same))),
            "padded windows",
        ),
        (pool(PoolKind::Avg(window(3, 2, 1))), "average"),
        (pool(PoolKind::AdaptiveAvg((2, 4))), "adaptive"),
        (pool(PoolKind::AdaptiveAvg((6, 5))), "as it is"),
        (pool(PoolKind::GlobalAvg), "global average"),
        (pool(PoolKind::GlobalMax), "global maximum"),
        (flatten(FlattenOrder::Hwc), "flattened as Keras does"),
        (flatten(FlattenOrder::Chw), "flattened"),
    ] {
        net().both(layer.clone()).check(&input, what);
        Net::new(device, 1).both(layer).check(&input, what);
    }
    net()
        .batch_norm(4)
        .both(relu())
        .both(halving())
        .check(&input, "batch norm");
    net()
        .both(relu())
        .batch_norm(4)
        .check(&input, "batch norm after a ReLU");
    Net::new(device, 1)
        .batch_norm(2)
        .check(&input, "batch norm alone");
}

#[test]
fn unusual_convolutions() {
    devices().iter().for_each(unusual_convolutions_on);
}

fn unusual_convolutions_on(device: &Device) {
    for (kernel, dilation, groups) in [
        ((1, 1), (1, 1), 1),
        ((5, 5), (1, 1), 1),
        ((3, 2), (2, 1), 2),
    ] {
        let weight = [6, 4 / groups, kernel.0, kernel.1];
        let mut net = Net::new(device, 30);
        let (wide, narrow) = net.parameters(&weight, false);
        let window = Window {
            kernel_size: kernel,
            dilation,
            padding: Padding::Same,
            ..Window::POINT
        };
        let convolution = Convolution { window, groups };
        net.wide.extend(conv(convolution, wide, true));
        net.narrow.extend(conv(convolution, narrow, true));
        net.check(
            &[3, 4, 9, 7],
            &format!("{kernel:?} dilated {dilation:?} in {groups} groups"),
        );
    }
}

#[test]
fn two_backward_passes_over_one_chain_agree() {
    let net = Net::new(&Device::Cpu, 50).conv([3, 2, 3, 3], window(3, 1, 1), true, false);
    let x = random(&[1, 2, 6, 6], 51).to_dtype(DType::F32).unwrap();
    let y = run(&net.narrow, &x, true).unwrap();
    let first = y.sum_all().unwrap().backward().unwrap();
    let second = (y.sum_all().unwrap() * 2.0).unwrap().backward().unwrap();
    let variable = &net.variables[1];
    let doubled: Vec<f64> = as_f64(first.get(variable).unwrap())
        .iter()
        .map(|g| 2.0 * g)
        .collect();
    assert_eq!(as_f64(second.get(variable).unwrap()), doubled);
}

#[test]
fn half_precision_is_computed_in_single() {
    let net = Net::new(&Device::Cpu, 60)
        .conv([4, 3, 3, 3], window(3, 1, 1), true, true)
        .both(halving());
    let x = random(&[1, 3, 8, 8], 61);
    let expected = run(&net.wide, &x, false).unwrap();
    // Operands and output are each rounded by this fraction at most.
    for (dtype, rounding) in [(DType::F16, 2f64.powi(-11)), (DType::BF16, 2f64.powi(-8))] {
        let x = x.to_dtype(dtype).unwrap();
        let narrow = sequence(&net.narrow, &x, false).unwrap();
        let y = Arc::new(narrow.to_dtype(dtype).unwrap()).run(&x).unwrap();
        assert_eq!(y.dtype(), dtype);
        let fraction = 3.0 * rounding;
        assert_near(&as_f64(&y), &values(&expected), fraction, "half precision");
    }
}

#[test]
fn a_dense_layer_takes_weights_of_half_the_bytes() {
    let x = random(&[3, 40], 71).to_dtype(DType::F32).unwrap();
    for dtype in [DType::F16, DType::BF16] {
        let stored = random(&[5, 40], 72).to_dtype(dtype).unwrap();
        let run_with = |weight| {
            let parameters = Parameters {
                weight,
                bias: Some(random(&[5], 73).to_dtype(DType::F32).unwrap()),
                frozen: true,
            };
            run(&dense(parameters, true), &x, false).unwrap()
        };
        let halved = run_with(stored.clone());
        let expected = run_with(stored.to_dtype(DType::F32).unwrap());
        // The roundings of two sums of 40 products.
        assert_near(&as_f64(&halved), &as_f64(&expected), 1e-6, "half");
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let x = Tensor::zeros((1, 2, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let refusal = |layers: &[Layer]| run(layers, &x, false).unwrap_err().to_string();
    let other = Net::new(&Device::Cpu, 80).conv([3, 5, 3, 3], window(3, 1, 1), true, true);
    assert!(refusal(&other.narrow).contains("do not fit 2 channels"));
    let large = Net::new(&Device::Cpu, 80).conv([3, 2, 5, 5], window(5, 1, 0), true, true);
    assert!(refusal(&large.narrow).contains("does not fit a padded map of 4"));
    let dense = Net::new(&Device::Cpu, 80).dense([3, 32], true, true);
    assert!(refusal(&dense.narrow).contains("flatten first"));
}
