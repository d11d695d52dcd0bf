//! Matrices as products of two thin ones.

use candle_core::{DType, Device, Tensor};
use faer::linalg::solvers::SelfAdjointEigen;
use faer::{MatRef, Side};
use rand::Rng;

use crate::error::Result;
use crate::random::stream;

/// Up to this number of rows the decomposition is exact. Beyond, it is found by
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

/// How much of a matrix a factorization keeps. Made from a whole number (a rank)
/// or a fraction (an energy).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rank {
    /// This number of directions, at least 1.
    Exactly(usize),
    /// The smallest number that keeps this fraction of the squared norm, above 0
    /// and up to 1.
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
    /// The norm of the difference, as a fraction of the matrix's norm.
    pub(super) error: f64,
}

/// The best factors of a matrix, given with the sum of its squares, at this
/// rank; `None` for a rank that it can't have.
pub(super) fn factors((matrix, energy): (&Tensor, f64), rank: Rank) -> Result<Option<Factors>> {
    let matrix = matrix.to_device(&Device::Cpu)?;
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let wide = match tall {
        true => matrix.t()?.contiguous()?,
        false => matrix,
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

/// The principal directions, and the least number of them that keeps this
/// fraction of the squared norm.
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

/// The principal directions of a matrix, or of its projection onto a basis, with
/// the squared norm in each, in falling order.
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

/// A matrix times its transpose, in f64, a few columns at a time.
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

/// How far a product is from a matrix, as a fraction of the matrix's norm.
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

/// An orthonormal basis of the span of a matrix's columns. Directions that they
/// do not span are columns of zeros.
fn orthonormal(matrix: &Tensor, rounds: usize) -> Result<Tensor> {
    let mut columns = matrix.to_dtype(DType::F64)?;
    for _ in 0..rounds {
        let gram = columns.t()?.matmul(&columns)?;
        let (values, vectors) = eigen(&gram)?;
        let least = values.first().map_or(0.0, |most| most * 1e-14);
        // A smaller direction is rounding alone.
        let scale = values.iter().map(|&value| match value > least {
            true => 1.0 / value.sqrt(),
            false => 0.0,
        });
        let scale = Tensor::from_iter(scale, &Device::Cpu)?;
        columns = columns.matmul(&vectors.broadcast_mul(&scale)?)?;
    }
    Ok(columns.to_dtype(matrix.dtype())?)
}

/// The eigenvalues of a symmetric matrix in falling order, and its eigenvectors,
/// a column each.
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
