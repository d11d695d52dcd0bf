//! The range and the ticks of an axis.

/// From the lowest to the highest, in even steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) step: f64,
}

impl Scale {
    /// Round steps, 4 to 10 of them, around these values. Values that are not
    /// finite are left out.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if high - low <= high.abs() * 1e-9 {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let factor = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|factor| factor * power >= rough)
            .unwrap_or(10.0);
        let step = factor * power;
        Self {
            low: (low / step).floor() * step,
            high: (high / step).ceil() * step,
            step,
        }
    }

    pub(super) fn ticks(&self) -> Vec<f64> {
        let count = ((self.high - self.low) / self.step)
            .round()
            .clamp(1.0, 20.0) as u32;
        let ticks = (0..=count).map(|index| self.low + f64::from(index) * self.step);
        ticks.collect()
    }

    /// Where a value lies between 0, the lowest, and 1, the highest.
    pub(super) fn fraction(&self, value: f64) -> f64 {
        (value - self.low) / (self.high - self.low)
    }

    /// A tick with as many digits as the step has.
    pub(super) fn label(&self, tick: f64) -> String {
        let digits = (-self.step.log10().floor()).clamp(0.0, 9.0) as usize;
        let tick = if tick.abs() < self.step / 2.0 {
            0.0
        } else {
            tick
        };
        format!("{tick:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |values: &[f64]| -> Vec<String> {
            let scale = Scale::around(values.iter().copied());
            scale
                .ticks()
                .iter()
                .map(|&tick| scale.label(tick))
                .collect()
        };
        assert_eq!(
            labels(&[0.13, 0.98]),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        assert_eq!(
            labels(&[-3.0, 12.0, f64::NAN]),
            ["-5", "0", "5", "10", "15"]
        );
        assert_eq!(
            labels(&[2.0, 2.0]),
            ["1.4", "1.6", "1.8", "2.0", "2.2", "2.4", "2.6"]
        );
        assert_eq!(labels(&[])[0], "0.0");
    }
}
