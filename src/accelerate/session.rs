use std::time::Instant;

use candle_core::{DType, Tensor};

use crate::error::{AccelerationError, Error, Result};
use crate::graph::{Graph, Node, NodeId, Precision, Select};
use crate::heal::{Each, Lessons};
use crate::layers::Layer;
use crate::model::Model;
use crate::preprocess::Image;

use super::acceleration::{Acceleration, Budget};
use super::allocate::{Knob, allocate};
use super::closed_form::{ChannelChoice, Course, Sampling, Studied, elimination, study};
use super::cost::{Costs, Speed, speedup};
use super::pruned::Choice;
use super::report::PartReport;
use super::sensitivity::gains;
use super::units::{Unit, units};

/// Networks that are tried until one is as fast as was asked for.
const TRIALS: usize = 8;

/// Parameters from which on the time of a dense layer counts.
const LARGE_DENSE: u64 = 1 << 20;

/// By how much the limit falls at least where it was not enough.
const TIGHTER: f64 = 0.98;

/// How much more speed than was asked for is aimed at, as a fraction of the gain:
/// a machine is never the same twice.
const MARGIN: f64 = 0.08;

/// All that one calibration serves: any number of budgets.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Acceleration,
    pub(super) old: Model,
    /// The old network with everything that all new ones have.
    base: Model,
    pub(super) units: Vec<Unit>,
    /// The layers whose values count: the outputs, and those that were named.
    pub(super) counting: Vec<NodeId>,
    pub(super) lessons: Lessons<'a>,
    pub(super) measured_images: &'a [Image],
    /// The images to measure on.
    pub(super) exam: Lessons<'a>,
    /// One image, `(1, C, H, W)`.
    x: Tensor,
    crops: usize,
    pub(super) studied: Vec<Studied>,
    gains: Vec<f64>,
    costs: Costs,
    pub(super) clock: Clock,
}

impl<'a> Session<'a> {
    pub(super) fn start(
        model: &Model,
        settings: &'a Acceleration,
        images: &'a [Image],
    ) -> Result<Self> {
        settings.check()?;
        let mut clock = Clock::start();
        let old = model.fold_batch_norm()?;
        let staying = chosen(&old, settings.keeping.as_deref())?;
        let mut units = units(old.graph(), &staying.into_iter().collect());
        let counting = counting(&old, settings)?;
        if let Budget::Channels(layers) = &settings.budget {
            units = named(units, layers, old.graph())?;
        }
        if units.is_empty() {
            return Err(AccelerationError::NothingToRemove.into());
        }
        let preprocessing = old.graph().input_preprocessing()?;
        let both = Each {
            new: preprocessing.clone(),
            old: preprocessing,
        };
        let lessons = Lessons::new(images, both.clone(), settings.seed)?;
        let measured = settings.measured.as_deref().unwrap_or(images);
        let exam = Lessons::new(measured, both, settings.seed)?;
        let x = exam.whole(0)?.old;
        let base = with_half_dense(&old, settings)?;
        let costs = costs(&base, &units, settings, &x)?;
        clock.lap("timing");
        let choice = match settings.has_time_for(elimination(&old, &units)) {
            true => ChannelChoice::FittedAgain,
            false => ChannelChoice::Scaled,
        };
        let crops = settings.crops(&x)?;
        let studied = study(&old, &units, &course(&lessons, settings, crops), choice)?;
        clock.lap("calibration");
        let count = settings.crops_of_gains(crops);
        let gains = gains(&old, &counting, (&units, &studied), (&lessons, count))?;
        clock.lap("sensitivity");
        Ok(Self {
            settings,
            old,
            base,
            units,
            counting,
            lessons,
            measured_images: measured,
            exam,
            x,
            crops,
            studied,
            gains,
            costs,
            clock,
        })
    }

