use candle_core::{Device, Tensor};

use super::{
    DIFFERENCE, EXACT, Map, assert_close, check_gradient, check_gradients, check_gradients_within,
    random, values,
};
use crate::layers::Activation;
use crate::layers::{FlattenOrder, Margins};
use crate::ops::device::dense;
use crate::ops::merge::{dropout, flatten};
use crate::ops::{
    BatchStatistics, activate, add, batch_norm, batch_statistics, concat, rescale, zero_pad2d,
};

#[test]
fn dense_layers() {
    let (x, weight, bias) = (random(&[3, 5], 1), random(&[4, 5], 2), random(&[4], 3));
    let (xs, ws, bs) = (values(&x), values(&weight), values(&bias));
    let expected: Vec<f64> = (0..12)
        .map(|index| {
            let (n, o) = (index / 4, index % 4);
            (0..5).map(|i| xs[n * 5 + i] * ws[o * 5 + i]).sum::<f64>() + bs[o]
        })
        .collect();
    let y = dense(&x, &weight, Some(&bias)).unwrap();
    assert_close(&values(&y), &expected, EXACT, "dense");
    let without: Vec<f64> = expected
        .iter()
        .zip(bs.iter().cycle())
        .map(|(y, b)| y - b)
        .collect();
    let y = dense(&x, &weight, None).unwrap();
    assert_close(&values(&y), &without, EXACT, "dense without bias");
    check_gradients(
        |t| dense(&t[0], &t[1], Some(&t[2])),
        &[x, weight, bias],
        "dense",
    );
}

const ALL: [Activation; 6] = [
    Activation::Linear,
    Activation::Relu,
    Activation::Softmax,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Gelu,
];

#[test]
fn activations_and_their_gradients() {
    let x = (random(&[2, 3, 2, 2], 4) * 3.0).unwrap();
    let of = |activation| values(&activate(&x, activation).unwrap());
    let each = |f: fn(f64) -> f64| values(&x).into_iter().map(f).collect::<Vec<_>>();
    assert_eq!(of(Activation::Linear), values(&x));
    assert_eq!(of(Activation::Relu), each(|v| v.max(0.0)));
    let sigmoid = each(|v| 1.0 / (1.0 + (-v).exp()));
    assert_close(&of(Activation::Sigmoid), &sigmoid, EXACT, "sigmoid");
    assert_close(&of(Activation::Tanh), &each(f64::tanh), EXACT, "tanh");
    let map = Map::of(&x);
    let mut softmax = map.clone();
    for index in 0..map.values.len() {
        let (n, y, column) = (index / 12, index / 2 % 2, index % 2);
        let sum: f64 = (0..3).map(|c| map.get(n, c, y, column).exp()).sum();
        softmax.values[index] = map.values[index].exp() / sum;
    }
    assert_close(&of(Activation::Softmax), &softmax.values, EXACT, "softmax");
    for activation in ALL {
        let what = activation.to_string();
        // candle's gradient of GELU has 0.398942 for 1 / sqrt(2 pi), too little by
        // 2.9e-7, times x exp(-x^2 / 2), which is at most 0.607.
        let tolerance = match activation {
            Activation::Gelu => DIFFERENCE + 2.9e-7 * 0.607,
            _ => DIFFERENCE,
        };
        let f = |t: &[Tensor]| activate(&t[0], activation);
        check_gradients_within(tolerance, f, std::slice::from_ref(&x), &what);
        check_gradients_within(tolerance, f, &[random(&[3, 4], 5)], &what);
    }
}

/// `x / 2 * (1 + erf(x / sqrt(2)))`, computed with Python's `math.erf`:
/// `[x/2*(1+math.erf(x/math.sqrt(2))) for x in (-3, -1, -0.5, 0, 0.5, 1, 3)]`.
#[test]
fn gelu_is_the_exact_one() {
    let x = Tensor::new(&[-3.0f64, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0], &Device::Cpu).unwrap();
    let y = activate(&x, Activation::Gelu).unwrap();
    assert_close(&values(&y), &GELU, EXACT, "gelu");
}

const GELU: [f64; 7] = [
    -0.004_049_694_094_890_31,
    -0.15865525393145707,
    -0.15426876936299344,
    0.0,
    0.34573123063700656,
    0.841_344_746_068_542_9,
    2.995_950_305_905_11,
];

/// Large values neither overflow nor vanish.
#[test]
fn softmax_of_large_values() {
    let x = Tensor::new(&[[1000.0f64, 1000.0], [-1000.0, 0.0]], &Device::Cpu).unwrap();
    let y = activate(&x, Activation::Softmax).unwrap();
    assert_eq!(values(&y), [0.5, 0.5, 0.0, 1.0]);
}

