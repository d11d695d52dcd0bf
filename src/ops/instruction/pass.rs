/// What the backward pass needs besides input and output.
#[derive(Debug, Default)]
pub(in crate::ops) struct Saved {
    /// A dropout's mask, or the factors of a Gram matrix's gradient.
    pub(super) factors: Vec<f32>,
    /// The loss at a tap.
    pub(in crate::ops) loss: f64,
}

/// The operands of a gradient, channels last.
pub(in crate::ops) struct Backward<'a> {
    pub(in crate::ops) input: &'a [f32],
    pub(in crate::ops) output: &'a [f32],
    pub(in crate::ops) saved: &'a Saved,
    pub(in crate::ops) grad_output: &'a [f32],
    pub(in crate::ops) grad_input: Option<&'a mut [f32]>,
    /// The gradient of the sum of the losses at taps.
    pub(in crate::ops) grad_loss: f32,
}
