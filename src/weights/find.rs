//! Which stored tensor is a parameter: by name and shape, never by order.

use candle_core::Tensor;

use super::convert::undo_layout;
use super::holdings::holdings;
use super::prefix::{self, Resolution};
use super::stored::StoredTensors;
use super::wanted::Wanted;
use crate::error::{Error, Result};
use crate::graph::{Found, WeightKey};
use crate::nearest::nearest;

/// How many near names an error lists.
const NEAREST: usize = 3;

/// A parameter that was read, in its own layout.
pub(crate) struct Loaded {
    pub(crate) tensor: Tensor,
    pub(crate) found: Found,
}

/// Finds, reads and lays out every wanted tensor, in order.
///
/// A name that is wanted is looked for as it is. If not all are there, names
/// below a prefix are tried.
pub(super) fn read_all(source: &dyn StoredTensors, wanted: &[Wanted<'_>]) -> Result<Vec<Loaded>> {
    let found = find_all(source, wanted)?;
    let mut names: Vec<&str> = found.iter().map(|found| found.key.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let read = source.read(&names)?;
    let tensors = wanted.iter().zip(&found).map(|(wanted, found)| {
        let key = &found.key;
        let stored = names
            .binary_search(&key.name.as_str())
            .ok()
            .and_then(|index| read.get(index))
            .ok_or_else(|| missing(source, wanted))?;
        if !wanted.fits(key, stored.dims()) {
            return Err(wrong_shape(source, key, wanted, stored.dims().to_vec()));
        }
        undo_layout(stored.clone(), key.layout, wanted.shape)
    });
    let tensors = tensors.collect::<Result<Vec<_>>>()?;
    let loaded = tensors.into_iter().zip(found);
    Ok(loaded
        .map(|(tensor, found)| Loaded { tensor, found })
        .collect())
}

fn find_all(source: &dyn StoredTensors, wanted: &[Wanted<'_>]) -> Result<Vec<Found>> {
    let exact = wanted.iter().map(|wanted| {
        let mut keys = wanted.keys.iter();
        keys.find(|key| {
            let stored = source.shape(&key.name);
            stored.is_some_and(|stored| wanted.fits(key, &stored))
        })
    });
    let exact: Vec<Option<&WeightKey>> = exact.collect();
    if let Some(keys) = exact.iter().copied().collect::<Option<Vec<_>>>() {
        let as_is = |key: &WeightKey| Found {
            key: key.clone(),
            ignored: String::new(),
        };
        return Ok(keys.into_iter().map(as_is).collect());
    }
    match prefix::resolve(source, wanted) {
        Resolution::Complete(found) => Ok(found),
        Resolution::Ambiguous(index, candidates) => Err(Error::AmbiguousTensor {
            key: first_name(&wanted[index]),
            file: source.place(),
            candidates,
        }),
        Resolution::Partial(best) => {
            let is_there = |index: usize| match best.fits.is_empty() {
                true => exact[index].is_some(),
                false => best.fits.contains_key(&index),
            };
            let lacks = (0..wanted.len()).find(|&index| !is_there(index));
            let index = lacks.unwrap_or_default();
            let misfit = best.misfits.get(&index);
            let misfit = misfit.and_then(|fit| fit.found(&wanted[index]));
            Err(not_found(
                source,
                &wanted[index],
                misfit.map(|found| found.key),
            ))
        }
    }
}

fn first_name(wanted: &Wanted<'_>) -> String {
    let key = wanted.keys.first();
    key.map(|key| key.name.clone()).unwrap_or_default()
}

/// Why a parameter is not in a file, which may have a tensor of its name in
/// another shape.
fn not_found(source: &dyn StoredTensors, wanted: &Wanted<'_>, misfit: Option<WeightKey>) -> Error {
    let mut keys = misfit.iter().chain(wanted.keys);
    let misfit = keys.find_map(|key| Some((key, source.shape(&key.name)?)));
    match misfit {
        Some((key, stored)) => wrong_shape(source, key, wanted, stored),
        None => missing(source, wanted),
    }
}

fn wrong_shape(
    source: &dyn StoredTensors,
    key: &WeightKey,
    wanted: &Wanted<'_>,
    actual: Vec<usize>,
) -> Error {
    Error::TensorShape {
        key: key.name.clone(),
        file: source.place(),
        expected: key.layout.stored_shape(wanted.shape),
        actual,
        hint: None,
    }
}

fn missing(source: &dyn StoredTensors, wanted: &Wanted<'_>) -> Error {
    let key = first_name(wanted);
    let mut keys = source.keys();
    keys.sort_unstable();
    let names = wanted.keys.iter().skip(1);
    Error::MissingTensor {
        nearest: nearest(&key, keys.iter().map(String::as_str), NEAREST),
        tried: names.map(|key| key.name.clone()).collect(),
        file: source.place(),
        holds: Box::new(holdings(source, &keys)),
        key,
        hint: None,
    }
}
