use std::collections::BTreeMap;
use std::fmt;

use crate::error::{DataError, Error, Result};
use crate::preprocess::Labels;
use crate::random::shuffle;

use super::dataset::{Dataset, check_index};
use super::random::{Purpose, stream};
use super::sample::{Sample, Target};

/// Some of the examples of a data set; see [`Dataset::subset`],
/// [`Dataset::split`] and [`Dataset::per_class`].
#[derive(Clone)]
pub struct Subset<'a> {
    dataset: &'a dyn Dataset,
    indices: Vec<usize>,
}

impl<'a> Subset<'a> {
    pub(super) fn new(dataset: &'a dyn Dataset, indices: Vec<usize>) -> Result<Self> {
        let len = dataset.len();
        for &index in &indices {
            check_index(index, len)?;
        }
        Ok(Self { dataset, indices })
    }

    /// The index of each example in the data set that it is from.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    fn index(&self, index: usize) -> Result<usize> {
        check_index(index, self.indices.len())?;
        Ok(self.indices[index])
    }
}

impl Dataset for Subset<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.dataset.sample(self.index(index)?)
    }

    fn classes(&self) -> Option<&Labels> {
        self.dataset.classes()
    }

    fn class_of(&self, index: usize) -> Option<usize> {
        self.dataset.class_of(*self.indices.get(index)?)
    }

    fn fingerprint(&self, index: usize) -> Option<u64> {
        self.dataset.fingerprint(*self.indices.get(index)?)
    }
}

impl fmt::Debug for Subset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Subset({} of {})",
            self.indices.len(),
            self.dataset.len()
        )
    }
}

pub(super) fn split(
    dataset: &dyn Dataset,
    share: f64,
    seed: u64,
) -> Result<(Subset<'_>, Subset<'_>)> {
    if !(share > 0.0 && share < 1.0) {
        return Err(Error::Data(DataError::InvalidSetting {
            setting: format!("a share of {share}"),
            reason: "splits nothing; use one between 0 and 1",
        }));
    }
    let groups = match class_members(dataset)? {
        Some(groups) => groups.into_values().collect(),
        None => vec![(0..dataset.len()).collect()],
    };
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for (group, mut members) in groups.into_iter().enumerate() {
        let members: &mut Vec<usize> = &mut members;
        shuffle(
            members,
            &mut stream(Purpose::Selection, seed, group as u64, 0),
        );
        // A class of two or more has examples on both sides.
        let most = members.len().saturating_sub(1).max(1);
        let taken = (members.len() as f64 * share).round() as usize;
        let rest = members.split_off(taken.clamp(1, most).min(members.len()));
        first.append(members);
        second.extend(rest);
    }
    if first.is_empty() || second.is_empty() {
        return Err(Error::Data(DataError::InvalidSetting {
            setting: format!("a share of {share} of {} examples", dataset.len()),
            reason: "leaves nothing on one side; there are too few",
        }));
    }
    first.sort_unstable();
    second.sort_unstable();
    Ok((Subset::new(dataset, first)?, Subset::new(dataset, second)?))
}

pub(super) fn per_class(dataset: &dyn Dataset, count: usize, seed: u64) -> Result<Subset<'_>> {
    let Some(groups) = class_members(dataset)? else {
        return Err(Error::Data(DataError::NoClasses));
    };
    let mut chosen = Vec::new();
    for (class, mut members) in groups {
        if members.len() < count {
            let label = dataset.classes().and_then(|labels| labels.get(class));
            return Err(Error::Data(DataError::TooFewExamples {
                class: label.map_or_else(|| class.to_string(), |label| label.name.to_string()),
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
    Subset::new(dataset, chosen)
}

/// The examples of each class, in order; `None` if the targets are no classes.
/// Reads the examples only if the data set does not know without.
fn class_members(dataset: &dyn Dataset) -> Result<Option<BTreeMap<usize, Vec<usize>>>> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..dataset.len() {
        let class = match dataset.class_of(index) {
            Some(class) => class,
            None => match dataset.sample(index)?.target {
                Target::Class(class) => class,
                _ => return Ok(None),
            },
        };
        groups.entry(class).or_default().push(index);
    }
    Ok(Some(groups))
}
