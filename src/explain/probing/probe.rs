use std::fmt;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::data::{Dataset, Loader, Targets};
use crate::error::{DataError, Error, Result, require};
use crate::explain::check::{check_any_layer, check_positive};
use crate::layers::Layer;
use crate::model::Model;
use crate::ops::wide;
use crate::random::{shuffle, stream};

use super::logistic::{Examples, Logistic};

/// The largest number of classes. A classifier has weights for each.
const MOST_CLASSES: usize = 16_384;

/// Finds the block of a network whose features suit a task: the accuracy of a
/// linear classifier on the pooled features of each layer, by cross-validation.
///
/// Feature maps are averaged over their positions and features standardized to mean
/// 0 and deviation 1. A multinomial logistic regression is fitted to all folds but
/// one, and its accuracy is measured on that one. Classes are spread evenly over
/// the folds, which depend on the seed alone. Source: Alain and Bengio,
/// "Understanding Intermediate Layers Using Linear Classifier Probes", 2016.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use vgg_surgery::explain::Probe;
/// use vgg_surgery::{TensorDataset, Vgg16};
///
/// let model = Vgg16::options().widths(16).untrained(0)?.build(&Device::Cpu)?;
/// let dark = Tensor::zeros((6, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// let light = Tensor::ones((6, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// let x = Tensor::cat(&[dark, light], 0)?;
/// let classes: Vec<usize> = (0..12).map(|example| example / 6).collect();
/// let data = TensorDataset::new(x, classes)?;
///
/// let report = Probe::new().folds(3).run(&model, &data)?;
/// assert_eq!(report.rows.len(), 5); // block1_pool to block5_pool
/// assert_eq!(report.best().unwrap().accuracy(), 1.0);
/// println!("{report}");
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Probe {
    layers: Option<Vec<String>>,
    folds: usize,
    penalty: f64,
    batch_size: usize,
    seed: u64,
}

/// The result of [`Probe::run`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbeReport {
    /// The layers, in the order they were probed.
    pub rows: Vec<ProbeRow>,
    /// Number of examples.
    pub examples: usize,
    /// Number of classes.
    pub classes: usize,
    /// The fraction of examples in the most frequent class: the accuracy of
    /// always guessing it.
    pub chance: f64,
}

/// One layer of a [`ProbeReport`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbeRow {
    /// The layer's name.
    pub layer: String,
    /// Number of features.
    pub features: usize,
    /// The accuracy on each fold, from 0 to 1.
    pub folds: Vec<f64>,
}

impl Default for Probe {
    fn default() -> Self {
        Self::new()
    }
}

impl Probe {
    /// All max and average pools, 5 folds, a penalty of 0.01, batches of 32.
    pub const fn new() -> Self {
        Self {
            layers: None,
            folds: 5,
            penalty: 0.01,
            batch_size: 32,
            seed: 0,
        }
    }

