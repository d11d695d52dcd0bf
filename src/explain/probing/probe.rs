use std::fmt;

use rayon::prelude::*;

use crate::data::{Dataset, Loader, Targets};
use crate::error::{DataError, Error, Result};
use crate::explain::numbers::{values_of, wide};
use crate::model::Model;
use crate::random::{shuffle, stream};

use super::logistic::{Examples, Logistic};

/// As many classes as a confusion matrix counts: a probe has weights for each.
const MOST_CLASSES: usize = 16_384;

/// Which block of a network a task needs: a linear classifier on the pooled
/// features of each layer, measured on examples that it has not seen.
///
/// Feature maps are averaged over their positions, features brought to mean 0 and
/// deviation 1, and a multinomial logistic regression is fitted to all folds
/// but one; what it gets right of that one counts. Folds hold each class in
/// like fractions and follow from the seed alone. Source: Alain and Bengio,
/// "Understanding Intermediate Layers Using Linear Classifier Probes", 2016.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vgg_surgery::{Probe, TensorDataset, Vgg16};
///
/// let model = Vgg16::options().widths(16).untrained(0)?.build(&Device::Cpu)?;
/// let dark = Tensor::zeros((6, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// let light = Tensor::ones((6, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// let x = Tensor::cat(&[dark, light], 0)?;
/// let classes: Vec<usize> = (0..12).map(|example| example / 6).collect();
/// let data = TensorDataset::new(x, classes)?;
///
/// let report = Probe::new().folds(3).run(&model, &data, ["block1_pool", "block2_pool"])?;
/// assert_eq!(report.best().unwrap().accuracy(), 1.0);
/// println!("{report}");
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Probe {
    folds: usize,
    penalty: f64,
    batch_size: usize,
    seed: u64,
}

/// What [`Probe::run`] found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbeReport {
    /// The layers, in the order asked for.
    pub rows: Vec<ProbeRow>,
    /// Number of examples.
    pub examples: usize,
    /// Number of classes.
    pub classes: usize,
    /// The fraction of examples in the most frequent class: what guessing it gets
    /// right.
    pub chance: f64,
}

/// One layer of a [`ProbeReport`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbeRow {
    /// The layer, as it was asked for.
    pub layer: String,
    /// Number of features.
    pub features: usize,
    /// The fraction of each fold that was classified right, from 0 to 1.
    pub folds: Vec<f64>,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// 5 folds, a penalty of 0.01, batches of 32.
    pub const fn new() -> Self {
        Self {
            folds: 5,
            penalty: 0.01,
            batch_size: 32,
            seed: 0,
        }
    }

    /// Sets the number of folds, at least 2.
    pub const fn folds(mut self, folds: usize) -> Self {
        self.folds = folds;
        self
    }

    /// Sets the penalty on the squares of the classifier's weights.
    pub const fn penalty(mut self, penalty: f64) -> Self {
        self.penalty = penalty;
        self
    }

    /// Sets the number of examples that run at a time.
    pub const fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Sets the seed of the folds.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Probes layers on examples of known classes.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) for fewer than
    /// 2 folds or examples than folds, a penalty that is not above 0, no
    /// layers, targets that are no classes, or a class above 16383;
    /// [`DataError::Empty`]; those of the data set, the layers' names and
    /// [`Model::forward`].
    pub fn run<S: Into<String>>(
        &self,
        model: &Model,
        dataset: &dyn Dataset,
        layers: impl IntoIterator<Item = S>,
    ) -> Result<ProbeReport> {
        let layers: Vec<String> = layers.into_iter().map(Into::into).collect();
        self.check(dataset.len(), layers.len())?;
        let (features, targets) = self.features(model, dataset, &layers)?;
        let classes = targets.iter().max().map_or(0, |&class| class + 1);
        let fold_of = self.assign(&targets, classes);
        let rows = layers.into_iter().zip(&features).map(|(layer, features)| {
            let folds = (0..self.folds).into_par_iter();
            let folds =
                folds.map(|fold| self.measure(features, &targets, (fold_of.as_slice(), fold)));
            ProbeRow {
                layer,
                features: features.first().map_or(0, Vec::len),
                folds: folds.collect(),
            }
        });
        let counts = (0..classes).map(|class| targets.iter().filter(|&&t| t == class).count());
        Ok(ProbeReport {
            rows: rows.collect(),
            examples: targets.len(),
            classes,
            chance: counts.max().unwrap_or(0) as f64 / targets.len() as f64,
        })
    }

    fn check(&self, examples: usize, layers: usize) -> Result<()> {
        if examples == 0 {
            return Err(Error::Data(DataError::Empty));
        }
        if layers == 0 {
            return Err(Error::setting(
                "layers []".to_string(),
                "must name at least one layer",
            ));
        }
        if self.folds < 2 || self.folds > examples {
            return Err(Error::setting(
                format!("folds {} of {examples} examples", self.folds),
                "must be from 2 to the number of examples",
            ));
        }
        if !(self.penalty.is_finite() && self.penalty > 0.0) {
            return Err(Error::setting(
                format!("penalty {}", self.penalty),
                "must be above 0",
            ));
        }
        Ok(())
    }

    /// For each layer the pooled features of every example, and the classes.
    #[allow(clippy::type_complexity)]
    fn features(
        &self,
        model: &Model,
        dataset: &dyn Dataset,
        layers: &[String],
    ) -> Result<(Vec<Vec<Vec<f64>>>, Vec<usize>)> {
        let mut features = vec![Vec::with_capacity(dataset.len()); layers.len()];
        let mut targets = Vec::with_capacity(dataset.len());
        let loader = Loader::for_model(dataset, model).batch_size(self.batch_size);
        for batch in loader.epoch(0) {
            let batch = batch?;
            let Targets::Classes(classes) = &batch.targets else {
                return Err(Error::setting(
                    "a probe's targets".to_string(),
                    "must be one class for each example",
                ));
            };
            if let Some(class) = classes.iter().find(|&&class| class >= MOST_CLASSES) {
                return Err(Error::setting(
                    format!("class {class}"),
                    "is too high for a probe; they are counted from 0 to 16383",
                ));
            }
            targets.extend(classes);
            let taps = model.taps(layers, &batch.inputs)?;
            for ((_, value), rows) in taps.iter().zip(&mut features) {
                let pooled = match value.rank() {
                    4 => wide(value)?.mean((2, 3))?,
                    _ => value.clone(),
                };
                let width = pooled.dim(1)?;
                let values: Vec<f64> = values_of(&pooled)?.into_iter().map(f64::from).collect();
                rows.extend(values.chunks_exact(width).map(<[f64]>::to_vec));
            }
        }
        Ok((features, targets))
    }

    /// The fold of each example: those of a class are shuffled and dealt out
    /// in turn.
    fn assign(&self, targets: &[usize], classes: usize) -> Vec<usize> {
        let mut fold_of = vec![0; targets.len()];
        let mut next = 0;
        for class in 0..classes {
            let mut rng = stream(self.seed, class as u64);
            let mut members: Vec<usize> = (0..targets.len())
                .filter(|&example| targets[example] == class)
                .collect();
            shuffle(&mut members, &mut rng);
            for example in members {
                fold_of[example] = next % self.folds;
                next += 1;
            }
        }
        fold_of
    }

    /// What a classifier learned from the other folds gets right of one.
    fn measure(
        &self,
        features: &[Vec<f64>],
        targets: &[usize],
        (fold_of, fold): (&[usize], usize),
    ) -> f64 {
        let (held, kept): (Vec<usize>, Vec<usize>) =
            (0..targets.len()).partition(|&example| fold_of[example] == fold);
        let scaling = Scaling::of(kept.iter().map(|&example| features[example].as_slice()));
        let scaled: Vec<Vec<f64>> = features.iter().map(|row| scaling.apply(row)).collect();
        let examples = Examples {
            rows: kept
                .iter()
                .map(|&example| scaled[example].as_slice())
                .collect(),
            targets: kept.iter().map(|&example| targets[example]).collect(),
        };
        let classes = targets.iter().max().map_or(0, |&class| class + 1);
        let model = Logistic::fit(&examples, classes, self.penalty);
        let right = held
            .iter()
            .filter(|&&example| model.predict(&scaled[example]) == targets[example]);
        right.count() as f64 / held.len().max(1) as f64
    }
}

