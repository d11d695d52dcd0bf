//! The layout of values between sequences, and NaN.

use candle_core::{DType, Device, Tensor};

use super::net::{Net, as_f64, halving, run, window};
use super::{random, values};
use crate::layers::Activation;
use crate::ops::{activate, add, concat};

#[test]
fn views_with_the_channels_last_are_read_as_they_are() {
    let net = Net::new(&Device::Cpu, 40).conv([16, 16, 3, 3], window(3, 1, 1), true, true);
    let x = random(&[2, 16, 8, 6], 41).to_dtype(DType::F32).unwrap();
    let y = run(&net.narrow, &x, false).unwrap();
    let last = y.permute((0, 2, 3, 1)).unwrap();
    assert!(last.is_contiguous());
    let again = run(&net.narrow, &y, false).unwrap();
    let copied = run(&net.narrow, &y.contiguous().unwrap(), false).unwrap();
    assert_eq!(
        values(&again.to_dtype(DType::F64).unwrap()),
        as_f64(&copied)
    );
}

#[test]
fn merges_and_activations_keep_the_channels_last() {
    let x = random(&[2, 5, 3, 4], 45);
    let last = x.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap();
    let last = last.permute((0, 3, 1, 2)).unwrap();
    let both = |x: &Tensor| [x.clone(), x.clone()];
    let tanh = |x: &Tensor| activate(x, Activation::Tanh).unwrap();
    for (first, last) in [
        (add(&both(&x)).unwrap(), add(&both(&last)).unwrap()),
        (concat(&both(&x)).unwrap(), concat(&both(&last)).unwrap()),
        (tanh(&x), tanh(&last)),
    ] {
        assert_eq!(values(&first), values(&last));
        assert!(last.permute((0, 2, 3, 1)).unwrap().is_contiguous());
    }
}

#[test]
fn a_nan_wins_the_fused_pool_as_it_wins_the_other() {
    let net = Net::new(&Device::Cpu, 46).conv([16, 2, 1, 1], window(1, 1, 0), true, true);
    let net = net.both(halving());
    for corner in 0..4 {
        let mut values = vec![1.0f32; 2 * 16];
        values[corner / 2 * 4 + corner % 2] = f32::NAN;
        let x = Tensor::from_vec(values, (1, 2, 4, 4), &Device::Cpu).unwrap();
        let fused = run(&net.narrow, &x, false).unwrap();
        let map = run(&net.narrow[..2], &x, false).unwrap();
        let apart = run(&net.narrow[2..], &map, false).unwrap();
        let of_first = |y: &Tensor| as_f64(&y.narrow(2, 0, 1).unwrap().narrow(3, 0, 1).unwrap());
        assert!(
            of_first(&fused).iter().all(|value| value.is_nan()),
            "{corner}"
        );
        assert!(
            of_first(&apart).iter().all(|value| value.is_nan()),
            "{corner}"
        );
        let count = |y: &Tensor| as_f64(y).iter().filter(|value| value.is_nan()).count();
        assert_eq!((count(&fused), count(&apart)), (16, 16), "{corner}");
    }
}
