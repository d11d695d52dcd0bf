use super::closed_form::Curve;
use super::cost::Costs;

/// What is lost by leaving channels of a unit out.
pub(super) struct Knob<'a> {
    pub(super) curve: &'a Curve,
    pub(super) channels: usize,
    /// The error at the network's outputs over that at the unit's reader.
    pub(super) gain: f64,
}

impl Knob<'_> {
    pub(super) fn error(&self, width: usize) -> f64 {
        self.gain * self.curve.error(width)
    }

    /// The numbers of channels to choose from are multiples of this: kernels
    /// round up to their lanes.
    fn step(&self) -> usize {
        match self.channels {
            128.. => 16,
            32.. => 8,
            _ => (self.channels / 8).max(1),
        }
    }

    fn next(&self, width: usize) -> Option<usize> {
        let step = self.step();
        let next = (width.saturating_sub(1)) / step * step;
        (next >= self.curve.least().max(1)).then_some(next)
    }
}

/// The channels of each unit with the least sum of errors whose cost is at most
/// `limit`; if no choice is that cheap, the cheapest choice.
pub(super) fn allocate(knobs: &[Knob<'_>], costs: &Costs, limit: f64) -> Vec<usize> {
    let mut widths: Vec<usize> = knobs.iter().map(|knob| knob.channels).collect();
    let mut cost = costs.total(&widths);
    while cost > limit {
        let steps = (0..knobs.len()).filter_map(|index| {
            let next = knobs[index].next(widths[index])?;
            let mut with = widths.clone();
            with[index] = next;
            let saved = cost - costs.total(&with);
            let error = knobs[index].error(next) - knobs[index].error(widths[index]);
            (saved > 0.0).then_some((error.max(1e-12) / saved, index, next))
        });
        let best = steps.min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, index, next)) = best else { break };
        widths[index] = next;
        cost = costs.total(&widths);
    }
    while let Some(better) = exchange(knobs, costs, limit, &widths) {
        widths = better;
    }
    widths
}

/// The best network with one unit wider and one narrower, if it is better.
fn exchange(knobs: &[Knob<'_>], costs: &Costs, limit: f64, widths: &[usize]) -> Option<Vec<usize>> {
    let mut best: Option<(f64, Vec<usize>)> = None;
    for wider in 0..knobs.len() {
        let mut with = widths.to_vec();
        with[wider] = (widths[wider] + knobs[wider].step()).min(knobs[wider].channels);
        if with[wider] == widths[wider] {
            continue;
        }
        let gained = knobs[wider].error(widths[wider]) - knobs[wider].error(with[wider]);
        for narrower in std::iter::once(wider).chain(0..knobs.len()) {
            let mut with = with.clone();
            let mut lost = 0.0;
            if narrower != wider {
                let Some(next) = knobs[narrower].next(widths[narrower]) else {
                    continue;
                };
                lost = knobs[narrower].error(next) - knobs[narrower].error(widths[narrower]);
                with[narrower] = next;
            }
            let saved = gained - lost;
            let is_better = best.as_ref().is_none_or(|(most, _)| saved > *most);
            if saved > 1e-12 && is_better && costs.total(&with) <= limit {
                best = Some((saved, with));
            }
        }
    }
    best.map(|(_, widths)| widths)
}