/// Brings features to mean 0 and deviation 1; those that never differ to 0.
struct Scaling {
    means: Vec<f64>,
    factors: Vec<f64>,
}

impl Scaling {
    fn of<'a>(rows: impl Iterator<Item = &'a [f64]> + Clone) -> Self {
        let width = rows.clone().next().map_or(0, <[f64]>::len);
        let count = rows.clone().count().max(1) as f64;
        let (mut means, mut squares) = (vec![0.0; width], vec![0.0; width]);
        for row in rows.clone() {
            for (mean, value) in means.iter_mut().zip(row) {
                *mean += value / count;
            }
        }
        for row in rows {
            for ((square, value), mean) in squares.iter_mut().zip(row).zip(&means) {
                *square += (value - mean).powi(2) / count;
            }
        }
        let factor = |square: &f64| {
            if *square > 0.0 {
                1.0 / square.sqrt()
            } else {
                0.0
            }
        };
        Self {
            factors: squares.iter().map(factor).collect(),
            means,
        }
    }

    fn apply(&self, row: &[f64]) -> Vec<f64> {
        let values = row.iter().zip(&self.means).zip(&self.factors);
        values
            .map(|((value, mean), factor)| (value - mean) * factor)
            .collect()
    }
}

impl ProbeRow {
    /// The mean over folds of the fraction classified right, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.folds.iter().sum::<f64>() / self.folds.len().max(1) as f64
    }

    /// The deviation over folds, over n.
    pub fn deviation(&self) -> f64 {
        let mean = self.accuracy();
        let squares: f64 = self.folds.iter().map(|fold| (fold - mean).powi(2)).sum();
        (squares / self.folds.len().max(1) as f64).sqrt()
    }
}

impl ProbeReport {
    /// The layer of the highest accuracy; of equals the first.
    pub fn best(&self) -> Option<&ProbeRow> {
        self.rows.iter().reduce(|best, row| {
            if row.accuracy() > best.accuracy() {
                row
            } else {
                best
            }
        })
    }
}

/// A table: layer, features, accuracy and deviation over folds in per cent.
impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widest = self.rows.iter().map(|row| row.layer.len()).max();
        let width = widest.unwrap_or(0).max("layer".len());
        writeln!(
            f,
            "{:<width$} {:>8} {:>8} {:>7}",
            "layer", "features", "accuracy", "+/-"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:<width$} {:>8} {:>7.1}% {:>6.1}%",
                row.layer,
                row.features,
                100.0 * row.accuracy(),
                100.0 * row.deviation()
            )?;
        }
        write!(
            f,
            "{} examples of {} classes; the most frequent is {:.1}%",
            self.examples,
            self.classes,
            100.0 * self.chance
        )
    }
}
