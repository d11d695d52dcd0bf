//! Whether inputs are prepared as the weights ask for.

use candle_core::{DType, Device, Tensor};

use crate::data::{Dataset, SampleInput};
use crate::error::Result;
use crate::model::Model;
use crate::preprocess::{Picture, Preprocessing};

use super::finding::Finding;
use super::settings::Settings;

pub(super) fn preprocessing_finding(
    model: &Model,
    settings: &Settings,
    train: &dyn Dataset,
) -> Result<Option<Finding>> {
    if train.is_empty() {
        return Ok(None);
    }
    let own = model.graph().preprocessing();
    let tensor = match train.sample(0)?.input {
        SampleInput::Picture(_) => {
            return Ok(match (own, &settings.preprocessing) {
                (None, None) => Some(Finding::NoPreprocessing),
                (Some(own), Some(used)) if normalisation(own) != normalisation(used) => {
                    Some(Finding::OtherPreprocessing {
                        expected: normalisation(own),
                        actual: normalisation(used),
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
    Ok(is_out_of_range(expected, actual).then_some(Finding::InputRange { expected, actual }))
}

/// All but the resize, in words.
fn normalisation(preprocessing: &Preprocessing) -> String {
    format!(
        "{:?} {:?}, mean {:?}, deviation {:?}",
        preprocessing.channel_order(),
        preprocessing.range(),
        preprocessing.mean(),
        preprocessing.std()
    )
}

/// The least and the largest value.
fn range(tensor: &Tensor) -> Result<(f32, f32)> {
    let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let values: Vec<f32> = values.flatten_all()?.to_vec1()?;
    let least = values.iter().copied().fold(f32::INFINITY, f32::min);
    let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Ok((least, most))
}

/// Beyond the range, or within so little of it that another scale must be
/// meant: 0 to 1 where 0 to 255 is.
fn is_out_of_range((low, high): (f32, f32), (least, most): (f32, f32)) -> bool {
    let slack = (high - low) * 1e-3;
    least < low - slack || most > high + slack || (most - least) < (high - low) * 0.02
}