    /// Sets the layers to probe; all max and average pools by default.
    pub fn layers<S: Into<String>>(mut self, layers: impl IntoIterator<Item = S>) -> Self {
        self.layers = Some(layers.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the number of folds, at least 2.
    pub fn folds(mut self, folds: usize) -> Self {
        self.folds = folds;
        self
    }

    /// Sets the penalty on the squared weights of the classifier.
    pub fn penalty(mut self, penalty: f64) -> Self {
        self.penalty = penalty;
        self
    }

    /// Sets the batch size.
    pub fn batch_size(mut self, batch_size: usize) -> Self {
        self.batch_size = batch_size;
        self
    }

    /// Sets the seed of the folds.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Probes the layers with examples whose classes are known.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) for fewer than
    /// 2 folds, fewer examples than folds, a penalty that is not above 0, no
    /// layers, targets that are not classes, or a class above 16383;
    /// [`DataError::Empty`]; the errors of the data set, [`Model::taps`] and
    /// [`Model::forward`].
    pub fn run(&self, model: &Model, dataset: &dyn Dataset) -> Result<ProbeReport> {
        let layers = self.layers.clone().unwrap_or_else(|| pools(model));
        self.check(dataset.len(), &layers)?;
        let (features, targets) = self.features(model, dataset, &layers)?;
        let classes = targets.iter().max().map_or(0, |&class| class + 1);
        let fold_of = self.assign(&targets, classes);
        let rows = layers.into_iter().zip(&features).map(|(layer, features)| {
            let folds = (0..self.folds).into_par_iter();
            let folds = folds.map(|fold| {
                let is_held: Vec<bool> = fold_of.iter().map(|&of| of == fold).collect();
                self.accuracy(features, &targets, &is_held)
            });
            Ok(ProbeRow {
                layer,
                features: features.dim(1)?,
                folds: folds.collect::<Result<_>>()?,
            })
        });
        let counts = (0..classes).map(|class| targets.iter().filter(|&&t| t == class).count());
        Ok(ProbeReport {
            rows: rows.collect::<Result<_>>()?,
            examples: targets.len(),
            classes,
            chance: counts.max().unwrap_or(0) as f64 / targets.len() as f64,
        })
    }

    fn check(&self, examples: usize, layers: &[String]) -> Result<()> {
        if examples == 0 {
            return Err(Error::Data(DataError::Empty));
        }
        check_any_layer("layers", layers)?;
        require(
            (2..=examples).contains(&self.folds),
            format_args!("folds {} of {examples} examples", self.folds),
            "must be from 2 to the number of examples",
        )?;
        check_positive("penalty", self.penalty)
    }

    /// The pooled features of each layer, `(N, F)` in f64, and the classes.
    fn features(
        &self,
        model: &Model,
        dataset: &dyn Dataset,
        layers: &[String],
    ) -> Result<(Vec<Tensor>, Vec<usize>)> {
        let mut batches = vec![Vec::new(); layers.len()];
        let mut targets = Vec::with_capacity(dataset.len());
        let loader = Loader::for_model(dataset, model).batch_size(self.batch_size);
        for batch in loader.epoch(0) {
            let batch = batch?;
            let Targets::Classes(classes) = &batch.targets else {
                return Err(Error::setting(
                    "a probe's targets",
                    "must be one class for each example",
                ));
            };
            if let Some(class) = classes.iter().find(|&&class| class >= MOST_CLASSES) {
                return Err(Error::setting(
                    format!("class {class}"),
                    "is too large for a probe: classes are numbered from 0 to 16383",
                ));
            }
            targets.extend(classes);
            let taps = model.taps(layers, &batch.inputs)?;
            for ((_, value), pooled) in taps.iter().zip(&mut batches) {
                let value = match value.rank() {
                    4 => wide(value)?.mean((2, 3))?,
                    _ => value.clone(),
                };
                let value = value.detach().to_device(&Device::Cpu)?;
                pooled.push(value.to_dtype(DType::F64)?);
            }
        }
        let features = batches.iter().map(|batches| Tensor::cat(batches, 0));
        Ok((features.collect::<candle_core::Result<_>>()?, targets))
    }

    /// The fold of each example. The examples of a class are shuffled and assigned
    /// to the folds in turn.
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

    /// The accuracy on held-out examples of a classifier fitted to the others.
    fn accuracy(&self, features: &Tensor, targets: &[usize], is_held: &[bool]) -> Result<f64> {
        let (held, kept): (Vec<usize>, Vec<usize>) =
            (0..targets.len()).partition(|&example| is_held[example]);
        let rows = standardized(features, &kept)?;
        let examples = Examples {
            rows: kept
                .iter()
                .map(|&example| rows[example].as_slice())
                .collect(),
            targets: kept.iter().map(|&example| targets[example]).collect(),
        };
        let classes = targets.iter().max().map_or(0, |&class| class + 1);
        let model = Logistic::fit(&examples, classes, self.penalty);
        let right = held
            .iter()
            .filter(|&&example| model.predict(&rows[example]) == targets[example]);
        Ok(right.count() as f64 / held.len().max(1) as f64)
    }
}

fn pools(model: &Model) -> Vec<String> {
    let nodes = model.graph().nodes();
    let pools =
        nodes.filter(|node| matches!(node.layer(), Layer::MaxPool2d(_) | Layer::AvgPool2d(_)));
    pools.map(|node| node.name().to_string()).collect()
}

/// Scales features to mean 0 and deviation 1 over `kept`; constant ones become 0.
fn standardized(features: &Tensor, kept: &[usize]) -> Result<Vec<Vec<f64>>> {
    let kept: Vec<u32> = kept.iter().map(|&example| example as u32).collect();
    let kept = features.index_select(&Tensor::new(kept, &Device::Cpu)?, 0)?;
    let means = kept.mean_keepdim(0)?;
    let squares = kept.broadcast_sub(&means)?.sqr()?.mean_keepdim(0)?;
    let factors = squares
        .eq(0.0)?
        .where_cond(&squares.zeros_like()?, &squares.sqrt()?.recip()?)?;
    let centered = features.broadcast_sub(&means)?;
    Ok(centered.broadcast_mul(&factors)?.to_vec2()?)
}

impl ProbeRow {
    /// The mean accuracy over the folds, from 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.folds.iter().sum::<f64>() / self.folds.len().max(1) as f64
    }

    /// The standard deviation over the folds, divided by n.
    pub fn deviation(&self) -> f64 {
        let mean = self.accuracy();
        let squares: f64 = self.folds.iter().map(|fold| (fold - mean).powi(2)).sum();
        (squares / self.folds.len().max(1) as f64).sqrt()
    }
}

impl ProbeReport {
    /// The layer with the highest accuracy; the first among equals.
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

/// A table of layers, features, accuracy and standard deviation in percent.
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
