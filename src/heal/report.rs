use std::fmt;

use serde::Serialize;

use crate::graph::Contract;
use crate::surgery::LayerCheck;

use super::healing::HealingMethod;

/// What healing a layer achieved. Prints as a table.
///
/// It serializes, and can go with the model into its file:
/// `model.set_note("healing", serde_json::to_value(&report)?)`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HealReport {
    /// The layer.
    pub layer: String,
    /// The method that its parameters come from in the end.
    pub method: HealingMethod,
    /// Whether the function is that of the old layers, up to rounding, except
    /// for `border` rows and columns at each side of the output. So it is after
    /// composing linear layers.
    pub is_exact: bool,
    /// Rows and columns at each side of the output in which an exact
    /// composition differs.
    pub border: (usize, usize),
    /// The following layers that learned too.
    pub adapted: Vec<String>,
    /// How near the values were to the old network's on the images that are
    /// [measured on](crate::Healing::measured_on), at the end of each block
    /// from the layer on: before every pool that both networks have, and at
    /// the outputs.
    pub before: Vec<LayerCheck>,
    /// How near they are now.
    pub after: Vec<LayerCheck>,
    /// Steps of gradient descent taken.
    pub steps: usize,
    /// Whether [`Healing::on_step`](crate::Healing::on_step) stopped it.
    pub stopped: bool,
    /// How many images it was [measured on](crate::Healing::measured_on), if
    /// they were not those learned from.
    pub held_out: Option<usize>,
    /// Seconds that it took, measuring included.
    pub seconds: f64,
}

impl HealReport {
    /// Its name among the graph's operations.
    pub(super) fn call(&self) -> String {
        let method = self.method.to_string();
        format!("heal(\"{}\", {method})", self.layer)
    }

    pub(super) fn learned(&self) -> Vec<String> {
        let own = std::iter::once(&self.layer);
        own.chain(&self.adapted).cloned().collect()
    }

    pub(super) fn contract(&self) -> Contract {
        if self.is_exact && self.border == (0, 0) {
            Contract::Exact
        } else {
            Contract::Approximate
        }
    }
}

impl fmt::Display for HealReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" healed by {}", self.layer, self.method)?;
        if self.steps > 0 {
            write!(f, " in {} steps", self.steps)?;
        }
        if self.stopped {
            write!(f, ", stopped early")?;
        }
        if !self.adapted.is_empty() {
            write!(f, ", {} adapted", self.adapted.join(", "))?;
        }
        if self.contract() == Contract::Exact {
            write!(f, ", exactly")?;
        } else if self.is_exact {
            let (rows, columns) = self.border;
            write!(
                f,
                ", exactly but for a border of {rows} by {columns} pixels"
            )?;
        }
        writeln!(f, " ({:.1} s)", self.seconds)?;
        let width = self.before.iter().map(|row| row.layer.chars().count());
        let width = width.max().unwrap_or(0).max("block".len());
        writeln!(
            f,
            "{:<width$} {:>10} {:>10}",
            "block", "R2 before", "R2 after"
        )?;
        for (before, after) in self.before.iter().zip(&self.after) {
            let (layer, before, after) = (&before.layer, before.r2, after.r2);
            writeln!(f, "{layer:<width$} {before:>10.4} {after:>10.4}")?;
        }
        let last = |rows: &[LayerCheck]| rows.last().map_or(f64::NAN, |row| row.r2);
        if last(&self.after) < last(&self.before) {
            writeln!(f, "worse than before: take another method, or more images")?;
        }
        match self.held_out {
            Some(1) => writeln!(f, "measured on 1 other image"),
            Some(count) => writeln!(f, "measured on {count} other images"),
            None if self.method == HealingMethod::Compose => Ok(()),
            None => writeln!(f, "measured on the images learned from"),
        }
    }
}
