//! The factors of dense layers whose singular values are known.

use candle_core::{DType, Device, Tensor};
use vgg_surgery::model::BuildOptions;
use vgg_surgery::surgery::Rank;
use vgg_surgery::{Dense, Error, Graph, Model, Vgg16};

use crate::{last, parameter};

/// A sum of outer products of cosines, which are orthogonal, with these singular
/// values.
fn matrix(rows: usize, columns: usize, values: &[f64]) -> Tensor {
    let wave = |size: usize, order: usize, at: usize| {
        let angle = std::f64::consts::PI * (at as f64 + 0.5) * order as f64 / size as f64;
        angle.cos() * (2.0 / size as f64).sqrt()
    };
    let entry = |row: usize, column: usize| -> f64 {
        let orders = values.iter().enumerate();
        orders
            .map(|(order, value)| {
                value * wave(rows, order + 1, row) * wave(columns, order + 1, column)
            })
            .sum()
    };
    let flat = (0..rows * columns).map(|at| entry(at / columns, at % columns));
    let flat = Tensor::from_iter(flat, &Device::Cpu).unwrap();
    flat.reshape((rows, columns)).unwrap()
}

/// A dense layer "fc" of these weights.
fn dense(weight: &Tensor) -> Model {
    let (rows, columns) = weight.dims2().unwrap();
    let graph = Graph::new("g", columns).unwrap();
    let graph = graph.attach(Dense::new(rows).without_bias().named("fc"));
    let options = BuildOptions::new().dtype(weight.dtype());
    let model = graph.unwrap().build_with(&Device::Cpu, &options).unwrap();
    model.trainable_variables()[0].set(weight).unwrap();
    model
}

fn norm(tensor: &Tensor) -> f64 {
    let sum = tensor.sqr().unwrap().sum_all().unwrap();
    sum.to_scalar::<f64>().unwrap().sqrt()
}

/// The rank, the true error and the reported one.
fn factorized(weight: &Tensor, rank: Rank) -> (usize, f64, f64) {
    let split = dense(weight).factorize("fc", rank).unwrap();
    let exact = |tensor: Tensor| tensor.to_dtype(DType::F64).unwrap();
    let left = exact(parameter(&split, "fc", "weight"));
    let right = exact(parameter(&split, "fc_low", "weight"));
    let weight = exact(weight.clone());
    let off = (left.matmul(&right).unwrap() - &weight).unwrap();
    let error = last(&split).error.unwrap();
    (left.dim(1).unwrap(), norm(&off) / norm(&weight), error)
}

/// Eckart and Young: the best factors of a rank leave out the smallest singular
/// values.
#[test]
fn the_error_is_the_norm_of_the_singular_values_left_out() {
    let values = [8.0, 4.0, 2.0, 1.0, 0.5];
    let total: f64 = values.iter().map(|v| v * v).sum();
    for (rows, columns) in [(12, 20), (20, 12), (300, 400), (400, 300)] {
        let weight = matrix(rows, columns, &values);
        for rank in 1..=5 {
            let rest: f64 = values[rank..].iter().map(|v| v * v).sum();
            let expected = (rest / total).sqrt();
            let (found, off, reported) = factorized(&weight, Rank::Exactly(rank));
            assert_eq!(found, rank);
            for error in [off, reported] {
                let what = format!("{rows}x{columns} {rank}: {error}");
                assert!((error - expected).abs() < 1e-7, "{what}");
            }
        }
    }
}

#[test]
fn single_precision_reports_its_error_up_to_rounding() {
    for (rows, columns) in [(12, 20), (300, 400), (400, 300), (700, 600)] {
        let weight = matrix(rows, columns, &[8.0, 4.0, 2.0, 1.0, 0.5]);
        let weight = weight.to_dtype(DType::F32).unwrap();
        for rank in [2, 5, 9] {
            let (_, off, reported) = factorized(&weight, Rank::Exactly(rank));
            let what = format!("{rows}x{columns} {rank}: {off}, {reported}");
            assert!((off - reported).abs() < 1e-6, "{what}");
            assert!(rank < 5 || off < 3e-6, "{what}");
        }
        assert_eq!(factorized(&weight, Rank::Energy(0.99999)).0, 5);
    }
}

