//! Whether inputs are preprocessed as the weights need it.

use candle_core::{DType, Device, Tensor};

use crate::data::{Dataset, SampleInput};
use crate::error::Result;
use crate::model::Model;
use crate::preprocess::{Picture, Preprocessing};
use crate::train::history::Finding;

/// `requested` is the preprocessing set on the trainer.
pub(super) fn preprocessing_finding(
    model: &Model,
    requested: Option<&Preprocessing>,
    train: &dyn Dataset,
) -> Result<Option<Finding>> {
    if train.is_empty() {
        return Ok(None);
    }
    let own = model.graph().preprocessing();
    let tensor = match train.sample(0)?.input {
        SampleInput::Picture(_) => {
            return Ok(match (own, requested) {
                (None, None) => Some(Finding::NoPreprocessing),
                (Some(own), Some(used)) if normalization(own) != normalization(used) => {
                    Some(Finding::OtherPreprocessing {
                        expected: normalization(own),
                        actual: normalization(used),
                    })
                }
                _ => None,
            });
        }
        SampleInput::Tensor(tensor) => tensor,
    };
    let Some(own) = own else {
        return Ok(None);
    };
    let darkest_and_brightest = Picture::from_rgb8(2, 1, vec![0, 0, 0, 255, 255, 255])?;
    let expected = own.clone().without_resize().apply(&darkest_and_brightest)?;
    let (expected, actual) = (range(&expected)?, range(&tensor)?);
    Ok(
        is_out_of_range(&expected, &actual).then_some(Finding::InputRange {
            expected: (expected.low, expected.high),
            actual: (actual.low, actual.high),
        }),
    )
}

/// Describes everything except the resize.
fn normalization(preprocessing: &Preprocessing) -> String {
    format!(
        "{:?} {:?}, mean {:?}, deviation {:?}",
        preprocessing.channel_order(),
        preprocessing.range(),
        preprocessing.mean(),
        preprocessing.std()
    )
}

/// The smallest and the largest value.
struct Range {
    low: f32,
    high: f32,
}

fn range(tensor: &Tensor) -> Result<Range> {
    let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let values: Vec<f32> = values.flatten_all()?.to_vec1()?;
    Ok(Range {
        low: values.iter().copied().fold(f32::INFINITY, f32::min),
        high: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
    })
}

/// Whether the values exceed the range, or fill so little of it that they must
/// have another scale: 0 to 1 instead of 0 to 255.
fn is_out_of_range(expected: &Range, actual: &Range) -> bool {
    let width = expected.high - expected.low;
    let slack = width * 1e-3;
    actual.low < expected.low - slack
        || actual.high > expected.high + slack
        || actual.high - actual.low < width * 0.02
}
