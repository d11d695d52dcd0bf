//! Names below a prefix: `module.features.0.weight`, `backbone.0.weight`,
//! `state_dict.net.conv1_1.weight`. All wanted tensors must be below the same
//! one, in the right shapes.

use std::collections::{BTreeMap, HashMap};

use super::stored::StoredTensors;
use super::wanted::Wanted;
use crate::graph::{Found, WeightKey};

/// What PyTorch's wrappers put into names, at any place.
const WRAPPERS: [&str; 4] = [
    "module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// What the names of a file give.
pub(super) enum Resolution {
    /// What the prefix gives that gives the most.
    Best(Partial),
    /// Several prefixes give as much. For a wanted tensor that they give
    /// differently, its names in the file.
    Ambiguous(usize, Vec<String>),
}

/// What one prefix gives.
#[derive(Default)]
pub(super) struct Partial {
    /// By the index of the wanted tensor.
    pub(super) fits: BTreeMap<usize, Fit>,
    /// Tensors of a right name and another shape.
    pub(super) misfits: BTreeMap<usize, Fit>,
    /// Two tensors of the same name, apart from wrappers.
    twins: Option<(usize, [String; 2])>,
}

/// A tensor of the file under one of a wanted tensor's names.
pub(super) struct Fit {
    /// The index of the name; lower is better.
    rank: usize,
    stored: String,
}

impl Fit {
    /// The name in the file, and the layout that its other name has.
    pub(super) fn found(&self, wanted: &Wanted<'_>) -> Option<Found> {
        let key = wanted.keys.get(self.rank)?;
        Some(Found {
            ignored: ignored(&self.stored, &key.name),
            key: WeightKey {
                name: self.stored.clone(),
                layout: key.layout,
            },
        })
    }
}

/// Looks at all prefixes. Where none gives all that is wanted, ambiguity counts
/// only if a part will do.
pub(super) fn resolve(source: &dyn StoredTensors, wanted: &[Wanted<'_>]) -> Resolution {
    let prefixes = by_prefix(source, wanted);
    let most = prefixes.values().map(|partial| partial.fits.len()).max();
    let mut best: Vec<Partial> = prefixes.into_values().collect();
    best.retain(|partial| Some(partial.fits.len()) == most);
    if !wanted.iter().any(|wanted| wanted.is_optional) && most != Some(wanted.len()) {
        return Resolution::Best(best.into_iter().next().unwrap_or_default());
    }
    if let Some((index, names)) = best.iter().find_map(|partial| partial.twins.clone()) {
        return Resolution::Ambiguous(index, names.to_vec());
    }
    for index in 0..wanted.len() {
        let names = best.iter().filter_map(|partial| partial.fits.get(&index));
        let mut names: Vec<String> = names.map(|fit| fit.stored.clone()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() > 1 {
            return Resolution::Ambiguous(index, names);
        }
    }
    Resolution::Best(best.into_iter().next().unwrap_or_default())
}

/// What each prefix gives, wrappers left out.
fn by_prefix(source: &dyn StoredTensors, wanted: &[Wanted<'_>]) -> BTreeMap<String, Partial> {
    let mut names: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
    for (index, wanted) in wanted.iter().enumerate() {
        for (rank, key) in wanted.keys.iter().enumerate() {
            names.entry(&key.name).or_default().push((index, rank));
        }
    }
    let longest = names.keys().map(|name| name.len()).max().unwrap_or(0);
    let mut prefixes: BTreeMap<String, Partial> = BTreeMap::new();
    for stored in source.keys() {
        let bare = without_wrappers(&stored);
        for begin in beginnings(&bare, longest) {
            let (prefix, name) = bare.split_at(begin);
            let Some(matches) = names.get(name) else {
                continue;
            };
            let Some(shape) = source.shape(&stored) else {
                continue;
            };
            let partial = prefixes.entry(prefix.to_string()).or_default();
            for &(index, rank) in matches {
                partial.note((index, &wanted[index]), rank, &stored, &shape);
            }
        }
    }
    prefixes
}

impl Partial {
    fn note(
        &mut self,
        (index, wanted): (usize, &Wanted<'_>),
        rank: usize,
        stored: &str,
        shape: &[usize],
    ) {
        let key = &wanted.keys[rank];
        let fits = wanted.fits(key, shape);
        let list = match fits {
            true => &mut self.fits,
            false if key.is_index() => return,
            false => &mut self.misfits,
        };
        let known = list.get(&index);
        if known.is_none_or(|known| rank < known.rank) {
            let stored = stored.to_string();
            list.insert(index, Fit { rank, stored });
            self.twins.take_if(|(twin, _)| fits && *twin == index);
        } else if let Some(known) = known.filter(|known| fits && known.rank == rank) {
            self.twins = Some((index, [known.stored.clone(), stored.to_string()]));
        }
    }
}

fn without_wrappers(name: &str) -> String {
    let parts = name.split('.').filter(|part| !WRAPPERS.contains(part));
    parts.collect::<Vec<_>>().join(".")
}

/// Where the last parts of a name begin, up to this many bytes before its end.
fn beginnings(name: &str, longest: usize) -> impl Iterator<Item = usize> {
    let ends = name.rmatch_indices(['.', '/']).map(|(at, _)| at + 1);
    let fits = move |&begin: &usize| name.len() - begin <= longest;
    ends.chain([0]).take_while(fits)
}

/// The parts of a stored name that the other name lacks.
fn ignored(stored: &str, name: &str) -> String {
    if let Some(prefix) = stored.strip_suffix(name) {
        return prefix.to_string();
    }
    let mut kept = name.split('.').rev().peekable();
    let mut left: Vec<&str> = Vec::new();
    for part in stored.split('.').rev() {
        if kept.next_if_eq(&part).is_none() {
            left.push(part);
        }
    }
    left.iter().rev().map(|part| format!("{part}.")).collect()
}
