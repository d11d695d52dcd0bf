//! Sequences on the CPU in f32 against the same layers in candle's operators in
//! f64, which the other tests compare with nested loops.

use candle_core::{DType, Device, Tensor, Var};

use super::devices::devices;
use super::net::{
    Layer, Net, as_f64, assert_near, conv, dense, dropout, flatten, halving, pool, relu, run,
    window,
};
use super::{random, values};
use crate::layers::{FlattenOrder, Padding, Window};
use crate::ops::{Convolution, Parameters, PoolKind, backward};

#[test]
fn a_vgg_like_chain() {
    let same = window(3, 1, Padding::Same);
    let devices = devices();
    for (device, frozen) in devices
        .iter()
        .flat_map(|device| (0..4).map(move |f| (device, f)))
    {
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
fn every_other_instruction() {
    devices().iter().for_each(every_other_instruction_on);
}

fn every_other_instruction_on(device: &Device) {
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
        (pool(PoolKind::AdaptiveAvg((6, 5))), "unchanged"),
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
    let cases = [
        ((1, 1), (1, 1), 1),
        ((5, 5), (1, 1), 1),
        ((3, 2), (2, 1), 2),
    ];
    let devices = devices();
    for (device, case) in devices
        .iter()
        .flat_map(|device| cases.map(|case| (device, case)))
    {
        let (kernel_size, dilation, groups) = case;
        let weight = [6, 4 / groups, kernel_size.0, kernel_size.1];
        let mut net = Net::new(device, 30);
        let (wide, narrow) = net.parameters(&weight, false);
        let window = Window {
            kernel_size,
            dilation,
            padding: Padding::Same,
            ..Window::POINT
        };
        let convolution = Convolution { window, groups };
        net.wide.extend(conv(convolution, wide, true));
        net.narrow.extend(conv(convolution, narrow, true));
        net.check(&[3, 4, 9, 7], &format!("{convolution:?}"));
    }
}

/// A convolution folds only a batch norm over its own channels.
#[test]
fn a_batch_norm_of_flattened_feature_maps_is_not_folded() {
    let conv = [4, 2, 3, 3];
    Net::new(&Device::Cpu, 90)
        .conv(conv, window(3, 1, Padding::Same), false, true)
        .both(flatten(FlattenOrder::Hwc))
        .batch_norm(4 * 5 * 6)
        .check(&[2, 2, 5, 6], "a batch norm of vectors");
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

/// Two sequences and one of candle's operators use one weight.
#[test]
fn backward_finds_the_gradients_of_candles_backward_pass() {
    let weight = Var::new(&[[1f32, 2.0], [3.0, -4.0]], &Device::Cpu).unwrap();
    let x = Var::new(&[[0.5f32, 1.5], [2.5, -1.0]], &Device::Cpu).unwrap();
    let parameters = Parameters {
        weight: weight.as_tensor().clone(),
        bias: None,
        frozen: false,
    };
    let layers = dense(parameters, true);
    let loss = || {
        let y = run(&layers, &x, true)?;
        let z = run(&layers, &(y * 2.0)?, true)?;
        z.sqr()?.sum_all()? + weight.sqr()?.sum_all()?
    };
    let expected = loss().unwrap().backward().unwrap();
    let mut actual = backward(&loss().unwrap()).unwrap();
    for tensor in [&weight, &x] {
        let actual = actual.take(tensor).unwrap().unwrap();
        assert_eq!(as_f64(&actual), as_f64(expected.get(tensor).unwrap()));
    }
    assert!(actual.take(&weight).unwrap().is_none());
}

#[test]
fn half_precision_is_computed_in_single() {
    let (wide, narrow) = Net::new(&Device::Cpu, 60).parameters(&[4, 3, 3, 3], false);
    let convolution = Convolution {
        window: window(3, 1, 1),
        groups: 1,
    };
    let layers = |parameters| [conv(convolution, parameters, true), vec![halving()]].concat();
    let x = random(&[1, 3, 8, 8], 61);
    let expected = run(&layers(wide.clone()), &x, true).unwrap();
    let gradients = expected.sum_all().unwrap().backward().unwrap();
    let by_weight = values(gradients.get(&wide.weight).unwrap());
    // Operands and output are each rounded by this fraction at most.
    for (dtype, rounding) in [(DType::F16, 2f64.powi(-11)), (DType::BF16, 2f64.powi(-8))] {
        let rounded = |x: &Tensor| Var::from_tensor(&x.detach().to_dtype(dtype).unwrap()).unwrap();
        let (weight, bias) = (
            rounded(&narrow.weight),
            rounded(narrow.bias.as_ref().unwrap()),
        );
        let parameters = Parameters {
            weight: weight.as_tensor().clone(),
            bias: Some(bias.as_tensor().clone()),
            frozen: false,
        };
        let layers = layers(parameters);
        let x = x.to_dtype(dtype).unwrap();
        let y = run(&layers, &x, true).unwrap();
        let alone = run(&layers, &x, false).unwrap();
        assert_eq!((y.dtype(), alone.dtype()), (dtype, dtype));
        for y in [&y, &alone] {
            assert_near(&as_f64(y), &values(&expected), 3.0 * rounding, "output");
        }
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let gradient = gradients.get(&weight).unwrap();
        assert_eq!(gradient.dtype(), dtype);
        // A rounded value may move a ReLU's edge or a pool's winner.
        assert_near(&as_f64(gradient), &by_weight, 20.0 * rounding, "gradient");
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
    assert!(refusal(&large.narrow).contains("does not fit a padded feature map of 4"));
    let dense = Net::new(&Device::Cpu, 80).dense([3, 32], true, true);
    assert!(refusal(&dense.narrow).contains("flatten first"));
}
