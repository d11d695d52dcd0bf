//! Matrices as products of two thin ones.

use candle_core::{DType, Device, Tensor};
use faer::linalg::solvers::SelfAdjointEigen;
use faer::{MatRef, Side};
use rand::Rng;

use crate::error::Result;
use crate::random::stream;

/// Up to so many rows the decomposition is exact; beyond, it is found by
/// random projection.
const EXACT: usize = 256;

/// Rows taken at once where a whole matrix in f64 would be large.
const CHUNK: usize = 256;

/// Columns taken at once for the same reason.
const GRAM_CHUNK: usize = 4096;

/// Directions tried beyond those wanted, and rounds of refinement (Halko,
/// Martinsson and Tropp 2011, algorithms 4.4 and 5.1).
const OVERSAMPLING: usize = 16;
const ROUNDS: usize = 2;

/// How much of a matrix a factorization keeps; a whole number or a share
/// converts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rank {
    /// So many directions, at least 1.
    Exactly(usize),
    /// As few as keep this share of the squared norm, above 0 and up to 1.
    Energy(f64),
}

impl From<usize> for Rank {
    fn from(rank: usize) -> Self {
        Self::Exactly(rank)
    }
}

impl From<f64> for Rank {
    fn from(energy: f64) -> Self {
        Self::Energy(energy)
    }
}

impl std::fmt::Display for Rank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(rank) => write!(f, "rank {rank}"),
            Self::Energy(energy) => write!(f, "energy {energy}"),
        }
    }
}

/// `left * right`, near a matrix.
pub(super) struct Factors {
    pub(super) left: Tensor,
    pub(super) right: Tensor,
    /// The norm of the difference, as a share of the matrix's norm.
    pub(super) error: f64,
}

/// The best factors of a rank, or the least rank that keeps an energy, of a
/// matrix and the sum of its squares; `None` for a rank that it can't have.
pub(super) fn factors((matrix, energy): (&Tensor, f64), rank: Rank) -> Result<Option<Factors>> {
    let matrix = matrix.to_device(&Device::Cpu)?;
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let wide = if tall {
        matrix.t()?.contiguous()?
    } else {
        matrix
    };
    let least = rows.min(columns);
    let (directions, rank) = match rank {
        Rank::Exactly(rank) if (1..=least).contains(&rank) => (principal(&wide, rank)?, rank),
        Rank::Energy(share) if share > 0.0 && share <= 1.0 => enough(&wide, share)?,
        _ => return Ok(None),
    };
    let basis = directions.narrow(1, 0, rank)?.contiguous()?;
    let rest = basis.t()?.matmul(&wide)?;
    let error = distance((&wide, energy), (&basis, &rest))?;
    let (left, right) = if tall {
        (rest.t()?.contiguous()?, basis.t()?.contiguous()?)
    } else {
        (basis, rest)
    };
    Ok(Some(Factors { left, right, error }))
}

/// The principal directions, and the least count of them that keeps this share
/// of the squared norm.
fn enough(matrix: &Tensor, share: f64) -> Result<(Tensor, usize)> {
    const ROUNDING: f64 = 1e-12;
    let (energies, directions) = principal_within(None, matrix)?;
    let total: f64 = energies.iter().sum();
    let mut kept = 0.0;
    let short = energies.iter().take_while(|&energy| {
        kept += energy;
        kept < (share - ROUNDING) * total
    });
    let rank = (short.count() + 1).min(energies.len());
    Ok((directions, rank))
}

/// The directions in which a matrix's columns are largest, `rank` of them or
/// more, a column each.
fn principal(matrix: &Tensor, rank: usize) -> Result<Tensor> {
    let rows = matrix.dim(0)?;
    let directions = rank + OVERSAMPLING;
    if rows <= EXACT || 2 * directions > rows {
        return Ok(principal_within(None, matrix)?.1);
    }
    let columns = matrix.dim(1)?;
    let across = matrix.t()?;
    let mut rng = stream(0, 0);
    let draws = (0..columns * directions).map(|_| rng.random::<f32>() * 2.0 - 1.0);
    let draws = Tensor::from_iter(draws, &Device::Cpu)?;
    let draws = draws
        .reshape((columns, directions))?
        .to_dtype(matrix.dtype())?;
    let mut basis = matrix.matmul(&draws)?;
    for _ in 0..ROUNDS {
        let back = orthonormal(&across.matmul(&orthonormal(&basis, 1)?)?, 1)?;
        basis = matrix.matmul(&back)?;
    }
    // Once more, for what rounding left of the first time.
    Ok(principal_within(Some(&orthonormal(&basis, 2)?), matrix)?.1)
}

