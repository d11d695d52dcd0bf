//! Which stored tensor is a parameter: by name and shape, never by order.

use candle_core::Tensor;

use super::convert::undo_layout;
use super::stored::StoredTensors;
use crate::error::{Error, Result};
use crate::graph::WeightKey;
use crate::nearest::nearest;

/// How many near names an error lists.
const NEAREST: usize = 3;

/// One parameter to be read.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// The names it may go by, best first.
    pub(crate) keys: &'a [WeightKey],
    /// Its own shape, in PyTorch's layout.
    pub(crate) shape: &'a [usize],
}

/// Finds, reads and lays out every wanted tensor, in order.
pub(super) fn read_all(source: &dyn StoredTensors, wanted: &[Wanted<'_>]) -> Result<Vec<Tensor>> {
    let found: Vec<&WeightKey> = wanted
        .iter()
        .map(|wanted| find(source, wanted))
        .collect::<Result<_>>()?;
    let mut names: Vec<&str> = found.iter().map(|key| key.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let read = source.read(&names)?;
    wanted
        .iter()
        .zip(found)
        .map(|(wanted, key)| {
            let stored = names
                .binary_search(&key.name.as_str())
                .ok()
                .and_then(|index| read.get(index))
                .ok_or_else(|| missing(source, wanted))?;
            let expected = key.layout.stored_shape(wanted.shape);
            if stored.dims() != expected {
                return Err(wrong_shape(source, key, expected, stored.dims().to_vec()));
            }
            undo_layout(stored.clone(), key.layout, wanted.shape)
        })
        .collect()
}

/// The first candidate that is there in the shape its layout asks for.
fn find<'a>(source: &dyn StoredTensors, wanted: &Wanted<'a>) -> Result<&'a WeightKey> {
    let mut misfit = None;
    for key in wanted.keys {
        let Some(stored) = source.shape(&key.name) else {
            continue;
        };
        let expected = key.layout.stored_shape(wanted.shape);
        if stored == expected && elements(&stored) == elements(wanted.shape) {
            return Ok(key);
        }
        misfit.get_or_insert((key, expected, stored));
    }
    Err(match misfit {
        Some((key, expected, stored)) => wrong_shape(source, key, expected, stored),
        None => missing(source, wanted),
    })
}

fn elements(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1, |product: usize, &side| product.checked_mul(side))
}

fn wrong_shape(
    source: &dyn StoredTensors,
    key: &WeightKey,
    expected: Vec<usize>,
    actual: Vec<usize>,
) -> Error {
    Error::TensorShape {
        key: key.name.clone(),
        file: source.place(),
        expected,
        actual,
        hint: None,
    }
}

fn missing(source: &dyn StoredTensors, wanted: &Wanted<'_>) -> Error {
    let mut names = wanted.keys.iter().map(|key| key.name.clone());
    let key = names.next().unwrap_or_default();
    let keys = source.keys();
    Error::MissingTensor {
        nearest: nearest(&key, keys.iter().map(String::as_str), NEAREST),
        tried: names.collect(),
        file: source.place(),
        key,
        hint: None,
    }
}
