use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::error::Error;

fn batch(targets: Targets, weights: Option<Tensor>) -> Batch {
    let inputs = Tensor::new(&[[1f32, 10.0], [2.0, 20.0], [4.0, 40.0]], &Device::Cpu).unwrap();
    Batch {
        inputs,
        targets,
        weights,
        indices: vec![5, 6, 7],
    }
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_vec2().unwrap()
}

#[test]
fn inputs_targets_and_weights_are_mixed_by_one_share() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let weights = Tensor::new(&[1f32, 0.0, 1.0], &Device::Cpu).unwrap();
    let mixed = mix(
        batch(Targets::Classes(vec![0, 1, 1]), Some(weights)),
        1.0,
        Some(2),
        &mut rng,
    );
    let mixed = mixed.unwrap();
    let x = rows(&mixed.inputs);
    // 1 s + 4 (1 - s) = 4 - 3 s.
    let share = (4.0 - x[0][0]) / 3.0;
    assert!(share > 0.0 && share < 1.0);
    let close = |a: f32, b: f32| assert!((a - b).abs() < 1e-5 * b.abs().max(1.0), "{a}, not {b}");
    for (row, [own, other]) in x.iter().zip([[1.0, 4.0], [2.0, 1.0], [4.0, 2.0]]) {
        let expected = share * own + (1.0 - share) * other;
        close(row[0], expected);
        close(row[1], 10.0 * expected);
    }
    let Targets::Soft(shares) = &mixed.targets else {
        panic!("classes become shares");
    };
    let expected = [[share, 1.0 - share], [1.0 - share, share], [0.0, 1.0]];
    for (row, expected) in rows(shares).iter().zip(expected) {
        close(row[0], expected[0]);
        close(row[1], expected[1]);
    }
    let weights: Vec<f32> = mixed.weights.unwrap().to_vec1().unwrap();
    close(weights[1], 1.0 - share);
    assert_eq!(mixed.indices, [5, 6, 7]);
}

#[test]
fn values_are_mixed_and_classes_need_a_number() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let values = Tensor::new(&[[1f32], [2.0], [4.0]], &Device::Cpu).unwrap();
    let mixed = mix(batch(Targets::Values(values), None), 1.0, None, &mut rng).unwrap();
    let Targets::Values(values) = &mixed.targets else {
        panic!("values stay values");
    };
    for (value, input) in rows(values).iter().zip(rows(&mixed.inputs)) {
        assert_eq!(value[0], input[0]);
    }
    let error = mix(
        batch(Targets::Classes(vec![0, 1, 1]), None),
        1.0,
        None,
        &mut rng,
    );
    assert!(matches!(error.unwrap_err(), Error::InvalidSetting { .. }));
}