/// The principal directions of a matrix, or of what a basis spans of it, with
/// the squared norm in each, falling.
fn principal_within(basis: Option<&Tensor>, matrix: &Tensor) -> Result<(Vec<f64>, Tensor)> {
    let gram = match basis {
        Some(basis) => gram(&basis.t()?.matmul(matrix)?)?,
        None => gram(matrix)?,
    };
    let (energies, turn) = eigen(&gram)?;
    let turn = turn.to_dtype(matrix.dtype())?;
    let directions = match basis {
        Some(basis) => basis.matmul(&turn)?,
        None => turn,
    };
    Ok((energies, directions))
}

/// A matrix times itself turned, in f64, a few columns at a time.
fn gram(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let mut sum = Tensor::zeros((rows, rows), DType::F64, &Device::Cpu)?;
    for start in (0..columns).step_by(GRAM_CHUNK) {
        let part = matrix.narrow(1, start, GRAM_CHUNK.min(columns - start))?;
        let part = part.to_dtype(DType::F64)?.contiguous()?;
        sum = (sum + part.matmul(&part.t()?)?)?;
    }
    Ok(sum)
}

/// The sum of a matrix's squares, a few rows at a time.
pub(super) fn squares(matrix: &Tensor) -> Result<f64> {
    let mut sum = 0.0;
    for start in (0..matrix.dim(0)?).step_by(CHUNK) {
        let rows = matrix.narrow(0, start, CHUNK.min(matrix.dim(0)? - start))?;
        let squares = rows.to_dtype(DType::F64)?.sqr()?;
        sum += squares.sum_all()?.to_scalar::<f64>()?;
    }
    Ok(sum)
}

/// How far a product is from a matrix, as a share of the matrix's norm.
fn distance((matrix, energy): (&Tensor, f64), (left, right): (&Tensor, &Tensor)) -> Result<f64> {
    let mut off = 0.0;
    for start in (0..matrix.dim(0)?).step_by(CHUNK) {
        let count = CHUNK.min(matrix.dim(0)? - start);
        let product = left.narrow(0, start, count)?.matmul(right)?;
        off += squares(&(product - matrix.narrow(0, start, count)?)?)?;
    }
    Ok(if energy > 0.0 {
        (off / energy).sqrt()
    } else {
        0.0
    })
}

/// An orthonormal basis of what a matrix's columns span; columns of zeros where
/// they span less.
fn orthonormal(matrix: &Tensor, rounds: usize) -> Result<Tensor> {
    let mut columns = matrix.to_dtype(DType::F64)?;
    for _ in 0..rounds {
        let gram = columns.t()?.matmul(&columns)?;
        let (values, vectors) = eigen(&gram)?;
        let least = values.first().map_or(0.0, |most| most * 1e-14);
        let scale = values.iter().map(|&value| {
            // A direction of rounding alone is none.
            if value > least {
                1.0 / value.sqrt()
            } else {
                0.0
            }
        });
        let scale = Tensor::from_iter(scale, &Device::Cpu)?;
        columns = columns.matmul(&vectors.broadcast_mul(&scale)?)?;
    }
    Ok(columns.to_dtype(matrix.dtype())?)
}

