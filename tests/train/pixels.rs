//! Losses of a class for each pixel.

use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::data::Targets;
use vgg_surgery::error::TrainingError;
use vgg_surgery::{Error, Loss, Result};

use crate::{assert_near, golden, numbers, values};

/// Rows (6, 5) become one feature map (1, 5, 2, 3) of six pixels.
fn logits() -> Tensor {
    let rows = Tensor::from_vec(numbers(&golden()["logits"]), (6, 5), &Device::Cpu).unwrap();
    let columns = rows.t().unwrap().contiguous().unwrap();
    columns.reshape((1, 5, 2, 3)).unwrap()
}

fn map(dtype: DType) -> Tensor {
    let classes = Tensor::from_vec(numbers(&golden()["classes"]), (1, 2, 3), &Device::Cpu);
    classes.unwrap().to_dtype(dtype).unwrap()
}

fn compute(loss: &Loss, map: Tensor) -> Result<(Vec<f64>, Vec<f64>)> {
    let scores = Var::from_tensor(&logits()).unwrap();
    let value = loss.compute(&scores, &Targets::Values(map), None)?;
    let gradients = value.backward().unwrap();
    Ok((values(&value), values(gradients.get(&scores).unwrap())))
}

#[test]
fn the_cross_entropy_of_a_map_of_classes_is_pytorchs() {
    let golden = golden();
    let expected = &golden["torch"]["cross_entropy"];
    for dtype in [DType::U8, DType::U32, DType::I64] {
        let (value, gradient) = compute(&Loss::cross_entropy(), map(dtype)).unwrap();
        assert_near(&value, &[expected["value"].as_f64().unwrap()], 1e-12, "map");
        let rows = Tensor::from_vec(numbers(&expected["gradient"]), (6, 5), &Device::Cpu);
        let rows = rows.unwrap().t().unwrap().contiguous().unwrap();
        assert_near(&gradient, &values(&rows), 1e-12, "map");
    }
}

/// Smoothing and weights as for the same classes one-hot.
#[test]
fn settings_count_for_each_pixel() {
    let indices = values(&map(DType::U32));
    let one_hot = (0..5).flat_map(|class| {
        let hits = indices
            .iter()
            .map(move |&index| f64::from(u8::from(index == f64::from(class))));
        hits.collect::<Vec<_>>()
    });
    let one_hot = Tensor::from_vec(one_hot.collect(), (1, 5, 2, 3), &Device::Cpu).unwrap();
    let loss = Loss::cross_entropy()
        .label_smoothing(0.1)
        .class_weights([1.0, 2.0, 3.0, 4.0, 5.0]);
    let by_class = compute(&loss, map(DType::U32)).unwrap();
    let by_fraction = compute(&loss, one_hot).unwrap();
    assert_near(&by_class.0, &by_fraction.0, 1e-15, "value");
    assert_near(&by_class.1, &by_fraction.1, 1e-15, "gradient");
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let far = (map(DType::I64) + 3.0).unwrap();
    let negative = (map(DType::I64) - 3.0).unwrap();
    for map in [far, negative] {
        let error = compute(&Loss::cross_entropy(), map).unwrap_err();
        assert!(
            matches!(
                error,
                Error::ClassOutOfRange {
                    example: Some(0),
                    classes: 5,
                    ..
                }
            ),
            "{error}"
        );
    }
    let turned = map(DType::U32).reshape((1, 3, 2)).unwrap();
    let is_misfit =
        |outcome: Result<_>| matches!(outcome, Err(Error::Training(TrainingError::Targets { .. })));
    assert!(is_misfit(compute(&Loss::cross_entropy(), turned)));
    assert!(is_misfit(compute(
        &Loss::mean_squared_error(),
        map(DType::U32)
    )));
    // Values of a float type are never classes.
    assert!(is_misfit(compute(&Loss::cross_entropy(), map(DType::F32))));
}
