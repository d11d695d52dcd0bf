use std::fmt;

use serde::{Deserialize, Serialize};

/// As many classes as a table of counts takes 2 GiB for.
const MOST_CLASSES: usize = 16_384;

/// How often examples of each class were told to be of each class.
///
/// ```
/// use vgg_surgery::ConfusionMatrix;
///
/// let mut confusion = ConfusionMatrix::new(2);
/// for (actual, told) in [(0, 0), (0, 1), (1, 1), (1, 1)] {
///     confusion.count(actual, told);
/// }
/// assert_eq!(confusion.get(0, 1), 1);
/// assert_eq!(confusion.recall(0), 0.5);
/// assert_eq!(confusion.precision(1), 2.0 / 3.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Counts")]
pub struct ConfusionMatrix {
    classes: usize,
    /// Row by row, a row for each class that examples are of.
    counts: Vec<u64>,
}

/// A matrix as it was written.
#[derive(Deserialize)]
struct Counts {
    classes: usize,
    counts: Vec<u64>,
}

impl TryFrom<Counts> for ConfusionMatrix {
    type Error = String;

    fn try_from(written: Counts) -> Result<Self, String> {
        let Counts { classes, counts } = written;
        if classes.checked_mul(classes) != Some(counts.len()) {
            let found = counts.len();
            return Err(format!("{found} counts are not those of {classes} classes"));
        }
        let total = counts.iter().try_fold(0, |sum: u64, &n| sum.checked_add(n));
        if total.is_none() {
            return Err("the counts of examples add up to more than there can be".to_string());
        }
        Ok(Self { classes, counts })
    }
}

impl ConfusionMatrix {
    /// Zeros for so many classes, of which the first 16,384 are counted.
    pub fn new(classes: usize) -> Self {
        let classes = classes.min(MOST_CLASSES);
        Self {
            classes,
            counts: vec![0; classes * classes],
        }
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Counts one example; one of a class beyond those there are is left out.
    pub fn count(&mut self, actual: usize, told: usize) {
        if actual < self.classes && told < self.classes {
            let count = &mut self.counts[actual * self.classes + told];
            *count = count.saturating_add(1);
        }
    }

    /// Examples of class `actual` that were told to be of class `told`; 0
    /// beyond the classes there are.
    pub fn get(&self, actual: usize, told: usize) -> u64 {
        if actual < self.classes && told < self.classes {
            self.counts[actual * self.classes + told]
        } else {
            0
        }
    }

    /// The share of what was told to be of this class that is of it; 0 if
    /// nothing was.
    pub fn precision(&self, class: usize) -> f64 {
        let told = (0..self.classes).map(|actual| self.get(actual, class));
        share(self.get(class, class), total(told))
    }

    /// The share of this class's examples that were told to be of it; 0 if
    /// there were none.
    pub fn recall(&self, class: usize) -> f64 {
        let actual = (0..self.classes).map(|told| self.get(class, told));
        share(self.get(class, class), total(actual))
    }

    /// The harmonic mean of precision and recall; 0 if both are.
    pub fn f1(&self, class: usize) -> f64 {
        let (precision, recall) = (self.precision(class), self.recall(class));
        if precision + recall == 0.0 {
            return 0.0;
        }
        2.0 * precision * recall / (precision + recall)
    }

    /// The share of examples whose class was told.
    pub fn accuracy(&self) -> f64 {
        let right = (0..self.classes).map(|class| self.get(class, class));
        share(total(right), total(self.counts.iter().copied()))
    }

    /// The mean over the classes, or that of class 1 alone.
    pub(super) fn mean(&self, is_single: bool, measure: impl Fn(&Self, usize) -> f64) -> f64 {
        if is_single {
            return measure(self, 1);
        }
        let sum: f64 = (0..self.classes).map(|class| measure(self, class)).sum();
        sum / self.classes.max(1) as f64
    }
}

fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// A table, a row for each class that examples are of.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.counts.iter().copied().max().unwrap_or(0);
        let width = widest.max(self.classes as u64).to_string().len();
        write!(f, "{:>width$} |", "")?;
        for told in 0..self.classes {
            write!(f, " {told:>width$}")?;
        }
        for actual in 0..self.classes {
            write!(f, "\n{actual:>width$} |")?;
            for told in 0..self.classes {
                write!(f, " {:>width$}", self.get(actual, told))?;
            }
        }
        Ok(())
    }
}
