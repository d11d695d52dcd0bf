//! The factors of dense layers whose singular values are known.

use candle_core::{DType, Device, Tensor};
use vgg_surgery::model::BuildOptions;
use vgg_surgery::surgery::Rank;
use vgg_surgery::{Dense, Error, Graph, Model};

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
