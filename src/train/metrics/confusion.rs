use std::fmt;

use serde::{Deserialize, Serialize};

/// The number of classes whose table of counts takes 2 GiB.
const MOST_CLASSES: usize = 16_384;

/// How often each class was predicted for examples of each class.
///
/// ```
/// use vgg_surgery::train::ConfusionMatrix;
///
/// let mut confusion = ConfusionMatrix::new(2);
/// for (actual, predicted) in [(0, 0), (0, 1), (1, 1), (1, 1)] {
///     confusion.count(actual, predicted);
/// }
/// assert_eq!(confusion.get(0, 1), 1);
/// assert_eq!(confusion.recall(0), 0.5);
/// assert_eq!(confusion.precision(1), 2.0 / 3.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Counts")]
pub struct ConfusionMatrix {
    classes: usize,
    /// Row by row, one row for each actual class.
    counts: Vec<u64>,
}

/// A matrix before it is checked.
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
            return Err(format!("{found} counts do not fit {classes} classes"));
        }
        let total = counts.iter().try_fold(0, |sum: u64, &n| sum.checked_add(n));
        if total.is_none() {
            return Err("the counts of examples add up to more than there can be".to_string());
        }
        Ok(Self { classes, counts })
    }
}

impl ConfusionMatrix {
    /// A matrix of zeros for this many classes. Only the first 16,384 classes are
    /// counted.
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

    /// Counts one example, unless one of the classes is out of range.
    pub fn count(&mut self, actual: usize, predicted: usize) {
        if actual < self.classes && predicted < self.classes {
            let count = &mut self.counts[actual * self.classes + predicted];
            *count = count.saturating_add(1);
        }
    }

    /// Number of examples of class `actual` for which class `predicted` was
    /// predicted; 0 if a class is out of range.
    pub fn get(&self, actual: usize, predicted: usize) -> u64 {
        if actual < self.classes && predicted < self.classes {
            self.counts[actual * self.classes + predicted]
        } else {
            0
        }
    }

    /// The fraction of this class's predictions that are right; 0 if there were
    /// none.
    pub fn precision(&self, class: usize) -> f64 {
        let predicted = (0..self.classes).map(|actual| self.get(actual, class));
        fraction(self.get(class, class), total(predicted))
    }

    /// The fraction of this class's examples that were predicted right; 0 if
    /// there were none.
    pub fn recall(&self, class: usize) -> f64 {
        let actual = (0..self.classes).map(|predicted| self.get(class, predicted));
        fraction(self.get(class, class), total(actual))
    }

    /// The harmonic mean of precision and recall; 0 if both are 0.
    pub fn f1(&self, class: usize) -> f64 {
        let (precision, recall) = (self.precision(class), self.recall(class));
        if precision + recall == 0.0 {
            return 0.0;
        }
        2.0 * precision * recall / (precision + recall)
    }

    /// The fraction of examples that were predicted right.
    pub fn accuracy(&self) -> f64 {
        let right = (0..self.classes).map(|class| self.get(class, class));
        fraction(total(right), total(self.counts.iter().copied()))
    }

    /// Adds the counts of a matrix of as many classes.
    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
    }

    /// Over the classes, or for class 1 if there is only one score.
    pub(super) fn mean(&self, is_binary: bool, measure: impl Fn(&Self, usize) -> f64) -> f64 {
        if is_binary {
            return measure(self, 1);
        }
        let sum: f64 = (0..self.classes).map(|class| measure(self, class)).sum();
        sum / self.classes.max(1) as f64
    }
}

fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

/// A table with a row for each actual class and a column for each predicted one.
impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.counts.iter().copied().max().unwrap_or(0);
        let width = widest.max(self.classes as u64).to_string().len();
        write!(f, "{:>width$} |", "")?;
        for predicted in 0..self.classes {
            write!(f, " {predicted:>width$}")?;
        }
        for actual in 0..self.classes {
            write!(f, "\n{actual:>width$} |")?;
            for predicted in 0..self.classes {
                write!(f, " {:>width$}", self.get(actual, predicted))?;
            }
        }
        Ok(())
    }
}
