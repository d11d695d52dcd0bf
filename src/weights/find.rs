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
/// Names are looked for without a prefix first. If not all are there, names below a
/// prefix are tried.
pub(super) fn read_all(
    source: &dyn StoredTensors,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Option<Loaded>>> {
    let found = find_all(source, wanted)?;
    let names = found.iter().flatten();
    let mut names: Vec<&str> = names.map(|found| found.key.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let read = source.read(&names)?;
    let loaded = wanted.iter().zip(&found).map(|(wanted, found)| {
        let Some(found) = found else { return Ok(None) };
        let key = &found.key;
        let index = names.binary_search(&key.name.as_str()).ok();
        let stored = index.and_then(|index| read.get(index));
        let stored = stored.ok_or_else(|| missing(source, wanted))?;
        if !wanted.fits(key, stored.dims()) {
            return Err(wrong_shape(source, key, wanted, stored.dims().to_vec()));
        }
        let tensor = undo_layout(stored.clone(), key.layout, wanted.shape)?;
        let found = found.clone();
        Ok(Some(Loaded { tensor, found }))
    });
    loaded.collect()
}

/// The stored tensor of each parameter; `None` for those that the source may
/// lack.
fn find_all(source: &dyn StoredTensors, wanted: &[Wanted<'_>]) -> Result<Vec<Option<Found>>> {
    let exact = wanted.iter().map(|wanted| {
        let mut keys = wanted.keys.iter();
        let key = keys.find(|key| {
            let stored = source.shape(&key.name);
            stored.is_some_and(|stored| wanted.fits(key, &stored))
        });
        key.map(|key| Found {
            key: key.clone(),
            ignored: String::new(),
        })
    });
    let exact: Vec<Option<Found>> = exact.collect();
    if exact.iter().all(Option::is_some) {
        return Ok(exact);
    }
    let best = match prefix::resolve(source, wanted) {
        Resolution::Best(best) => best,
        Resolution::Ambiguous(index, candidates) => {
            return Err(Error::AmbiguousTensor {
                key: first_name(&wanted[index]),
                file: source.place(),
                candidates,
            });
        }
    };
    let of_best = wanted.iter().enumerate();
    let of_best = of_best.map(|(index, wanted)| best.fits.get(&index)?.found(wanted));
    let found: Vec<Option<Found>> = match best.fits.is_empty() {
        true => exact,
        false => of_best.collect(),
    };
    let is_none = found.iter().all(Option::is_none);
    let lacking = (0..wanted.len()).filter(|&index| found[index].is_none());
    for index in lacking {
        let misfit = best.misfits.get(&index);
        let misfit = misfit.and_then(|fit| fit.found(&wanted[index]));
        let error = not_found(source, &wanted[index], misfit.map(|found| found.key));
        if is_none || !wanted[index].is_optional || matches!(error, Error::TensorShape { .. }) {
            return Err(error);
        }
    }
    Ok(found)
}

fn first_name(wanted: &Wanted<'_>) -> String {
    let key = wanted.keys.first();
    key.map(|key| key.name.clone()).unwrap_or_default()
}

/// Why a parameter is not in a file, which may have a tensor of its name in
/// another shape.
fn not_found(source: &dyn StoredTensors, wanted: &Wanted<'_>, misfit: Option<WeightKey>) -> Error {
    let named = wanted.keys.iter().filter(|key| !key.is_index());
    let mut keys = misfit.iter().chain(named);
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