    pub(super) fn course(&self) -> Course<'_> {
        course(&self.lessons, self.settings, self.crops)
    }

    /// A batch of the first image.
    pub(super) fn batch(&self, count: usize) -> Result<Tensor> {
        let x = self.x.to_device(self.old.device())?;
        Ok(Tensor::cat(&vec![x; count], 0)?)
    }

    pub(super) fn all_channels(&self) -> Vec<usize> {
        self.units.iter().map(|unit| unit.channels).collect()
    }

    /// The cost of all layers, and of each, for these numbers of channels.
    pub(super) fn cost(&self, widths: &[usize]) -> f64 {
        self.costs.total(widths)
    }

    pub(super) fn layer_costs(&self, widths: &[usize]) -> Vec<(&str, f64)> {
        self.costs.each(widths)
    }

    /// The numbers of channels that a budget allows, and the network that has
    /// them; its filters are the old ones.
    pub(super) fn choose(&mut self, budget: &Budget) -> Result<(Vec<usize>, Model)> {
        let all = self.cost(&self.all_channels());
        let chosen = match budget {
            Budget::Speedup(factor) => self.fast_enough(budget, all / factor)?,
            Budget::Milliseconds(time) => self.fast_enough(budget, *time)?,
            Budget::Macs(factor) | Budget::Parameters(factor) => {
                self.within(budget, all / factor)?
            }
            Budget::R2(_) => self.within(budget, all)?,
            Budget::Channels(layers) => self.with_channels(budget, layers)?,
        };
        self.clock.lap("allocation");
        Ok(chosen)
    }

    fn with_channels(
        &self,
        budget: &Budget,
        layers: &[(String, usize)],
    ) -> Result<(Vec<usize>, Model)> {
        let units = self.units.iter().zip(&self.studied);
        let widths = units.map(|(unit, studied)| {
            let name = self.old.graph().expect_node(unit.layer).name();
            let count = layers.iter().find(|(layer, _)| layer == name);
            let count = count.map_or(unit.channels, |(_, count)| *count);
            let least = studied.curve.least();
            match (least..=unit.channels).contains(&count) {
                true => Ok(count),
                false => Err(out_of_reach(
                    budget,
                    &format!("{least} to {} channels of \"{name}\"", unit.channels),
                )),
            }
        });
        let widths = widths.collect::<Result<Vec<usize>>>()?;
        let network = self.choice(&widths).prune(&self.base)?;
        Ok((widths, network))
    }

    fn within(&self, budget: &Budget, limit: f64) -> Result<(Vec<usize>, Model)> {
        let widths = self.widths(limit);
        let cost = self.cost(&widths);
        if cost > limit * (1.0 + 1e-9) {
            let all = self.cost(&self.all_channels());
            return Err(out_of_reach(
                budget,
                &format!("{:.2} times fewer", all / cost),
            ));
        }
        let network = self.choice(&widths).prune(&self.base)?;
        Ok((widths, network))
    }

    /// As the costs are predicted, the network is measured, and a smaller one
    /// taken until it is as fast as was asked for.
    fn fast_enough(&self, budget: &Budget, limit: f64) -> Result<(Vec<usize>, Model)> {
        let x = self.batch(self.settings.batch)?;
        let mut tighter = limit;
        let mut last: Option<Tried> = None;
        'trials: for _ in 0..TRIALS {
            let mut widths = self.widths(tighter);
            while last.as_ref().is_some_and(|last| last.widths == widths) {
                let narrowest = self.cost(&widths) > tighter;
                if narrowest {
                    break 'trials;
                }
                tighter *= TIGHTER;
                widths = self.widths(tighter);
            }
            let network = self.choice(&widths).prune(&self.base)?;
            let speed = speedup(&self.old, &network, &x, self.settings.runs())?;
            let missed = missed(budget, &speed, MARGIN);
            last = Some(Tried {
                widths,
                network,
                speed,
            });
            if missed <= 1.0 {
                break;
            }
            tighter = (tighter / missed).min(tighter * TIGHTER);
        }
        match last {
            Some(last) if missed(budget, &last.speed, 0.0) <= 1.0 => {
                Ok((last.widths, last.network))
            }
            last => Err(too_slow(budget, last.map(|last| last.speed))),
        }
    }

    fn widths(&self, limit: f64) -> Vec<usize> {
        let parts = self.units.iter().zip(&self.studied).zip(&self.gains);
        let knobs: Vec<Knob<'_>> = parts
            .map(|((unit, studied), &gain)| Knob {
                curve: &studied.curve,
                channels: unit.channels,
                gain,
            })
            .collect();
        allocate(&knobs, &self.costs, limit)
    }

    pub(super) fn choice<'c>(&'c self, widths: &'c [usize]) -> Choice<'c> {
        Choice {
            units: &self.units,
            studied: &self.studied,
            widths,
        }
    }
}

