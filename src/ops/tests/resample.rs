use candle_core::{Device, Tensor};

use super::{EXACT, Map, assert_close, check_gradient, random, values};
use crate::layers::UpsampleMode::{Bilinear, Nearest};
use crate::ops::upsample;

const SIZES: [(usize, usize); 6] = [(4, 5), (8, 10), (9, 7), (1, 1), (3, 20), (2, 3)];

#[test]
fn nearest_takes_the_value_at_the_floor() {
    let x = Map::of(&random(&[2, 3, 4, 5], 11));
    let tensor = Tensor::from_vec(x.values.clone(), &x.dims()[..], &Device::Cpu).unwrap();
    for (height, width) in SIZES {
        let y = Map::of(&upsample(&tensor, (height, width), Nearest).unwrap());
        assert_eq!(y.dims(), [2, 3, height, width]);
        for (index, &value) in y.values.iter().enumerate() {
            let (column, row) = (index % width, index / width % height);
            let plane = index / width / height;
            let expected = x.get(plane / 3, plane % 3, row * 4 / height, column * 5 / width);
            assert_eq!(value, expected);
        }
    }
}

/// The value at a point between pixel centers; beyond the border, the value at
/// the border.
fn between(x: &Map, plane: usize, y: f64, column: f64) -> f64 {
    let get = |y: f64, column: f64| {
        let y = y.clamp(0.0, (x.height - 1) as f64) as usize;
        let column = column.clamp(0.0, (x.width - 1) as f64) as usize;
        x.get(plane / x.channels, plane % x.channels, y, column)
    };
    let (y0, x0) = (y.floor(), column.floor());
    let (down, right) = (y - y0, column - x0);
    (get(y0, x0) * (1.0 - right) + get(y0, x0 + 1.0) * right) * (1.0 - down)
        + (get(y0 + 1.0, x0) * (1.0 - right) + get(y0 + 1.0, x0 + 1.0) * right) * down
}

#[test]
fn bilinear_weighs_by_the_distance_of_centers() {
    let x = Map::of(&random(&[2, 3, 4, 5], 12));
    let tensor = Tensor::from_vec(x.values.clone(), &x.dims()[..], &Device::Cpu).unwrap();
    for (height, width) in SIZES {
        let y = Map::of(&upsample(&tensor, (height, width), Bilinear).unwrap());
        assert_eq!(y.dims(), [2, 3, height, width]);
        let center =
            |i: usize, from: usize, to: usize| (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let expected: Vec<f64> = (0..y.values.len())
            .map(|index| {
                let row = center(index / width % height, 4, height);
                let column = center(index % width, 5, width);
                between(&x, index / width / height, row, column)
            })
            .collect();
        assert_close(&y.values, &expected, EXACT, &format!("{height}x{width}"));
    }
}

/// torch.nn.functional.interpolate(tensor([[[0., 1., 2.]]]), size=6,
/// mode="linear", align_corners=False), and size=4: by the formula
/// `(i + 0.5) * 3 / n - 0.5`, clamped to [0, 2].
#[test]
fn golden_values_of_pytorch() {
    let x = Tensor::new(&[[[[0.0f64, 1.0, 2.0]]]], &Device::Cpu).unwrap();
    let six = upsample(&x, (1, 6), Bilinear).unwrap();
    let expected = [0.0, 0.25, 0.75, 1.25, 1.75, 2.0];
    assert_close(&values(&six), &expected, EXACT, "six");
    let four = upsample(&x, (1, 4), Bilinear).unwrap();
    assert_close(&values(&four), &[0.0, 0.625, 1.375, 2.0], EXACT, "four");
    let nearest = upsample(&x, (1, 4), Nearest).unwrap();
    assert_eq!(values(&nearest), [0.0, 0.0, 1.0, 2.0]);
}

#[test]
fn gradients() {
    let x = random(&[1, 2, 3, 4], 13);
    for size in SIZES {
        for mode in [Nearest, Bilinear] {
            let what = format!("{mode:?} {size:?}");
            check_gradient(|x| upsample(x, size, mode), &x, &what);
        }
    }
}
