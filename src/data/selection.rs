//! Chooses the examples of a part of a data set.

use std::collections::{BTreeMap, BTreeSet};

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
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (group, mut members) in groups.into_iter().enumerate() {
        shuffle(
            &mut members,
            &mut stream(Purpose::Selection, seed, group as u64, 0),
        );
        let rest = members.split_off(taken(members.len(), fraction));
        first.append(&mut members);
        second.extend(rest);
    }
    sorted_parts([first, second], fraction)
}

/// How many of a number of examples are in the first of two parts: of two or more,
/// both parts have some.
fn taken(count: usize, fraction: f64) -> usize {
    let most = count.saturating_sub(1).max(1);
    let taken = (count as f64 * fraction).round() as usize;
    taken.clamp(1, most).min(count)
}

fn sorted_parts(parts: [Vec<usize>; 2], fraction: f64) -> Result<(Vec<usize>, Vec<usize>)> {
    let [mut first, mut second] = parts;
    if first.is_empty() || second.is_empty() {
        let count = first.len() + second.len();
        return Err(Error::setting(
            format!("a fraction of {fraction} of {count} examples"),
            "leaves one part empty; there are too few",
        ));
    }
    first.sort_unstable();
    second.sort_unstable();
    Ok((first, second))
}

/// The examples of each label, in order.
pub(super) fn members(labels: &[Vec<usize>]) -> BTreeMap<usize, Vec<usize>> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, own) in labels.iter().enumerate() {
        for &label in own {
            members.entry(label).or_default().push(index);
        }
    }
    members
}

/// What each of two parts still lacks of a label, or of all examples.
#[derive(Clone, Copy)]
struct Lack([i64; 2]);

impl Lack {
    fn of(count: usize, fraction: f64) -> Self {
        let first = taken(count, fraction) as i64;
        Self([first, count as i64 - first])
    }

    fn prefers_second(self) -> bool {
        self.0[1] > self.0[0]
    }

    fn is_even(self) -> bool {
        self.0[0] == self.0[1]
    }
}

/// Two sorted parts, of which the first has about this fraction of each label: the
/// iterative stratification of Sechidis, Tsoumakas and Vlahavas (2011). The label with
/// the fewest examples left is next; each of its examples goes to the part that lacks
/// the label most, then to the part that lacks examples most.
pub(super) fn split_labels(
    labels: &[Vec<usize>],
    fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut lacks: BTreeMap<usize, Lack> = members(labels)
        .iter()
        .map(|(&label, members)| (label, Lack::of(members.len(), fraction)))
        .collect();
    let mut of_all = Lack::of(labels.len(), fraction);
    let mut parts = [Vec::new(), Vec::new()];
    let mut place = |index: usize, by: Option<usize>| {
        let own = by.and_then(|label| lacks.get(&label)).copied();
        let lack = own.filter(|lack| !lack.is_even()).unwrap_or(of_all);
        let part = usize::from(lack.prefers_second());
        parts[part].push(index);
        of_all.0[part] -= 1;
        for label in &labels[index] {
            if let Some(lack) = lacks.get_mut(label) {
                lack.0[part] -= 1;
            }
        }
    };
    let mut order: Vec<usize> = (0..labels.len()).collect();
    shuffle(&mut order, &mut stream(Purpose::Selection, seed, 0, 2));
    let mut is_open = vec![true; labels.len()];
    let mut left: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &index in &order {
        for &label in &labels[index] {
            left.entry(label).or_default().push(index);
        }
    }
    while let Some((&label, _)) = left.iter().min_by_key(|(_, members)| members.len()) {
        for index in left.remove(&label).unwrap_or_default() {
            is_open[index] = false;
            place(index, Some(label));
        }
        for members in left.values_mut() {
            members.retain(|&index| is_open[index]);
        }
    }
    for index in order.into_iter().filter(|&index| labels[index].is_empty()) {
        place(index, None);
    }
    sorted_parts(parts, fraction)
}

fn too_few(class: String, wanted: usize, found: usize) -> Error {
    Error::Data(DataError::TooFewExamples {
        class,
        wanted,
        found,
    })
}

/// Sorted. `name` names a label for an error.
pub(super) fn per_label(
    groups: BTreeMap<usize, Vec<usize>>,
    count: usize,
    seed: u64,
    name: impl Fn(usize) -> String,
) -> Result<Vec<usize>> {
    let mut rarest: Vec<(usize, Vec<usize>)> = groups.into_iter().collect();
    rarest.sort_by_key(|(_, members)| members.len());
    let mut chosen = BTreeSet::new();
    for (label, mut members) in rarest {
        if members.len() < count {
            return Err(too_few(name(label), count, members.len()));
        }
        shuffle(
            &mut members,
            &mut stream(Purpose::Selection, seed, label as u64, 1),
        );
        let there = members.iter().filter(|index| chosen.contains(*index));
        let lacking = count.saturating_sub(there.count());
        members.retain(|index| !chosen.contains(index));
        chosen.extend(members.into_iter().take(lacking));
    }
    Ok(chosen.into_iter().collect())
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
            return Err(too_few(name(class), count, members.len()));
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