/// A network that was measured.
struct Tried {
    widths: Vec<usize>,
    network: Model,
    speed: Speed,
}

/// How many times as fast a network would have to be to meet a budget with a
/// margin; at most 1 if it does.
fn missed(budget: &Budget, speed: &Speed, margin: f64) -> f64 {
    match budget {
        Budget::Milliseconds(time) => speed.after * (1.0 + margin) / time,
        Budget::Speedup(factor) => (factor + (factor - 1.0) * margin) / speed.ratio,
        _ => 1.0,
    }
}

fn too_slow(budget: &Budget, speed: Option<Speed>) -> Error {
    let best = speed.map_or_else(String::new, |speed| {
        format!("{:.1} ms, {:.2} times as fast", speed.after, speed.ratio)
    });
    out_of_reach(budget, &best)
}

pub(super) fn out_of_reach(budget: &Budget, best: &str) -> Error {
    AccelerationError::OutOfReach {
        budget: budget.to_string(),
        best: best.to_string(),
    }
    .into()
}

fn course<'a>(lessons: &'a Lessons<'a>, settings: &Acceleration, crops: usize) -> Course<'a> {
    Course {
        lessons,
        crops,
        sampling: Sampling {
            count: settings.positions(),
            seed: settings.seed,
        },
    }
}

/// The units of these layers.
fn named(units: Vec<Unit>, layers: &[(String, usize)], graph: &Graph) -> Result<Vec<Unit>> {
    for (layer, _) in layers {
        let id = graph.node(layer.as_str())?.id();
        if !units.iter().any(|unit| unit.layer == id) {
            return Err(graph.illegal(
                id,
                "it can't lose channels: only a convolution of one group can, that nothing but \
                 convolutions read, with pools and activations between",
            ));
        }
    }
    let is_named = |unit: &Unit| {
        let name = graph.expect_node(unit.layer).name();
        layers.iter().any(|(layer, _)| layer == name)
    };
    Ok(units.into_iter().filter(is_named).collect())
}

/// The outputs, and the layers that count beside them.
fn counting(old: &Model, settings: &Acceleration) -> Result<Vec<NodeId>> {
    let mut counting = old.graph().outputs().to_vec();
    for id in chosen(old, settings.preserving.as_deref())? {
        if !counting.contains(&id) {
            counting.push(id);
        }
    }
    Ok(counting)
}

/// The layers of a selection, if there is one.
fn chosen(model: &Model, select: Option<&(dyn Select + Send + Sync)>) -> Result<Vec<NodeId>> {
    Ok(match select {
        Some(select) => {
            let picks = select.select(model.graph())?.picks;
            picks.iter().map(|pick| pick.id).collect()
        }
        None => Vec::new(),
    })
}

/// At small batches dense layers take as long as their weights take to be read.
fn with_half_dense(old: &Model, settings: &Acceleration) -> Result<Model> {
    let is_large = |node: &Node| {
        matches!(node.layer(), Layer::Dense(_)) && node.parameter_count() >= LARGE_DENSE
    };
    let has_large = old.graph().nodes().any(is_large);
    if !settings.half_dense || !settings.budget.is_time() || !has_large || old.dtype() != DType::F32
    {
        return Ok(old.clone());
    }
    let frozen = old.edit(|graph| graph.freeze(is_large))?;
    frozen.quantize_dense(Precision::F16)
}

fn costs(base: &Model, units: &[Unit], settings: &Acceleration, x: &Tensor) -> Result<Costs> {
    match settings.budget {
        Budget::Macs(_) | Budget::Channels(_) => Costs::macs(base.graph(), units, x),
        Budget::Parameters(_) => Costs::parameters(base.graph(), units),
        _ => {
            let x = x.to_device(base.device())?;
            let x = Tensor::cat(&vec![x; settings.batch], 0)?;
            Costs::milliseconds(base, units, &x, settings.layer_runs())
        }
    }
}

/// Seconds by what they were spent on.
pub(super) struct Clock {
    started: Instant,
    last: Instant,
    pub(super) parts: Vec<PartReport>,
}

impl Clock {
    fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last: now,
            parts: Vec::new(),
        }
    }

    pub(super) fn lap(&mut self, part: &str) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        match self.parts.iter_mut().find(|known| known.part == part) {
            Some(known) => known.seconds += seconds,
            None => self.parts.push(PartReport {
                part: part.to_string(),
                seconds,
            }),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
