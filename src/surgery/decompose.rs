//! Matrices as products of two thin ones.

use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::Result;

use super::factorize::Rank;

/// Up to so many rows the decomposition is exact; beyond, it is found by
/// random projection.
const EXACT: usize = 256;

/// Directions tried beyond those wanted, and rounds of refinement (Halko,
/// Martinsson and Tropp 2011, algorithms 4.4 and 5.1).
const OVERSAMPLING: usize = 16;
const ROUNDS: usize = 2;

/// `left * right`, near a matrix.
pub(super) struct Factors {
    pub(super) left: Tensor,
    pub(super) right: Tensor,
    /// The norm of the difference, as a share of the matrix's norm.
    pub(super) error: f64,
}

/// The directions in which a matrix's columns are largest.
struct Principal {
    /// A column for each direction.
    basis: Tensor,
    /// The share of the squared norm in each direction, falling.
    energies: Vec<f64>,
}

/// The best factors of a rank, or the least rank that keeps an energy; `None`
/// for a rank that the matrix can't have.
pub(super) fn factors(matrix: &Tensor, rank: Rank) -> Result<Option<Factors>> {
    let matrix = matrix.to_device(&Device::Cpu)?;
    let (rows, columns) = matrix.dims2()?;
    let tall = rows > columns;
    let wide = if tall {
        matrix.t()?.contiguous()?
    } else {
        matrix
    };
    let least = rows.min(columns);
    let (principal, rank) = match rank {
        Rank::Exactly(rank) if (1..=least).contains(&rank) => (principal(&wide, rank)?, rank),
        Rank::Energy(share) if share > 0.0 && share <= 1.0 => enough(&wide, share)?,
        _ => return Ok(None),
    };
    let basis = principal.basis.narrow(1, 0, rank)?.contiguous()?;
    let rest = basis.t()?.contiguous()?.matmul(&wide)?;
    let kept: f64 = principal.energies[..rank].iter().sum();
    let (left, right) = if tall {
        (rest.t()?.contiguous()?, basis.t()?.contiguous()?)
    } else {
        (basis, rest)
    };
    Ok(Some(Factors {
        left,
        right,
        error: (1.0 - kept).max(0.0).sqrt(),
    }))
}

/// As many directions as keep this share of the squared norm.
fn enough(matrix: &Tensor, share: f64) -> Result<(Principal, usize)> {
    let rows = matrix.dim(0)?;
    let mut tried = 64;
    loop {
        let found = principal(matrix, tried.min(rows))?;
        let mut kept = 0.0;
        for (place, energy) in found.energies.iter().enumerate() {
            kept += energy;
            // What rounding leaves of a whole.
            if kept >= share - 1e-9 {
                return Ok((found, place + 1));
            }
        }
        if tried >= rows {
            let all = found.energies.len();
            return Ok((found, all));
        }
        tried *= 2;
    }
}

fn principal(matrix: &Tensor, rank: usize) -> Result<Principal> {
    let rows = matrix.dim(0)?;
    let total = squares(matrix)?;
    let directions = (rank + OVERSAMPLING).min(rows);
    if rows <= EXACT || directions == rows {
        return rotated(None, matrix, total);
    }
    let columns = matrix.dim(1)?;
    let across = matrix.t()?;
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let draws = (0..columns * directions).map(|_| rng.random::<f32>() * 2.0 - 1.0);
    let draws = Tensor::from_iter(draws, &Device::Cpu)?;
    let draws = draws
        .reshape((columns, directions))?
        .to_dtype(matrix.dtype())?;
    let mut basis = orthonormal(&matrix.matmul(&draws)?)?;
    for _ in 0..ROUNDS {
        let back = orthonormal(&across.matmul(&basis)?)?;
        basis = orthonormal(&matrix.matmul(&back)?)?;
    }
    rotated(Some(basis), matrix, total)
}

/// Turns a basis so that its directions are the principal ones of the matrix
/// within it.
fn rotated(basis: Option<Tensor>, matrix: &Tensor, total: f64) -> Result<Principal> {
    let within = match &basis {
        Some(basis) => basis.t()?.contiguous()?.matmul(matrix)?,
        None => matrix.clone(),
    };
    let within = within.to_dtype(DType::F64)?;
    let gram = within.matmul(&within.t()?)?;
    let (values, vectors) = eigen(gram.to_vec2()?);
    let size = values.len();
    let flat: Vec<f64> = (0..size * size)
        .map(|at| vectors[at % size][at / size])
        .collect();
    let turn = Tensor::from_vec(flat, (size, size), &Device::Cpu)?.to_dtype(matrix.dtype())?;
    let energies = values
        .iter()
        .map(|value| value.max(0.0) / total.max(f64::MIN_POSITIVE));
    Ok(Principal {
        basis: match basis {
            Some(basis) => basis.matmul(&turn)?,
            None => turn,
        },
        energies: energies.collect(),
    })
}

