use std::collections::HashSet;

use super::core::Value;
use super::step::Step;

/// Marks where each value is read for the last time, so that it is dropped
/// there; those that are asked for stay.
pub(super) fn mark_last_uses(steps: &mut [Step], outputs: &[Value]) {
    let mut read: HashSet<usize> = outputs.iter().map(|value| value.register).collect();
    for step in steps.iter_mut().rev() {
        for operand in step.inputs.iter_mut().rev() {
            operand.is_last_use = read.insert(operand.register);
        }
    }
}
