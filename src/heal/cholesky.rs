use rayon::prelude::*;

/// The factor `L` of a symmetric positive definite matrix `L L^T`.
pub(super) struct Cholesky {
    size: usize,
    /// Rows of `L`, each as long as its index and one.
    rows: Vec<Vec<f64>>,
}

impl Cholesky {
    /// Factors a matrix of `size * size` values; `None` if it is not positive
    /// definite as far as f64 tells.
    pub(super) fn new(matrix: &[f64], size: usize) -> Option<Self> {
        let mut rows: Vec<Vec<f64>> = (0..size)
            .map(|row| matrix[row * size..=row * size + row].to_vec())
            .collect();
        for column in 0..size {
            let (above, below) = rows.split_at_mut(column + 1);
            let pivot_row = &mut above[column];
            let pivot = pivot_row[column] - dot(&pivot_row[..column], &pivot_row[..column]);
            if !(pivot.is_finite() && pivot > 0.0) {
                return None;
            }
            let pivot = pivot.sqrt();
            pivot_row[column] = pivot;
            let head = &above[column][..column];
            below.par_iter_mut().with_min_len(64).for_each(|row| {
                row[column] = (row[column] - dot(&row[..column], head)) / pivot;
            });
        }
        Some(Self { size, rows })
    }

    /// Solves for each of several right sides, which lie one after the other.
    pub(super) fn solve(&self, right: &mut [f64]) {
        right.par_chunks_mut(self.size).for_each(|x| {
            for (index, row) in self.rows.iter().enumerate() {
                x[index] = (x[index] - dot(&row[..index], &x[..index])) / row[index];
            }
            for (index, row) in self.rows.iter().enumerate().rev() {
                let value = x[index] / row[index];
                x[index] = value;
                for (x, factor) in x.iter_mut().zip(&row[..index]) {
                    *x -= factor * value;
                }
            }
        });
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f64 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `L` of whole numbers, whose product is exact.
    #[test]
    fn a_known_factor_is_found_and_solved_with() {
        let factor = [[2.0, 0.0, 0.0], [1.0, 3.0, 0.0], [-4.0, 2.0, 1.0]];
        let matrix: Vec<f64> = factor
            .iter()
            .flat_map(|a| factor.map(|b| dot(a, &b)))
            .collect();
        let cholesky = Cholesky::new(&matrix, 3).unwrap();
        for (row, expected) in cholesky.rows.iter().zip(&factor) {
            assert_eq!(row, &expected[..row.len()]);
        }
        let solution = [1.0, -2.0, 3.0, 0.0, 5.0, -1.0];
        let mut right: Vec<f64> = solution
            .chunks(3)
            .flat_map(|x| matrix.chunks(3).map(|row| dot(row, x)).collect::<Vec<_>>())
            .collect();
        cholesky.solve(&mut right);
        assert_eq!(right, solution);
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        assert!(Cholesky::new(&[1.0, 2.0, 2.0, 1.0], 2).is_none());
        assert!(Cholesky::new(&[0.0], 1).is_none());
        assert!(Cholesky::new(&[f64::NAN], 1).is_none());
    }

    #[test]
    fn sums_are_the_same_at_every_length() {
        for length in 0..20u32 {
            let a: Vec<f64> = (0..length).map(f64::from).collect();
            let expected: f64 = (0..length).map(|n| f64::from(n * n)).sum();
            assert_eq!(dot(&a, &a), expected);
        }
    }
}
