use std::collections::HashSet;

use super::core::Value;
use super::step::Step;

/// The steps whose values are read, each marked where it reads a value for the
/// last time, so that this is dropped there; outputs stay.
pub(super) fn live_steps(steps: Vec<Step>, outputs: &[Value]) -> Vec<Step> {
    let mut read: HashSet<usize> = outputs.iter().map(|value| value.register).collect();
    let mut live = Vec::with_capacity(steps.len());
    for mut step in steps.into_iter().rev() {
        if !read.contains(&step.output) {
            continue;
        }
        for operand in step.inputs.iter_mut().rev() {
            operand.is_last_use = read.insert(operand.register);
        }
        live.push(step);
    }
    live.reverse();
    live
}
