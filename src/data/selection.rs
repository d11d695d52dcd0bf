//! Which examples a part of a data set has.

use std::collections::BTreeMap;

use crate::error::{DataError, Error, Result};
use crate::random::shuffle;

use super::random::{Purpose, stream};

pub(super) fn check_share(share: f64) -> Result<()> {
    if share > 0.0 && share < 1.0 {
        return Ok(());
    }
    Err(Error::setting(
        format!("a share of {share}"),
        "splits nothing; use one between 0 and 1",
    ))
}

/// Two parts of the examples, each sorted: this fraction of each group, and the
/// rest.
pub(super) fn split(
    groups: Vec<Vec<usize>>,
    share: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let count: usize = groups.iter().map(Vec::len).sum();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (group, mut members) in groups.into_iter().enumerate() {
        shuffle(
            &mut members,
            &mut stream(Purpose::Selection, seed, group as u64, 0),
        );
        // A class of two or more has examples on both sides.
        let most = members.len().saturating_sub(1).max(1);
        let taken = (members.len() as f64 * share).round() as usize;
        let rest = members.split_off(taken.clamp(1, most).min(members.len()));
        first.append(&mut members);
        second.extend(rest);
    }
    if first.is_empty() || second.is_empty() {
        return Err(Error::setting(
            format!("a share of {share} of {count} examples"),
            "leaves nothing on one side; there are too few",
        ));
    }
    first.sort_unstable();
    second.sort_unstable();
    Ok((first, second))
}

/// So many examples of each class, sorted; `name` is asked for the name of a
/// class that has fewer.
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
