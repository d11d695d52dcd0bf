use std::collections::BTreeMap;

use candle_core::{DType, Device, Error as CandleError, Tensor, Var};

use crate::error::{Error, Result, TrainingError};

use super::check::non_negative;
use super::fused::{Mode, Preparation};
use super::norm;
use super::rule::{AdamRule, RmsPropRule, SgdRule};
use super::settings::{Convention, Decay, Optimizer};
use super::slots::{Slots, Values, apply};
use super::update::{Clip, Update};

/// An optimizer's settings, and the state of each parameter between steps.
///
/// f32 parameters on the CPU are changed in one pass over gradient, weight and
/// state, others by candle's operators.
///
/// ```
/// use candle_core::{Device, Var};
/// use vgg_surgery::optim::{Clip, OptimizerState, Update};
/// use vgg_surgery::Sgd;
///
/// let w = Var::new(&[1.0f32, 2.0], &Device::Cpu)?;
/// let mut optimizer = OptimizerState::new(Sgd::new(0.5));
/// let gradients = w.sqr()?.sum_all()?.backward()?;
/// let gradient = gradients.get(&w).unwrap();
/// let update = Update { name: "w", variable: &w, gradient, learning_rate: 0.5, decay: None };
/// optimizer.step(&[update], Clip::None)?;
/// assert_eq!(w.to_vec1::<f32>()?, [0.0, 0.0]);
/// # Ok::<(), vgg_surgery::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct OptimizerState {
    optimizer: Optimizer,
    slots: BTreeMap<String, Slots>,
}

impl OptimizerState {
    /// An optimizer without state.
    pub fn new(optimizer: impl Into<Optimizer>) -> Self {
        Self {
            optimizer: optimizer.into(),
            slots: BTreeMap::new(),
        }
    }