/// Eigenvalues, falling, and eigenvectors, a column each, of a symmetric
/// matrix.
fn eigen(matrix: &Tensor) -> Result<(Vec<f64>, Tensor)> {
    let size = matrix.dim(0)?;
    let values: Vec<f64> = matrix.flatten_all()?.to_vec1()?;
    let symmetric = MatRef::from_column_major_slice(&values, size, size);
    let found = SelfAdjointEigen::new(symmetric, Side::Lower).map_err(|_| {
        candle_core::Error::Msg("the eigenvalues of a matrix did not converge".to_string())
    })?;
    let (rising, vectors) = (found.S(), found.U());
    let values = (0..size).rev().map(|at| rising[at]).collect();
    let entries = (0..size * size).map(|at| vectors[(at / size, size - 1 - at % size)]);
    let vectors = Tensor::from_iter(entries, &Device::Cpu)?;
    Ok((values, vectors.reshape((size, size))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rows: usize, columns: usize, values: &[f64]) -> Tensor {
        // A sum of outer products of cosines, which are orthogonal.
        let wave = |size: usize, order: usize, at: usize| {
            let angle = std::f64::consts::PI * (at as f64 + 0.5) * order as f64 / size as f64;
            libm::cos(angle) * (2.0 / size as f64).sqrt()
        };
        let entry = |row: usize, column: usize| -> f64 {
            let orders = values.iter().enumerate();
            orders
                .map(|(order, value)| {
                    value * wave(rows, order + 1, row) * wave(columns, order + 1, column)
                })
                .sum()
        };
        let flat = (0..rows * columns).map(|at| entry(at / columns, at % columns));
        let flat = Tensor::from_iter(flat, &Device::Cpu).unwrap();
        flat.reshape((rows, columns)).unwrap()
    }

    fn factors_of(matrix: &Tensor, rank: Rank) -> Option<Factors> {
        factors((matrix, squares(matrix).unwrap()), rank).unwrap()
    }

    fn error_of(matrix: &Tensor, rank: Rank) -> (usize, f64, f64) {
        let found = factors_of(matrix, rank).unwrap();
        let exact = |tensor: &Tensor| tensor.to_dtype(DType::F64).unwrap();
        let product = exact(&found.left).matmul(&exact(&found.right)).unwrap();
        let matrix = exact(matrix);
        let off = squares(&(product - &matrix).unwrap()).unwrap();
        let relative = (off / squares(&matrix).unwrap()).sqrt();
        (found.left.dim(1).unwrap(), relative, found.error)
    }

    /// Eckart and Young: what the best rank leaves out is the rest of the
    /// singular values.
    #[test]
    fn the_error_is_that_of_the_singular_values_left_out() {
        let values = [8.0, 4.0, 2.0, 1.0, 0.5];
        let total: f64 = values.iter().map(|v| v * v).sum();
        for (rows, columns) in [(12, 20), (20, 12), (300, 400), (400, 300)] {
            let matrix = known(rows, columns, &values);
            for rank in 1..=5 {
                let rest: f64 = values[rank..].iter().map(|v| v * v).sum();
                let expected = (rest / total).sqrt();
                let (found, off, told) = error_of(&matrix, Rank::Exactly(rank));
                assert_eq!(found, rank);
                assert!(
                    (off - expected).abs() < 1e-7,
                    "{rows}x{columns} {rank}: {off}"
                );
                assert!(
                    (told - expected).abs() < 1e-7,
                    "{rows}x{columns} {rank}: {told}"
                );
            }
        }
    }

    #[test]
    fn single_precision_tells_its_error_to_its_rounding() {
        for (rows, columns) in [(12, 20), (300, 400), (400, 300), (700, 600)] {
            let matrix = known(rows, columns, &[8.0, 4.0, 2.0, 1.0, 0.5]);
            let matrix = matrix.to_dtype(DType::F32).unwrap();
            for rank in [2, 5, 9] {
                let (_, off, told) = error_of(&matrix, Rank::Exactly(rank));
                assert!((off - told).abs() < 1e-6, "{rows}x{columns} {rank}: {told}");
                assert!(rank < 5 || off < 3e-6, "{rows}x{columns} {rank}: {off}");
            }
            assert_eq!(error_of(&matrix, Rank::Energy(0.99999)).0, 5);
        }
    }

    #[test]
    fn nothing_is_told_exactly() {
        let nothing = Tensor::zeros((300, 400), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(factors_of(&nothing, Rank::Exactly(3)).unwrap().error, 0.0);
    }

    #[test]
    fn an_energy_takes_the_least_rank_that_keeps_it() {
        // Squares 64, 16, 4, 1 of 85.
        for (rows, columns) in [(12, 20), (300, 400)] {
            let matrix = known(rows, columns, &[8.0, 4.0, 2.0, 1.0]);
            for (share, rank) in [(0.5, 1), (0.76, 2), (0.95, 3), (1.0, 4)] {
                assert_eq!(error_of(&matrix, Rank::Energy(share)).0, rank, "{share}");
            }
        }
    }

    #[test]
    fn ranks_that_can_not_be_are_none() {
        let matrix = known(4, 6, &[1.0]);
        for rank in [
            Rank::Exactly(0),
            Rank::Exactly(5),
            Rank::Energy(0.0),
            Rank::Energy(1.1),
            Rank::Energy(f64::NAN),
        ] {
            assert!(factors_of(&matrix, rank).is_none(), "{rank:?}");
        }
    }
}
