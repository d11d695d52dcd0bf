use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use crate::error::Result;
use crate::graph::Pick;

use super::core::{Given, Program};

/// Programs that a model keeps, the latest used first.
#[derive(Debug, Default)]
pub(in crate::model) struct Programs(Mutex<VecDeque<(Key, Arc<Program>)>>);

/// More than a network is asked for in turn: inputs of a full and of a last
/// batch, in training and in evaluation, and the taps of an explanation.
const KEPT: usize = 8;

/// What a program was compiled for.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    picks: Vec<Pick>,
    given: Option<(Pick, bool)>,
    dims: Vec<usize>,
    is_tracked: bool,
    training: bool,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(in crate::model) struct Asked<'a> {
    pub(in crate::model) x: &'a Tensor,
    pub(in crate::model) picks: &'a [Pick],
    pub(in crate::model) given: Option<Given<'a>>,
    pub(in crate::model) training: bool,
}

impl Asked<'_> {
    /// The value that is given, and whether its gradient is wanted.
    pub(in crate::model) fn given(&self) -> Option<(Pick, bool)> {
        let given = self.given?;
        Some((given.pick, given.value.track_op()))
    }

    fn is(&self, key: &Key) -> bool {
        key.dims == self.x.dims()
            && key.picks == self.picks
            && key.training == self.training
            && key.is_tracked == self.x.track_op()
            && key.given == self.given()
    }

    fn key(&self) -> Key {
        Key {
            picks: self.picks.to_vec(),
            given: self.given(),
            dims: self.x.dims().to_vec(),
            is_tracked: self.x.track_op(),
            training: self.training,
        }
    }
}

impl Programs {
    /// The program for what is asked, compiled if it is not kept.
    pub(in crate::model) fn get(
        &self,
        asked: &Asked<'_>,
        compile: impl FnOnce() -> Result<Program>,
    ) -> Result<Arc<Program>> {
        let mut kept = self.lock();
        if let Some(place) = kept.iter().position(|(key, _)| asked.is(key))
            && let Some(found) = kept.remove(place)
        {
            let program = Arc::clone(&found.1);
            kept.push_front(found);
            return Ok(program);
        }
        drop(kept);
        let program = Arc::new(compile()?);
        let mut kept = self.lock();
        kept.push_front((asked.key(), Arc::clone(&program)));
        kept.truncate(KEPT);
        Ok(program)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Program>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::ops::Extent;

    fn program() -> Program {
        Program {
            name: String::new(),
            input: Extent {
                batch: 1,
                channels: 1,
                size: None,
            },
            dtype: DType::F32,
            device: Device::Cpu,
            steps: Vec::new(),
            registers: 0,
            outputs: Vec::new(),
        }
    }

    /// Whether the program for rows of this length had to be compiled.
    fn compiles(programs: &Programs, features: usize) -> bool {
        let x = Tensor::zeros((1, features), DType::F32, &Device::Cpu).unwrap();
        let asked = Asked {
            x: &x,
            picks: &[],
            given: None,
            training: false,
        };
        let mut compiled = false;
        let compile = || {
            compiled = true;
            Ok(program())
        };
        programs.get(&asked, compile).unwrap();
        compiled
    }

    #[test]
    fn the_programs_used_last_are_kept() {
        let programs = Programs::default();
        assert!((1..=KEPT).all(|features| compiles(&programs, features)));
        assert!(!compiles(&programs, 1));
        assert!(compiles(&programs, KEPT + 1));
        // The second was used longest ago.
        assert!(!compiles(&programs, 1) && !compiles(&programs, 3));
        assert!(compiles(&programs, 2));
    }
}