    /// The settings.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Sets the learning rate and keeps the state.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.optimizer.set_learning_rate(learning_rate);
    }

    /// Replaces the settings. The state is kept if it means the same to the new
    /// optimizer, for example after a change of the learning rate. Otherwise, for
    /// example if the kind of optimizer changes, it is dropped.
    pub fn set_optimizer(&mut self, optimizer: impl Into<Optimizer>) {
        let optimizer = optimizer.into();
        if slot_meaning(&optimizer) != slot_meaning(&self.optimizer) {
            self.slots.clear();
        }
        self.optimizer = optimizer;
    }

    /// Takes one step with all of these parameters.
    ///
    /// # Errors
    /// Before anything is changed:
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting) if a setting
    /// or a learning rate is invalid, [`Error::Candle`] if a gradient has
    /// another shape than its parameter or is on another device,
    /// [`Error::Unsupported`] if the state under a name belongs to another
    /// parameter, [`TrainingError::NonFiniteGradient`] if a gradient is NaN or
    /// infinite, and [`TrainingError::NonFiniteStep`] if a parameter or its state would
    /// become so. Later [`Error::Candle`] if the device fails.
    pub fn step(&mut self, updates: &[Update<'_>], clip: Clip) -> Result<()> {
        self.optimizer.check()?;
        clip.check()?;
        for update in updates {
            self.check(update)?;
        }
        let scale = clip.scale(updates)?;
        let prepared = updates.iter().map(|update| {
            let preparation = self.preparation(update, clip, scale)?;
            Ok((update, preparation))
        });
        let prepared = prepared.collect::<Result<Vec<_>>>()?;
        let tried = self.try_all(&prepared);
        if tried.is_err() {
            // What was made for parameters that never took a step.
            self.slots.retain(|_, slots| slots.steps > 0);
            return tried;
        }
        for (update, preparation) in prepared {
            self.step_one(Mode::Take, update, preparation)?;
        }
        Ok(())
    }

    fn preparation(&self, update: &Update<'_>, clip: Clip, scale: f64) -> Result<Preparation> {
        let largest = norm::largest(update.gradient)?;
        if !largest.is_finite() {
            return Err(TrainingError::NonFiniteGradient {
                parameter: update.name.to_string(),
                epoch: None,
                batch: None,
            }
            .into());
        }
        let decay = update.decay.unwrap_or(self.optimizer.decay());
        let pull = decay.pull();
        let pulled = match pull {
            0.0 => 0.0,
            _ => pull * norm::largest(update.variable)?,
        };
        Ok(Preparation {
            scale,
            limit: clip.limit(),
            pull,
            shrink: decay.shrink(update.learning_rate),
            largest: (scale * largest).min(clip.limit()) + pulled,
        })
    }

    fn try_all(&mut self, prepared: &[(&Update<'_>, Preparation)]) -> Result<()> {
        for &(update, preparation) in prepared {
            if !self.step_one(Mode::Try, update, preparation)? {
                return Err(TrainingError::NonFiniteStep {
                    parameter: update.name.to_string(),
                    epoch: None,
                    batch: None,
                }
                .into());
            }
        }
        Ok(())
    }

    fn check(&self, update: &Update<'_>) -> Result<()> {
        non_negative("a learning rate", update.learning_rate)?;
        update.decay.map_or(Ok(()), Decay::check)?;
        let (variable, gradient) = (update.variable.as_tensor(), update.gradient);
        let op = "optimizer-step";
        if variable.dims() != gradient.dims() {
            let (lhs, rhs) = (variable.shape().clone(), gradient.shape().clone());
            return Err(CandleError::ShapeMismatchBinaryOp { lhs, rhs, op }.into());
        }
        if !variable.device().same_device(gradient.device()) {
            let (lhs, rhs) = (variable.device().location(), gradient.device().location());
            return Err(CandleError::DeviceMismatchBinaryOp { lhs, rhs, op }.into());
        }
        match self.slots.get(update.name) {
            Some(slots) if !slots.fit(update.variable) => Err(Error::Unsupported {
                what: "take a step",
                reason: format!(
                    "the state of \"{}\" belongs to a parameter of another shape, type or device; \
                     use another name or a new OptimizerState",
                    update.name
                ),
            }),
            _ => Ok(()),
        }
    }

    fn step_one(
        &mut self,
        mode: Mode,
        update: &Update<'_>,
        preparation: Preparation,
    ) -> Result<bool> {
        let count = slot_count(&self.optimizer);
        let slots = match self.slots.get_mut(update.name) {
            Some(slots) => slots,
            None => {
                let slots = Slots::zeros(update.variable, count)?;
                self.slots.entry(update.name.to_string()).or_insert(slots)
            }
        };
        let steps = slots.steps + 1;
        if mode == Mode::Take {
            slots.steps = steps;
        }
        let rate = update.learning_rate;
        match &self.optimizer {
            Optimizer::Sgd(sgd) => {
                let sgd = sgd.clone();
                let rule = (&SgdRule { sgd, rate }, preparation);
                match count {
                    0 => apply::<_, 0>(mode, rule, update, slots),
                    _ => apply::<_, 1>(mode, rule, update, slots),
                }
            }
            Optimizer::RmsProp(rms_prop) => {
                let rms_prop = rms_prop.clone();
                let rule = (&RmsPropRule { rms_prop, rate }, preparation);
                match count {
                    1 => apply::<_, 1>(mode, rule, update, slots),
                    2 => apply::<_, 2>(mode, rule, update, slots),
                    _ => apply::<_, 3>(mode, rule, update, slots),
                }
            }
            Optimizer::Adam(adam) => {
                let rule = (&AdamRule::new(adam, rate, steps), preparation);
                apply::<_, 2>(mode, rule, update, slots)
            }
        }
    }

    /// The whole state as tensors by name, for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Candle`] if the device fails.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = BTreeMap::new();
        for (name, slots) in &self.slots {
            let steps = i64::try_from(slots.steps).unwrap_or(i64::MAX);
            tensors.insert(format!("{name}.steps"), Tensor::new(steps, &Device::Cpu)?);
            let meaning = slot_meaning(&self.optimizer);
            let meaning = Tensor::new(meaning.as_bytes(), &Device::Cpu)?;
            tensors.insert(MEANING.to_string(), meaning);
            match &slots.values {
                Values::Cpu(values) => {
                    for (slot, values) in values.iter().enumerate() {
                        let tensor = Tensor::new(values.as_slice(), &Device::Cpu)?;
                        tensors.insert(format!("{name}.{slot}"), tensor);
                    }
                }
                Values::Tensors(values) => {
                    for (slot, tensor) in values.iter().enumerate() {
                        let tensor = tensor.flatten_all()?.to_device(&Device::Cpu)?;
                        tensors.insert(format!("{name}.{slot}"), tensor);
                    }
                }
            }
        }
        Ok(tensors)
    }

    /// Restores what [`OptimizerState::tensors`] returned for these parameters,
    /// and drops the state of all others.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the tensors come from another optimizer or from
    /// parameters of another shape.
    pub fn restore(
        &mut self,
        tensors: &BTreeMap<String, Tensor>,
        parameters: &[(&str, &Var)],
    ) -> Result<()> {
        let count = slot_count(&self.optimizer);
        let is_own = match tensors.get(MEANING) {
            Some(saved) if saved.rank() == 1 && saved.dtype() == DType::U8 => {
                saved.to_vec1::<u8>()? == slot_meaning(&self.optimizer).as_bytes()
            }
            _ => false,
        };
        let mut restored = BTreeMap::new();
        for &(name, variable) in parameters {
            let Some(steps) = tensors.get(&format!("{name}.steps")) else {
                continue;
            };
            let steps = u64::try_from(steps.to_scalar::<i64>()?).unwrap_or(0);
            let misfit = || misfit(name);
            if !is_own {
                return Err(misfit());
            }
            let mut slots = Slots::zeros(variable, count)?;
            slots.steps = steps;
            for slot in 0..count {
                let tensor = tensors.get(&format!("{name}.{slot}")).ok_or_else(misfit)?;
                if tensor.elem_count() != variable.elem_count() {
                    return Err(misfit());
                }
                slots.set(slot, tensor, variable)?;
            }
            restored.insert(name.to_string(), slots);
        }
        self.slots = restored;
        Ok(())
    }
}

fn misfit(name: &str) -> Error {
    Error::Unsupported {
        what: "restore the optimizer's state",
        reason: format!(
            "the state saved for \"{name}\" is of another optimizer or shape; resume with the \
             settings that it was saved with"
        ),
    }
}

/// Name of the tensor that holds [`slot_meaning`].
const MEANING: &str = "optimizer";

/// The meaning of the state's values. One optimizer can continue from the state
/// of another only where both mean the same.
fn slot_meaning(optimizer: &Optimizer) -> &'static str {
    match optimizer {
        Optimizer::Sgd(sgd) if sgd.momentum == 0.0 => "sgd",
        Optimizer::Sgd(_) => "sgd with momentum",
        Optimizer::Adam(_) => "adam",
        Optimizer::RmsProp(rms_prop) => {
            // Keras' increments have the learning rate in them.
            let by_keras = rms_prop.convention == Convention::Keras;
            match (rms_prop.momentum != 0.0, rms_prop.centered, by_keras) {
                (false, false, _) => "rmsprop",
                (false, true, _) => "rmsprop, centered",
                (true, false, true) => "rmsprop with keras' momentum",
                (true, false, false) => "rmsprop with pytorch's momentum",
                (true, true, true) => "rmsprop with keras' momentum, centered",
                (true, true, false) => "rmsprop with pytorch's momentum, centered",
            }
        }
    }
}

fn slot_count(optimizer: &Optimizer) -> usize {
    match optimizer {
        Optimizer::Sgd(sgd) => usize::from(sgd.momentum != 0.0),
        Optimizer::RmsProp(rms_prop) => {
            1 + usize::from(rms_prop.momentum != 0.0) + usize::from(rms_prop.centered)
        }
        Optimizer::Adam(_) => 2,
    }
}