#[test]
fn zeros_have_exact_factors() {
    let zeros = Tensor::zeros((300, 400), DType::F32, &Device::Cpu).unwrap();
    let split = dense(&zeros).factorize("fc", 3).unwrap();
    assert_eq!(last(&split).error, Some(0.0));
}

#[test]
fn an_energy_takes_the_least_rank_that_keeps_it() {
    // Squares 64, 16, 4, 1 of 85.
    for (rows, columns) in [(12, 20), (300, 400)] {
        let weight = matrix(rows, columns, &[8.0, 4.0, 2.0, 1.0]);
        for (fraction, rank) in [(0.5, 1), (0.76, 2), (0.95, 3), (1.0, 4)] {
            let found = factorized(&weight, Rank::Energy(fraction)).0;
            assert_eq!(found, rank, "{fraction}");
        }
    }
}

#[test]
fn impossible_ranks_are_refused() {
    let model = dense(&matrix(4, 6, &[1.0]));
    for rank in [
        Rank::Exactly(0),
        Rank::Exactly(5),
        Rank::Energy(0.0),
        Rank::Energy(1.1),
        Rank::Energy(f64::NAN),
    ] {
        let refused = model.factorize("fc", rank);
        assert!(
            matches!(refused, Err(Error::IllegalEdit { .. })),
            "{rank:?}"
        );
    }
}

/// Inputs of two directions alone give outputs in a plane, whatever the weights.
#[test]
fn factors_for_inputs_keep_what_the_layer_gives_for_them() {
    let graph = Graph::new("g", 6).unwrap();
    let graph = graph.attach(Dense::new(8).named("fc")).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let bias = Tensor::arange(0f32, 8.0, &Device::Cpu).unwrap();
    model.trainable_variables()[1].set(&bias).unwrap();
    let directions: Vec<f32> = (0..12).map(|i| ((i * i) % 7) as f32 - 3.0).collect();
    let directions = Tensor::from_vec(directions, (2, 6), &Device::Cpu).unwrap();
    let amounts: Vec<f32> = (0..80)
        .map(|i| ((i * 37) % 11) as f32 / 5.0 - 1.0)
        .collect();
    let amounts = Tensor::from_vec(amounts, (40, 2), &Device::Cpu).unwrap();
    let x = amounts.matmul(&directions).unwrap();
    let off = |split: Model| {
        let given = split.forward(&x).unwrap();
        let off = (given - model.forward(&x).unwrap()).unwrap();
        norm(&off.to_dtype(DType::F64).unwrap())
    };
    let by_inputs = model.factorize_for("fc", 2, &x).unwrap();
    assert!(last(&by_inputs).error.unwrap() < 1e-5);
    assert!(off(by_inputs) < 1e-4);
    assert!(off(model.factorize("fc", 2).unwrap()) > 0.1);
    for few in [0, 7] {
        let refused = model.factorize_for("fc", 2, &x.narrow(0, 0, few).unwrap());
        match (few, refused) {
            (0, Err(Error::Image(_))) => {}
            (_, Err(Error::IllegalEdit { reason, .. })) => {
                assert!(
                    reason.contains("7 values for each of its 8 outputs"),
                    "{reason}"
                );
            }
            (few, other) => panic!("{few}: {other:?}"),
        }
    }
}

/// Of all projections of a rank, that onto the principal components has the least
/// error.
#[test]
fn factors_for_inputs_lose_less_of_the_values_than_factors_of_the_weights() {
    let graph = Vgg16::nano().truncate("block3_conv2").unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let pixels = (0..3 * 64 * 64).map(|i| ((i * i) % 251) as f32 / 251.0 - 0.5);
    let x = Tensor::from_iter(pixels, &Device::Cpu).unwrap();
    let x = x.reshape((1, 3, 64, 64)).unwrap();
    let layer = "block3_conv2";
    let value = |model: &Model| model.forward_to("block3_conv2:pre", &x).unwrap();
    let old = value(&model);
    for rank in [2, 8] {
        let off = |split: Model| {
            norm(
                &(value(&split) - &old)
                    .unwrap()
                    .to_dtype(DType::F64)
                    .unwrap(),
            )
        };
        let by_inputs = off(model.factorize_for(layer, rank, &x).unwrap());
        let by_weights = off(model.factorize(layer, rank).unwrap());
        assert!(by_inputs < by_weights, "{rank}: {by_inputs} {by_weights}");
    }
}