fn squares(matrix: &Tensor) -> Result<f64> {
    let rows = matrix.sqr()?.sum(1)?.to_dtype(DType::F64)?;
    Ok(rows.sum_all()?.to_scalar()?)
}

/// A matrix's columns made orthonormal, by Gram and Schmidt's method, twice.
fn orthonormal(matrix: &Tensor) -> Result<Tensor> {
    let columns = matrix.t()?.contiguous()?.to_dtype(DType::F64)?;
    let mut columns: Vec<Vec<f64>> = columns.to_vec2()?;
    for at in 0..columns.len() {
        let (before, rest) = columns.split_at_mut(at);
        let own = &mut rest[0];
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(own, other);
                own.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
            }
        }
        let norm = dot(own, own).sqrt();
        // A column that depends on those before adds no direction.
        let scale = if norm > 1e-30 { 1.0 / norm } else { 0.0 };
        own.iter_mut().for_each(|value| *value *= scale);
    }
    let rows = matrix.dim(0)?;
    let count = columns.len();
    let flat: Vec<f64> = columns.into_iter().flatten().collect();
    let tensor = Tensor::from_vec(flat, (count, rows), &Device::Cpu)?;
    Ok(tensor.t()?.contiguous()?.to_dtype(matrix.dtype())?)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Eigenvalues, falling, and eigenvectors of a symmetric matrix, by Jacobi's
/// rotations (Golub and Van Loan, section 8.5).
fn eigen(mut matrix: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    const SWEEPS: usize = 30;
    let size = matrix.len();
    // Rows are eigenvectors, so that a rotation mixes two rows.
    let mut vectors: Vec<Vec<f64>> = (0..size)
        .map(|row| {
            (0..size)
                .map(|column| f64::from(u8::from(row == column)))
                .collect()
        })
        .collect();
    for _ in 0..SWEEPS {
        let largest = (0..size).fold(0.0f64, |most, at| most.max(matrix[at][at].abs()));
        let mut still = true;
        for p in 0..size {
            for q in p + 1..size {
                if matrix[p][q].abs() > largest * 1e-15 {
                    still = false;
                    rotate(&mut matrix, &mut vectors, p, q);
                }
            }
        }
        if still {
            break;
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| matrix[b][b].total_cmp(&matrix[a][a]));
    let values = order.iter().map(|&at| matrix[at][at]).collect();
    let vectors = order
        .iter()
        .map(|&at| std::mem::take(&mut vectors[at]))
        .collect();
    (values, vectors)
}

/// Turns the plane of `p` and `q` so that they no longer depend on each other.
fn rotate(matrix: &mut [Vec<f64>], vectors: &mut [Vec<f64>], p: usize, q: usize) {
    let theta = (matrix[q][q] - matrix[p][p]) / (2.0 * matrix[p][q]);
    let tangent = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
    let sine = tangent * cosine;
    mix(matrix, (p, q), (cosine, sine));
    mix(vectors, (p, q), (cosine, sine));
    for row in matrix.iter_mut() {
        let (a, b) = (row[p], row[q]);
        (row[p], row[q]) = (cosine * a - sine * b, sine * a + cosine * b);
    }
}

fn mix(rows: &mut [Vec<f64>], (p, q): (usize, usize), (cosine, sine): (f64, f64)) {
    let (front, back) = rows.split_at_mut(q);
    for (a, b) in front[p].iter_mut().zip(&mut back[0]) {
        (*a, *b) = (cosine * *a - sine * *b, sine * *a + cosine * *b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(rows: usize, columns: usize, values: &[f64]) -> Tensor {
        // A sum of outer products of cosines, which are orthogonal.
        let wave = |size: usize, order: usize, at: usize| {
            let angle = std::f64::consts::PI * (at as f64 + 0.5) * order as f64 / size as f64;
            angle.cos() * (2.0 / size as f64).sqrt()
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

    fn error_of(matrix: &Tensor, rank: Rank) -> (usize, f64, f64) {
        let found = factors(matrix, rank).unwrap().unwrap();
        let product = found.left.matmul(&found.right).unwrap();
        let off = squares(&(product - matrix).unwrap()).unwrap();
        let relative = (off / squares(matrix).unwrap()).sqrt();
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
            assert!(factors(&matrix, rank).unwrap().is_none(), "{rank:?}");
        }
    }
}
