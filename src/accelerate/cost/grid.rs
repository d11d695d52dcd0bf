/// Costs at some numbers of channels, interpolated between.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Grid {
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    /// A row for each number of inputs.
    pub(super) values: Vec<f64>,
}

impl Grid {
    pub(super) fn at(&self, inputs: usize, outputs: usize) -> f64 {
        let (row, down) = between(&self.inputs, inputs);
        let (column, across) = between(&self.outputs, outputs);
        let width = self.outputs.len();
        let value = |row: usize, column: usize| {
            let row = row.min(self.inputs.len() - 1);
            self.values[row * width + column.min(width - 1)]
        };
        let mix = |a: f64, b: f64, part: f64| a + part * (b - a);
        let above = mix(value(row, column), value(row, column + 1), across);
        let below = mix(value(row + 1, column), value(row + 1, column + 1), across);
        mix(above, below, down).max(0.0)
    }
}

/// The cell of a number, and the number's place in it, from 0 to 1 inside.
fn between(numbers: &[usize], number: usize) -> (usize, f64) {
    let last = numbers.len().saturating_sub(2);
    let cell = numbers.iter().skip(1).position(|&next| number <= next);
    let cell = cell.unwrap_or(last).min(last);
    match (numbers.get(cell), numbers.get(cell + 1)) {
        (Some(&low), Some(&high)) if high > low => {
            (cell, (number as f64 - low as f64) / (high - low) as f64)
        }
        _ => (0, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_of_both_numbers_is_interpolated_exactly() {
        let numbers = vec![16, 32, 64];
        let values = numbers
            .iter()
            .flat_map(|a| numbers.iter().map(move |b| (a * b) as f64));
        let grid = Grid {
            values: values.collect(),
            inputs: numbers.clone(),
            outputs: numbers,
        };
        for (inputs, outputs) in [(16, 64), (20, 50), (64, 64), (33, 17), (8, 12)] {
            assert_eq!(grid.at(inputs, outputs), (inputs * outputs) as f64);
        }
    }

    #[test]
    fn a_number_that_does_not_vary_has_one_row() {
        let grid = Grid {
            inputs: vec![3],
            outputs: vec![4, 8],
            values: vec![1.0, 2.0],
        };
        assert_eq!(grid.at(3, 6), 1.5);
    }
}
