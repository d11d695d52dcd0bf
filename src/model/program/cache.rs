use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::graph::Pick;
use crate::ops::Extent;

use super::core::Program;

/// The request that a program is compiled for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::model) struct Request {
    /// The sizes of the input, which the graph's input accepts.
    pub(in crate::model) input: Extent,
    /// Whether the gradient of the input is wanted.
    pub(in crate::model) is_tracked: bool,
    pub(in crate::model) picks: Vec<Pick>,
    /// A value that the caller provides, and whether its gradient is wanted.
    pub(in crate::model) given: Option<(Pick, bool)>,
    pub(in crate::model) training: bool,
}

/// The programs that a model caches, the most recently used first.
#[derive(Debug, Default)]
pub(in crate::model) struct Programs(Mutex<VecDeque<(Request, Arc<Program>)>>);

/// Enough for alternating requests: full and last batches, in training and
/// evaluation, and the taps of an explanation.
const KEPT: usize = 8;

impl Programs {
    /// The program for a request; it is compiled if it is not cached.
    pub(in crate::model) fn get(
        &self,
        request: Request,
        compile: impl FnOnce(&Request) -> Result<Program>,
    ) -> Result<Arc<Program>> {
        if let Some(program) = self.kept(&request) {
            return Ok(program);
        }
        let program = Arc::new(compile(&request)?);
        // Another thread may have compiled it in the meantime.
        if let Some(program) = self.kept(&request) {
            return Ok(program);
        }
        let mut kept = self.lock();
        kept.push_front((request, Arc::clone(&program)));
        kept.truncate(KEPT);
        Ok(program)
    }

    fn kept(&self, request: &Request) -> Option<Arc<Program>> {
        let mut kept = self.lock();
        let position = kept.iter().position(|(known, _)| known == request)?;
        let found = kept.remove(position)?;
        let program = Arc::clone(&found.1);
        kept.push_front(found);
        Some(program)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Request, Arc<Program>)>> {
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

    /// For rows of this length.
    fn request(features: usize) -> Request {
        Request {
            input: Extent {
                batch: 1,
                channels: features,
                size: None,
            },
            is_tracked: false,
            picks: Vec::new(),
            given: None,
            training: false,
        }
    }

    /// Whether the program had to be compiled.
    fn compiles(programs: &Programs, features: usize) -> bool {
        let mut compiled = false;
        let compile = |_: &Request| {
            compiled = true;
            Ok(program())
        };
        programs.get(request(features), compile).unwrap();
        compiled
    }

    #[test]
    fn the_programs_used_last_are_kept() {
        let programs = Programs::default();
        assert!((1..=KEPT).all(|features| compiles(&programs, features)));
        assert!(!compiles(&programs, 1));
        assert!(compiles(&programs, KEPT + 1));
        // The second was the least recently used.
        assert!(!compiles(&programs, 1) && !compiles(&programs, 3));
        assert!(compiles(&programs, 2));
    }

    /// A program that another thread has compiled in the meantime is used.
    #[test]
    fn a_program_compiled_twice_is_kept_once() {
        let programs = Programs::default();
        let mut first = None;
        let compile = |request: &Request| {
            first = Some(programs.get(request.clone(), |_| Ok(program()))?);
            Ok(program())
        };
        let second = programs.get(request(1), compile).unwrap();
        assert!(Arc::ptr_eq(&first.unwrap(), &second));
        assert_eq!(programs.lock().len(), 1);
    }
}
