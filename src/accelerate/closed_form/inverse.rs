//! The inverse of a positive definite matrix, by blocks: most of the work is
//! products of matrices.

use candle_core::{Device, Tensor};
use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::{MatRef, Side};

use crate::error::Result;

/// Rows of a block that is inverted at once.
const BLOCK: usize = 256;

/// The inverse of a positive definite `(n, n)` in f64; `None` if it is not
/// positive definite.
pub(super) fn inverse(matrix: &Tensor) -> Result<Option<Tensor>> {
    let n = matrix.dim(0)?;
    if n <= BLOCK {
        return direct(matrix, n);
    }
    let (half, rest) = (n / 2, n - n / 2);
    let part = |row: usize, rows: usize, column: usize, columns: usize| {
        matrix
            .narrow(0, row, rows)?
            .narrow(1, column, columns)?
            .contiguous()
    };
    let (above, corner) = (part(0, half, half, rest)?, part(half, rest, half, rest)?);
    let Some(first) = inverse(&part(0, half, 0, half)?)? else {
        return Ok(None);
    };
    let through = first.matmul(&above)?;
    let schur = (corner - above.t()?.matmul(&through)?)?;
    let Some(last) = inverse(&schur)? else {
        return Ok(None);
    };
    let side = through.matmul(&last)?.neg()?;
    let first = (first - side.matmul(&through.t()?)?)?;
    let upper = Tensor::cat(&[&first, &side], 1)?;
    let lower = Tensor::cat(&[&side.t()?.contiguous()?, &last], 1)?;
    Ok(Some(Tensor::cat(&[upper, lower], 0)?))
}

fn direct(matrix: &Tensor, n: usize) -> Result<Option<Tensor>> {
    let values: Vec<f64> = matrix.flatten_all()?.to_vec1()?;
    let inverse = small(&values, n);
    let inverse = inverse.map(|values| Tensor::from_vec(values, (n, n), &Device::Cpu));
    Ok(inverse.transpose()?)
}

/// The inverse of a small positive definite matrix.
pub(super) fn small(values: &[f64], n: usize) -> Option<Vec<f64>> {
    let factor = Llt::new(MatRef::from_row_major_slice(values, n, n), Side::Lower).ok()?;
    let inverse = factor.inverse();
    let columns = (0..n).flat_map(|column| (0..n).map(move |row| (row, column)));
    Some(columns.map(|at| inverse[at]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_with_the_inverse_is_the_identity() {
        let n = 2 * BLOCK + 37;
        let values: Vec<f64> = (0..n * n)
            .map(|i| ((i * i + 3 * i) % 101) as f64 / 101.0)
            .collect();
        let half = Tensor::from_vec(values, (n, n), &Device::Cpu).unwrap();
        let matrix = half.matmul(&half.t().unwrap()).unwrap();
        let eye = Tensor::eye(n, candle_core::DType::F64, &Device::Cpu).unwrap();
        let matrix = (matrix + &eye).unwrap();
        let inverse = inverse(&matrix).unwrap().unwrap();
        let difference = (matrix.matmul(&inverse).unwrap() - eye).unwrap();
        let worst: f64 = difference
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar()
            .unwrap();
        assert!(worst < 1e-8, "{worst}");
    }

    #[test]
    fn an_indefinite_matrix_has_none() {
        let matrix = Tensor::new(&[[1f64, 2.0], [2.0, 1.0]], &Device::Cpu).unwrap();
        assert!(inverse(&matrix).unwrap().is_none());
    }
}
