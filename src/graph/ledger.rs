//! The ledger: an entry for each edit, and nothing else that records history.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use super::reports::{aligned, with_commas};

/// What an edit promises about the function that the network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Contract {
    /// Every layer that is left computes the same values, up to rounding in their
    /// type.
    Exact,
    /// Values differ, but none of them comes from a parameter drawn at random.
    Approximate,
    /// Parameters are drawn at random, and must be trained.
    #[serde(alias = "reinitialising")]
    Reinitializing,
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Approximate => "approximate",
            Self::Reinitializing => "reinitializing",
        })
    }
}

/// One edit: its call, its layers, its contract, and numbers of values that it
/// kept, derived, drew and dropped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Operation {
    /// The edit as it was called: `truncate("block2_pool")`.
    pub what: String,
    /// The layers that it brought, changed or took away, in the graph's order.
    pub layers: Vec<String>,
    /// What it promises.
    pub contract: Contract,
    /// Values that were there before and still are.
    pub kept: u64,
    /// Values computed from those before.
    pub derived: u64,
    /// Values drawn at random.
    pub new: u64,
    /// Values that are no longer there.
    pub dropped: u64,
    /// How far the derived weights are from the weights before: the norm of the
    /// difference as a fraction of the norm, if the edit knows it.
    pub error: Option<f64>,
    /// The parameters that are no longer there. Those that it drew or derived
    /// name it by its index in the ledger.
    #[serde(rename = "gone", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) dropped_parameters: Vec<DroppedParameter>,
}

impl Operation {
    /// An edit of which no numbers are known.
    pub(super) fn without_counts(what: String, layers: Vec<String>, contract: Contract) -> Self {
        Self {
            what,
            layers,
            contract,
            kept: 0,
            derived: 0,
            new: 0,
            dropped: 0,
            error: None,
            dropped_parameters: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DroppedParameter {
    pub(super) layer: String,
    pub(super) parameter: String,
    pub(super) shape: Vec<usize>,
}

/// The edits that made a graph what it is, in order. Displays as a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Operations(pub(super) Vec<Operation>);

impl Operations {
    /// The edit of an entry as it was called.
    pub(crate) fn what(&self, entry: Option<usize>) -> &str {
        let entry = entry.and_then(|entry| self.get(entry));
        entry.map_or("an edit of another network", |entry| &entry.what)
    }

    /// The index of the edit that was called so. One that is not there is
    /// added: an early file may name an edit of another network.
    pub(crate) fn entry_for(&mut self, what: &str) -> usize {
        let known = self.iter().position(|entry| entry.what == what);
        known.unwrap_or_else(|| {
            let (what, layers) = (what.to_string(), Vec::new());
            self.push(Operation::without_counts(
                what,
                layers,
                Contract::Approximate,
            ))
        })
    }

    pub(super) fn push(&mut self, entry: Operation) -> usize {
        self.0.push(entry);
        self.len() - 1
    }

    /// As [`Operations::push`], unless the same edit is there.
    pub(crate) fn find_or_push(&mut self, entry: Operation) -> usize {
        let same = self.iter().position(|known| {
            known.what == entry.what
                && known.layers == entry.layers
                && known.contract == entry.contract
        });
        same.unwrap_or_else(|| self.push(entry))
    }
}

impl Deref for Operations {
    type Target = [Operation];

    fn deref(&self) -> &[Operation] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Operations {
    type Item = &'a Operation;
    type IntoIter = std::slice::Iter<'a, Operation>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "Operation",
            "Where",
            "Contract",
            "Kept",
            "Derived",
            "New",
            "Dropped",
            "Weights off",
        ];
        let mut cells = vec![header.map(String::from).to_vec()];
        let with_errors = self.iter().any(|operation| operation.error.is_some());
        cells.extend(self.iter().map(|operation| {
            let place = match operation.layers.as_slice() {
                [] => String::new(),
                [only] => only.clone(),
                [first, .., last] => format!("{first} .. {last} ({})", operation.layers.len()),
            };
            vec![
                operation.what.clone(),
                place,
                operation.contract.to_string(),
                with_commas(operation.kept),
                with_commas(operation.derived),
                with_commas(operation.new),
                with_commas(operation.dropped),
                operation
                    .error
                    .map_or_else(String::new, |error| format!("{error:.1e}")),
            ]
        }));
        if !with_errors {
            cells
                .iter_mut()
                .for_each(|row| row.truncate(header.len() - 1));
        }
        f.write_str(&aligned(&cells, 3..header.len()))
    }
}