#[test]
fn batch_norms() {
    for shape in [&[3, 2, 4, 5][..], &[6, 2]] {
        let x = random(shape, 6);
        let channels = [7, 8, 9, 10].map(|seed| random(&[2], seed));
        let [weight, bias, mean, variance] = channels;
        let variance = variance.abs().unwrap();
        let area: usize = shape[2..].iter().product();
        let channel = |index: usize| index / area % 2;
        let xs = values(&x);
        let formula = |mean: &[f64], variance: &[f64]| -> Vec<f64> {
            let (weight, bias) = (values(&weight), values(&bias));
            let each = xs.iter().enumerate().map(|(index, x)| {
                let c = channel(index);
                (x - mean[c]) / (variance[c] + 1e-3).sqrt() * weight[c] + bias[c]
            });
            each.collect()
        };
        let statistics = BatchStatistics {
            mean: mean.clone(),
            variance: variance.clone(),
        };
        let y = batch_norm(&x, &statistics, &weight, &bias, 1e-3).unwrap();
        let expected = formula(&values(&mean), &values(&variance));
        assert_close(&values(&y), &expected, EXACT, "running statistics");
        let of_channel = |c: usize| -> Vec<f64> {
            let those = xs.iter().enumerate().filter(|(i, _)| channel(*i) == c);
            those.map(|(_, &x)| x).collect()
        };
        let average = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let means = [0, 1].map(|c| average(&of_channel(c)));
        let variances = [0, 1].map(|c| {
            let squares: Vec<f64> = of_channel(c)
                .iter()
                .map(|x| (x - means[c]).powi(2))
                .collect();
            average(&squares)
        });
        let batch = batch_statistics(&x).unwrap();
        assert_close(&values(&batch.mean), &means, EXACT, "means");
        assert_close(&values(&batch.variance), &variances, EXACT, "variances");
        let trained = |t: &[Tensor]| {
            let batch = batch_statistics(&t[0])?;
            batch_norm(&t[0], &batch, &t[1], &t[2], 1e-3)
        };
        let inputs = [x, weight.clone(), bias.clone()];
        let y = trained(&inputs).unwrap();
        assert_close(&values(&y), &formula(&means, &variances), EXACT, "batch");
        check_gradients(trained, &inputs, "batch norm");
    }
}

#[test]
fn dropout_drops_a_fraction_and_scales_the_rest() {
    let ones = Tensor::ones(100_000, candle_core::DType::F64, &Device::Cpu).unwrap();
    for rate in [0.1, 0.5, 0.9] {
        let y = values(&dropout(&ones, rate, 3).unwrap());
        let kept = y.iter().filter(|&&v| v != 0.0).count() as f64;
        // Five standard deviations of a binomial count.
        let spread = 5.0 * (100_000.0 * rate * (1.0 - rate)).sqrt();
        assert!((kept - 100_000.0 * (1.0 - rate)).abs() < spread, "{rate}");
        let scale = 1.0 / (1.0 - rate);
        assert!(y.iter().all(|&v| v == 0.0 || (v - scale).abs() < 1e-12));
    }
    let same = |a, b| {
        let mask = |seed| values(&dropout(&ones, 0.5, seed).unwrap());
        mask(a) == mask(b)
    };
    assert!(same(1, 1) && !same(1, 2));
    let x = random(&[3, 4], 7);
    assert_eq!(values(&dropout(&x, 0.0, 1).unwrap()), values(&x));
    check_gradient(|x| dropout(x, 0.4, 5), &x, "dropout");
}

#[test]
fn merges() {
    let shapes = [1, 2, 3].map(|seed| random(&[2, 3, 2, 2], seed));
    let sum = values(&add(&shapes).unwrap());
    let parts = shapes.each_ref().map(values);
    for (index, value) in sum.iter().enumerate() {
        assert_eq!(*value, parts[0][index] + parts[1][index] + parts[2][index]);
    }
    let joined = concat(&shapes[..2]).unwrap();
    assert_eq!(joined.dims(), [2, 6, 2, 2]);
    let expected = [
        &parts[0][..12],
        &parts[1][..12],
        &parts[0][12..],
        &parts[1][12..],
    ]
    .concat();
    assert_eq!(values(&joined), expected);
    check_gradients(add, &shapes, "add");
    check_gradients(concat, &shapes, "concat");
    assert!(add(&[]).is_err());
}

#[test]
fn shapes_change() {
    let x = random(&[2, 3, 2, 2], 4);
    let map = Map::of(&x);
    let chw = flatten(&x, FlattenOrder::Chw).unwrap();
    assert_eq!(
        (chw.dims(), values(&chw)),
        (&[2, 12][..], map.values.clone())
    );
    let hwc = flatten(&x, FlattenOrder::Hwc).unwrap();
    for (index, &value) in values(&hwc).iter().enumerate() {
        let (n, y, column, c) = (index / 12, index / 6 % 2, index / 3 % 2, index % 3);
        assert_eq!(value, map.get(n, c, y, column));
    }
    check_gradient(|x| flatten(x, FlattenOrder::Hwc), &x, "hwc");
    let margins = Margins {
        top: 1,
        bottom: 0,
        left: 2,
        right: 3,
    };
    let padded = Map::of(&zero_pad2d(&x, margins).unwrap());
    assert_eq!(padded.dims(), [2, 3, 3, 7]);
    for (index, &value) in padded.values.iter().enumerate() {
        let (plane, y, column) = (index / 21, index / 7 % 3, index % 7);
        let from = map.at(plane / 3, plane % 3, y as isize - 1, column as isize - 2);
        assert_eq!(value, from.unwrap_or(0.0));
    }
    let per_channel = |x: &Tensor| rescale(x, &[2.0, 0.5, -1.0], &[0.25]);
    let scaled = values(&per_channel(&x).unwrap());
    for (index, &value) in scaled.iter().enumerate() {
        let scale = [2.0, 0.5, -1.0][index / 4 % 3];
        assert_eq!(value, map.values[index] * scale + 0.25);
    }
    check_gradient(per_channel, &x, "rescale");
    let vector = rescale(&random(&[2, 3], 5), &[2.0], &[0.0, 1.0, 2.0]).unwrap();
    let plain = values(&random(&[2, 3], 5));
    for (index, &value) in values(&vector).iter().enumerate() {
        assert_eq!(value, plain[index] * 2.0 + (index % 3) as f64);
    }
}
