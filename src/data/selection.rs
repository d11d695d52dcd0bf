//! Chooses the examples of a part of a data set.

use std::collections::BTreeMap;

use crate::error::{DataError, Error, Result};
use crate::random::shuffle;

use super::random::{Purpose, stream};

pub(super) fn check_fraction(fraction: f64) -> Result<()> {
    if fraction > 0.0 && fraction < 1.0 {
        return Ok(());
    }
    Err(Error::setting(
        format!("a fraction of {fraction}"),
        "splits nothing; use one between 0 and 1",
    ))
}

/// Two sorted parts: this fraction of each group, and the rest.
pub(super) fn split(
    groups: Vec<Vec<usize>>,
    fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let count: usize = groups.iter().map(Vec::len).sum();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (group, mut members) in groups.into_iter().enumerate() {
        shuffle(
            &mut members,
            &mut stream(Purpose::Selection, seed, group as u64, 0),
        );
        // A group of two or more has examples in both parts.
        let most = members.len().saturating_sub(1).max(1);
        let taken = (members.len() as f64 * fraction).round() as usize;
        let rest = members.split_off(taken.clamp(1, most).min(members.len()));
        first.append(&mut members);
        second.extend(rest);
    }
    if first.is_empty() || second.is_empty() {
        return Err(Error::setting(
            format!("a fraction of {fraction} of {count} examples"),
            "leaves one part empty; there are too few",
        ));
    }
    first.sort_unstable();
    second.sort_unstable();
    Ok((first, second))
}

/// Sorted. `name` names a class for an error.
pub(super) fn per_class(
    groups: BTreeMap<usize, Vec<usize>>,
    count: usize,
    seed: u64,
    name: impl Fn(usize) -> String,
) -> Result<Vec<usize>> {
    let mut chosen = Vec::new();
    for (class, mut members) in groups {
        if members.len() < count {
            return Err(Error::Data(DataError::TooFewExamples {
                class: name(class),
                wanted: count,
                found: members.len(),
            }));
        }
        shuffle(
            &mut members,
            &mut stream(Purpose::Selection, seed, class as u64, 1),
        );
        chosen.extend_from_slice(&members[..count]);
    }
    chosen.sort_unstable();
    Ok(chosen)
}
